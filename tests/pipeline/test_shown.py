"""What people see in the web UI: pictures that are shown in place, links that lead there, progress while it runs."""

import base64
import re
from typing import Any
from urllib.parse import urljoin
from xml.etree import ElementTree

import dagster as dg
import numpy as np
import pytest

from ptolemy_core.catalog import cars
from ptolemy_core.catalog.containers import ContainerRow
from ptolemy_core.dag import cid
from ptolemy_core.sizes import readable
from ptolemy_core.status.builds import BuildPeriod
from ptolemy_dagster import live, show
from ptolemy_dagster.charts import INLINE, fill_chart, rate_chart
from ptolemy_dagster.definitions import defs
from tests.pipeline.backend import Backend, in_process, plan_small, tiny_files
from tests.pipeline.test_assets import metadata_of

_PICTURE = re.compile(r"!\[([^]]*)\]\(data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)\)\n\n(.*)", re.DOTALL)
_SVG = "{http://www.w3.org/2000/svg}"


def picture(markdown: Any) -> tuple[list[ElementTree.Element], str]:
    """Paths of a chart and the words below it."""
    match = _PICTURE.fullmatch(str(markdown.value))
    assert match is not None
    return list(ElementTree.fromstring(base64.b64decode(match[2]))), match[3]


def container(number: int, data: int, car_size: int, piece: int) -> ContainerRow:
    return ContainerRow(number, number, 1, data, car_size, piece, False)


def test_the_fill_of_one_container_is_drawn_to_scale() -> None:
    shapes, text = picture(fill_chart([container(0, 500, 750, 1000)]))
    assert [shape.tag for shape in shapes] == [f"{_SVG}path"] * 3
    used, data, frame = shapes
    assert used.get("d") == "M0 80V20H400V80z"  # three quarters of the frame of 400 * 80
    assert data.get("d") == "M0 80V40H400V80z"
    assert frame.get("d") == "M0 0H400V80H0z"
    assert text == "data 50.0% (blue), structure 25.0% (yellow), padding 25.0%"


@pytest.mark.parametrize("count", [2, 7, 50, 999, 100_000])
def test_charts_of_any_number_of_containers_are_shown_in_place(count: int) -> None:
    random = np.random.default_rng(count)
    rows = [container(k, int(n // 2), int(n), 1000) for k, n in enumerate(random.integers(2, 1000, count))]
    chart = fill_chart(rows)
    assert len(str(chart.value)) < INLINE
    _, text = picture(chart)
    assert text.endswith(f"containers 000000 to {count - 1:06d}")
    rates = rate_chart(BuildPeriod(0.0, 4340.0, random.uniform(0, 1e9, 60)))
    assert len(str(rates.value)) < INLINE
    assert "in 1 h 12 min" in picture(rates)[1]


def test_charts_of_nothing_say_so() -> None:
    assert fill_chart([]).value == "no containers"
    assert rate_chart(None).value == "no CARs"


@pytest.mark.parametrize(
    "page",
    [
        "http://host:3000/assets/built_cars?view=partitions",
        "http://host:3000/runs/0f3c",
        "http://host/behind/proxy/assets/built_cars",
        "http://host/behind/proxy/runs/0f3c",
    ],
)
def test_links_lead_to_the_asset_from_any_page(page: str) -> None:
    match = re.fullmatch(r"\[(.*)\]\((.*)\)", show.link("000003", "car", "delta|000003"))
    assert match is not None
    root = page.partition("/assets" if "/assets" in page else "/runs")[0]
    assert urljoin(page, match[2]) == f"{root}/assets/car?view=partitions&partition=delta%7C000003"


def test_a_project_leads_to_its_cars_and_back(sqlite: Backend, instance: Any) -> None:
    sqlite.define(target=sqlite.folder(files=tiny_files(3)), instance=instance)
    plan_small(sqlite.catalog, "delta", 3100)
    result = in_process("onboard", "delta", instance)
    shown = metadata_of(result, "built_cars")
    for row in cars.rows(sqlite.catalog, "delta"):
        number = f"{row.number:06d}"
        linked = show.link(number, "car", f"delta|{number}")
        (line,) = [line for line in shown["table"].splitlines() if linked in line]
        for value in (row.payload_cid, row.piece_cid_v1):
            assert f"| `{cid.to_text(value)}` |" in line
    assert "data:image/svg+xml" in shown["fill"]
    assert "data:image/svg+xml" in shown["build rate"]
    (event,) = instance.fetch_materializations(dg.AssetKey("car"), limit=1).records
    said = {key: value.value for key, value in event.asset_materialization.metadata.items()}
    assert said["project"] == show.link("delta", "built_cars", "delta")
    assert 0 < said["data, % of the piece"] < 100
    assert "data:image/svg+xml" in metadata_of(result, "container_plan")["fill"]


def observations(instance: dg.DagsterInstance, asset: str) -> list[dict[str, Any]]:
    records = instance.fetch_observations(dg.AssetKey(asset), limit=1000).records
    events = [record.asset_observation for record in records]
    assert all(event is not None and event.partition == "delta" for event in events)
    return [{k: v.value for k, v in event.metadata.items()} for event in events if event is not None]


def tag_of(instance: dg.DagsterInstance, run_id: str) -> str | None:
    run = instance.get_run_by_id(run_id)
    return run.tags.get(live.TAG) if run else None


def test_a_blitz_tells_its_progress_while_it_runs_and_its_result_after(
    sqlite: Backend, instance: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "INTERVAL", 0.0)
    tags: list[str] = []
    add = dg.DagsterInstance.add_run_tags

    def noted(self: dg.DagsterInstance, run_id: str, new: dict[str, str]) -> None:
        tags.extend(new.get(live.TAG, "").splitlines())
        add(self, run_id, new)

    monkeypatch.setattr(dg.DagsterInstance, "add_run_tags", noted)
    sqlite.define(target=sqlite.folder(files=tiny_files(3)), instance=instance)
    plan_small(sqlite.catalog, "delta", 3100)
    result = in_process("blitz", "delta", instance)
    total = sum(row.car_size for row in cars.rows(sqlite.catalog, "delta"))
    assert tags[0] == f"build 0%, {readable(total)} in all, 0 of 3 CARs"
    assert any(re.match(r"build \d+%, .* left, .*/s, .* in all, 2 of 3 CARs", tag) for tag in tags)
    assert tag_of(instance, result.run_id) == f"build 100%, 3 CARs, {readable(total)}"
    told = observations(instance, "built_cars")
    assert {one["CARs built"] for one in told} == {"0 of 3", "1 of 3", "2 of 3"}
    assert all(one["done"].endswith(f"of {readable(total)}") for one in told)
    assert all(set(one["progress"].split("`")[1]) <= set("█░") for one in told)


def test_progress_costs_one_event_an_interval_however_many_cars(sqlite: Backend, instance: Any) -> None:
    sqlite.define(target=sqlite.folder(files=tiny_files(12)), instance=instance)
    plan_small(sqlite.catalog, "delta", 3100)
    in_process("blitz", "delta", instance)
    assert len(observations(instance, "built_cars")) == 1
    in_process("blitz", "delta", instance)  # nothing to build
    assert len(observations(instance, "built_cars")) == 1


def test_scan_and_verification_tell_their_progress(
    sqlite: Backend, instance: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "INTERVAL", 0.0)
    sqlite.define(target=sqlite.folder(files={f"{k}": b"" for k in range(2500)}), instance=instance)
    run = in_process("onboard", "delta", instance).run_id
    assert {one["entries so far"] for one in observations(instance, "scan_result")} == {"2,000", "2,500"}
    assert tag_of(instance, run) == "verify 1 CAR, 0 problems"


def test_assets_have_a_group_owners_kinds_and_a_description() -> None:
    specs = [spec for spec in defs.resolve_all_asset_specs() if spec.group_name in ("ptolemy", "single_cars")]
    assert {spec.key.to_user_string() for spec in specs} >= {
        "scan_result",
        "container_plan",
        "built_cars",
        "car",
    }
    for spec in specs:
        assert spec.owners
        assert spec.kinds
        assert spec.description
