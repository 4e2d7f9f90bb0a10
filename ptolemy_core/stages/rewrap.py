"""Wrapping a catalog's data keys again after the key of an alias was rotated. No CAR changes."""

from ptolemy_core.catalog import Catalog, data_keys, projects
from ptolemy_core.keys import KeyProvider, WrappedKey, rewrap
from ptolemy_core.stages.keys_file import rewrite_keys_file


def rewrap_all(catalog: Catalog, keys: KeyProvider, alias: str) -> int:
    """Wrap all data keys that older versions of an alias's key wrapped by its newest version; returns how many.

    Done again it does what is left, which is nothing as a rule. The files of data keys beside CARs are written again,
    where that can be done now; else the next manifest writes them.

    Raises:
        EncryptionError: one can't be unwrapped; the message names it, and nothing is changed then.
    """
    changes: list[tuple[WrappedKey, WrappedKey]] = []
    before = data_keys.data_keys(catalog)
    for old in data_keys.data_keys(catalog, alias=alias):
        new = rewrap(keys, old)
        if new != old:
            changes.append((old, new))
    done = data_keys.replace(catalog, changes)
    for name in sorted({new.project for _, new in changes}):
        known = [one for one in before if one.project == name]
        rewrite_keys_file(projects.get(catalog, name), known, data_keys.data_keys(catalog, name))
    return done
