"""Which entries belong to a project: include and exclude patterns, hidden names.

Decisions by name only. Reading folders is `source`; patterns of names in the catalog are `catalog`.
"""

from ptolemy_core.rules.selection import Rules, Scope, normalized

__all__ = ["Rules", "Scope", "normalized"]
