"""Schemathesis asks whatever the OpenAPI description allows, and what it doesn't."""

import json
from collections.abc import Iterator
from contextlib import suppress

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis.errors import Unsatisfiable
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from ptolemy_dagster.http.settings import ApiSettings
from tests.http_api.client import Api, in_process
from tests.pipeline.backend import Backend, plan_small, tiny_files
from tests.pipeline.backend import in_process as run_in_process


def prepare(backend: Backend, api: Api) -> None:
    api.create(target_dir=str(backend.folder("many", tiny_files(3))))
    plan_small(backend.catalog, "delta", 3100)
    assert run_in_process("blitz", "delta", api.dagster.instance).success


@pytest.fixture
def anyhow(sqlite: Backend) -> Iterator[Api]:
    """An API that may be called by any name, as schemathesis has its own."""
    with in_process(sqlite, ApiSettings(rate=0, hosts=None)) as made:
        yield made


def test_schemathesis_finds_no_failure_and_no_undocumented_answer(anyhow: Api) -> None:
    prepare(anyhow.backend, anyhow)
    schema = schemathesis.openapi.from_asgi("/openapi.json", anyhow.http.app)
    asked = 0
    for operation in schema.get_all_operations():
        found = operation.ok()
        assert found is not None
        cases = 0

        @hypothesis_settings(
            max_examples=8,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def ask(case: schemathesis.Case) -> None:
            nonlocal cases
            cases += 1
            answer = case.call()
            if answer.status_code == 413:
                return  # refused for its size, before it is looked at
            # a valid body may still name a folder that isn't there, so refusing valid data is no failure
            case.validate_response(answer, excluded_checks=[positive_data_acceptance])

        given(case=found.as_strategy(generation_mode=GenerationMode.POSITIVE))(ask)()
        with suppress(Unsatisfiable):  # what takes no argument can't be asked wrongly
            given(case=found.as_strategy(generation_mode=GenerationMode.NEGATIVE))(ask)()
        asked += cases
    assert asked > 100


def test_every_answer_is_documented_with_an_example(api: Api) -> None:
    description = api.get("/openapi.json")
    json.dumps(description)
    for path, item in description["paths"].items():
        for method, operation in item.items():
            answers = operation["responses"]
            assert {"400", "401", "403", "405", "413", "429", "500"} <= answers.keys(), (method, path)
            if "{project}" in path:
                assert {"404", "422"} <= answers.keys(), (method, path)
            for status, answer in answers.items():
                if int(status) >= 400:
                    assert answer["content"].keys() == {"application/problem+json"}, (method, path, status)
                    assert answer["content"]["application/problem+json"]["example"]["status"] == int(status)
    create = description["paths"]["/v0/create/{project}"]["post"]
    assert create["requestBody"]["content"]["application/json"]["schema"]["example"]["car_size"] == 2
