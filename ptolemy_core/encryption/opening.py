"""The ciphers of a project from its wrapped data keys and the keys that wrapped them."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ptolemy_core.encryption.form import PLAIN, Form
from ptolemy_core.encryption.segments import SEGMENT
from ptolemy_core.errors import DamagedError
from ptolemy_core.keys import KeyProvider, WrappedKey, unwrap
from ptolemy_core.project import Project

if TYPE_CHECKING:
    from ptolemy_core.encryption.project import ProjectCipher


def form_of(project: Project, segment: int = SEGMENT) -> Form:
    """What is encrypted in a project's CARs."""
    return Form(True, project.has_encrypted_names, segment) if project.is_encrypted else PLAIN


def open_cipher(
    wrapped: Iterable[WrappedKey], provider: KeyProvider, *, segment: int = SEGMENT
) -> "ProjectCipher":
    """The ciphers of a project; its names are encrypted if it has a data key for names.

    Args:
        wrapped: the project's data keys.
        provider: has the keys that wrapped them.
        segment: bytes of a segment: a leaf of the profile.

    Raises:
        DamagedError: there is no data key for files.
        EncryptionError: one can't be unwrapped.
    """
    from ptolemy_core.encryption.project import ProjectCipher  # it loads ciphers

    opened = {one.use: unwrap(provider, one) for one in wrapped if one.version == 1}
    if "files" not in opened:
        raise DamagedError(
            "there is no data key for files: use a copy of the catalog that has it, or a manifest of the project"
        )
    return ProjectCipher(opened["files"], opened.get("names"), segment=segment)
