"""What a person does in Dagster's web UI: create a project, materialize its stages, look at the CARs."""

import json
import re
import struct
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ptolemy_core.catalog import cars
from ptolemy_core.dag import cid
from tests.pipeline.backend import REPOSITORY, Backend, plan_small
from tests.pipeline.postgres import free_port
from tests.pipeline.processes import started, wait_until
from tests.pipeline.test_stack import answers

WORKSPACE = ("-w", str(REPOSITORY / "workspace.yaml"))


def files(count: int) -> dict[str, bytes]:
    """Files of different sizes, some of which share a container."""
    return {f"2019/{k:03d}.jpg": struct.pack(">I", k) * (500 + 617 * k % 1500) for k in range(count)}


@pytest.mark.slow
def test_a_person_makes_a_project_and_its_cars_in_the_browser(
    sqlite: Backend, page: Any, shots: Path, folders: Path
) -> None:
    photos, staging = folders / "photos", folders / "cars"
    for name, data in files(30).items():
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        (photos / name).write_bytes(data)
    port = free_port()
    server = f"http://127.0.0.1:{port}"
    webserver = ("dagster_webserver", *WORKSPACE, "-h", "127.0.0.1", "-p", str(port))
    with started(sqlite, *webserver) as web:
        wait_until(lambda: answers(f"{server}/server_info"), alive=[web])
        with started(sqlite, "dagster._daemon", "run", *WORKSPACE):
            user = User(sqlite, page, server, shots)
            user.create(
                name="delta",
                target_dir=str(photos),
                staging_dir=str(staging),
                shard_size=1,
                car_size=31,
            )
            user.materialize("scan_result")
            # several CARs of a few bytes each: no setting makes such
            assert plan_small(sqlite.catalog, "delta", 14_000) > 5
            user.materialize("container_plan")
            user.materialize("built_cars")
            built = list(cars.rows(sqlite.catalog, "delta"))
            assert len(built) > 5
            user.sees_the_cars(built)
            user.sees_the_runs(len(built))


class User:
    """Clicks and reads, and takes pictures."""

    def __init__(self, backend: Backend, page: Any, server: str, shots: Path) -> None:
        self.backend = backend
        self.page = page
        self.server = server
        self.shots = shots

    def go(self, path: str) -> None:
        self.page.goto(self.server + path)

    def picture(self, name: str) -> None:
        self.shots.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=self.shots / f"{name}.png", animations="disabled")

    def create(self, **settings: str | int) -> None:
        """Job `create` in the Launchpad."""
        self.go("/locations/ptolemy/jobs/create/playground")
        editor = self.page.locator(".CodeMirror").first
        editor.click()
        self.page.keyboard.press("Control+A")
        lines = ["ops:", "  define_project:", "    config:"]
        lines += [f"      {name}: {json.dumps(value)}" for name, value in settings.items()]
        # all at once, as one pastes it: line by line the editor would indent, too
        editor.evaluate("(node, text) => node.CodeMirror.setValue(text)", "\n".join(lines) + "\n")
        launch = self.page.get_by_role("button", name="Launch Run", exact=False).last
        launch.wait_for()
        self.page.wait_for_timeout(500)  # the editor saves what was typed a moment later
        self.picture("create")
        launch.click()
        self.page.wait_for_url(re.compile("/runs/"))
        self.page.get_by_text("Success", exact=True).first.wait_for()

    def materialize(self, asset: str) -> None:
        """Materialize an asset's partition delta on the asset's page."""
        self.go(f"/assets/{asset}")
        self.page.get_by_role("button", name=re.compile("Materialize")).first.click()
        dialog = self.page.get_by_role("dialog")
        dialog.get_by_role("button", name="All", exact=True).click()
        dialog.get_by_text("1 partition", exact=True).wait_for()
        if asset == "scan_result":
            self.picture("materialize")
        dialog.get_by_role("button", name=re.compile("^Launch")).click()
        dialog.wait_for(state="hidden")
        wait_until(lambda: self.is_materialized(asset))
        self.go(f"/assets/{asset}?view=partitions&partition=delta")
        self.page.get_by_text("Latest materialization").wait_for()

    def is_materialized(self, asset: str) -> bool:
        with self.backend.instance() as instance:
            return "delta" in instance.get_materialized_partitions(dg.AssetKey(asset))

    def sees_the_cars(self, built: list[cars.CarRow]) -> None:
        """The project's page leads to each CAR's, with its CIDs, and that back to the project's."""
        self.page.get_by_role("img", name="fill of pieces").wait_for()
        self.picture("built_cars")
        self.page.get_by_text("[Show Markdown]").last.click()
        dialog = self.page.get_by_role("dialog")
        dialog.get_by_text(cid.to_text(built[0].piece_cid_v1)).first.wait_for()
        text = dialog.inner_text()
        for row in built:
            assert cid.to_text(row.payload_cid) in text
            assert cid.to_text(row.piece_cid_v1) in text
        self.picture("cars_table")
        dialog.get_by_role("link", name=f"{built[2].number:06d}", exact=True).click()
        self.page.wait_for_url(re.compile(r"/assets/car\?.*delta%7C000002"))
        for value in (built[2].payload_cid, built[2].piece_cid_v1, built[2].piece_cid_v2):
            self.page.get_by_text(cid.to_text(value), exact=True).first.wait_for()
        self.picture("car")
        self.page.get_by_role("link", name="delta", exact=True).last.click()
        self.page.wait_for_url(re.compile(r"/assets/built_cars\?.*partition=delta"))
        self.go("/locations/ptolemy/asset-groups/ptolemy/lineage")
        self.page.get_by_text("built_cars").first.wait_for()
        self.page.wait_for_timeout(2000)  # the graph is laid out
        self.picture("lineage")

    def sees_the_runs(self, count: int) -> None:
        """Each run, and how far it came: at its end, what was made."""
        self.go("/runs")
        self.page.get_by_text(f"progress: verify {count} CARs").first.wait_for()
        self.picture("runs")
