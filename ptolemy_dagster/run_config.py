"""Configuration of runs, as those that launch them give it; nothing of Dagster is imported for it."""

from typing import Any


def scan_config(accept_loss: bool) -> dict[str, Any]:
    """The configuration of a run that scans."""
    return {"ops": {"scan_result": {"config": {"accept_loss": True}}}} if accept_loss else {}


def deal_config(propose: bool) -> dict[str, Any]:
    """The configuration of a run that makes deals, or only follows them."""
    return {} if propose else {"ops": {"deals": {"config": {"propose": False}}}}
