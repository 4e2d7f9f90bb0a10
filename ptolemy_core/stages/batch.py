"""A batch of containers built one after the other; one that fails doesn't keep the others from being built."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from ptolemy_core.catalog import waiting
from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.errors import PtolemyError, StagingBudgetError, StagingError, UnavailableError
from ptolemy_core.stages.blitz import Building, build_container


class Observer(Protocol):
    """Whoever wants to know what a batch does."""

    def building(self, number: int) -> AbstractContextManager[object]:
        """A container is being built while the block lasts."""

    def built(self, row: CarRow) -> None:
        """This call built a CAR."""

    def failed(self, number: int, error: PtolemyError) -> None:
        """A container couldn't be built; the batch continues unless this was the staging folder's fault."""


@dataclass
class BatchResult:
    """What a batch did.

    Attributes:
        built: CARs that it built.
        failed: numbers of the containers that couldn't be built, with the errors.
        left: containers that a serial project leaves for later, for want of free space.
        waits: why; None if none is left.
    """

    built: int = 0
    failed: list[tuple[int, PtolemyError]] = field(default_factory=list)
    left: list[int] = field(default_factory=list)
    waits: str | None = None


def build_batch(
    catalog: Catalog, name: str, numbers: Sequence[int], how: Building, observer: Observer
) -> BatchResult:
    """Build the containers of these numbers that have no receipt yet.

    A staging folder that can't take a CAR ends the batch, and is the last of its failures.

    Raises:
        UnavailableError: the database doesn't answer; what is built stays built.
    """
    result = BatchResult()
    for place, number in enumerate(numbers):
        try:
            with observer.building(number):
                row, new = build_container(catalog, name, number, how)
        except UnavailableError:
            raise
        except StagingBudgetError as error:
            waiting.record(catalog, name, error.number, error.bytes)
            result.left, result.waits = list(numbers[place:]), str(error)
            break
        except PtolemyError as error:
            result.failed.append((number, error))
            observer.failed(number, error)
            if isinstance(error, StagingError):
                break
            continue
        if row is not None and new:
            result.built += 1
            observer.built(row)
    return result
