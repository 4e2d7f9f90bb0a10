"""Dagster as the API uses it: runs are launched and ended at its GraphQL API, and read from its storage.

Launching goes to Dagster's webserver by the published client, so a run takes the same way as one from the web UI:
into the queue, which holds one run of a project at a time, and from there to a worker by dagster-daemon, which
also starts it again when its worker dies. The API needs no code location and no private module for it.
"""

import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import dagster as dg
import requests
from dagster_graphql import DagsterGraphQLClient, DagsterGraphQLClientError
from requests.auth import AuthBase

from ptolemy_dagster.http.problems import Problem, logged
from ptolemy_dagster.run_facts import PARTITION_TAG
from ptolemy_dagster.status import InstanceRuns, RememberedRuns, Runs

_TIMEOUT = 60
_START_SECONDS = 90.0
_POLL = 0.25


class _Bearer(AuthBase):
    """The token's header; also without a token, since requests would else send what a .netrc holds for the host."""

    def __init__(self, token: str | None) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class Dagster:
    """Where Dagster is.

    Attributes:
        instance: Dagster's storage of runs.
        runs: where the runs of projects are looked up.
        ui_url: the web UI for links in answers.
    """

    def __init__(
        self,
        instance: dg.DagsterInstance,
        url: str,
        ui_url: str | None = None,
        token: str | None = None,
        runs: Runs | None = None,
    ) -> None:
        """Nothing is connected yet.

        Args:
            instance: Dagster's storage of runs.
            url: of Dagster's webserver as this process reaches it, with a path prefix if it has one.
            ui_url: the web UI for links in answers; by default `url`.
            token: that the webserver asks for.
            runs: where the runs of projects are looked up; by default in `instance`.
        """
        self.instance = instance
        self.runs: Runs = RememberedRuns(runs or InstanceRuns(instance), instance)
        self.url = url.rstrip("/")
        self.ui_url = ui_url or self.url
        self._auth = _Bearer(token)
        self.starting_until = 0.0

    def expect_start(self) -> None:
        """Say that the webserver is being started: a launch waits for it a while instead of failing."""
        self.starting_until = time.monotonic() + _START_SECONDS

    def launch(self, job: str, project: str, config: Mapping[str, Any] | None = None, **tags: str) -> str:
        """Put a run of a job on a project, with this configuration, into the queue.

        Returns:
            the run's id.

        Raises:
            Problem: 503, Dagster is away or has no such job.
        """
        pairs = {PARTITION_TAG: project} | tags
        while True:
            try:
                return self._client().submit_job_execution(job, run_config=dict(config or {}), tags=pairs)
            except DagsterGraphQLClientError as error:
                refused = any(isinstance(one, requests.exceptions.ConnectionError) for one in _causes(error))
                if not refused or time.monotonic() > self.starting_until:
                    raise self._away(error) from error
            time.sleep(_POLL)

    def cancel(self, run_id: str) -> None:
        """End a run; what it has built stays built.

        Raises:
            Problem: 409, it can't be ended; 503, Dagster is away.
        """
        try:
            self._client().terminate_run(run_id)
        except DagsterGraphQLClientError as error:
            kind = str(error.args[0]) if error.args else ""
            if kind in ("TerminateRunFailure", "RunNotFoundError"):
                raise Problem(409, "not-cancelable", f"run {run_id} can't be canceled: {error}") from error
            raise self._away(error) from error

    def run_url(self, run_id: str) -> str:
        """A run's page in the web UI."""
        return f"{self.ui_url}/runs/{run_id}"

    def _client(self) -> DagsterGraphQLClient:
        """A client of its own for each call: one can't be used by two threads."""
        parts = urlsplit(self.url)
        return DagsterGraphQLClient(
            parts.hostname or "",
            port_number=parts.port,
            use_https=parts.scheme == "https",
            timeout=_TIMEOUT,
            path_prefix=parts.path,
            auth=self._auth,
        )

    def _away(self, error: DagsterGraphQLClientError) -> Problem:
        number = logged(error, "Dagster's webserver")
        return Problem(
            503,
            "dagster-away",
            f"Dagster's webserver at {self.url} refused ({_kind(error)}): check that it is running and loads "
            f"ptolemy_dagster.definitions, then try again; the server's log has more under {number}",
            {"Retry-After": "5"},
        )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _kind(error: DagsterGraphQLClientError) -> str:
    """What kind of error it was: its message may name hosts, databases and folders, which are for the log."""
    if error.__cause__ is not None:
        return type(list(_causes(error))[-1]).__name__
    return str(error.args[0])[:60] if len(error.args) > 1 else type(error).__name__
