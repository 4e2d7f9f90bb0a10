"""Pieces and paths of encrypted projects as they are served: encrypted bytes, by encrypted names alone."""

from typing import Any

import pytest

from ptolemy_core.catalog import data_keys
from ptolemy_core.encryption.opening import open_cipher
from ptolemy_core.keys import Keyring
from tests.encrypted.test_stages import CANARY, data
from tests.gateway.holdings import Asked, refusal
from tests.stages.conftest import PROFILE

TREE = {b"f": data(1500), b"below": {b"canary": CANARY * 20}}


@pytest.mark.parametrize("storage", ["staged", "generated"])
def test_pieces_are_served_encrypted(make: Any, storage: str) -> None:
    stage = make(car_storage=storage, public_pieces=True)
    row = stage.run(TREE)[0]
    got = Asked(stage).got(Asked(stage).piece(row.piece_cid_v2))
    assert len(got.body) >= row.car_size
    assert CANARY not in got.body
    assert b"canary" not in got.body


@pytest.mark.parametrize("storage", ["staged", "generated"])
def test_paths_are_those_of_encrypted_names(make: Any, keyring: Keyring, storage: str) -> None:
    stage = make(car_storage=storage, public_pieces=True)
    row = stage.run(TREE)[0]
    cipher = open_cipher(data_keys.data_keys(stage.catalog, stage.name), keyring, segment=PROFILE.chunk)
    asked = Asked(stage)
    names = cipher.car_path(b"below\0canary").split(b"\0")
    got = asked.car(row.payload_cid, *names)
    assert CANARY not in got.body
    assert refusal(asked.path(row.payload_cid, b"below", b"canary", format="car"), 404)
    whole = asked.car(row.payload_cid)
    assert len(whole.body) == row.car_size
