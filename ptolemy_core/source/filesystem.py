"""The identity of the file system a folder is on: stable across reboots, and different if its mount is missing.

st_dev isn't stable: it is assigned at each boot, and by NFS, btrfs and device mapper at each mount. Used instead,
best first: the UUID that the file system reports (FS_IOC_GETFSUUID, Linux 6.9), the UUID that udev found on its
device, the mount source (`server:/export` of a network file system, which has no UUID), and f_fsid of statfs, which
ext4, btrfs and ZFS derive from their UUID, and XFS and FAT from the device number.
"""

import fcntl
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

_GETFSUUID = (2 << 30) | (17 << 16) | (0x15 << 8)
"""ioctl: a byte of length, 16 bytes of UUID."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_BY_UUID = "/dev/disk/by-uuid"
_NETWORK = (
    "nfs",
    "cifs",
    "smb",
    "9p",
    "ceph",
    "afs",
    "glusterfs",
    "lustre",
    "gpfs",
    "beegfs",
    "fuse",
    "virtiofs",
)
"""Prefixes of file system types whose f_fsid is meaningless and whose mount source identifies the data."""


@dataclass(frozen=True, slots=True)
class FileSystem:
    """The identity of a file system; "" for what is unknown.

    Attributes:
        type: as shown by `mount`, such as ext4 or nfs4.
        uuid: of the file system itself.
        source: the mount source, if it identifies the data (network file systems).
        fsid: f_fsid of statfs, in hex.
    """

    type: str = ""
    uuid: str = ""
    source: str = ""
    fsid: str = ""

    def is_other(self, than: "FileSystem") -> bool:
        """Whether this is certainly another file system; False if the two can't be compared."""
        for ours, theirs in ((self.uuid, than.uuid), (self.source, than.source), (self.fsid, than.fsid)):
            if ours and theirs:
                return ours != theirs
        return bool(self.type and than.type) and self.type != than.type

    def __str__(self) -> str:
        name = self.source or (f"UUID {self.uuid}" if self.uuid else f"ID {self.fsid}" if self.fsid else "")
        return " ".join(filter(None, (self.type, name))) or "unknown"

    def as_json(self) -> dict[str, str]:
        """The known attributes."""
        return {key: value for key, value in asdict(self).items() if value}


@dataclass(frozen=True, slots=True)
class Mounts:
    """A folder's file system, and those mounted below it.

    Attributes:
        top: the folder's own file system.
        device: of the folder, valid while it is mounted.
        inode: of the folder; 0: not known.
        below: the others, by the path of their mount point relative to the folder, names joined by slashes.
    """

    top: FileSystem
    device: int
    inode: int
    below: dict[bytes, FileSystem]

    def as_json(self) -> dict[str, Any]:
        """The part that is stored until the next scan."""
        below = {os.fsdecode(path): one.as_json() for path, one in self.below.items()}
        kept: dict[str, Any] = {"top": self.top.as_json()} | ({"below": below} if below else {})
        if not self.top.type.startswith("fuse"):  # there, a folder may get a new inode at any time
            kept["inode"] = self.inode
        return kept


def from_json(kept: dict[str, Any]) -> Mounts:
    """The reverse of `as_json`; the device isn't stored."""
    below = {os.fsencode(path): FileSystem(**one) for path, one in kept.get("below", {}).items()}
    return Mounts(FileSystem(**kept["top"]), 0, kept.get("inode", 0), below)


def look(folder: bytes, most: int = 200) -> Mounts:
    """The file systems of a folder: its own and at most `most` below it.

    Raises:
        OSError: the folder can't be opened.
    """
    descriptor = os.open(folder, _FOLDER)
    try:
        status = os.fstat(descriptor)
        mounts = {one.id: one for one in _mountinfo()}
        own = mounts.get(_mount_id(descriptor))
        top = _identify(descriptor, own)
    finally:
        os.close(descriptor)
    prefix = os.path.realpath(folder).rstrip(b"/") + b"/"
    below: dict[bytes, FileSystem] = {}
    for one in sorted(mounts.values(), key=lambda one: one.point):
        if one.point.startswith(prefix) and len(below) < most and one.type != "autofs":
            try:
                descriptor = os.open(one.point, _FOLDER)
            except OSError:
                continue  # a file, or nothing below it can be scanned either
            try:
                below[one.point[len(prefix) :]] = _identify(descriptor, one)
            finally:
                os.close(descriptor)
    return Mounts(top, status.st_dev, status.st_ino, below)


@dataclass(frozen=True, slots=True)
class _Mount:
    id: int
    point: bytes
    type: str
    source: str


def _mountinfo() -> Iterator[_Mount]:
    """All mounts visible to this process; none if the system doesn't list them."""
    try:
        with open("/proc/self/mountinfo", "rb") as file:
            lines = file.read().splitlines()
    except OSError:
        return
    for line in lines:
        before, _, after = line.partition(b" - ")
        fields, rest = before.split(b" "), after.split(b" ")
        if len(fields) > 4 and len(rest) > 1:
            kind, source = (_plain(field).decode("utf-8", "backslashreplace") for field in rest[:2])
            yield _Mount(int(fields[0]), _plain(fields[4]), kind, source)


def _plain(field: bytes) -> bytes:
    r"""A field of mountinfo without its escapes, \040 for a space."""
    first, *rest = field.split(b"\\")
    return first + b"".join(bytes((int(part[:3], 8),)) + part[3:] for part in rest)


def _mount_id(descriptor: int) -> int:
    """The ID of the mount that an open file is on; -1 if unknown."""
    try:
        with open(f"/proc/self/fdinfo/{descriptor}", "rb") as file:
            for line in file:
                if line.startswith(b"mnt_id:"):
                    return int(line.split()[1])
    except OSError:
        pass
    return -1


def _identify(descriptor: int, mount: _Mount | None) -> FileSystem:
    kind = mount.type if mount else ""
    source = mount.source if mount and kind.startswith(_NETWORK) and kind != "fuseblk" else ""
    fsid = os.fstatvfs(descriptor).f_fsid
    uuid = _stated_uuid(descriptor) or _uuid_of_device(os.fstat(descriptor).st_dev)
    return FileSystem(kind, uuid, source, f"{fsid:x}" if fsid else "")


def _stated_uuid(descriptor: int) -> str:
    buffer = bytearray(17)
    try:
        fcntl.ioctl(descriptor, _GETFSUUID, buffer)
    except OSError:
        return ""
    uuid = bytes(buffer[1 : 1 + buffer[0]])
    return uuid.hex() if any(uuid) else ""


def _uuid_of_device(device: int) -> str:
    """The UUID that udev found on a block device, without its dashes."""
    try:
        with os.scandir(_BY_UUID) as links:
            for link in links:
                if os.stat(link.path).st_rdev == device:
                    return link.name.replace("-", "").lower()
    except OSError:
        pass
    return ""
