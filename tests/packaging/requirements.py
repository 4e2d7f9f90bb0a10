"""What pyproject.toml says is needed, and which installed modules that is."""

import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
ALL: list[str] = PROJECT["project"]["dependencies"]
ENGINE: list[str] = PROJECT["dependency-groups"]["engine"]


def name_of(requirement: str) -> str:
    """A distribution's name, as names are compared."""
    return Requirement(requirement).name.lower().replace("_", "-")


def closure(requirements: list[str]) -> set[str]:
    """Names of the distributions that these need, themselves included."""
    found: set[str] = set()
    waiting = [Requirement(one) for one in requirements]
    while waiting:
        one = waiting.pop()
        name = name_of(one.name)
        if name in found:
            continue
        found.add(name)
        for text in metadata.distribution(name).requires or ():
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                waiting.append(needed)
    return found


def foreign_modules() -> set[str]:
    """Top-level modules that are installed here and that the engine doesn't need."""
    needed = closure(ENGINE)
    return {
        module
        for module, owners in metadata.packages_distributions().items()
        if not {owner.lower().replace("_", "-") for owner in owners} & (needed | {"ptolemy"})
    }
