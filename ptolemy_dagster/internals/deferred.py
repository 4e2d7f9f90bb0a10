"""Modules that Dagster imports but a run doesn't use: they are imported when something of theirs is used after all.

Dagster's package imports its components, its daemons, Alembic and more at once, a fifth of its time, and a run uses
none of that. While they are deferred, such a module is an empty one, and each of its names a stand-in, which imports
the module when it is called, subclassed or asked for an attribute.

Not to be listed: modules whose classes Dagster reads from its storage, since it must know them before, and exceptions
that are caught.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

UNUSED = (
    "alembic",
    "coloredlogs",
    "dagster._core.definitions.declarative_automation.automation_condition_tester",
    "dagster._daemon.auto_run_reexecution",
    "dagster._daemon.backfill",
    "dagster._daemon.controller",
    "dagster._daemon.daemon",
    "dagster._daemon.monitoring",
    "dagster._daemon.run_coordinator",
    "dagster._daemon.sensor",
    "dagster.components",
    "structlog",
    "tqdm",
)
"""What a run doesn't use, each with what is below it."""


@contextmanager
def deferred(names: Sequence[str] = UNUSED) -> Iterator[None]:
    """Defer the imports of these modules in this block, unless they are imported already."""
    finder = _Finder([name for name in names if name not in sys.modules])
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in list(finder.deferred):
            finder.give_up(name)


class _Finder(MetaPathFinder, Loader):
    """Finds an empty module for each that is deferred."""

    def __init__(self, names: list[str]) -> None:
        self.deferred = names

    def of(self, module: str) -> str | None:
        """The name by which a module is deferred; None if it isn't."""
        return next((one for one in self.deferred if module == one or module.startswith(f"{one}.")), None)

    def give_up(self, name: str) -> None:
        """From now on, import what was deferred by this name as it is."""
        self.deferred.remove(name)
        for module in [one for one in sys.modules if one == name or one.startswith(f"{name}.")]:
            del sys.modules[module]

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Python calls this for each module that isn't imported yet."""
        return ModuleSpec(name, self, is_package=True) if self.of(name) else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """An empty module."""
        return _Empty(spec.name, self)

    def exec_module(self, module: ModuleType) -> None:
        """There is nothing to execute."""


class _Empty(ModuleType):
    """A module whose names are stand-ins."""

    def __init__(self, name: str, finder: _Finder) -> None:
        super().__init__(name)
        self._finder = finder

    def __getattr__(self, name: str) -> "StandIn":
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} is deferred and has no {name!r}")
        return StandIn(self._finder, self.__name__, name)


class StandIn:
    """Stands for a name of a deferred module."""

    def __init__(self, finder: _Finder, module: str, name: str) -> None:
        """`module` and `name`: of what it stands for."""
        self._finder = finder
        self._module = module
        self._name = name

    def _found(self) -> Any:
        if (deferred := self._finder.of(self._module)) is not None:
            self._finder.give_up(deferred)
        module = import_module(self._module)
        if not hasattr(module, self._name):
            return import_module(f"{self._module}.{self._name}")
        return getattr(module, self._name)

    def __call__(self, *values: Any, **named: Any) -> Any:
        """Call it."""
        return self._found()(*values, **named)

    def __getattr__(self, name: str) -> Any:
        """Its attribute."""
        return getattr(self._found(), name)

    def __mro_entries__(self, bases: object) -> tuple[Any, ...]:
        """What a class that names it as its base inherits from."""
        return (self._found(),)

    def __instancecheck__(self, value: object) -> bool:
        """Whether a value is an instance of it: none is, while its module isn't imported."""
        is_imported = self._finder.of(self._module) is None and self._module in sys.modules
        return is_imported and isinstance(value, self._found())

    def __or__(self, other: Any) -> Any:
        """A type or another one, as annotations have it."""
        return self._found() | other

    __ror__ = __or__
