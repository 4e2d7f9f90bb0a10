"""Checks of single settings: each returns the value as it is stored, or says what is wrong, the limit and the remedy.

What settings there are is declared in `project`; what must hold between several of them is checked there too.
"""

import os
import re
import sys
from typing import Any

from ptolemy_core import urls
from ptolemy_core.errors import SettingsError
from ptolemy_core.rules import selection

NAME_PATTERN = "^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$"
PROFILE_PATTERN = "[A-Za-z0-9][A-Za-z0-9_.-]{0,62}"
MIN_GIB, MAX_GIB = 1, 31

RANGES = {
    "staging_budget": (1, 1_000_000, "GiB"),
    "quiet_seconds": (0, 86_400, "seconds"),
    "max_loss": (0, 100, "percent"),
    "rescan_minutes": (1, 999_999, "minutes"),
    "replicas": (1, 50, "deals"),
    "deal_days": (180, 1278, "days"),
    "deal_start_hours": (1, 2160, "hours"),
    "deal_renew_days": (1, 365, "days"),
}
"""The least and the largest value of each whole number but sizes, and its unit."""

_NAME = re.compile(NAME_PATTERN)
_DIGITS = re.compile(r"-?[0-9]{1,9}")


def is_name(value: object) -> bool:
    """Whether it is a name as projects, keys, wallets and providers have them."""
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def project_name(value: str) -> str:
    """A project's name."""
    if not is_name(value):
        raise ValueError(
            "name must be 1 to 63 letters, digits, - or _, starting with a letter or digit, "
            f"got {value!r}; use such a name"
        )
    return value


def _number(value: Any) -> int | None:
    """A whole number, also as text, as forms and query strings have it; None for anything else."""
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def size(name: str, value: Any) -> int:
    """shard_size or car_size."""
    number = _number(value)
    if number is None:
        raise ValueError(f"{name} must be whole GiB from {MIN_GIB} to {MAX_GIB}, got {value!r}")
    if number > MAX_GIB:
        raise ValueError(
            f"{name} must be {MIN_GIB} to {MAX_GIB} GiB, got {number}: "
            f"a 32 GiB piece holds at most 31.75 GiB; use {name}={MAX_GIB}"
        )
    if number < MIN_GIB:
        raise ValueError(f"{name} must be {MIN_GIB} to {MAX_GIB} GiB, got {number}; use {name}={MIN_GIB}")
    return number


def whole_number(name: str, value: Any) -> int:
    """A setting of RANGES."""
    least, largest, unit = RANGES[name]
    number = _number(value)
    if number is not None and least <= number <= largest:
        return number
    remedy = "a whole number" if number is None else f"{name}={least if number < least else largest}"
    raise ValueError(f"{name} must be {least} to {largest} {unit}, got {value!r}; use {remedy}")


def one_of(name: str, value: Any, allowed: tuple[str, ...]) -> str:
    """A setting that has one of a few values."""
    if value in allowed:
        return str(value)
    quoted = [f'"{one}"' for one in allowed]
    raise ValueError(f"{name} must be {', '.join(quoted[:-1])} or {quoted[-1]}, got {value!r}")


def encryption(value: Any) -> str:
    """ "None", or a key's alias."""
    if value is None or (isinstance(value, str) and value.lower() == "none"):
        return "None"
    if not is_name(value):
        raise ValueError(
            f'encryption must be "None" or the alias of a key, got {value!r}: `ptolemy keys list` shows aliases'
        )
    return str(value)


def source_profile(value: str | None) -> str | None:
    """The name of a profile; the message doesn't repeat the value, which may be a key."""
    if value is not None and not re.fullmatch(PROFILE_PATTERN, value):
        raise ValueError(
            "source_profile must be the name of a profile, 1 to 63 letters, digits, -, _ or ., and never a key: "
            "put keys into the profile"
        )
    return value


def providers(value: tuple[str, ...]) -> tuple[str, ...]:
    """Names of storage providers, each once."""
    for name in value:
        if not is_name(name):
            raise ValueError(f"providers must be names as `ptolemy providers list` shows them, got {name!r}")
    twice = [name for name in dict.fromkeys(value) if value.count(name) > 1]
    if twice:
        raise ValueError(
            f"providers name {twice[0]!r} twice: a provider holds one replica of a piece, so name each once"
        )
    return value


def wallet(value: str | None) -> str | None:
    """A wallet's alias; of another value only the beginning is shown, as it may be a key."""
    if value is not None and not is_name(value):
        raise ValueError(f"deal_wallet must be a wallet's alias, got {value[:40]!r}")
    return value


def patterns(name: str, value: tuple[str, ...]) -> tuple[str, ...]:
    """Patterns of include or exclude."""
    try:
        return selection.normalized(value)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def target(value: str) -> str:
    """target_dir: a folder, or a URL."""
    return str(_location("target_dir", value)) if urls.is_url(value) else folder("target_dir", value)


def staging(value: str) -> str:
    """staging_dir: a folder, or a URL of a store that can be written."""
    if not urls.is_url(value):
        return folder("staging_dir", value)
    location = _location("staging_dir", value)
    if location.scheme not in urls.WRITABLE:
        raise ValueError(
            f"staging_dir can't be a {location.scheme}:// URL: use "
            + ", ".join(f"{one}://" for one in urls.WRITABLE)
            + ", or a folder"
        )
    return str(location)


def _location(name: str, value: str) -> urls.Location:
    try:
        return urls.parse(value)
    except SettingsError as error:
        raise ValueError(f"{name}: {error}") from None


def folder(name: str, value: str) -> str:
    """The real path of a folder."""
    if "\0" in value:
        raise ValueError(f"{name} contains a NUL character: {value!r}; give a folder's path")
    if not os.path.isabs(value):
        raise ValueError(f"{name} must be an absolute path, got {value!r}")
    real = os.path.realpath(value)
    try:
        real.encode("utf-8")
    except UnicodeEncodeError:
        if sys.getfilesystemencoding() != "utf-8":
            raise ValueError(
                f"{name} {real!r} can't be decoded in this process's locale "
                f"({sys.getfilesystemencoding()}): set PYTHONUTF8=1 or LC_ALL=C.UTF-8"
            ) from None
        raise ValueError(
            f"{name} {real!r} isn't UTF-8: rename that folder, or mount it at another path "
            "(names below it may have any bytes)"
        ) from None
    return real
