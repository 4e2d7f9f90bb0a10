"""Items in runs: those of one folder that follow each other. What is the same for a folder is computed once a run."""

import operator
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ptolemy_core.tree import SEPARATOR


@dataclass(frozen=True, slots=True)
class FolderRuns:
    """Runs of items of the same folder, at least one.

    Attributes:
        folders: the path of each run's folder.
        starts: the first item of each run.
        name_lengths: bytes of each item's name.
    """

    folders: list[bytes]
    starts: NDArray[np.int64]
    name_lengths: NDArray[np.int64]


def folder_runs(paths: Sequence[bytes]) -> FolderRuns:
    """The runs of paths, at least one of which there is, in path order."""
    parts = [path.rpartition(SEPARATOR) for path in paths]
    folders = [part[0] for part in parts]
    names = np.fromiter([len(part[2]) for part in parts], dtype=np.int64, count=len(parts))
    news = np.fromiter(map(operator.ne, folders[1:], folders), dtype=np.bool_, count=len(parts) - 1)
    starts = np.concatenate([[0], np.flatnonzero(news) + 1])
    return FolderRuns([folders[at] for at in starts.tolist()], starts, names)
