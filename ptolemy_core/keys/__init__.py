"""Keys: the keys of aliases, which stay outside the catalog, and the data keys that they wrap.

`key` is a version of an alias's key and its text form; `providers` and `keyring` supply such keys; `wrapping`
creates, wraps and unwraps data keys. How files and names are encrypted is `encryption`.
"""

import os
from collections.abc import Mapping

from ptolemy_core.environment import home
from ptolemy_core.keys.key import Key
from ptolemy_core.keys.keyring import Keyring, keyring_path
from ptolemy_core.keys.providers import (
    COMMAND,
    KEYS,
    CommandKeys,
    KeyChain,
    KeyProvider,
    TextKeys,
    timeout_seconds,
)
from ptolemy_core.keys.secret import Secret
from ptolemy_core.keys.wrapping import (
    Use,
    WrappedKey,
    new_data_key,
    rebind,
    rewrap,
    unreadable_without,
    unwrap,
)

__all__ = [
    "Key",
    "KeyChain",
    "KeyProvider",
    "Keyring",
    "Secret",
    "Use",
    "WrappedKey",
    "configured_keys",
    "keyring_path",
    "new_data_key",
    "open_keys",
    "rebind",
    "rewrap",
    "unreadable_without",
    "unwrap",
]


def configured_keys() -> KeyChain:
    """The keys that this process's environment configures; see `open_keys`."""
    return open_keys(home())


def open_keys(home: str, environment: Mapping[str, str] = os.environ) -> KeyChain:
    """The keys configured in the environment: PTOLEMY_KEYS first, then the keyring, then PTOLEMY_KEY_COMMAND.

    Args:
        home: folder of the keyring, unless PTOLEMY_KEYRING names another file.
        environment: environment variables.

    Raises:
        SettingsError, DamagedError: a variable is invalid.
    """
    providers: list[KeyProvider] = []
    if environment.get(KEYS):
        providers.append(TextKeys(environment[KEYS], f"the environment variable {KEYS}"))
    providers.append(Keyring(keyring_path(home, environment)))
    if environment.get(COMMAND):
        providers.append(CommandKeys(environment[COMMAND], timeout_seconds(environment)))
    return KeyChain(providers)
