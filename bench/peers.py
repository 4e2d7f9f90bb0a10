"""Other tools: which are here, and how each makes a CAR, a root CID or a piece commitment.

Commands are looked for on PATH; aleph-cid, a library, in the Python that runs this.
"""

import importlib.util
import math
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from bench.jobs import Clock
from bench.measure import Run, Sample, job, run

INSTALL = {
    "aleph-cid": "PyPI aleph-cid",
    "ipfs-car": "npm ipfs-car",
    "car": "go install github.com/ipld/go-car/cmd/car",
    "gocar": "go build in bench/gocar",
    "stream-commp": "go install github.com/filecoin-project/go-fil-commp-hashhash/cmd/stream-commp",
    "hashhash": "go build in bench/hashhash",
    "singularity": "go install github.com/data-preservation-programs/singularity",
}
"""Name of each tool, and where it comes from."""

_CHUNK = 256 << 10
"""Bytes of a leaf by kubo's older defaults; a file up to this size is one leaf in either profile."""

_CID = re.compile(r"\b(baf[yk][a-z2-7]{50,})\b")
_PIECE = re.compile(r"\b(baga6ea4seaq[a-z2-7]{52})\b")


@dataclass(frozen=True, slots=True)
class Peer:
    """One tool's way to do one thing.

    Attributes:
        name: of the row.
        makes: what comes out.
        run: does it once, and puts `root` and `piece` (text; empty if unknown) into the sample's value.
        same_up_to: bytes of the largest file for which it gives the profile's root CID; None if it never does.
    """

    name: str
    makes: str
    run: Run
    same_up_to: float | None


def find(name: str) -> str | None:
    """The command's path, or None."""
    return shutil.which(name)


def missing(name: str) -> str:
    """A line for a tool that isn't here."""
    return f"Not found: {name} ({INSTALL[name]})"


def run_tool(command: list[str], env: Mapping[str, str] | None = None, stdin: str = "/dev/null") -> Sample:
    """Run a tool; the first root and piece CIDs that it prints are the answer."""
    sample = run(command, env, stdin)
    text = sample.text + "\n" + sample.errors
    root, piece = _CID.search(text), _PIECE.search(text)
    value = {"root": root[1] if root else "", "piece": piece[1] if piece else ""}
    return replace(sample, value=value)


def aleph(path: str, out: str | None) -> dict[str, Any]:
    """Job: aleph-cid's root CID of a folder, and its CAR if `out` is given."""
    library: Any = importlib.import_module("aleph_cid")
    with Clock() as clock:
        root = library.write_folder_car(path, out) if out else library.hash_folder(path)
    return clock.answer(root=root)


def here(folder: Path, out: Path) -> Iterator[Peer]:
    """The peers that can turn a folder into a CAR or a root CID, each writing into `out`."""
    car, target = str(out / "peer.car"), str(folder)
    if importlib.util.find_spec("aleph_cid"):
        yield Peer("aleph-cid", "root CID", partial(job, "peers.aleph", path=target, out=None), _CHUNK)
        yield Peer("aleph-cid", "CAR", partial(job, "peers.aleph", path=target, out=car), _CHUNK)
    if tool := find("ipfs-car"):
        yield Peer("ipfs-car", "CAR", partial(run_tool, [tool, "pack", target, "--output", car]), math.inf)
    commitment = find("stream-commp") or find("hashhash")
    if commitment and (steps := _go_car(target, car)):
        steps += [f"{commitment} < {shlex.quote(car)}", f"cp {shlex.quote(car)} {shlex.quote(car)}.copy"]
        command = ["sh", "-c", " && ".join(steps)]
        yield Peer("go-car, then commitment", "CAR, piece CID", partial(run_tool, command), None)
    if tool := find("singularity"):
        command = [tool, "ez-prep", "--output-dir", str(out), "--database-file", "", target]
        yield Peer("singularity", "CAR, piece CID", partial(run_tool, command), None)


def absent() -> list[str]:
    """Lines for the peers that aren't here."""
    lines = [missing(name) for name in ("ipfs-car", "singularity") if not find(name)]
    if not (find("car") or find("gocar")):
        lines.append(missing("car"))
    if not (find("stream-commp") or find("hashhash")):
        lines.append(missing("stream-commp"))
    if not importlib.util.find_spec("aleph_cid"):
        lines.append(missing("aleph-cid"))
    return lines


def _go_car(target: str, car: str) -> list[str]:
    """`car create` and `car root`, or the same by the libraries that they are made of; empty if neither is here."""
    source, goal = shlex.quote(target), shlex.quote(car)
    if tool := find("car"):
        return [f"{tool} create --version 1 --no-wrap -f {goal} {source}", f"{tool} root {goal}"]
    if tool := find("gocar"):
        return [f"{tool} {goal} {source}"]
    return []
