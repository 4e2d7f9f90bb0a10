"""What an encrypted project's entries look like in its CARs: their paths, link targets and files."""

from contextlib import suppress

from ptolemy_core.encryption.cipher import FileCipher
from ptolemy_core.encryption.form import Form
from ptolemy_core.encryption.headers import Header
from ptolemy_core.encryption.names import NameCipher
from ptolemy_core.encryption.segments import SEGMENT
from ptolemy_core.errors import DamagedError
from ptolemy_core.keys.secret import Secret
from ptolemy_core.tree import paths


class ProjectCipher:
    """The ciphers of one project. Thread-safe.

    Attributes:
        form: what is encrypted.
    """

    def __init__(self, files: Secret, names: Secret | None, *, segment: int = SEGMENT) -> None:
        """Take a project's data keys.

        Args:
            files: data key for files.
            names: data key for names; None if names aren't encrypted.
            segment: bytes of a segment: a leaf of the profile.
        """
        self.form = Form(True, names is not None, segment)
        self._files = files
        self._names = NameCipher(names) if names is not None else None

    def car_path(self, path: bytes) -> bytes:
        """The path in CARs of an entry; both are NUL-joined, and without the suffixes of `layout.names`."""
        return self._names.encrypt_path(path) if self._names else path

    def real_path(self, car_path: bytes) -> bytes:
        """The path of an entry in the source, from that in CARs.

        Raises:
            DamagedError: a name in it was changed or moved, or is another project's.
        """
        return self._names.decrypt_path(car_path) if self._names else car_path

    def car_target(self, car_path: bytes, target: bytes) -> bytes:
        """The target in CARs of the link at a path in CARs."""
        return self._names.encrypt_target(car_path, target) if self._names else target

    def real_target(self, car_path: bytes, target: bytes) -> bytes:
        """The target of a link, from the one in CARs.

        Raises:
            DamagedError: it was changed, belongs to another link, or is another project's.
        """
        return self._names.decrypt_target(car_path, target) if self._names else target

    def file(self, car_path: bytes, header: Header, plain: int) -> FileCipher:
        """The cipher of one version of a file of `plain` bytes."""
        return FileCipher(
            self._files,
            header,
            car_path,
            plain,
            segment=self.form.segment,
            name=lambda: paths.display(self.known_path(car_path)),
        )

    def known_path(self, car_path: bytes) -> bytes:
        """The path in the source, for messages: names from the first on that can't be decrypted are as in the CAR."""
        names = paths.names(car_path)
        for count in range(len(names), 0, -1):
            with suppress(DamagedError):
                real = self.real_path(paths.join_names(names[:count]))
                return paths.join_names([real, *names[count:]])
        return car_path
