"""Which names belong in a project: include and exclude patterns, hidden names."""

from ptolemy_core.rules.selection import Rules, Scope, checked

__all__ = ["Rules", "Scope", "checked"]
