"""The engines by name. A new engine is a module with a class of `Engine`'s methods, and a line here."""

from collections.abc import Callable
from typing import Final

from ptolemy_core.deals.engine import Engine
from ptolemy_core.errors import SettingsError
from ptolemy_core.keys.wallets import Wallets

Engines = Callable[[str], Engine]
"""Gives the engine of a name."""

NAMES: Final = ("curio", "manual")
"""All engines."""

RETRIEVAL: Final[dict[str, str]] = {"curio": "/piece/{piece_cid_v1}"}
"""Where a provider of an engine usually serves a piece, below its URL."""


def check_name(name: str) -> str:
    """The name of an engine.

    Raises:
        SettingsError: there is no such engine.
    """
    if name not in NAMES:
        raise SettingsError(f"no engine {name[:40]!r}: engines are {', '.join(NAMES)}")
    return name


def engines_with(wallets: Wallets) -> Engines:
    """The engines, with wallets that sign; each is made once."""
    made: dict[str, Engine] = {}

    def engine(name: str) -> Engine:
        if check_name(name) not in made:
            if name == "curio":
                from ptolemy_core.deals.curio import CurioEngine

                made[name] = CurioEngine(wallets.find)
            else:
                from ptolemy_core.deals.manual import ManualEngine

                made[name] = ManualEngine()
        return made[name]

    return engine
