"""A built CAR's bytes, whether it is a staged file or generated from its source. Needs no catalog.

    found = stored_cars.by_piece(catalog, piece_cid)[0]      # catalog.stored_cars: plain values, which pickle
    with found.open() as car:                                # in any process that sees both folders
        car.size, car.stored.piece_cid_v2
        car.read(offset, length)                             # bytes
        for part in car.ranges(offset, length): ...          # in pieces of a MiB
        car.fileno                                           # of a staged CAR, for sendfile; else None

An open CAR may be read by any number of threads at once and kept open; those that read the same bytes of a generated
CAR share the work. Every leaf of a generated CAR is compared with its digest before a byte of it is returned.

`verify_car`, `SeekableCar` and `restore` take an open CAR in place of a path.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ptolemy_core import commp, environment, urls
from ptolemy_core.car.generate import GeneratedCar
from ptolemy_core.car.outline import Outline
from ptolemy_core.car.outlined import outline_name
from ptolemy_core.car.reading import CarBytes, check_range
from ptolemy_core.dag import cid
from ptolemy_core.errors import DeadCarError, OutlineError, StagingError
from ptolemy_core.source import Files, open_source
from ptolemy_core.staging.area import OUTLINES, StagedFile, StagingArea, area_at
from ptolemy_core.staging.car import StagedCar

if TYPE_CHECKING:
    from ptolemy_core.keys import KeyProvider, WrappedKey
    from ptolemy_core.staging.store import StoreArea
    from ptolemy_core.staging.store_car import StoreCar

STEP = 1 << 20
"""Bytes of a part of `ranges`."""
_READ = 16 << 20


@dataclass(frozen=True, slots=True)
class StoredCar:
    """Where a built CAR's bytes come from: all that is needed to open it. CIDs are binary, sizes bytes.

    Attributes:
        project, number: whose CAR, and of which container (None: the CAR of a data set's root).
        file_name: `<piece CID v1>.car`.
        payload_cid, piece_cid_v1, piece_cid_v2: binary CIDs.
        car_size, piece_size: bytes, before and after padding.
        built_at: seconds since 1970.
        generated: whether it has no file, and its bytes are made from the source.
        staging_dir: folder of its file or outline, or URL of the prefix that it is below.
        source: target_dir, of a generated one.
        profile: of the credentials for URLs.
        dead: why it can't be read any more; None if nothing is known against it.
        wrapped: data keys of an encrypted project: a generated CAR of it is encrypted as it is read.
    """

    project: str
    number: int | None
    file_name: str
    payload_cid: bytes
    piece_cid_v1: bytes
    piece_cid_v2: bytes
    car_size: int
    piece_size: int
    built_at: float
    generated: bool
    staging_dir: str
    source: bytes
    profile: str | None = None
    dead: str | None = None
    wrapped: "tuple[WrappedKey, ...]" = ()

    @property
    def label(self) -> str:
        """`PROJECT/NUMBER`."""
        return f"{self.project}/{'root' if self.number is None else self.number}"

    @property
    def path(self) -> str:
        """The CAR's file, if it is staged; or its URL."""
        return os.path.join(self.staging_dir, self.file_name)

    @property
    def outline_path(self) -> str:
        """Its outline, or the URL of it: of a generated CAR, or of a staged one that keeps an outline too."""
        return os.path.join(self.staging_dir, self.outline_name)

    def open(self, source: Files | None = None, keys: "KeyProvider | None" = None) -> "OpenCar":
        """Open it for reading. Takes milliseconds, whatever the CAR's size.

        Args:
            source: what a generated CAR is read from, not encrypted; by default `self.source`.
            keys: of encrypted projects; by default as configured.

        Raises:
            DeadCarError: a scan found that a file of it changed; the message names it.
            StagingError: its file isn't there, can't be read, or has another size.
            OutlineError: its outline isn't there, is damaged or another CAR's.
            EncryptionError: the key of an encrypted project isn't there.
        """
        if not self.generated:
            return OpenCar(self, self._open_file())
        if self.dead is not None:
            raise DeadCarError(
                f"CAR {self.label} can't be read any more: {self.dead}; containerize and blitz make new CARs of "
                "what is left",
                reason=self.dead,
            )
        outline = self._open_outline()
        if outline.header.payload_cid != self.payload_cid or outline.header.car_size != self.car_size:
            outline.close()
            raise OutlineError(
                f"{self.outline_path} is the outline of another CAR, its root is "
                f"{cid.to_text(outline.header.payload_cid)}: ptolemy rebuild {self.label} makes it again"
            )
        try:
            files = self._encrypted(
                source or open_source(self.source, self.profile), outline.header.profile.chunk, keys
            )
        except BaseException:
            outline.close()
            raise
        return OpenCar(self, GeneratedCar(outline, files))

    def for_reader(self) -> "OpenCar | str":
        """What readers of CARs take: the path of a file; anything else is opened, which raises as `open` does."""
        return self.open() if self.generated or self.in_store else self.path

    def _open_outline(self) -> Outline:
        found = self.area.open_outline(self.outline_name)
        if found is None:
            raise OutlineError(
                f"the outline {self.outline_path} is missing: ptolemy rebuild {self.label} makes it again from the "
                "source"
            )
        return found

    def _encrypted(self, files: Files, segment: int, keys: "KeyProvider | None") -> Files:
        """The source as the CAR has it."""
        if not self.wrapped:
            return files
        from ptolemy_core.encryption.opening import open_cipher  # these load ciphers
        from ptolemy_core.keys import configured_keys
        from ptolemy_core.source.encrypted import EncryptedSource

        return EncryptedSource(files, open_cipher(self.wrapped, keys or configured_keys(), segment=segment))

    def look(self) -> StagedFile | None:
        """Its file as it is now, or its outline, which counts as large as the CAR; None if that isn't there.

        Raises:
            StagingError: lstat failed.
        """
        area = self.area
        if not self.generated:
            return area.look(self.file_name)
        found = area.look(self.kept_name)
        return None if found is None else replace(found, size=self.car_size)

    def is_whole(self) -> bool:
        """Whether its file has its size, or its outline is there and undamaged.

        Raises:
            StagingError: lstat failed.
        """
        found = self.look()
        if found is None or not found.is_whole(self.car_size):
            return False
        if self.generated:
            try:
                with self._open_outline() as outline:
                    outline.check()
                    return outline.header.payload_cid == self.payload_cid
            except OutlineError:
                return False
        return True

    @property
    def kept_name(self) -> str:
        """What is kept of it in its staging area: the name of its file, or the path of its outline."""
        return self.outline_name if self.generated else self.file_name

    @property
    def outline_name(self) -> str:
        """The path of its outline in its staging area."""
        return os.path.join(OUTLINES, self.project, outline_name(self.file_name))

    def piece_cid(self, progress: Callable[[int], None] | None = None) -> tuple[bytes, StagedFile] | None:
        """The piece CID v2 of its bytes as they are now, and its file or outline; None if that changed meanwhile.

        Raises:
            OSError: its file can't be read.
            SourceError, OutlineError: it can't be generated.
        """
        if not self.generated:
            return self.area.piece_cid(self.file_name, progress)
        before = self.look()
        piece = commp.PieceCommitment()
        with self.open() as car:
            for part in car.ranges(0, car.size, _READ):
                piece.update(part)
                if progress:
                    progress(len(part))
        if before is None or self.look() != before:
            return None
        return commp.piece_cid_v2(piece.digest(), self.car_size), before

    @property
    def area(self) -> "StagingArea | StoreArea":
        """Its staging area."""
        local = environment.staging(self.project) if self.in_store else ""
        return area_at(self.staging_dir, self.profile, local)

    @property
    def in_store(self) -> bool:
        """Whether it is in an object store, and not a file."""
        return urls.is_url(self.staging_dir)

    def _open_object(self) -> "StoreCar":
        from ptolemy_core.staging.store import StoreArea  # they load what opens URLs
        from ptolemy_core.staging.store_car import StoreCar

        return StoreCar(StoreArea(self.staging_dir, self.profile, ""), self.file_name)

    def _open_file(self) -> "StagedCar | StoreCar":
        car = self._open_object() if self.in_store else StagedCar(self.path)
        if car.size != self.car_size:
            found = car.size
            car.close()
            raise StagingError(
                f"the CAR {self.path} has {found} bytes, {self.car_size} were written: move it away and build "
                f"CAR {self.label} again"
            )
        return car


class OpenCar:
    """An open CAR; it is closed once, by whoever opened it. Any thread may read.

    Attributes:
        stored: what it was opened from: CIDs, sizes, project.
        size: bytes of the CAR.
        name: for messages.
    """

    def __init__(self, stored: StoredCar, content: CarBytes) -> None:
        self.stored = stored
        self.size = stored.car_size
        self.name = stored.file_name
        self._content = content

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close its files; nothing may be read any more."""
        self._content.close()

    @property
    def fileno(self) -> int | None:
        """Descriptor of a staged CAR's file, which can be sent as it is; None of a generated CAR."""
        return self._content.fileno if isinstance(self._content, StagedCar) else None

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of the CAR; raises as `read_into` does."""
        return self._content.read(offset, length)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the buffer with the CAR's bytes from `offset`.

        Raises:
            SourceChangedError: a file isn't what the CAR was built from any more; the message names it.
            SourceError: a file can't be read.
            OutlineError, StagingError: the outline or the CAR's file is damaged or can't be read.
            ValueError: the range isn't inside the CAR.
        """
        self._content.read_into(offset, buffer)

    def step(self, offset: int, most: int) -> int:
        """How many bytes to read at once from an offset on, at most so many, that nothing is made twice for it.

        Raises:
            OutlineError: the outline is damaged or can't be read.
        """
        return self._content.step(offset, most) if isinstance(self._content, GeneratedCar) else most

    def ranges(self, offset: int, length: int, step: int = STEP) -> Iterator[bytes]:
        """The same bytes in parts of at most `step`, each read when it is asked for; raises as `read_into` does."""
        check_range(self.size, offset, length)
        end = offset + length
        while offset < end:
            size = min(step, end - offset)
            yield self._content.read(offset, size)
            offset += size
