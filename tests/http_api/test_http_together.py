"""Requests that wait at the same time are answered together, each with an answer of its own."""

import asyncio
import json
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ptolemy_core.catalog import projects
from ptolemy_core.errors import ProjectExistsError, SettingsError
from ptolemy_core.project import Project
from ptolemy_dagster.http import defining
from ptolemy_dagster.http.context import Context
from ptolemy_dagster.http.defining import AloneError, create_alone, create_together
from ptolemy_dagster.http.settings import ApiSettings
from ptolemy_dagster.http.together import Together
from tests.http_api.client import Api


def answers_of(together: Together[int, int], requests: Sequence[int]) -> list[int | BaseException]:
    async def ask_all() -> list[int | BaseException]:
        return await asyncio.gather(*map(together.ask, requests), return_exceptions=True)

    return asyncio.run(ask_all())


def test_requests_that_come_while_one_is_answered_are_answered_together() -> None:
    turns: list[list[int]] = []
    go_on = threading.Event()

    def answer(requests: Sequence[int]) -> list[int | Exception]:
        turns.append(list(requests))
        go_on.wait(10 if len(turns) == 1 else 0)
        return [10 * request for request in requests]

    together = Together(answer, threads=1, most=3)
    threading.Timer(0.2, go_on.set).start()
    assert answers_of(together, range(6)) == [0, 10, 20, 30, 40, 50]
    assert turns == [[0], [1, 2, 3], [4, 5]]


def test_an_error_is_that_of_its_request_alone_and_a_failed_turn_ends_nothing() -> None:
    def answer(requests: Sequence[int]) -> list[int | Exception]:
        if 7 in requests:
            raise RuntimeError("the turn failed")
        return [KeyError(request) if request % 2 else request for request in requests]

    together = Together(answer, threads=1, most=1)
    zero, one, seven, two = answers_of(together, [0, 1, 7, 2])
    assert (zero, two) == (0, 2)
    assert isinstance(one, KeyError)
    assert isinstance(seven, RuntimeError)


def test_a_client_that_is_gone_takes_no_answer_from_the_others() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def answer(requests: Sequence[int]) -> list[int | Exception]:
        begun.set()
        go_on.wait(10)
        return list(requests)

    together = Together(answer, threads=1, most=9)

    async def ask() -> int:
        gone, stays = asyncio.create_task(together.ask(1)), asyncio.create_task(together.ask(2))
        await asyncio.to_thread(begun.wait, 10)
        gone.cancel()
        go_on.set()
        return await stays

    assert asyncio.run(ask()) == 2


def context_of(api: Api, **settings: Any) -> Context:
    return Context(api.backend.catalog, api.dagster, ApiSettings(**settings))


def test_projects_created_together_each_get_their_own_answer(both: Api, tmp_path: Path) -> None:
    context = context_of(both)
    good = both.settings()
    both.create("known")
    given = [
        good | {"name": "first"},
        good | {"name": "bad", "car_size": 64},
        good | {"name": "nowhere", "target_dir": str(tmp_path / "missing")},
        good | {"name": "known"},
        good | {"name": "known", "car_size": 3},
        good | {"name": "last"},
    ]
    first, bad, nowhere, known, again, last = create_together(context, given)
    assert all(isinstance(found, Project) for found in (first, known, last))
    assert all(isinstance(found, SettingsError) for found in (bad, nowhere))
    assert "car_size must be" in str(bad)
    assert "missing" in str(nowhere)
    assert isinstance(again, AloneError)  # the same name twice
    with pytest.raises(ProjectExistsError, match="car_size 2, not 3"):
        create_alone(context, given[4])
    assert projects.names(both.backend.catalog) == ["first", "known", "last"]
    assert set(both.dagster.instance.get_dynamic_partitions("projects")) == {"first", "known", "last"}
    (other,) = create_together(context, [given[4]])
    assert isinstance(other, ProjectExistsError)


def test_what_may_take_long_and_what_failed_for_several_is_created_alone(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = context_of(api)
    encrypted = api.settings(encryption="photos") | {"name": "secret"}
    remote = api.settings(target_dir="s3://bucket/photos") | {"name": "remote"}
    assert all(isinstance(found, AloneError) for found in create_together(context, [encrypted, remote]))

    def fails(*_: object) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr(defining, "define_plain", fails)
    plain = [api.settings() | {"name": name} for name in ("a", "b")]
    assert all(isinstance(found, AloneError) for found in create_together(context, plain))
    assert api.create("alone")["name"] == "alone"


def test_creates_and_reads_of_many_clients_take_few_transactions(both: Api) -> None:
    catalog = both.backend.catalog
    writes: list[str] = []

    @sa.event.listens_for(catalog.engine, "before_cursor_execute")
    def count(_: Any, __: Any, statement: str, *___: Any) -> None:
        if statement.startswith("INSERT INTO project "):
            writes.append(statement)

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(20) as pool:
        patch.setattr(defining, "_checked", _slowly(defining._checked))
        made = list(pool.map(lambda n: both.create(f"p{n}")["name"], range(20)))
    assert made == [f"p{n}" for n in range(20)]
    assert len(writes) < 20
    with ThreadPoolExecutor(20) as pool:
        read = list(pool.map(lambda n: both.get(f"/v0/projects/p{n}")["project"], range(20)))
    assert read == made


def _slowly(real: Any) -> Any:
    def slow(*arguments: Any) -> Any:
        threading.Event().wait(0.02)
        return real(*arguments)

    return slow


@pytest.mark.parametrize("what", ["projects", "carfile_meta"])
def test_the_short_way_answers_as_the_described_route_does(api: Api, what: str) -> None:
    api.create("delta")
    query = {"projects": "?wait=0", "carfile_meta": "?limit=1000"}[what]
    short, routed = (api.http.get(f"/v0/{what}/delta{more}") for more in ("", query))
    assert json.loads(short.content) == json.loads(routed.content)
    assert short.headers == routed.headers
    assert api.http.get(f"/v0/{what}/delta/").content == short.content
    assert api.problem(f"/v0/{what}/nemo", 404) == api.problem(f"/v0/{what}/nemo{query}", 404)
    assert api.problem(f"/v0/{what}/-bad", 422) == api.problem(f"/v0/{what}/-bad{query}", 422)
