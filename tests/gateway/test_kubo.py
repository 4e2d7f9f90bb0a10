"""Kubo's own gateway over the same blocks gives the same blocks, where `ipfs` is installed."""

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from ptolemy_core.dag import cid
from ptolemy_core.stages.dataset import build_root
from tests.car.sections import sections_of
from tests.stages.conftest import PROFILE, Scene
from tests.stages.test_dataset import MIXED

from .holdings import Asked, scene_in
from .test_trustless import RANGES

pytestmark = pytest.mark.skipif(shutil.which("ipfs") is None, reason="ipfs isn't installed")


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    made = scene_in(tmp_path_factory.mktemp("kubo"), shard_size=2)
    made.run(MIXED)
    build_root(made.catalog, made.name, profile=PROFILE)
    return made


@pytest.fixture(scope="module")
def kubo(stage: Scene, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Kubo's gateway, offline, with the blocks of all CARs."""
    folder = tmp_path_factory.mktemp("repo")
    env = os.environ | {"IPFS_PATH": str(folder), "IPFS_TELEMETRY": "off"}

    def ipfs(*arguments: str) -> None:
        subprocess.run(["ipfs", *arguments], env=env, check=True, capture_output=True, timeout=60)

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    ipfs("init", "-e")
    config = json.loads((folder / "config").read_text())
    config["Addresses"].update(Swarm=[], API="/ip4/127.0.0.1/tcp/0", Gateway=f"/ip4/127.0.0.1/tcp/{port}")
    config["Bootstrap"] = []
    (folder / "config").write_text(json.dumps(config))
    ipfs("dag", "import", "--offline", "--pin-roots=false", *map(str, Path(stage.staging).glob("*.car")))
    daemon = subprocess.Popen(
        ["ipfs", "daemon", "--offline"], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"{url}/ipfs/bafkqaaa?format=raw", timeout=5).close()
                break
            except (urllib.error.URLError, ConnectionError):
                assert time.monotonic() < deadline
                time.sleep(0.2)
        yield url
    finally:
        daemon.terminate()
        daemon.wait(30)


def asked(url: str, path: str, query: str) -> bytes:
    with urllib.request.urlopen(f"{url}/ipfs/{path}?{query}", timeout=60) as answer:
        data: bytes = answer.read()
        return data


QUERIES = [
    "dag-scope=block",
    "dag-scope=entity",
    "dag-scope=all",
    *(f"entity-bytes={text}" for text, low, high in RANGES if low < high and "-" not in text[:1]),
]
PATHS = ["", "/big", "/a", "/a/a/deep", "/wide", "/wide/017", "/folders/033/file", "/empty", "/none"]
PATHS += ["/b.bin.ptolemy0", "/link", "/a!"]


@pytest.mark.parametrize("path", PATHS)
def test_kubo_gives_the_same_cars(kubo: str, stage: Scene, path: str) -> None:
    root = next(iter(_roots(stage)))
    own = Asked(stage)
    for query in QUERIES:
        if query.startswith("entity-bytes") and path != "/big":
            continue  # the ranges are of that file
        whole = f"format=car&car-order=dfs&car-dups=y&{query}"
        theirs = [one.cid for one in sections_of(asked(kubo, cid.to_text(root) + path, whole))]
        parameters = dict(pair.split("=") for pair in whole.split("&"))
        ours = own.got(own.text(cid.to_text(root) + path, **parameters)).cids
        if query.startswith("entity-bytes"):
            assert set(ours) <= set(theirs), query  # kubo reads ahead: it gives more than the range needs
        else:
            assert ours == theirs, query


def test_kubo_gives_the_same_blocks(kubo: str, stage: Scene) -> None:
    own = Asked(stage)
    for root in (*_roots(stage), *(row.payload_cid for row in stage.cars())):
        assert own.get(root, format="raw").body == asked(kubo, cid.to_text(root), "format=raw")


def _roots(stage: Scene) -> list[bytes]:
    from ptolemy_core.catalog import roots

    return [row.root_cid for row in roots.rows(stage.catalog, stage.name)]
