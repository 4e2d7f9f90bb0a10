"""Run a whole project with the engine alone, on SQLite. Usage: python run_project.py FOLDER STATE

This is what `ptolemy run` does, without Dagster: the stages are functions that take the catalog and the project's
name. STATE gets the catalog (`catalog.db`) and a folder with the CARs. Run it again after a crash, or when files
were added: what is done isn't done again.
"""

import os
import sys

from ptolemy_core import Catalog, PtolemyError, cid_text, parse_project
from ptolemy_core.catalog import projects
from ptolemy_core.catalog.find import find_path
from ptolemy_core.stages.blitz import build_container, pending, seal
from ptolemy_core.stages.containerize import containerize
from ptolemy_core.stages.scan import scan
from ptolemy_core.stages.verify import verify


def main(folder: str, state: str) -> bool:
    """Take `folder` to verified CARs; whether all is well."""
    state = os.path.abspath(state)
    catalog = Catalog(f"sqlite:///{state}/catalog.db")
    settings = {
        "name": "example",
        "target_dir": os.path.abspath(folder),
        "staging_dir": f"{state}/cars",
        "car_size": 1,  # GiB of data in one CAR
    }
    projects.create(catalog, parse_project(settings))

    found = scan(catalog, "example")
    print(f"scanned: {found.files} files, {found.data_bytes} bytes")

    plan = containerize(catalog, "example")
    print(f"planned: {plan.new} new containers, {len(plan.containers)} in all")

    for container in pending(catalog, "example"):
        build_container(catalog, "example", container.number)
    for car in seal(catalog, "example"):
        print(f"CAR {car.number}: {cid_text(car.payload_cid)} in {car.file_name}")

    verdicts = list(verify(catalog, "example"))
    for problem in (problem for verdict in verdicts for problem in verdict.problems):
        print("problem:", problem)

    for place in find_path(catalog, some_file(folder)):
        print(f"{place.path}: {place.cid}, at byte {place.car_offset} of {place.file_name}")
    return all(verdict.ok for verdict in verdicts)


def some_file(folder: str) -> str:
    """The path of a file, below `folder`."""
    above, name = next((above, name) for above, _, names in os.walk(folder) for name in names)
    return os.path.relpath(os.path.join(above, name), folder)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        sys.exit(0 if main(*sys.argv[1:]) else 1)
    except PtolemyError as error:
        sys.exit(f"error: {error}")
