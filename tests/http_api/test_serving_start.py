"""What a server has at its start isn't looked at again by Python's garbage collector while it serves."""

import subprocess
import sys

import pytest

from tests.pipeline.backend import Backend

_CODE = """
import gc, sys, uvicorn
from ptolemy_dagster.cli import main

class Server:
    def __init__(self, config):
        gc.collect()
    def run(self, sockets):
        print("collected", len(gc.get_objects()), "kept", gc.get_freeze_count())

uvicorn.Server = Server
main()
"""


@pytest.mark.parametrize(
    "command", [["serve", "--no-daemon", "--dagster-url", "http://127.0.0.1:1"], ["serve-pieces"]]
)
def test_a_server_is_not_stopped_by_collections_of_what_it_had_at_its_start(
    sqlite: Backend, command: list[str]
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _CODE, *command, "--port", "0"],
        env=dict(sqlite.env),
        capture_output=True,
        text=True,
        timeout=120,
    )
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("collected")]
    _, collected, _, kept = line.split()
    assert int(collected) < 5_000 < 50_000 < int(kept), done.stderr
