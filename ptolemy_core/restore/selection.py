"""Which trees of a set of CARs are extracted, and how large they are: before any of them is walked.

A data set's own root comes before the trees of other CARs, and in place of those that are part of it.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from ptolemy_core.errors import PtolemyError
from ptolemy_core.restore.blocks import BlockError, Blocks, Spot
from ptolemy_core.restore.dag import look
from ptolemy_core.restore.dataset import RootTree, is_root
from ptolemy_core.restore.measure import Limits, Measure, Total
from ptolemy_core.restore.naming import Naming
from ptolemy_core.restore.walk import Tree, Wanted


class RootAloneError(PtolemyError):
    """The CAR of a data set's root without the CARs of its files."""

    code = "root-alone"


@dataclass
class Selection:
    """What is extracted.

    Attributes:
        trees: in the order in which they are written.
        limits: of what is written.
        problems: with CARs as a whole.
        alone: names of CARs that are a data set's root, and none of whose files is in the others.
        incomplete: as above, of CARs some of whose files are in no other.
    """

    trees: list[Tree] = field(default_factory=list)
    limits: Limits = field(default_factory=Limits)
    problems: list[str] = field(default_factory=list)
    alone: list[str] = field(default_factory=list)
    incomplete: list[str] = field(default_factory=list)

    def check_complete(self) -> None:
        """See that there is more than data sets' roots without their files.

        Raises:
            RootAloneError: there isn't.
        """
        if self.alone and len(self.alone) == len(self.trees):
            raise RootAloneError(
                f"{', '.join(self.alone)}: this CAR is a data set's root. It holds the folders of all its CARs and "
                "no file: give the CARs with the files too, all in one call"
            )


def select(
    blocks: Blocks,
    roots: Sequence[bytes],
    wanted: Wanted,
    limits: Limits,
    *,
    raw_names: bool = False,
    walked: Callable[[int], None] = lambda links: None,
) -> Selection:
    """Choose the trees.

    Args:
        blocks: of the CARs.
        roots: binary CIDs to start at; where there are none, those that the CARs name.
        wanted: what is asked for of them.
        limits: of all trees together.
        raw_names: take names that look like a shard's as they are.
        walked: called with the links followed since the last call.

    Raises:
        LimitError: the trees describe more than the limits.
    """
    out = Selection(limits=limits.of(sum(car.size for car in blocks.cars)))
    measure = Measure(blocks, walked)
    sets: list[Tree] = []
    others: list[Tree] = []
    sums = {True: Total(), False: Total()}
    for tree in _trees(blocks, roots, wanted, Naming(raw_names), out.problems):
        total = measure.tree(tree)
        of_set = is_root(tree.car, total)
        if of_set and not wanted.all:  # what is asked for may be only the part that a damaged CAR lost
            everything = measure.tree(replace(tree, wanted=Wanted.of(())))
            of_set = is_root(tree.car, everything)
        car = blocks.cars[tree.car]
        if of_set and not total.cars & ~(1 << tree.car) and car.indexed and car.fault:
            of_set = False  # a CAR that is cut: what is lost may have been its own
        sums[of_set].add(total)
        if not of_set:
            others.append(tree)
            continue
        sets.append(replace(tree, naming=Naming(raw=True)))
        if total.lost:
            (out.incomplete if total.content else out.alone).append(car.name)
    for total in sums.values():
        out.limits.check_tree(total)
    out.trees = sets + _others(blocks, sets, others)
    return out


def _trees(
    blocks: Blocks, roots: Sequence[bytes], wanted: Wanted, naming: Naming, problems: list[str]
) -> Iterator[Tree]:
    """A tree for each root, in the order of the CARs."""
    seen: set[bytes] = set()
    for number, car in enumerate(blocks.cars):
        named = roots or car.header.roots
        if not named:
            problems.append(f"{car.name} has no root, so nothing says what is in it: give one with --root")
        for root in named:
            if root in seen:
                continue
            seen.add(root)
            place = number
            if roots:
                with suppress(BlockError):
                    place = blocks.find(root, Spot(number, car.start)).car
            yield Tree(root, place, naming, wanted)


def _others(blocks: Blocks, sets: Sequence[Tree], trees: Sequence[Tree]) -> list[Tree]:
    """The trees that are no part of a data set whose root is given."""
    if not sets:
        return list(trees)
    roots = [RootTree(blocks, tree.root, tree.car) for tree in sets]
    out = []
    for tree in trees:
        is_folder = False
        with suppress(BlockError):
            is_folder = (
                look(blocks, tree.root, Spot(tree.car, blocks.cars[tree.car].start)).kind == "directory"
            )
        if not (is_folder and any(root.holds(tree) for root in roots)):
            out.append(tree)
    return out
