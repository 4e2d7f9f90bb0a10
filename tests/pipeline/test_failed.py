"""Failed runs: their reason is in a tag, and a webhook is told."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import dagster as dg
import pytest

from ptolemy_dagster.definitions import defs
from ptolemy_dagster.failures import REASON
from ptolemy_dagster.sensors.failed import UI_URL, WEBHOOK, failed
from tests.pipeline.backend import Backend, in_process
from tests.pipeline.fixtures import sqlite

__all__ = ["sqlite"]


@pytest.fixture
def told() -> Iterator[tuple[str, list[Any]]]:
    """A webhook: its URL, and what it was told."""
    got: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(500 if self.path == "/broken" else 200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", got
    server.shutdown()
    thread.join()
    server.server_close()


def failed_run(backend: Backend, instance: dg.DagsterInstance) -> tuple[dg.DagsterRun, Any]:
    """A blitz that failed, and the sensor's answer to it."""
    backend.define(instance=instance)
    in_process("scan", "delta", instance)
    in_process("containerize", "delta", instance)
    (backend.root / "data" / "a.txt").write_bytes(b"changed")
    with pytest.raises(dg.Failure):
        in_process("blitz", "delta", instance)
    (run,) = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]))
    (record,) = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
    context = dg.build_run_status_sensor_context(
        "failed", dagster_event=record.dagster_event, dagster_instance=instance, dagster_run=run
    ).for_run_failure()
    return run, failed(context)


def test_a_failed_run_says_why_in_a_tag(sqlite: Backend) -> None:
    with sqlite.instance() as instance:
        run, _ = failed_run(sqlite, instance)
        found = instance.get_run_by_id(run.run_id)
    assert found is not None
    assert "a.txt changed since the scan" in found.tags[REASON]


def test_a_webhook_is_told_project_stage_reason_and_link(
    sqlite: Backend, told: tuple[str, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, got = told
    monkeypatch.setenv(WEBHOOK, url)
    monkeypatch.setenv(UI_URL, "https://ui.example/")
    with sqlite.instance() as instance:
        run, _ = failed_run(sqlite, instance)
    (message,) = got
    assert (message["project"], message["stage"], message["code"]) == ("delta", "blitz", "source-changed")
    assert "a.txt changed since the scan" in message["reason"]
    assert message["run_url"] == f"https://ui.example/runs/{run.run_id}"
    assert message["text"].startswith("blitz of project delta failed: ")


@pytest.mark.parametrize("path", ["/broken", None])
def test_a_webhook_that_does_not_answer_is_said_and_fails_nothing(
    sqlite: Backend, told: tuple[str, list[Any]], monkeypatch: pytest.MonkeyPatch, path: str | None
) -> None:
    url = told[0] + path if path else "http://127.0.0.1:1/secret-token"
    monkeypatch.setenv(WEBHOOK, url)
    with sqlite.instance() as instance:
        _, answer = failed_run(sqlite, instance)
    assert isinstance(answer, dg.SkipReason)
    assert "127.0.0.1" in (answer.skip_message or "")
    assert "secret" not in (answer.skip_message or "")


def test_the_launchpad_of_create_starts_with_what_must_be_given() -> None:
    job = defs.resolve_job_def("create")
    shown = job.run_config["ops"]["define_project"]["config"]  # type: ignore[index]
    assert list(shown)[:3] == ["name", "target_dir", "staging_dir"]
