"""Verified deals by commands: allocations from CSV and JSON go to the pieces and providers that they are for."""

import json
from pathlib import Path

import pytest

from ptolemy_core.keys.wallets import parse_wallet
from tests.cli.commands import printed, ptolemy
from tests.deals.project import KEY, SECRET, CarServer
from tests.pipeline.backend import Backend, in_process
from tests.pipeline.fixtures import sqlite
from tests.provider import Allocation, ProviderServer

__all__ = ["sqlite"]


def test_allocations_from_csv_and_json_are_used_by_the_deals_of_their_pieces(
    sqlite: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PTOLEMY_PIECE_SECRET", SECRET)
    monkeypatch.setenv("PTOLEMY_WALLETS", f"main=secp256k1:{KEY}")
    client = str(parse_wallet(f"secp256k1:{KEY}", "main", "a test").address("mainnet"))
    sqlite.define(target=sqlite.folder("big", {"a.bin": bytes(range(256)) * 2400}))
    with sqlite.instance() as instance:
        for job in ("scan", "containerize", "blitz"):
            assert in_process(job, "delta", instance).success
    (car,) = printed("cars", "delta")[:1]
    size = car["piece_size"]
    assert size == 1 << 20
    cars = CarServer(sqlite.staging())
    with (
        ProviderServer(tmp_path / "anna", seconds=0.01, fetch_pause=0.01) as anna,
        ProviderServer(tmp_path / "bert", seconds=0.01, fetch_pause=0.01) as bert,
    ):
        for name, address, server, number in (("anna", "f01000", anna, 7), ("bert", "f01001", bert, 8)):
            server.market.providers = (address,)
            server.market.allocations[number] = Allocation(client, address, car["piece_cid"], size)
            ptolemy("providers", "add", name, "--address", address, "--url", server.url)
        wanted = ("--replicas", 2, "--providers", "anna", "--providers", "bert", "--deal-wallet", "main")
        ptolemy("set", "delta", *wanted, "--deal-verified", "--piece-url", cars.template)
        assert "no free allocation fits this piece" in ptolemy("deals", "plan", "delta").output

        table = tmp_path / "allocations.csv"
        table.write_text(
            "AllocationID,Client,Provider,Data,Size,TermMin,TermMax\n"
            f"6,{client},1000,{car['piece_cid']},{size * 2},518400,5256000\n"  # of another size
            f"7,{client},1000,{car['piece_cid']},{size},518400,5256000\n"
        )
        assert printed("deals", "allocations", table) == {"read": 2, "new": 2, "free": 2}
        whole = {
            "id": 8,
            "provider": "f01001",
            "data": {"/": car["piece_cid"]},
            "size": size,
            "client": client,
        }
        table.write_text(json.dumps({"allocations": [whole]}))
        assert printed("deals", "allocations", table)["new"] == 1

        planned = {
            one["provider"]: one["allocation_id"] for one in printed("deals", "plan", "delta")["deals"]
        }
        assert planned == {"anna": 7, "bert": 8}
        ptolemy("deals", "make", "delta")
        for _ in range(200):
            if "1 of 1 pieces have" in ptolemy("deals", "track", "delta", "--all").output:
                break
        made = {
            (one["provider"], one["state"], one["allocation_id"]) for one in printed("deals", "list", "delta")
        }
        assert made == {("anna", "active", 7), ("bert", "active", 8)}
        (deal,) = anna.store.deals()
        assert deal.body["products"]["ddo_v1"]["allocation_id"] == 7
        assert printed("deals", "allocations", table) == {
            "read": 1,
            "new": 0,
            "free": 1,
        }  # used ones aren't free
    cars.close()
