"""Errors that a user meets: each says what happened, to what, why, and what to do."""


class PtolemyError(Exception):
    """Base of all errors whose message is meant for a user."""


class SettingsError(PtolemyError):
    """A setting that can't be: names the value, the limit and the remedy."""


class ProjectExistsError(SettingsError):
    """A project of that name is there with other settings."""


class UnknownProjectError(PtolemyError):
    """No project of that name."""


class StageOrderError(PtolemyError):
    """A stage was asked for before the one that it needs."""


class BusyError(PtolemyError):
    """The same work is under way in another process."""


class SourceError(PtolemyError):
    """A source file can't be read, or isn't what the scan saw."""


class StagingError(PtolemyError):
    """The staging folder can't take a CAR."""


class PlanError(PtolemyError):
    """No container can hold what it must."""


class ReceiptError(PtolemyError):
    """A receipt doesn't fit the plan in the catalog."""
