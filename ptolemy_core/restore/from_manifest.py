"""Restore with a manifest in place of the catalog: it says which bytes of which pieces hold each file."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.catalog.views import Shard, Stored
from ptolemy_core.commp import piece_cid_v2, piece_size
from ptolemy_core.commp.piece_cid import parse_piece_cid
from ptolemy_core.dag import cid
from ptolemy_core.dag.profile import UNIXFS_V1_2025, Profile
from ptolemy_core.encryption.opening import open_cipher
from ptolemy_core.errors import SettingsError
from ptolemy_core.keys import KeyProvider, configured_keys
from ptolemy_core.manifest.reading import ManifestRow, is_encrypted, read_manifest
from ptolemy_core.progress import Progress
from ptolemy_core.restore.needs import Needs, RestoreError, looked_for
from ptolemy_core.restore.project import RestoreJob, Writing, work
from ptolemy_core.restore.remote import Servers
from ptolemy_core.restore.report import Report
from ptolemy_core.restore.target import state_name
from ptolemy_core.tree import Kind, paths

if TYPE_CHECKING:  # it loads ciphers
    from ptolemy_core.encryption import ProjectCipher


@dataclass(frozen=True, slots=True)
class ManifestRestore:
    """A restore of the newest version of each file that a manifest lists.

    Attributes:
        job: all that it needs beside the entries.
        entries: in path order.
    """

    job: RestoreJob
    entries: Sequence[Stored]

    @property
    def needs(self) -> Needs:
        """What it needs."""
        return self.job.needs

    def write(self, to: bytes, how: Writing | None = None, *, progress: Progress | None = None) -> Report:
        """Restore into a folder; see `restore.project.work`."""
        return work(self.job, self.entries, to, how or Writing(), progress=progress)


@dataclass(frozen=True, slots=True)
class ManifestKeys:
    """What decrypts the CARs of a manifest.

    Attributes:
        file: with the project's wrapped data keys: another manifest, or PROJECT.keys.json. An encrypted manifest has
            them itself.
        provider: of the key that wrapped them; by default as configured.
    """

    file: str | None = None
    provider: KeyProvider | None = None

    def cipher(self, manifest: str, profile: Profile) -> "ProjectCipher | None":
        """The ciphers of the manifest's project; None if nothing says that it is encrypted.

        Raises:
            SettingsError: the file can't be read.
            EncryptionError: it has no data keys, or the key isn't there.
        """
        file = self.file or (manifest if is_encrypted(manifest) else None)
        if file is None:
            return None
        from ptolemy_core.manifest.sealed import wrapped_keys_in  # it loads ciphers

        try:
            wrapped = wrapped_keys_in(file)
        except OSError as error:
            raise SettingsError(f"{file!r} can't be read ({error.strerror or error})") from None
        return open_cipher(wrapped, self.provider or configured_keys(), segment=profile.chunk)


def load_manifest(
    path: str,
    wanted: Sequence[bytes] = (),
    folders: Sequence[str] = (),
    servers: Servers | None = None,
    profile: Profile = UNIXFS_V1_2025,
    keys: ManifestKeys | None = None,
) -> ManifestRestore:
    """Read a manifest, and look for the CARs that it names.

    Args:
        path: of the manifest.
        wanted: NUL-joined paths of files and folders; all if there are none.
        folders: where CARs are looked for.
        servers: that are asked for those that are in none of the folders.
        profile: of the DAG.
        keys: for the manifest of an encrypted project.

    Raises:
        SettingsError: it can't be read, or is no manifest.
        EncryptionError: the project's key isn't there, or the manifest is damaged.
        RestoreError: no entry matches, or there is neither a folder nor a server.
    """
    if not folders and servers is None:
        raise RestoreError("a manifest doesn't say where its CARs are: give --from or --cars")
    keys = keys or ManifestKeys()
    cipher = keys.cipher(path, profile)
    rows = list(read_manifest(path, keys.provider))
    ends: dict[int, tuple[int, ManifestRow]] = {}
    for row in rows:
        end = row.car_offset + row.car_length
        if row.container not in ends or end > ends[row.container][0]:
            ends[row.container] = end, row
    chosen = [row for row in rows if row.current and _is_wanted(row.path, wanted)]
    for one in wanted:
        if not any(_is_wanted(row.path, [one]) for row in chosen):
            raise RestoreError(f"the manifest {path!r} has no entry {paths.display(one)!r}")
    chosen.sort(key=lambda row: (row.path, row.scan, row.shard or 0))
    entries = list(_entries(chosen))
    used = sorted({row.container for row in chosen})
    needs = Needs(
        entries=len(entries),
        size=sum(one.size for one in entries if one.kind == Kind.FILE),
        cars=looked_for([_receipt(*ends[number]) for number in used], None, folders, servers),
    )
    return ManifestRestore(RestoreJob(needs, state_name(_tops(entries)), profile, cipher), entries)


def _is_wanted(path: bytes, wanted: Sequence[bytes]) -> bool:
    return not wanted or any(paths.at_or_below(path, one) for one in wanted)


def _tops(entries: Sequence[Stored]) -> set[bytes]:
    return {paths.top_of(one.path) for one in entries}


def _entries(rows: Sequence[ManifestRow]) -> Iterator[Stored]:
    for _, group in itertools.groupby(rows, key=lambda row: (row.path, row.scan)):
        parts = list(group)
        first = parts[0]
        yield Stored(
            path=first.path,
            kind=first.kind,
            size=first.size,
            mtime=first.mtime,
            target=None,
            cid=first.file_cid,
            shards=tuple(
                Shard(one.container, one.shard, one.start, one.length, one.cid, one.car_offset)
                for one in parts
            ),
        )


def _receipt(size: int, row: ManifestRow) -> CarRow:
    """What a manifest tells of a CAR: its last item's last byte is its own last one."""
    return CarRow(
        container_id=row.container,
        project="",
        number=row.container,
        items=0,
        data_bytes=0,
        file_name=f"{cid.to_text(row.piece_cid)}.car",
        payload_cid=row.payload_cid,
        piece_cid_v1=row.piece_cid,
        piece_cid_v2=piece_cid_v2(parse_piece_cid(row.piece_cid).root, size),
        car_size=size,
        piece_size=piece_size(size),
        sha256=None,
        built_at=0.0,
        build_seconds=0.0,
        verified_at=None,
        delivered_at=None,
        delivered_to=None,
    )
