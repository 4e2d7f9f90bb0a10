"""`ptolemy workers`, and the refusals of `ptolemy worker` and `ptolemy scheduler`."""

import socket
import time
from datetime import datetime

import pytest

from ptolemy_core.catalog.schema import worker as table
from ptolemy_core.catalog.workers import LOST
from tests.pipeline.backend import Backend

from .commands import error_of, printed, ptolemy


def test_workers_are_listed_with_what_they_do(sqlite: Backend) -> None:
    assert "no CAR is being built" in ptolemy("workers").stderr
    assert printed("workers") == []
    now = time.time()
    rows = [
        {"host": "a", "pid": 7, "project": "delta", "container": 3, "heartbeat_at": now},
        {"host": "b", "pid": 8, "project": None, "container": None, "heartbeat_at": now},
        {"host": "c", "pid": 9, "project": "delta", "container": 4, "heartbeat_at": now - LOST - 9},
    ]
    with sqlite.catalog.write() as connection:
        for row in rows:
            connection.execute(table.insert().values(row | {"started_at": now - 99}))
    listed = printed("workers")
    for row, one in zip(rows, listed, strict=True):
        assert one["lost"] is (row["host"] == "c")
        assert [one[name] for name in ("host", "pid", "project", "container")] == list(row.values())[:4]
        assert datetime.fromisoformat(one["started_at"]).timestamp() == pytest.approx(now - 99)
        assert one["heartbeat_at"].endswith("Z")
    shown = [line.split("│")[1:-1] for line in ptolemy("workers").stdout.splitlines() if "│" in line]
    assert [[cell.strip() for cell in line[:5]] for line in shown] == [
        ["a", "7", "building", "delta", "000003"],
        ["b", "8", "ready", "", ""],
        ["c", "9", "lost", "delta", "000004"],
    ]


def test_a_worker_says_what_it_lacks(sqlite: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "set PTOLEMY_PG_URL" in error_of("worker", "--scheduler", "tcp://127.0.0.1:8786", code=2)
    assert "must look like tcp://HOST:8786, got 'nowhere:x'" in error_of("worker", "-s", "nowhere:x", code=2)
    assert "--scheduler" in error_of("worker", code=2)
    assert "--builds" in error_of("worker", "-s", "tcp://a", "-n", "0", code=2)


def test_a_scheduler_says_when_its_port_is_taken(sqlite: Backend) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert f"can't listen at 127.0.0.1:{port}" in error_of("scheduler", "--port", port)


@pytest.mark.slow
def test_a_run_says_when_its_scheduler_does_not_answer(
    sqlite: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    sqlite.define()
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    done = sqlite.execute("scan", check=False, env={"PTOLEMY_SCHEDULER": f"tcp://127.0.0.1:{port}"})
    assert done.returncode != 0
    assert f"the scheduler at tcp://127.0.0.1:{port} doesn't answer" in done.stderr
