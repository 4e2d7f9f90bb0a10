"""Errors that a user meets: each says what happened, to what, why, and what to do.

Each class has a `code`, a stable name for programs: the HTTP API, `--json` and Dagster's failure metadata show it,
and docs/errors.md lists all of them. What can be wrong inside a CAR has codes of its own, in `reader.findings`.
"""


class PtolemyError(Exception):
    """Base of all errors whose message is meant for a user.

    Attributes:
        code: a stable name of what went wrong, in lower case with hyphens.
    """

    code = "failed"


class SettingsError(PtolemyError):
    """A setting or value that isn't allowed: the message names the value, the limit and the remedy."""

    code = "bad-value"


class ProjectExistsError(SettingsError):
    """A project of that name exists with other settings."""

    code = "project-exists"


class UnknownProjectError(PtolemyError):
    """No project has that name."""

    code = "unknown-project"


class NotFoundError(PtolemyError):
    """No file, CAR or CID matches what was asked for."""

    code = "not-found"


class StageOrderError(PtolemyError):
    """A stage was asked for before the one that it needs.

    Attributes:
        first: the stage that has to be done before, where there is one.
        why: what isn't done yet, after the project's name.
    """

    code = "stage-order"

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

    code = "empty"


class BusyError(PtolemyError):
    """Another process is doing the same work."""

    code = "busy"


class SourceError(PtolemyError):
    """A source can't be used.

    Where it is an item of a container: `item` is its place in it, `reason` says what is wrong without its name.
    `other_content`: places of items with other bytes than their CAR was built with, behind the same size and time.
    """

    code = "source-unusable"

    def __init__(self, message: str, *, item: int | None = None, reason: str = "") -> None:
        super().__init__(message)
        self.item = item
        self.reason = reason
        self.other_content: tuple[int, ...] = ()


class SourceChangedError(SourceError):
    """A source file isn't what the scan saw: it changed, or is gone."""

    code = "source-changed"


class DeadCarError(SourceChangedError):
    """A CAR can't be read or built again any more: a file of it changed or is gone."""

    code = "car-dead"


class SourceUnreadableError(SourceError):
    """A source file or folder can't be read."""

    code = "source-unreadable"


class UnreadableError(SourceUnreadableError):
    """A scan found entries that it can't read, in a project whose on_error is "fail"."""

    code = "entries-unreadable"


class LossError(SourceError):
    """A scan found so much less than the one before that the target may not be there, or be another one."""

    code = "target-lost"


class StagingError(PtolemyError):
    """The staging folder can't be read or written."""

    code = "staging-unusable"


class StagingFullError(StagingError):
    """The disk of the staging folder has too little free space for a CAR."""

    code = "staging-full"


class OutlineError(PtolemyError):
    """The outline of a generated CAR can't be read: it is missing, damaged, or of another version."""

    code = "outline-unusable"


class StagingBudgetError(StagingError):
    """The finished CARs of a serial project fill its staging budget: the next one waits until some have left.

    Attributes:
        number: of the container that waits.
        bytes: that must leave staging_dir before it can be built.
    """

    code = "staging-budget"

    def __init__(self, message: str, number: int, missing: int) -> None:
        super().__init__(message)
        self.number = number
        self.bytes = missing


class PlanError(PtolemyError):
    """No container can hold what it must."""

    code = "plan-impossible"


class ReceiptError(PtolemyError):
    """A CAR and the plan in the catalog don't agree."""

    code = "receipt-mismatch"


class VerificationError(PtolemyError):
    """A CAR isn't what was built: the message says what is wrong with which."""

    code = "check-failed"


class DeliveryError(PtolemyError):
    """A CAR can't be marked as delivered, or can't be removed."""

    code = "delivery-refused"


class DeletionError(PtolemyError):
    """Sources can't be deleted."""

    code = "deletion-refused"


class UnavailableError(PtolemyError):
    """The database doesn't answer."""

    code = "catalog-away"


class StateError(PtolemyError):
    """The folder of state, or a database in it, can't be used."""

    code = "state-unusable"


class ReadOnlyStateError(StateError):
    """The folder of state is read-only, and the work needs to write there."""

    code = "state-read-only"


class EncryptionError(PtolemyError):
    """Something about keys or encrypted data is wrong. No message of these errors holds bytes of a key."""

    code = "encryption-failed"


class UnknownKeyError(EncryptionError):
    """No key of that alias and version, or it was destroyed."""

    code = "unknown-key"


class WrongKeyError(EncryptionError):
    """There is a key of that alias and version, but it isn't the one that was used."""

    code = "wrong-key"


class KeyStoreError(EncryptionError):
    """The keyring, variable or command that keeps keys can't be used."""

    code = "keys-unusable"


class DamagedError(EncryptionError):
    """Encrypted data, a name, a key's text or a wrapped key isn't what was written."""

    code = "damaged"


class DealError(PtolemyError):
    """Something about a deal or a storage provider is wrong. No message has a key or the query of a URL.

    Attributes:
        fault: what exactly, a code of `ptolemy_core.deals.Fault` that docs/deals.md lists.
    """

    code = "deal-failed"

    def __init__(self, message: str, fault: str = "other") -> None:
        super().__init__(message)
        self.fault = fault


class ProposalError(DealError):
    """A proposal breaks a rule that is known before it is sent: it wasn't sent."""

    code = "deal-invalid"


class DealRefusedError(DealError):
    """A provider refused a deal or a part of it: sending the same again doesn't help."""

    code = "deal-refused"


class ProviderAwayError(DealError):
    """A provider doesn't answer, is overloaded or has an error of its own. Its deals haven't failed by that.

    Attributes:
        retry_after: seconds that it asked to be left alone for; None where it said nothing.
    """

    code = "provider-away"

    def __init__(self, message: str, fault: str, retry_after: float | None = None) -> None:
        super().__init__(message, fault)
        self.retry_after = retry_after


class DealUnknownError(ProviderAwayError):
    """A proposal was sent, and nobody knows whether it arrived: ask for the deal's status before anything else."""

    code = "deal-unknown"


class ProviderAuthError(DealError):
    """A provider doesn't accept who we are: the clock is off, or the wallet isn't allowed."""

    code = "provider-unauthorized"
