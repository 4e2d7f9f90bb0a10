"""Small files that are checked many at once: the verdict is the one of checking each alone."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from ptolemy_core.dag.profile import Profile
from ptolemy_core.kernel import blocks
from ptolemy_core.reader import CarEntry, EachEntry, FileRun, dagpb, verify_car
from ptolemy_core.reader.limits import Limits
from tests.reader.encoder import Dag, car, cid_of, field, leaf, link, node, plain_directory

FILES = [(b"%03d" % number, leaf(b"%d" % number)) for number in range(12)]
PROFILE = Profile(chunk=8, width=3, hamt_threshold=4000)
Verdict = list[object]
Both = Callable[[bytes], tuple[Verdict, Verdict]]


@pytest.fixture
def both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Both:
    """What is found in a CAR with blocks read many at once, and one by one."""
    path = tmp_path / "one.car"
    usual = blocks.compiled
    if usual() is None:
        pytest.skip("no compiled kernel here")
    monkeypatch.setattr(dagpb, "_MANY", 0)

    def verdict() -> Verdict:
        met: list[CarEntry] = []
        report = verify_car(path, PROFILE, receiver=EachEntry(met.append), limits=Limits(findings=1000))
        found = sorted(map(repr, report.findings))
        return [met, found, report.blocks, report.files, report.file_bytes, report.piece_cid_v2]

    def read(data: bytes) -> tuple[Verdict, Verdict]:
        path.write_bytes(data)
        monkeypatch.setattr(blocks, "compiled", usual)
        quick = verdict()
        monkeypatch.setattr(blocks, "compiled", lambda: None)
        return quick, verdict()

    return read


def sound() -> Dag:
    below = plain_directory([*FILES[:5], (b"deep", plain_directory(FILES[2:4])), (b"x", leaf(b"x"))])
    return plain_directory(
        [(b"a", leaf(b"a")), (b"below", below), *[(b"c" + name, dag) for name, dag in FILES]]
    )


def test_files_of_a_folder_are_those_that_are_read_one_by_one(both: Both) -> None:
    quick, slow = both(car(sound()))
    assert quick == slow
    assert quick[1:4] == [[], 1 + 2 + 1 + 5 + 2 + 1 + 12, 1 + 5 + 2 + 1 + 12]


def test_files_are_passed_on_as_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "one.car"
    path.write_bytes(car(plain_directory([(b"f", plain_directory(FILES))])))
    entries: list[CarEntry] = []
    runs: list[FileRun] = []
    verify_car(path, PROFILE, receiver=EachEntry(entries.append))
    assert [entry.path for entry in entries] == [b"f", *(b"f/" + name for name, _ in FILES)]
    rest: list[CarEntry] = []

    class Columns(EachEntry):
        def files(self, files: FileRun) -> None:
            runs.append(files)

    monkeypatch.setattr(dagpb, "_MANY", 0)
    verify_car(path, PROFILE, receiver=Columns(rest.append))
    if blocks.compiled() is not None:
        assert [len(run.names) for run in runs] == [len(FILES)]
    assert rest + [entry for run in runs for entry in run] == entries


def odd_links() -> list[Dag]:
    first, second, long = leaf(b"first"), leaf(b"second"), leaf(b"more than a chunk")
    data = field(1, 1)
    wrong_size = node(link(b"a", first) + link(b"b", second, 7), data, [first, second])
    no_name = field(2, field(1, first.cid) + field(3, 5))
    other_block = Dag((*plain_directory([(b"a", first)]).blocks[:1], (cid_of(0x55, b"no"), b"no")))
    return [
        wrong_size,
        plain_directory([(b"b", first), (b"a", second)]),
        plain_directory([(b"a", first), (b"a", second)]),
        plain_directory([(b"a", first), (b"b", long), (b"c", second)]),
        *(
            plain_directory([(b"!", first), (name, second), (b"~", first)])
            for name in (b"", b".", b"..", b"a/b", b"a\0")
        ),
        node(link(b"a", first) + no_name, data, [first, first]),
        other_block,
        Dag((*plain_directory([(b"a", first), (b"b", second)]).blocks[:2],)),
        Dag((*plain_directory([(b"a", first)]).blocks, *second.blocks)),
    ]


@pytest.mark.parametrize("dag", odd_links(), ids=range(len(odd_links())))
def test_odd_folders_are_refused_alike(both: Both, dag: Dag) -> None:
    quick, slow = both(car(plain_directory([(b"0", leaf(b"0")), (b"odd", dag)])))
    assert quick == slow
    assert quick[1]


def test_changed_bytes_and_cuts_are_found_alike(both: Both) -> None:
    whole = car(sound())
    chosen = random.Random(7)
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(chosen.randint(1, 3)):
            data[chosen.randrange(len(data))] ^= 1 << chosen.randrange(8)
        quick, slow = both(bytes(data))
        assert quick == slow, data.hex()
        assert quick[1]
    for cut in chosen.sample(range(1, len(whole)), 60):
        quick, slow = both(whole[:cut])
        assert quick == slow, cut
