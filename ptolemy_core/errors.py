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
    """A source file can't be read, or isn't what the scan saw.

    Where it is an item of a container: `item` is its place in it, `reason` says what is wrong without its name.
    """

    def __init__(self, message: str, *, item: int | None = None, reason: str = "") -> None:
        super().__init__(message)
        self.item = item
        self.reason = reason


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


class EncryptionError(PtolemyError):
    """Something about keys or encrypted data is wrong. No message of these errors holds bytes of a key."""


class UnknownKeyError(EncryptionError):
    """No key of that alias and version, or it was destroyed."""


class WrongKeyError(EncryptionError):
    """There is a key of that alias and version, but it isn't the one that was used."""


class KeyStoreError(EncryptionError):
    """The keyring, variable or command that keeps keys can't be used."""


class DamagedError(EncryptionError):
    """Encrypted data, a name, a key's text or a wrapped key isn't what was written."""
