"""Hashes that other threads compute: the verdict doesn't depend on their number, and memory is bounded."""

import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ptolemy_core import commp
from ptolemy_core.dag.profile import Profile
from ptolemy_core.reader import CarEntry, CarError, EachEntry, Limits, blocks, forward, threads, verify_car
from ptolemy_core.reader import car as reader_car
from ptolemy_core.reader.threads import HashThreads, JobQueue
from tests.reader.encoder import car, directory, file, header, leaf, section, write

PROFILE = Profile(chunk=64, width=4, hamt_threshold=4000)
DATA = car(directory({b"big": file(bytes(range(250)) * 12, PROFILE), b"a": file(b"a", PROFILE)}, PROFILE))
Verdict = tuple[object, ...]


def verdict(path: Path, hashing: HashThreads) -> Verdict:
    met: list[CarEntry] = []
    report = verify_car(path, PROFILE, receiver=EachEntry(met.append), limits=Limits(threads=hashing))
    return (report, tuple(met))


@pytest.fixture
def small_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "CHUNK", 100)


def damaged() -> Iterator[bytes]:
    chosen = random.Random(5)
    yield DATA
    yield b""
    yield DATA + bytes(1000)
    yield DATA + b"\x01" + DATA
    for _ in range(150):
        data = bytearray(DATA)
        for _ in range(chosen.randint(1, 3)):
            data[chosen.randrange(len(data))] ^= 1 << chosen.randrange(8)
        yield bytes(data)
    for cut in chosen.sample(range(1, len(DATA)), 60):
        yield DATA[:cut]


def test_damaged_cars_are_found_alike_by_one_thread_and_by_many(
    tmp_path: Path, small_reads: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with HashThreads(1) as one, HashThreads(7) as many:
        monkeypatch.setattr(one, "slots", threading.Semaphore(0))  # each result is awaited at once
        for data in damaged():
            path = write(tmp_path / "a.car", data)
            assert verdict(path, many) == verdict(path, one), data.hex()


def test_cars_that_are_read_at_once_share_the_threads_and_get_the_verdicts_of_each_alone(
    tmp_path: Path, small_reads: None
) -> None:
    paths = [write(tmp_path / f"{n}.car", data) for n, data in enumerate(damaged()) if n % 5 == 0]
    with HashThreads(2) as shared, ThreadPoolExecutor(6) as readers:
        alone = [verdict(path, shared) for path in paths]
        assert list(readers.map(lambda path: verdict(path, shared), paths)) == alone
        assert shared.slots._value == shared.count + threads.READ_AHEAD  # all are given back


def test_no_more_jobs_are_kept_than_there_are_slots_for() -> None:
    going = threading.Event()
    with HashThreads(2) as two:
        queues: list[JobQueue[int, bool]] = [JobQueue(two), JobQueue(two)]
        for queue in queues:
            number = 0
            while not queue.is_due():
                queue.add(number, going.wait)
                number += 1
        assert [len(queue) for queue in queues] == [1 + 2 + threads.READ_AHEAD, 1]
        going.set()
        assert [queues[0].take()[0] for _ in range(len(queues[0]))] == [0, 1, 2, 3, 4]


def test_a_fault_of_the_container_comes_after_the_faults_of_the_blocks_before_it(
    tmp_path: Path, small_reads: None
) -> None:
    blocks_ = [section(leaf(b"%d" % n).cid, b"other %d" % n) for n in range(30)]
    path = write(tmp_path / "a.car", header(leaf(b"0").cid) + b"".join(blocks_) + b"\xff" * 20)
    with HashThreads(5) as many:
        found = verify_car(path, PROFILE, limits=Limits(threads=many)).findings
        codes = [str(each.code) for each in found]
        assert codes.count("hash-mismatch") == 30
        assert "hash-mismatch" not in codes[codes.index("varint") :]
        few = verify_car(path, PROFILE, limits=Limits(findings=7, threads=many)).findings
    assert few == found[:7]


def test_a_reader_that_gives_up_returns_its_slots(tmp_path: Path, small_reads: None) -> None:
    path = write(tmp_path / "a.car", DATA)
    read = 0

    def stop(step: int) -> None:
        nonlocal read
        read += step
        if read > len(DATA) // 2:
            raise KeyboardInterrupt

    with HashThreads(3) as three:
        with pytest.raises(KeyboardInterrupt):
            verify_car(path, PROFILE, limits=Limits(threads=three), progress=stop)
        assert three.slots._value == three.count + threads.READ_AHEAD


def test_batches_come_before_the_error_that_ends_them() -> None:
    def broken() -> Iterator[reader_car.Batch]:
        for base in range(9):
            yield reader_car.Batch(b"", base, [])
        raise CarError(reader_car.Code.VARINT, "no", "a.car", 9)

    seen: list[int] = []
    with HashThreads(4) as four, pytest.raises(CarError):
        for batch, _ in blocks.checked(broken(), four, 1):
            seen.append(batch.base)
    assert seen == list(range(9))


def test_reads_end_where_large_sections_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_car, "READ_SIZE", 400)
    profile = Profile(chunk=64, width=100)
    dag = file(b"x" * 64 * 99, profile)
    sizes: list[int] = []
    path = write(tmp_path / "a.car", car(dag))
    with reader_car.open_car(path) as reader:
        reader._tap = lambda chunk: sizes.append(len(chunk))
        found = [batch.sections for batch in reader.batches()]
    assert sum(map(len, found)) == len(dag.blocks)
    steady = sizes[-6:-2]
    assert set(steady) == {4 * 101}, sizes


def test_roots_of_subtrees_that_are_taken_make_the_same_commitment() -> None:
    data = bytes(range(256)) * 20_000
    piece = commp.PieceCommitment()
    taken = [piece.take(data[at : at + 700_001]) for at in range(0, len(data), 700_001)]
    for roots in [[commp.subtree_roots(whole) for whole in part] for part in taken]:
        for each in roots:
            piece.put(each)
    assert piece.digest() == commp.PieceCommitment(data).digest()
