"""CARs and pieces at the address of the API: `ptolemy serve --pieces`, and downloads of a project's CARs."""

import os
import shutil
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from ptolemy_core.catalog import stored_cars
from ptolemy_core.dag import cid
from ptolemy_core.gateway.dag import Holdings
from ptolemy_core.gateway.library import Library
from ptolemy_core.stages.blitz import build_container
from ptolemy_core.stages.containerize import containerize
from ptolemy_core.stages.scan import scan
from ptolemy_dagster.http.app import create_app
from ptolemy_dagster.http.context import Context
from ptolemy_dagster.http.piece_app import Mounted, PieceApp, PieceServer
from ptolemy_dagster.http.settings import ApiSettings
from tests.http_api.client import ORIGIN, Api
from tests.http_api.live import curl, served
from tests.http_api.pieces import headers_of
from tests.pipeline.backend import Backend

PLACES = ("/projects/delta/cars/0", "/v0/car/delta/0")


def build(backend: Backend, storage: str) -> tuple[bytes, str]:
    """A CAR of 3 MiB, and its piece CID."""
    folder = backend.folder(files={"big.bin": os.urandom(3 << 20), "small": b"small"})
    backend.define(target=folder, car_storage=storage, public_pieces=True)
    scan(backend.catalog, "delta")
    containerize(backend.catalog, "delta")
    build_container(backend.catalog, "delta", 0)
    found = stored_cars.by_number(backend.catalog, "delta", 0)
    with found.open() as car:
        return car.read(0, car.size), cid.to_text(found.piece_cid_v1)


@pytest.mark.parametrize("storage", ["generated", "staged"])
def test_a_projects_car_is_downloaded_by_ranges_and_conditions_as_pieces_are(api: Api, storage: str) -> None:
    whole, piece = build(api.backend, storage)
    for place in PLACES:
        answer = api.http.get(place)
        assert (answer.status_code, answer.content) == (200, whole)
        assert answer.headers["etag"] == f'"{piece}"'
        assert answer.headers["content-disposition"] == f'attachment; filename="{piece}.car"'
        assert "access-control-allow-origin" not in answer.headers  # it isn't for other sites
        head = api.http.head(place)
        assert (head.status_code, head.content) == (200, b"")
        assert (head.headers["content-length"], head.headers["accept-ranges"]) == (str(len(whole)), "bytes")
        part = api.http.get(place, headers={"range": f"bytes=1500000-{len(whole)}", "if-range": f'"{piece}"'})
        assert (part.status_code, part.content) == (206, whole[1_500_000:])
        assert part.headers["content-range"] == f"bytes 1500000-{len(whole) - 1}/{len(whole)}"
        assert api.http.get(place, headers={"if-none-match": f'"{piece}"'}).status_code == 304
        outside = api.http.get(place, headers={"range": f"bytes={len(whole)}-"})
        assert (outside.status_code, outside.headers["content-range"]) == (416, f"bytes */{len(whole)}")
        assert outside.json()["type"] == "urn:ptolemy:problem:bad-range"
        assert "access-control-allow-origin" not in outside.headers


def test_a_source_that_changed_is_told_before_anything_is_sent(api: Api) -> None:
    build(api.backend, "generated")
    source = next(api.backend.root.rglob("big.bin"))
    source.write_bytes(os.urandom(3 << 20))
    answer = api.http.get(PLACES[0], headers={"range": "bytes=1500000-1500009"})
    assert answer.status_code == 409
    assert answer.json()["type"] == "urn:ptolemy:problem:source-changed"
    assert "big.bin" in answer.json()["detail"]


def test_counts_of_pieces_are_among_the_apis_metrics(api: Api) -> None:
    _, piece = build(api.backend, "generated")
    assert "ptolemy_pieces" not in api.http.get("/metrics").text
    server = PieceServer(Holdings(api.backend.catalog, Library()))
    settings = ApiSettings(rate=0)
    context = Context(api.backend.catalog, api.dagster, settings, server, server.bodies)
    with TestClient(
        Mounted(PieceApp(server), create_app(context)), ORIGIN, client=("127.0.0.1", 5000)
    ) as http:
        assert http.get(f"/piece/{piece}").status_code == 200
        text = http.get("/metrics").text
    assert 'ptolemy_pieces_requests_total{route="piece",method="GET",status="200"} 1' in text
    assert "ptolemy_projects{" in text
    server.close()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl isn't installed")
def test_serve_with_pieces_is_an_api_and_a_piece_server(backend: Backend, tmp_path: Path) -> None:
    whole, piece = build(backend, "generated")
    with served(backend, "--pieces", "--no-daemon", "--dagster-url", "http://127.0.0.1:1") as server:
        got = tmp_path / "got.car"
        status, _ = curl("-r", "0-999999", "-o", str(got), f"{server.url}/piece/{piece}")
        assert status == 206
        assert curl("-C", "-", "-o", str(got), f"{server.url}/piece/{piece}")[0] == 206
        assert got.read_bytes() == whole
        assert headers_of(f"{server.url}/piece/{piece}", "-I")["etag"] == f'"{piece}"'
        assert curl("-o", str(got), f"{server.url}/projects/delta/cars/0")[0] == 200
        assert got.read_bytes() == whole
        assert '"name":"delta"' in curl(f"{server.url}/v0/projects/delta")[1]
        text = curl(f"{server.url}/metrics")[1]
        assert 'ptolemy_pieces_requests_total{route="piece",method="GET",status="206"} 2' in text
        assert 'ptolemy_projects{state="blitz complete"} 1' in text
        assert "ptolemy_pieces_connections 1" in text
