"""Deals: one protocol for proposing pieces to storage providers, and the engines that speak it.

`proposal` is what is proposed, and checks itself; `states` is where a deal can be; `engine` is the protocol; `curio`
and `manual` are engines. Nothing here knows the catalog, a policy or Dagster: an engine is asked about one deal at a
time, and what it says is recorded by whoever asked.
"""

from ptolemy_core.deals.engine import Engine, Report, Terms
from ptolemy_core.deals.faults import Fault, Problem
from ptolemy_core.deals.proposal import (
    Conditions,
    Offline,
    Piece,
    Proposal,
    Provider,
    Pull,
    Push,
    SourceUrl,
)
from ptolemy_core.deals.states import DealState, advance
from ptolemy_core.ulid import new_ulid

__all__ = [
    "Conditions",
    "DealState",
    "Engine",
    "Fault",
    "Offline",
    "Piece",
    "Problem",
    "Proposal",
    "Provider",
    "Pull",
    "Push",
    "Report",
    "SourceUrl",
    "Terms",
    "advance",
    "new_ulid",
]
