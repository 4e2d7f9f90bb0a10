"""CIDs of a project's open source files, as its CARs have them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ptolemy_core.catalog import data_keys
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.dag.profile import Profile
from ptolemy_core.encryption import Header
from ptolemy_core.project import Project
from ptolemy_core.source.content import ContentReader
from ptolemy_core.stages.project_keys import cipher_if_any

if TYPE_CHECKING:  # it loads ciphers
    from ptolemy_core.encryption import ProjectCipher


class Version(Protocol):
    """A version of a file: its path in the source, size in bytes, and its header if it is encrypted."""

    @property
    def path(self) -> bytes: ...

    @property
    def size(self) -> int: ...

    @property
    def header(self) -> bytes | None: ...


@dataclass(frozen=True, slots=True)
class SourceContent:
    """Computes CIDs of files. `cipher` is None if they aren't encrypted, or the project's key isn't there."""

    reader: ContentReader
    cipher: "ProjectCipher | None" = None

    @classmethod
    def of(
        cls, catalog: Catalog, project: Project, reader: ContentReader, profile: Profile
    ) -> "SourceContent":
        """For the files of a project."""
        return cls(reader, cipher_if_any(data_keys.data_keys(catalog, project.name), profile))

    def cid(self, descriptor: int, version: Version) -> bytes | None:
        """The CID that CARs have of an open file; None if it is shorter, or encrypted and the key isn't there."""
        if version.header is None:
            return self.reader.cid(descriptor, version.size)
        if self.cipher is None:
            return None
        car_path = self.cipher.car_path(version.path)
        file = self.cipher.file(car_path, Header.of_bytes(version.header), version.size)
        return self.reader.cid(descriptor, version.size, file)
