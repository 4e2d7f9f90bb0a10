"""Run where only the engine's own requirements can be imported: imports all of it, then builds, verifies, extracts.

Usage: python engine_alone.py EXAMPLES FOLDER [BLOCKED...]   (modules that must not be importable)
"""

import importlib
import pkgutil
import runpy
import sys
from pathlib import Path


class Blocker:
    """Finds nothing of these modules, as if they weren't installed."""

    def __init__(self, names: set[str]) -> None:
        self._names = names

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.partition(".")[0] in self._names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


NEED_MORE = {"ptolemy_core.deals.http_transport": "requests"}
"""Modules that need something that the engine alone doesn't, and what."""


def import_all() -> int:
    """Import every module of the engine."""
    import ptolemy_core

    found = [
        module.name
        for module in pkgutil.walk_packages(ptolemy_core.__path__, "ptolemy_core.")
        if not module.name.endswith(".libkernel")
    ]
    for name in found:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if NEED_MORE.get(name) != error.name:
                raise
    return len(found)


def example(script: Path, *arguments: object) -> None:
    """Run a script; it must end well."""
    sys.argv = [str(script), *map(str, arguments)]
    try:
        runpy.run_path(str(script), run_name="__main__")
    except SystemExit as end:
        if end.code not in (None, 0):
            raise


def main(examples: Path, folder: Path) -> None:
    """Import everything and go through the examples."""
    print("modules:", import_all())
    for name in ptolemy_names():
        assert name
    data = folder / "data"
    (data / "sub").mkdir(parents=True)
    (data / "sub" / "a.txt").write_bytes(b"alpha")
    (data / "b.bin").write_bytes(bytes(2_000_000))
    example(examples / "folder_cid.py", data)
    example(examples / "build_car.py", data, folder / "out")
    [car] = (folder / "out").glob("*.car")
    example(examples / "piece_commitment.py", car)
    example(examples / "read_car.py", car)
    example(examples / "extract_file.py", "sub/a.txt", folder / "back", car)
    assert (folder / "back" / "sub" / "a.txt").read_bytes() == b"alpha"
    example(examples / "run_project.py", data, folder / "state")

    from ptolemy_core.catalog import Catalog
    from ptolemy_core.errors import SettingsError
    from ptolemy_core.stages.manifest import ManifestOptions, write_manifest

    catalog = Catalog(f"sqlite:///{folder}/state/catalog.db")
    assert write_manifest(catalog, "example", ManifestOptions("csv")).rows == 2
    try:
        import pyarrow  # noqa: F401
    except ModuleNotFoundError:
        try:
            write_manifest(catalog, "example", ManifestOptions("parquet"))
        except SettingsError as error:
            print("parquet:", error)
        print("default:", write_manifest(catalog, "example").manifest.rpartition(".")[2])
    print("done")


def ptolemy_names() -> list[object]:
    """Every public name, imported."""
    import ptolemy_core

    return [getattr(ptolemy_core, name) for name in ptolemy_core.__all__]


if __name__ == "__main__":
    sys.meta_path.insert(0, Blocker(set(sys.argv[3:])))  # type: ignore[arg-type]
    main(Path(sys.argv[1]), Path(sys.argv[2]))
