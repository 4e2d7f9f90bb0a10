"""The stand-in as a process that is killed and started again, and what it and we print."""

import contextlib
import io
import logging
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ptolemy_core.deals import DealState, Fault
from ptolemy_core.deals.curio import CurioEngine
from ptolemy_core.errors import DealError, PtolemyError
from tests.deals.conftest import KEY, SIGNED, TOKEN, WALLETS, Make, wait_for
from tests.provider import ProviderServer
from tests.provider.faults import FAULTS

ROOT = Path(__file__).parents[2]


@contextlib.contextmanager
def process(folder: Path, *options: str) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """A provider in a process of its own, and where it is."""
    command = [sys.executable, "-m", "tests.provider", "--folder", str(folder), "--seconds", "0.05", *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            yield running.stdout.readline().split()[-1], running
        finally:
            running.kill()


def test_a_killed_provider_that_comes_back_has_its_deals(
    engine: CurioEngine, make: Make, tmp_path: Path
) -> None:
    proposal = make()
    with process(tmp_path / "p", "--fault", "POST /deal=no-answer-after") as (url, running):
        proposal = replace(proposal, provider=replace(proposal.provider, url=url))
        engine.propose(proposal, sent=False)
        os.kill(running.pid, signal.SIGKILL)
        running.wait()
        with pytest.raises(DealError) as caught:
            engine.status(proposal)
        assert caught.value.fault in (Fault.UNREACHABLE, Fault.TIMED_OUT)
    with process(tmp_path / "p") as (url, running):
        proposal = replace(proposal, provider=replace(proposal.provider, url=url))
        engine.propose(proposal, sent=True)
        wait_for(engine, proposal, DealState.ACTIVE)
        running.terminate()
        assert running.wait(timeout=20) == 0


def test_the_clock_of_a_provider_can_be_off(engine: CurioEngine, make: Make, tmp_path: Path) -> None:
    proposal = make()
    with process(tmp_path / "p", "--clock-offset", "125") as (url, _), pytest.raises(DealError) as caught:
        engine.propose(replace(proposal, provider=replace(proposal.provider, url=url)), sent=False)
    assert "your clock is off by 12" in str(caught.value)


@pytest.mark.parametrize("alias", ["main", "eth"])
def test_no_secret_is_in_any_output_whatever_goes_wrong(
    make: Make, provider: ProviderServer, alias: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Keys, signatures, queries of URLs and values of headers: in no log, text of a value, error or traceback."""
    caplog.set_level(logging.DEBUG)
    engine = CurioEngine(WALLETS.__getitem__, seconds=0.5)
    provider.slow_seconds = 0.8
    output = io.StringIO()
    calls = {
        "POST /deal": lambda proposal: engine.propose(proposal, sent=False),
        "GET /status/{id}": engine.status,
        "GET /products": lambda proposal: engine.accepts(proposal.provider, alias),
        "POST /update/{id}": engine.update,
    }
    proposal = make(alias=alias)
    for route, call in calls.items():
        for fault in FAULTS:
            provider.faults.add(route, fault)
            try:
                print(call(proposal), file=output)
            except PtolemyError as error:
                print(error, repr(error), vars(error), file=output)
                traceback.print_exc(file=output)
            provider.faults.clear()
    print(proposal, engine.client(proposal), WALLETS, str(proposal.urls()[0]), file=output)
    text = output.getvalue() + caplog.text
    key = bytes.fromhex(KEY)
    for secret in (SIGNED, TOKEN, KEY, KEY.upper(), repr(key)[2:-1], str(int(KEY, 16))):
        assert secret not in text
    assert "CurioAuth" not in text
    assert f"provider {proposal.provider.address}" in text
