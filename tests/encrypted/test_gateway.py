"""The gateway over encrypted projects: what it gives is what their CARs hold."""

from typing import Any

import pytest

from ptolemy_core.catalog import shards
from ptolemy_core.dag import cid
from ptolemy_core.layout import HEADER_SIZE
from ptolemy_core.stages.dataset import build_root
from tests.dag import oracle
from tests.gateway.holdings import Asked
from tests.stages.conftest import PROFILE

CONTENT: oracle.Content = {
    b"big": bytes(range(256)) * 37,
    b"a": {b"b": b"short", b"c": bytes(1300)},
    b"link": oracle.Link(b"a/b"),
    b"none": {},
}


@pytest.mark.parametrize("storage", ["staged", "generated"])
@pytest.mark.parametrize("names", [False, True])
def test_files_shards_and_roots_of_an_encrypted_project_are_found(
    make: Any, storage: str, names: bool
) -> None:
    stage = make(public_pieces=True, car_storage=storage, encrypt_names=names)
    stage.run(CONTENT)
    row, _ = build_root(stage.catalog, stage.name, profile=PROFILE)
    asked = Asked(stage)
    blocks: dict[bytes, bytes] = {}
    for car in stage.cars():
        whole = asked.car(car.payload_cid)
        blocks |= {section.cid: section.block for section in whole.sections}
        for item in shards.built(stage.catalog, car.container_id):
            found = asked.car(item.cid).body[HEADER_SIZE:]
            assert found == whole.body[item.car_offset : item.car_offset + len(found)]
    everything = asked.car(row.root_cid)
    assert {one.cid for one in everything.sections if one.cid.startswith(cid.RAW_PREFIX)} == {
        one for one in blocks if one.startswith(cid.RAW_PREFIX)
    }
    (big,) = (file for file in stage.files() if bytes(file.path) == b"big")
    assert big.cid is not None
    part = asked.car(bytes(big.cid), entity_bytes="5000:5001")
    assert set(part.cids) < set(asked.car(bytes(big.cid)).cids)
