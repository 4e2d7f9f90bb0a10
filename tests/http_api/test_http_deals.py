"""Deals and providers over HTTP."""

from ptolemy_core.catalog import projects, providers
from ptolemy_core.catalog.providers import ProviderRow
from ptolemy_core.keys.wallets import Wallets, WalletText
from ptolemy_core.stages.deal import record_plan
from tests.cli.test_schemas import is_as_published
from tests.deals.project import KEY
from tests.http_api.client import Api
from tests.http_api.test_http_resources import build


def test_deals_and_providers_are_told(both: Api) -> None:
    both.create()
    build(both.backend)
    catalog = both.backend.catalog
    providers.add(catalog, ProviderRow("anna", "manual", "mainnet", "f01234"))
    wanted = {"replicas": 1, "providers": ["anna"], "deal_wallet": "main", "deal_transfer": "offline"}
    projects.change(catalog, "delta", wanted)
    empty = is_as_published("http-deals", both.get("/v0/deals/delta"))
    assert (empty["pieces"], empty["replicated"], empty["deals"]) == (1, 0, [])
    record_plan(catalog, "delta", Wallets([WalletText(f"main=secp256k1:{KEY}", "a test")]))
    told = is_as_published("http-deals", both.get("/v0/deals/delta/"))
    (deal,) = told["deals"]
    assert (deal["provider"], deal["state"], told["on_the_way"]) == ("anna", "planned", 1)
    assert both.get("/v0/deals/delta?state=active")["deals"] == []
    whole = is_as_published("http-deal", both.get(f"/v0/deals/delta/{deal['id']}"))
    assert [entry["state"] for entry in whole["history"]] == ["planned"]
    (provider,) = is_as_published("http-providers", both.get("/v0/providers"))
    assert (provider["name"], provider["pending"]) == ("anna", 1)


def test_deals_of_what_is_not_there_are_not_found(api: Api) -> None:
    api.problem("/v0/deals/delta", 404)
    api.create()
    api.problem(f"/v0/deals/delta/{'0' * 26}", 404)


def test_providers_that_can_not_be_used_are_refused_in_settings(api: Api) -> None:
    catalog = api.backend.catalog
    providers.add(catalog, ProviderRow("anna", "manual", "mainnet", "f01234"))
    wrong = (
        ({"providers": ["nobody"]}, "no provider 'nobody'"),
        ({"providers": ["anna", "anna"]}, "twice"),
        ({"providers": ["anna"], "replicas": 2}, "wants replicas 2"),
    )
    for settings, words in wrong:
        body = api.settings(**settings)
        assert words in api.problem("/v0/create/delta", 422, "POST", json=body)
    told = api.create(deal_wallet="lost")
    assert "there is no wallet lost" in told["warning"]
    for settings, words in wrong:
        assert words in api.problem("/v0/projects/delta", 422, "PATCH", json=settings)
