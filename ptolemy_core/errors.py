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
    """A stage was asked for before the one that it needs.

    Attributes:
        first: the stage that has to be done before, where there is one.
        why: what isn't done yet, after the project's name.
    """

    def __init__(self, message: str, *, first: str | None = None, why: str = "") -> None:
        super().__init__(message)
        self.first = first
        self.why = why

    @classmethod
    def needs(cls, project: str, why: str, first: str) -> "StageOrderError":
        """The error of a project that needs another stage first."""
        return cls(f"project {project!r} {why}: run `ptolemy {first} {project}` first", first=first, why=why)


class EmptyProjectError(StageOrderError):
    """There is nothing to store in a project."""


class BusyError(PtolemyError):
    """The same work is under way in another process."""


class SourceError(PtolemyError):
    """A source file can't be read, or isn't what the scan saw.

    Where it is an item of a container: `item` is its place in it, `reason` says what is wrong without its name.
    """

    def __init__(self, message: str, *, item: int | None = None, reason: str = "") -> None:
        super().__init__(message)
        self.item = item
        self.reason = reason


class LossError(SourceError):
    """A scan found so much less than the one before that the target may not be there, or be another one."""


class UnreadableError(SourceError):
    """A scan met entries that it may not read, in a project whose on_error is "fail"."""


class StagingError(PtolemyError):
    """The staging folder can't take a CAR."""


class PlanError(PtolemyError):
    """No container can hold what it must."""


class ReceiptError(PtolemyError):
    """A receipt doesn't fit the plan in the catalog."""


class NoRoomError(StagingError):
    """A serial project's staging folder is full of finished CARs: the next one waits until some have left.

    Attributes:
        number: of the container that waits.
        bytes: that must leave staging_dir before it can be built.
    """

    def __init__(self, message: str, number: int, missing: int) -> None:
        super().__init__(message)
        self.number = number
        self.bytes = missing


class DeliveryError(PtolemyError):
    """A CAR can't be marked as delivered, or not be removed."""


class DeletionError(PtolemyError):
    """Sources can't be deleted."""


class UnavailableError(PtolemyError):
    """The database doesn't answer."""
