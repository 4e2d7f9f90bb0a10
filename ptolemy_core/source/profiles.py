"""Named profiles of credentials for stores that have no file of their own for them: Google's and Azure's.

A file with a section for each, whose options are called as the environment variables are:

    [museum]
    azure_storage_account_name = museum
    azure_storage_account_key = ...

It must belong to its user and be readable by nobody else.
"""

import configparser
import os
import stat

from ptolemy_core.errors import SettingsError

VARIABLE = "PTOLEMY_PROFILES"
"""The environment variable with the file's path."""

_DEFAULT = "~/.config/ptolemy/profiles"


def read_profile(name: str | None, prefix: str) -> dict[str, str]:
    """The options of a profile that begin with a prefix; none without a name, where the environment has them.

    Raises:
        SettingsError: the file or the profile can't be used. No message has a value of it.
    """
    if name is None:
        return {}
    path = os.path.expanduser(os.environ.get(VARIABLE) or _DEFAULT)
    parser = configparser.ConfigParser(interpolation=None)
    try:
        with open(path, encoding="utf-8") as file:
            status = os.fstat(file.fileno())
            if stat.S_IMODE(status.st_mode) & 0o077 or status.st_uid != os.geteuid():
                raise SettingsError(
                    f"the file of profiles {path} must belong to its user and be readable by nobody else: "
                    f"chmod 600 {path}"
                )
            parser.read_file(file)
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        raise SettingsError(
            f"profile {name!r}: the file of profiles {path} can't be read ({type(error).__name__}): "
            "see docs/sources.md"
        ) from None
    if name not in parser:
        raise SettingsError(
            f"there is no profile {name!r} in {path}: add it, on every machine that reads the source"
        )
    return {key: value for key, value in parser[name].items() if key.startswith(prefix)}
