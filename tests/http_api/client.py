"""The API as tests call it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from fastapi.testclient import TestClient
from httpx import Response

from ptolemy_dagster.definitions import defs
from ptolemy_dagster.http.app import create_app
from ptolemy_dagster.http.context import Context
from ptolemy_dagster.http.dagster_api import Dagster
from ptolemy_dagster.http.settings import ApiSettings
from ptolemy_dagster.run_facts import PARTITION_TAG
from tests.pipeline.backend import Backend

ORIGIN = "http://127.0.0.1:8000"


class Queue(Dagster):
    """Dagster without its webserver: launched runs are written into its storage, where they wait for ever."""

    def launch(self, job: str, project: str, config: Mapping[str, Any] | None = None, **tags: str) -> str:
        run = self.instance.create_run_for_job(
            defs.resolve_job_def(job),
            run_config=dict(config or {}),
            tags={PARTITION_TAG: project} | tags,
        )
        return run.run_id

    def cancel(self, run_id: str) -> None:
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        self.instance.report_run_canceled(run)


@dataclass(frozen=True)
class Api:
    """An API in this process."""

    backend: Backend
    http: TestClient
    dagster: Dagster

    def settings(self, **settings: Any) -> dict[str, Any]:
        """The body of a create, over a folder of two files."""
        return {
            "shard_size": 1,
            "staging_dir": str(self.backend.staging()),
            "target_dir": str(self.backend.folder()),
            "car_size": 2,
            "encryption": "None",
            "load_type": "blitz",
        } | settings

    def get(self, path: str, status: int = 200, **headers: str) -> Any:
        """The JSON of a GET that must be answered with this status."""
        return told(self.http.get(path, headers=headers), status)

    def post(self, path: str, status: int = 202, body: Any = None, **headers: str) -> Any:
        """The JSON of a POST that must be answered with this status."""
        return told(self.http.post(path, json=body, headers=headers), status)

    def problem(self, path: str, status: int, method: str = "GET", **more: Any) -> str:
        """The detail of a problem."""
        answer = self.http.request(method, path, **more)
        return str(told(answer, status)["detail"])

    def create(self, project: str = "delta", **settings: Any) -> Any:
        """Define a project."""
        return self.post(f"/v0/create/{project}", 200, self.settings(**settings))


def told(answer: Response, status: int) -> Any:
    """The JSON of an answer; a problem must be one by RFC 9457."""
    assert answer.status_code == status, answer.text
    content = answer.json()
    if status >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        assert content["status"] == status
        assert content["type"].startswith("urn:ptolemy:problem:")
        assert content["title"]
    return content


@contextmanager
def in_process(
    backend: Backend, settings: ApiSettings | None = None, kind: type[Dagster] = Queue
) -> Iterator[Api]:
    """An API on a home."""
    with backend.instance() as instance:
        dagster = kind(instance, "http://127.0.0.1:3000")
        app = create_app(Context(backend.catalog, dagster, settings or ApiSettings(rate=0)))
        with TestClient(app, ORIGIN, client=("127.0.0.1", 50000)) as http:
            yield Api(backend, http, dagster)
