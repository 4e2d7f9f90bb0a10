"""Writing a CAR as a file, wherever its bytes are: under its name only when it is complete, synced and proven."""

import os
import secrets
from collections.abc import Callable
from contextlib import suppress

from ptolemy_core import commp
from ptolemy_core.dag import cid
from ptolemy_core.errors import StagingError
from ptolemy_core.staging.output import sync_folder
from ptolemy_core.staging.stored import StoredCar

_READ = 16 << 20


def export(stored: StoredCar, path: str, progress: Callable[[int], None] | None = None) -> None:
    """Write a CAR to a file; its piece CID is computed from what is written, and compared.

    Args:
        stored: the CAR.
        path: of the file; one that is there is replaced.
        progress: called with bytes written since the last call.

    Raises:
        SourceError, OutlineError, StagingError: the CAR can't be read.
        StagingError: it isn't the CAR that was built, or the file can't be written.
    """
    folder, name = os.path.split(os.path.abspath(path))
    part = os.path.join(folder, f".{name}.{secrets.token_hex(4)}.part")
    try:
        try:
            with stored.open() as car, open(part, "xb", buffering=0) as file:
                piece = commp.PieceCommitment()
                for data in car.ranges(0, car.size, _READ):
                    rest = memoryview(data)
                    while rest:
                        rest = rest[file.write(rest) :]
                    piece.update(data)
                    if progress:
                        progress(len(data))
                _require_same(stored, commp.piece_cid_v2(piece.digest(), car.size))
                os.fsync(file.fileno())
            os.replace(part, path)
            sync_folder(folder)
        except OSError as error:
            raise StagingError(
                f"{path} can't be written ({error.strerror}): check the folder and its free space"
            ) from error
    finally:
        with suppress(FileNotFoundError):
            os.unlink(part)


def _require_same(stored: StoredCar, found: bytes) -> None:
    if found != stored.piece_cid_v2:
        raise StagingError(
            f"CAR {stored.label} isn't what was built any more: its piece CID is {cid.to_text(found)}, it was "
            f"{cid.to_text(stored.piece_cid_v2)}; ptolemy verify {stored.project} says what is wrong"
        )
