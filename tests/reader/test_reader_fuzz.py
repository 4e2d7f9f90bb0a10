"""Mutated CARs: whatever the bytes, reader and restore end with findings or problems, never with a traceback.

A usual run takes the same mutations each time. `pytest tests/reader/test_reader_fuzz.py --fuzz-seconds 600` goes
on with new ones, and says the seed of one that fails: `mutated(seed)` makes it again.
"""

import json
import os
import random
import tempfile
import time
import tracemalloc
from contextlib import suppress
from pathlib import Path

import pytest

from ptolemy_core.reader import CarError, inspect_car, read_entries, verify_car
from ptolemy_core.restore import CarsError, Extraction, TargetError, extract
from tests.reader.encoder import SMALL, uvarint

CORPUS = sorted((Path(__file__).parent / "corpus").glob("*.car"))
ROUNDS = 400
RESTORED = 4
"""Of so many mutations one is restored, too: the reader alone is quicker."""
_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 36, 1 << 14, 1 << 20, (8 << 20) + 1, 1 << 31, 1 << 35, (1 << 63) - 1)


def mutated(seed: int) -> bytes:
    """A CAR of the corpus with one to eight changes."""
    rng = random.Random(seed)
    data = bytearray(rng.choice(CORPUS).read_bytes())
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        if not data:
            break
        # half of the changes near the beginning, where header and root are
        at = rng.randrange(min(len(data), 200) if rng.random() < 0.5 else len(data))
        size = rng.choice((1, 1, 2, 4, 36, 100))
        match rng.randrange(9):
            case 0:
                data[at] ^= 1 << rng.randrange(8)
            case 1:
                data[at : at + size] = rng.randbytes(size)
            case 2:
                del data[at : at + size]
            case 3:
                data[at:at] = rng.randbytes(size)
            case 4:
                data[at:at] = data[at : at + rng.choice((40, 200, 1000))]
            case 5:
                data[at : at + rng.randrange(3)] = uvarint(rng.choice(_NUMBERS))
            case 6:
                other = rng.choice(CORPUS).read_bytes()
                start = rng.randrange(len(other))
                data[at:at] = other[start : start + rng.choice((40, 400))]
            case 7:
                del data[at:]
            case _:
                data += bytes(rng.choice((1, 9, 400)))
    return bytes(data)


def survives(path: Path, to: Path | None) -> None:
    """Read a CAR in every way; only what is meant for users may be raised."""
    size = path.stat().st_size
    for report in (inspect_car(path), verify_car(path, SMALL)):
        assert all(0 <= found.offset <= size and found.message for found in report.findings)
    refused: CarError | None = None
    try:
        for _ in read_entries(path, SMALL):
            pass
    except CarError as error:
        refused = error
    assert refused is None or (refused.reason and 0 <= refused.offset <= size)
    if to is not None:
        with suppress(CarsError, TargetError), Extraction([path]) as extraction:
            extraction.write(os.fsencode(to))


def run(seed: int, folder: Path) -> None:
    path = folder / "fuzz.car"
    path.write_bytes(mutated(seed))
    with tempfile.TemporaryDirectory(dir=folder) as below:
        # whatever a name says, nothing may appear beside the target
        try:
            survives(path, None if seed % RESTORED else Path(below) / "in" / "to")
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
        if os.path.exists(Path(below) / "in"):
            assert os.listdir(Path(below) / "in") == ["to"], seed
        assert set(os.listdir(below)) <= {"in"}, seed
    assert os.listdir(folder) == ["fuzz.car"], seed


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        extract, "sync_file_system", lambda _: None
    )  # a thousand restores need not reach the disk


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_seeds_are_read(tmp_path: Path, path: Path) -> None:
    survives(path, tmp_path / "to")
    wrong = {str(found.code) for found in inspect_car(path).findings}
    assert wrong == ({"trailing-bytes"} if path.stem == "padded" else set())


@pytest.mark.usefixtures("quick")
def test_mutations_do_no_harm(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    seconds = request.config.getoption("--fuzz-seconds")
    for seed in range(ROUNDS):
        run(seed, tmp_path)
    end = time.monotonic() + seconds
    seed = random.SystemRandom().getrandbits(40)
    done = 0
    while time.monotonic() < end:
        run(seed + done, tmp_path)
        done += 1
    if done:
        print(json.dumps({"seeds": [seed, seed + done], "mutations": done}))


def test_mutations_take_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "fuzz.car"
    tracemalloc.start()
    try:
        for seed in range(60):
            path.write_bytes(mutated(seed))
            inspect_car(path)
            verify_car(path, SMALL)
        assert tracemalloc.get_traced_memory()[1] < 40 << 20
    finally:
        tracemalloc.stop()
