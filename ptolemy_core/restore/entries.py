"""The entries of a restore, one by one: from what a catalog or manifest says of each to what is written."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ptolemy_core.catalog.views import Shard, Stored
from ptolemy_core.dag import cid
from ptolemy_core.dag.profile import Profile
from ptolemy_core.dag.stitch import file_cid
from ptolemy_core.encryption import PLAIN, Form, Header
from ptolemy_core.errors import DamagedError
from ptolemy_core.reader.dagpb import Type
from ptolemy_core.restore.blocks import BlockError, Blocks, Spot
from ptolemy_core.restore.dag import read_node
from ptolemy_core.restore.decrypt import header_in_car
from ptolemy_core.restore.path import path_of
from ptolemy_core.restore.report import FileItem, Report, Segment
from ptolemy_core.restore.write import Writer
from ptolemy_core.tree import Kind, paths

if TYPE_CHECKING:  # it loads ciphers
    from ptolemy_core.encryption import ProjectCipher


@dataclass(frozen=True, slots=True)
class EachEntry:
    """Hands entries to the writer.

    Attributes:
        writer: writes them.
        report: takes what can't be restored.
        blocks: of the open CARs.
        numbers: of the open CARs, by container.
        profile: of the DAG.
        cipher: of an encrypted project.
    """

    writer: Writer
    report: Report
    blocks: Blocks
    numbers: dict[int, int]
    profile: Profile
    cipher: "ProjectCipher | None" = None

    def restore(self, entry: Stored) -> None:
        """Restore an entry, or say in the report why it can't be."""
        lost = [one for one in entry.shards if one.cid is None or one.container_id not in self.numbers]
        if lost or not entry.shards:
            self.report.problem(entry.path, _lost(lost))
            return
        place = path_of(paths.names(entry.path))
        try:
            if entry.kind == Kind.DIRECTORY:
                self.writer.folder(place, entry.mtime)
            elif entry.kind == Kind.SYMLINK:
                self.writer.link(place, self._target(entry), entry.mtime)
            elif sum(one.length for one in entry.shards) != entry.size:
                self.report.problem(
                    entry.path, "not all of its shards are planned yet: run containerize and blitz"
                )
            else:
                self.writer.file(self._file(entry))
        except (BlockError, DamagedError) as error:
            self.report.problem(entry.path, str(error))

    def _target(self, entry: Stored) -> bytes:
        target = _link_target(self.blocks, self._segment(entry, entry.shards[0]))
        if self.cipher is not None:
            target = self.cipher.real_target(self.cipher.car_path(entry.path), target)
        if entry.target is not None and target != entry.target:
            raise BlockError("the CAR has a link that leads elsewhere than the catalog says")
        return target

    def _file(self, entry: Stored) -> FileItem:
        """What is written of a file. Where its header isn't known, as from a manifest, it is read from the CAR."""
        segments = tuple(self._segment(entry, one) for one in entry.shards)
        place = path_of(paths.names(entry.path))
        size = self._form.file_size(entry.size)
        check = _whole(entry.cid, size, segments, self.profile) if len(segments) > 1 else None
        cipher = None
        if self.cipher is not None:
            header = (
                Header.of_bytes(entry.header)
                if entry.header is not None
                else header_in_car(self.blocks, FileItem(place, size, segments))
            )
            cipher = self.cipher.file(self.cipher.car_path(entry.path), header, entry.size)
        return FileItem(place, entry.size, segments, entry.mtime, check, cipher)

    @property
    def _form(self) -> Form:
        return PLAIN if self.cipher is None else self.cipher.form

    def _segment(self, entry: Stored, one: Shard) -> Segment:
        """A shard as it is in its CAR."""
        assert one.cid is not None
        assert one.car_offset is not None
        start, length = one.start, one.length
        if entry.kind == Kind.FILE and self._form.files:
            start, length = self._form.file_range(entry.size, start, length)
        return Segment(start, length, one.cid, Spot(self.numbers[one.container_id], one.car_offset))


def _whole(
    wanted: bytes | None, size: int, segments: tuple[Segment, ...], profile: Profile
) -> Callable[[list[bytes]], str | None] | None:
    """The check of a split file's CID as a whole; None while that isn't known."""
    if wanted is None:
        return None
    last = segments[-1]
    bare = last.length <= profile.chunk

    def check(nodes: list[bytes]) -> str | None:
        lowest = b"".join(node[4:] for node in nodes) + (last.cid[4:] if bare else b"")
        try:
            got = file_cid(size, lowest, profile, bare_leaf=bare)
        except ValueError as error:
            return str(error)
        if got == wanted:
            return None
        return f"its CID as a whole is {cid.to_text(got)}, the catalog says {cid.to_text(wanted)}"

    return check


def _lost(lost: list[Shard]) -> str:
    """Why these shards of an entry, or an entry without any, can't be restored."""
    unbuilt = not lost or lost[0].cid is None
    why = "it is in no built CAR: run blitz" if unbuilt else "its CAR is missing"
    if not lost or lost[0].number is None:
        return why
    numbers = ", ".join(str(one.number) for one in lost[:10]) + ("…" if len(lost) > 10 else "")
    return f"shard {numbers}: {why}"


def _link_target(blocks: Blocks, segment: Segment) -> bytes:
    node = read_node(blocks, segment.cid, segment.spot)
    if node.unixfs.type != Type.SYMLINK or node.unixfs.data is None:
        raise BlockError(f"{cid.to_text(segment.cid)} isn't a symbolic link")
    return node.unixfs.data
