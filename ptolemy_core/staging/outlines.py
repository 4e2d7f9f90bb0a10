"""The folder of outlines in a staging area: attempts at writing one, as for CARs (see `attempts`)."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from ptolemy_core.car.fill import fill
from ptolemy_core.car.items import built_items
from ptolemy_core.car.nodes import block_cid
from ptolemy_core.car.options import DEFAULT_OPTIONS, BuildOptions
from ptolemy_core.car.outline_file import most_bytes
from ptolemy_core.car.outlined import OutlineOutput
from ptolemy_core.dag import cid
from ptolemy_core.dag.profile import UNIXFS_V1_2025, Profile
from ptolemy_core.errors import SourceChangedError, StagingFullError
from ptolemy_core.layout import Layout
from ptolemy_core.sizes import counted
from ptolemy_core.source import Inputs
from ptolemy_core.source.refusals import OTHER_CONTENT
from ptolemy_core.staging import attempts
from ptolemy_core.staging.area import part_name
from ptolemy_core.staging.output import RESERVE, free_space, locked, staging_error, sync_folder
from ptolemy_core.staging.stored import StoredCar


@contextmanager
def partial_outline(
    folder: str, part: str, layout: Layout, inputs: Inputs, profile: Profile
) -> Iterator[OutlineOutput]:
    """An output for a CAR's outline, removed at the end unless published. Removes those of earlier attempts.

    Args:
        folder: for the outline; made if it isn't there.
        part: name of the file until it is complete.
        layout: of the CAR.
        inputs: of its items.
        profile: that the layout was made with.

    Raises:
        BusyError: an earlier attempt is still alive.
        StagingError: the folder isn't writable or lacks free space, or its disk fails within the block.
    """
    path = os.path.join(folder, part)
    own = attempts.own_path(path)
    size = most_bytes(layout, inputs)
    try:
        _make(folder)
        with locked(folder):
            attempts.remove_earlier(path)
            free = free_space(folder, part)
            if free.lacks(size):
                raise StagingFullError(
                    f"{folder} has {free.free} bytes free, an outline may need {size + RESERVE}: "
                    "free space, then run blitz again"
                )
            file = open(own, "x+b")  # noqa: SIM115 it is closed below
            attempts.lock_file(file.fileno())
    except OSError as error:
        raise staging_error(folder, size, error) from error
    output = OutlineOutput(file, own, layout, inputs, profile)
    try:
        yield output
    except OSError as error:
        raise staging_error(folder, size, error) from error
    finally:
        output.close()
        with suppress(OSError):  # what wasn't written is of a failed attempt
            file.close()
        with suppress(FileNotFoundError):
            os.unlink(own)


def rebuild_outline(
    stored: StoredCar,
    layout: Layout,
    inputs: Inputs,
    options: BuildOptions = DEFAULT_OPTIONS,
    *,
    cids: Mapping[int, bytes],
    profile: Profile = UNIXFS_V1_2025,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Write the outline of a CAR again from its source, which the CAR's payload CID proves to be the same.

    Args:
        stored: the CAR.
        layout: of it.
        inputs: of its items.
        options: how to read.
        cids: that the CAR's items have, by position.
        profile: that the layout was made with.
        progress: called with bytes of the CAR done since the last call.

    Raises:
        SourceChangedError: the source gives another CAR.
        SourceError: a source can't be read or isn't what the scan saw.
        BusyError, StagingError: as `partial_outline`.
    """
    part = part_name(stored.project, stored.number or 0)
    area = stored.area
    with partial_outline(area.outline_scratch(stored.project), part, layout, inputs, profile) as output:
        digests = fill(layout, inputs, output.close_unit, options, progress=progress)
        found = block_cid(layout, 0, digests[0].tobytes())
        if found != stored.payload_cid:
            items = built_items(layout, inputs, digests)
            wrong = [k for k, known in sorted(cids.items()) if items[k].cid != known]
            raise _other_source(stored, inputs, found, wrong)
        output.take_digests(digests)
        area.publish_outline(stored.project, output, stored.file_name)


def _other_source(
    stored: StoredCar, inputs: Inputs, found: bytes, wrong: Sequence[int]
) -> SourceChangedError:
    """The error of an outline that the source doesn't give any more: items at these positions changed."""
    start = f"the outline of CAR {stored.label} can't be rebuilt: "
    if not wrong:
        reason = (
            f"gives a CAR with the payload CID {cid.to_text(found)}, not {cid.to_text(stored.payload_cid)}"
        )
        return SourceChangedError(
            f"{start}the source {reason}. Scan again, then containerize and blitz", reason=reason
        )
    name = inputs.source.name(inputs.items.paths[wrong[0]])
    more = f", and {counted(len(wrong) - 1, 'other file')} of it" if len(wrong) > 1 else ""
    error = SourceChangedError(
        f"{start}{name} {OTHER_CONTENT}{more}: containerize and blitz make new CARs of what is there",
        item=wrong[0],
        reason=OTHER_CONTENT,
    )
    error.other_content = tuple(wrong)
    return error


def _make(folder: str) -> None:
    """Make the folder of outlines, where there is none, so that it stays."""
    if not os.path.isdir(folder):
        os.makedirs(folder, exist_ok=True)
        sync_folder(os.path.dirname(folder))
        sync_folder(os.path.dirname(os.path.dirname(folder)))
