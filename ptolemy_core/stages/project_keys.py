"""The data keys of encrypted projects: made once, kept wrapped in the catalog, and opened for the work of stages."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ptolemy_core.catalog import Catalog, data_keys, projects
from ptolemy_core.dag.profile import UNIXFS_V1_2025, Profile
from ptolemy_core.encryption.opening import open_cipher
from ptolemy_core.errors import EncryptionError
from ptolemy_core.keys import KeyProvider, Use, WrappedKey, configured_keys, new_data_key
from ptolemy_core.keys.providers import newest_key
from ptolemy_core.project import Project
from ptolemy_core.stages.keys_file import rewrite_keys_file

if TYPE_CHECKING:  # it loads ciphers
    from ptolemy_core.encryption import ProjectCipher


def define_project(catalog: Catalog, project: Project, keys: KeyProvider | None = None) -> bool:
    """Define a project, an encrypted one with its data keys; False if it was defined so already.

    Raises:
        SettingsError, ProjectExistsError: as `projects.create`.
        EncryptionError: the key of its alias isn't there; nothing is defined then.
    """
    _check_deals(catalog, project)
    if project.is_encrypted and not data_keys.data_keys(catalog, project.name):
        newest_key(keys or configured_keys(), project.encryption)
    new = projects.create(catalog, project)
    rewrite_keys_file(project, (), ensure_data_keys(catalog, project, keys))
    return new


def prepare_project(catalog: Catalog, project: Project) -> None:
    """See that a project that isn't encrypted can be defined, and make its staging folder.

    Raises:
        SettingsError: it can't.
    """
    _check_deals(catalog, project)
    projects.prepare_folders(project)


def _check_deals(catalog: Catalog, project: Project) -> None:
    if project.providers:
        from ptolemy_core.stages.deal_settings import check_settings  # few projects need all that it imports

        check_settings(catalog, project)


def ensure_data_keys(
    catalog: Catalog, project: Project, keys: KeyProvider | None = None
) -> tuple[WrappedKey, ...]:
    """The wrapped data keys of a project, made if it has none yet; none of a project that isn't encrypted.

    Raises:
        EncryptionError: the key that wraps them isn't there.
    """
    if not project.is_encrypted:
        return ()
    kept = data_keys.data_keys(catalog, project.name)
    uses: tuple[Use, ...] = ("files", "names") if project.has_encrypted_names else ("files",)
    missing = [use for use in uses if all(one.use != use for one in kept)]
    for use in missing:
        new = new_data_key(keys or configured_keys(), project.encryption, project.name, use)
        kept.append(data_keys.keep(catalog, new))
    return tuple(kept)


def project_cipher(
    wrapped: Sequence[WrappedKey], keys: KeyProvider | None = None, profile: Profile = UNIXFS_V1_2025
) -> "ProjectCipher | None":
    """The ciphers of a project with these data keys; None if it has none, since it isn't encrypted.

    Raises:
        EncryptionError: a data key can't be unwrapped.
    """
    return open_cipher(wrapped, keys or configured_keys(), segment=profile.chunk) if wrapped else None


def cipher_if_any(wrapped: Sequence[WrappedKey], profile: Profile = UNIXFS_V1_2025) -> "ProjectCipher | None":
    """`project_cipher`, but None if the key isn't there too."""
    try:
        return project_cipher(wrapped, None, profile)
    except EncryptionError:
        return None
