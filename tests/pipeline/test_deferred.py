"""Modules that are imported when something of theirs is used."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ptolemy_dagster.internals.deferred import deferred

_PARTS = """
class Part:
    size = 3
    def __init__(self, name="part"):
        self.name = name
def made():
    return Part()
"""


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a package with a module `parts`."""
    folder = tmp_path / "slow_to_import"
    folder.mkdir()
    (folder / "__init__.py").write_text("from slow_to_import.parts import Part")
    (folder / "parts.py").write_text(_PARTS)
    monkeypatch.syspath_prepend(tmp_path)
    yield folder.name
    for name in [name for name in sys.modules if name.startswith(folder.name)]:
        del sys.modules[name]


def test_a_deferred_module_is_imported_when_something_of_it_is_used(slow: str) -> None:
    with deferred([slow]):
        from slow_to_import import Part, parts  # type: ignore[import-not-found]
        from slow_to_import.parts import made  # type: ignore[import-not-found]
    assert not isinstance(3, Part)
    assert slow not in sys.modules
    assert made().name == "part"
    assert f"{slow}.parts" in sys.modules
    assert isinstance(made(), Part)
    assert Part("other").name == "other"
    assert (Part.size, parts.Part.size) == (3, 3)


def test_a_class_made_from_a_deferred_one_while_others_are_deferred_is_a_real_one(slow: str) -> None:
    with deferred([slow]):
        from slow_to_import.parts import Part

        class Own(Part):  # type: ignore[misc]
            """Its base is imported by this."""

        from slow_to_import import Part as Real
    assert issubclass(Own, Real)
    assert Own("own").name == "own"


def test_after_the_block_a_deferred_module_is_imported_as_it_is(slow: str) -> None:
    with deferred([slow]):
        import slow_to_import
    assert slow not in sys.modules
    from slow_to_import import parts

    assert isinstance(parts.made(), slow_to_import.Part)
    assert parts.__file__.endswith("parts.py")


def test_what_is_imported_already_is_not_deferred(slow: str) -> None:
    import slow_to_import

    with deferred([slow]):
        from slow_to_import import Part
    assert Part is slow_to_import.parts.Part
