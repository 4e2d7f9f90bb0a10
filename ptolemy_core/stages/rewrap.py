"""Wrapping a catalog's data keys again after the key of an alias was rotated. No CAR changes."""

from ptolemy_core.catalog import Catalog, data_keys
from ptolemy_core.keys import KeyProvider, rewrap


def rewrap_all(catalog: Catalog, keys: KeyProvider, alias: str) -> int:
    """Wrap all data keys that older versions of an alias's key wrapped by its newest version; returns how many.

    Done again it does what is left, which is nothing as a rule.

    Raises:
        EncryptionError: one can't be unwrapped; the message names it, and nothing is changed then.
    """
    changes = []
    for old in data_keys.data_keys(catalog, alias=alias):
        new = rewrap(keys, old)
        if new != old:
            changes.append((old, new))
    return data_keys.replace(catalog, changes)
