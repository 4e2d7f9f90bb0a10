"""The stages of a project, and which of them needs which: said here, and asked by all.

A stage that is asked for too early is a StageOrderError that names the one to run first.
"""

from dataclasses import dataclass
from enum import StrEnum

from ptolemy_core.catalog import containers, projects, scans, skipped
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.errors import EmptyProjectError, StageOrderError


class Stage(StrEnum):
    """The stages, by the names of their commands and jobs."""

    SCAN = "scan"
    CONTAINERIZE = "containerize"
    BLITZ = "blitz"
    VERIFY = "verify"
    ROOT = "root"
    MANIFEST = "manifest"
    DEAL = "deal"
    DELETE_SOURCE = "delete-source"

    @property
    def noun(self) -> str:
        """As a status names it: "executing containerization"."""
        return _NOUNS.get(self, str(self))

    @property
    def chain(self) -> "tuple[Stage, ...]":
        """The stages that must be done before it, the first one first."""
        before = NEEDS.get(self)
        return () if before is None else (*before.chain, before)


_NOUNS = {
    Stage.CONTAINERIZE: "containerization",
    Stage.VERIFY: "verification",
    Stage.ROOT: "data set root",
    Stage.DEAL: "deals",
    Stage.DELETE_SOURCE: "deletion of sources",
}

NEEDS = {
    Stage.CONTAINERIZE: Stage.SCAN,
    Stage.BLITZ: Stage.CONTAINERIZE,
    Stage.VERIFY: Stage.BLITZ,
    Stage.ROOT: Stage.SCAN,  # it sees for itself that all is built: an empty folder has a root too
    Stage.MANIFEST: Stage.BLITZ,
    Stage.DEAL: Stage.BLITZ,
    Stage.DELETE_SOURCE: Stage.SCAN,
}
"""Which stage must be done before; of a blitz, at least one CAR must be built."""


class Until(StrEnum):
    """The stages that `ptolemy run` does, and the job onboard, in their order; it may end after any of them."""

    SCAN = Stage.SCAN
    CONTAINERIZE = Stage.CONTAINERIZE
    BLITZ = Stage.BLITZ
    VERIFY = Stage.VERIFY
    ROOT = Stage.ROOT
    MANIFEST = Stage.MANIFEST

    @property
    def job(self) -> str:
        """The name of the job that does all stages up to this one."""
        if self is Until.SCAN:
            return "scan"
        return "onboard" if self is Until.MANIFEST else f"onboard_until_{self}"

    @property
    def stages(self) -> tuple[Stage, ...]:
        """What that job does."""
        return IN_A_ROW[: IN_A_ROW.index(Stage(self)) + 1]


IN_A_ROW = tuple(Stage(stage) for stage in Until)
"""What `ptolemy run` does, and the job onboard."""

UNTIL_OF_JOB = {until.job: until for until in Until if until is not Until.SCAN}
"""The last stage of each job that does several in a row."""

_MISSING = {
    Stage.SCAN: "isn't scanned yet",
    Stage.CONTAINERIZE: "has no containers yet",
    Stage.BLITZ: "has no CAR built yet",
}


@dataclass(frozen=True, slots=True)
class Done:
    """What of a project is done: which of the stages that others need, and whether there is anything to store."""

    stages: frozenset[Stage]
    has_entries: bool


def what_is_done(catalog: Catalog, name: str) -> Done:
    """What of a project is done."""
    done = set()
    if scans.is_scanned(catalog, name):
        done.add(Stage.SCAN)
    totals = containers.totals(catalog, name)
    if totals.containers or skipped.any_dropped(catalog, name):
        done.add(Stage.CONTAINERIZE)
    if totals.built:
        done.add(Stage.BLITZ)
    return Done(frozenset(done), bool(totals.containers) or scans.has_entries(catalog, name))


def require(catalog: Catalog, name: str, stage: Stage) -> None:
    """See that a stage isn't too early.

    Raises:
        UnknownProjectError: no such project.
        EmptyProjectError: there is nothing to store.
        StageOrderError: another stage comes first.
    """
    project = projects.get(catalog, name)
    done = what_is_done(catalog, name)
    for needed in stage.chain:
        if needed in done.stages:
            continue
        if needed != Stage.SCAN and not done.has_entries:
            raise EmptyProjectError(nothing_to_store(catalog, name, project.target_dir))
        raise StageOrderError.needs(name, _MISSING[needed], needed)


def nothing_to_store(catalog: Catalog, name: str, target_dir: str) -> str:
    """What every stage says of a project whose target is empty."""
    why = str(skipped.not_stored(catalog, name))
    return (
        f"project {name!r} holds no files: its last scan found no file, link or empty folder in {target_dir} that "
        f"belongs to it{f', and {why}' if why else ''}. There is nothing to build. Put files there, or change the "
        f"project's include and exclude, then scan again"
    )
