"""A whole verification: digests, expectations, listings, damage anywhere, limits."""

import hashlib
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ptolemy_core import commp
from ptolemy_core.dag.profile import Profile
from ptolemy_core.reader import (
    CarEntry,
    CarError,
    Code,
    EachEntry,
    Expected,
    ExpectedEntry,
    Limits,
    digests,
    forward,
    inspect_car,
    listing,
    read_entries,
    verify_car,
)
from ptolemy_core.reader.threads import READ_AHEAD, HashThreads
from tests.reader.encoder import (
    SMALL,
    Dag,
    car,
    car_v2,
    directory,
    file,
    header,
    leaf,
    sample,
    section,
    symlink,
    write,
)

DATA = car(sample())
FIXED_PATH = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def codes(path: Path, **options: object) -> list[str]:
    return [str(each.code) for each in verify_car(path, SMALL, **options).findings]  # type: ignore[arg-type]


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write(tmp_path / "good.car", DATA)


def test_report_of_a_good_car(good: Path) -> None:
    report = verify_car(good, SMALL)
    root = commp.PieceCommitment(DATA).digest()
    assert report.ok
    assert report.findings == ()
    assert report.name == str(good)
    assert report.size == len(DATA)
    assert report.blocks == len(sample().blocks)
    assert report.payload_cid == sample().cid
    assert report.sha256 == hashlib.sha256(DATA).digest()
    assert report.piece_cid_v1 == commp.piece_cid_v1(root)
    assert report.piece_cid_v2 == commp.piece_cid_v2(root, len(DATA))
    assert report.piece_size == commp.piece_size(len(DATA))
    assert (report.files, report.directories, report.symlinks) == (44, 3, 1)
    assert report.file_bytes == 100 + 0 + 20 + 40 + 100


def all_of(path: Path) -> Expected:
    report = verify_car(path, SMALL)
    return Expected(
        report.payload_cid,
        report.piece_cid_v1,
        report.piece_cid_v2,
        report.size,
        report.piece_size,
        report.sha256,
        entries(path),
    )


def entries(path: Path) -> list[ExpectedEntry]:
    return [
        ExpectedEntry(each.path, each.kind, each.size, each.cid, each.target)
        for each in read_entries(path, SMALL)
    ]


def test_expected_values_that_are_right(good: Path) -> None:
    assert codes(good, expect=all_of(good)) == []
    assert codes(good, expect=Expected()) == []


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"payload_cid": leaf(b"x").cid}, "payload-mismatch"),
        ({"piece_cid_v1": leaf(b"x").cid}, "piece-mismatch"),
        ({"piece_cid_v2": leaf(b"x").cid}, "piece-mismatch"),
        ({"piece_size": 128}, "piece-mismatch"),
        ({"car_size": len(DATA) + 1}, "size-mismatch"),
        ({"sha256": bytes(32)}, "sha256-mismatch"),
    ],
)
def test_expected_value_that_is_wrong(good: Path, wrong: dict[str, object], code: str) -> None:
    assert codes(good, expect=Expected(**wrong)) == [code]  # type: ignore[arg-type]
    assert codes(good, expect=replace(all_of(good), **wrong)) == [code]  # type: ignore[arg-type]


def with_listing(path: Path, wanted: list[ExpectedEntry]) -> list[tuple[str, str]]:
    report = verify_car(path, SMALL, expect=Expected(entries=iter(wanted)))
    return [(str(each.code), each.message.split(": ")[0]) for each in report.findings]


@pytest.mark.parametrize("at", [0, 1, 4, 20, 47])
def test_listing_names_what_is_missing_and_what_is_extra(good: Path, at: int) -> None:
    full = entries(good)
    path = full[at].path
    assert with_listing(good, full[:at] + full[at + 1 :]) == [("entry-extra", repr(path))]
    added = ExpectedEntry(b"added", "file")
    assert with_listing(good, [*full[:at], added, *full[at:]]) == [("entry-missing", repr(b"added"))]
    assert with_listing(good, [*full[:at], added, *full[at + 1 :]]) == [
        ("entry-extra", repr(path)),
        ("entry-missing", repr(b"added")),
    ]
    assert with_listing(good, [*full[:at], full[at], *full[at:]]) == [("entry-missing", repr(path))]


def test_listing_compares_what_is_given(good: Path) -> None:
    full = entries(good)
    link = next(at for at, each in enumerate(full) if each.kind == "symlink")
    for at, change in [
        (0, {"kind": "directory"}),
        (0, {"size": 99}),
        (0, {"cid": leaf(b"x").cid}),
        (link, {"target": b"elsewhere"}),
    ]:
        changed = [*full[:at], replace(full[at], **change), *full[at + 1 :]]  # type: ignore[arg-type]
        assert with_listing(good, changed) == [("entry-mismatch", repr(full[at].path))]
    assert with_listing(good, [ExpectedEntry(each.path, each.kind) for each in full]) == []


def test_listing_in_another_order_has_the_same_entries(good: Path) -> None:
    assert with_listing(good, entries(good)[::-1]) == []


def test_listing_of_another_tree_stops_early(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MAX_UNMATCHED", 10)
    assert len(with_listing(good, [ExpectedEntry(b"%d" % n, "file") for n in range(100)])) == 1
    assert len(with_listing(good, [])) == 1
    long = [*entries(good), *(ExpectedEntry(b"%d" % n, "file") for n in range(10_000))]
    assert len(with_listing(good, long)) == 11


def test_a_receiver_is_told_what_read_entries_yields(good: Path) -> None:
    met: list[CarEntry] = []
    verify_car(good, SMALL, receiver=EachEntry(met.append))
    assert met == list(read_entries(good, SMALL))
    assert len(met) == 48


def test_progress_is_what_was_read_since_the_last_call_and_adds_up_to_the_size(
    good: Path, tmp_path: Path
) -> None:
    seen: list[int] = []
    verify_car(good, SMALL, progress=seen.append)
    assert min(seen) > 0
    assert sum(seen) == len(DATA)
    seen.clear()
    inspect_car(good, progress=seen.append)
    assert sum(seen) == len(DATA)
    seen.clear()
    broken = write(tmp_path / "broken.car", b"\x00" * 9 + DATA * 2000)

    assert verify_car(broken, SMALL, progress=seen.append).size == sum(seen) == broken.stat().st_size


def test_digests_cover_a_file_that_breaks_off_anywhere(tmp_path: Path) -> None:
    for data in (
        b"",
        b"\x05abc",
        DATA[:59],
        DATA[:200],
        DATA + bytes(3),
        DATA + b"\x01" + DATA,
        car_v2(DATA, b"index"),
    ):
        report = verify_car(write(tmp_path / "a.car", data), SMALL)
        assert not report.ok
        assert (report.size, report.sha256) == (len(data), hashlib.sha256(data).digest())
        assert report.piece_cid_v1 == commp.piece_cid_v1(commp.PieceCommitment(data).digest())


def test_car_that_no_piece_holds(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "MAX_PAYLOAD", len(DATA) - 1)
    report = verify_car(good, SMALL)
    assert [each.code for each in report.findings] == ["size-mismatch"]
    assert (report.piece_cid_v1, report.piece_cid_v2, report.piece_size) == (None, None, None)


@pytest.mark.parametrize("count", [0, 2])
def test_one_root(tmp_path: Path, count: int) -> None:
    body = b"".join(section(*each) for each in sample().blocks)
    path = write(tmp_path / "a.car", header(*[sample().cid] * count) + body)
    assert codes(path) == ["roots"]
    with pytest.raises(CarError, match="roots"):
        list(read_entries(path, SMALL))
    assert inspect_car(path).ok


def test_car_v2_is_not_ours_but_can_be_inspected(tmp_path: Path) -> None:
    path = write(tmp_path / "a.car", car_v2(DATA, b"index"))
    assert codes(path) == ["version"]
    assert inspect_car(path).ok


def test_root_of_another_block(tmp_path: Path) -> None:
    path = write(tmp_path / "a.car", car(sample(), root=leaf(b"x").cid))
    assert set(codes(path)) == {"extra-block", "missing-block"}


@given(bit=st.integers(0, len(DATA) * 8 - 1))
@FIXED_PATH
def test_every_bit_flip_is_found(tmp_path: Path, bit: int) -> None:
    damaged = bytearray(DATA)
    damaged[bit // 8] ^= 1 << bit % 8
    path = write(tmp_path / "flip.car", bytes(damaged))
    assert codes(path)
    with pytest.raises(CarError):
        list(read_entries(path, SMALL))


def test_bit_flip_in_data_is_named_at_its_block(tmp_path: Path) -> None:
    at = DATA.index(b"twenty b")
    damaged = bytearray(DATA)
    damaged[at + 3] ^= 4
    report = verify_car(write(tmp_path / "flip.car", bytes(damaged)), SMALL)
    (found,) = report.findings
    assert (found.code, found.offset) == (Code.HASH_MISMATCH, at - 36 - 1)
    (found,) = inspect_car(tmp_path / "flip.car").findings
    assert (found.code, found.offset) == (Code.HASH_MISMATCH, at - 36 - 1)


@given(end=st.integers(0, len(DATA) - 1))
@FIXED_PATH
def test_every_truncation_is_found(tmp_path: Path, end: int) -> None:
    assert set(codes(write(tmp_path / "cut.car", DATA[:end]))) <= {"truncated", "missing-block"}
    assert codes(tmp_path / "cut.car")


@given(extra=st.binary(min_size=1, max_size=50))
@FIXED_PATH
def test_anything_after_the_last_section_is_found(tmp_path: Path, extra: bytes) -> None:
    assert codes(write(tmp_path / "more.car", DATA + extra))


def test_zeros_after_the_last_section_are_named(tmp_path: Path) -> None:
    report = verify_car(write(tmp_path / "zeros.car", DATA + bytes(100)), SMALL)
    assert [(each.code, each.offset) for each in report.findings] == [("trailing-bytes", len(DATA))]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    parts = [header(sample().cid), *(section(*each) for each in sample().blocks)]
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(parts) - 1))
        match draw(st.sampled_from(["drop", "repeat", "swap", "edit", "cut", "insert"])):
            case "drop" if len(parts) > 1:
                del parts[at]
            case "repeat":
                parts.insert(at, parts[at])
            case "swap":
                other = draw(st.integers(0, len(parts) - 1))
                parts[at], parts[other] = parts[other], parts[at]
            case "edit" if parts[at]:
                where = draw(st.integers(0, len(parts[at]) - 1))
                parts[at] = parts[at][:where] + draw(st.binary(max_size=3)) + parts[at][where + 1 :]
            case "cut":
                parts[at] = parts[at][: draw(st.integers(0, len(parts[at])))]
            case _:
                parts.insert(at, draw(st.binary(max_size=12)))
    return b"".join(parts)


@given(data=mutated())
@FIXED_PATH
def test_any_damage_gives_findings_and_no_exception(tmp_path: Path, data: bytes) -> None:
    path = write(tmp_path / "fuzz.car", data)
    assert bool(codes(path)) == (data != DATA)
    inspected = inspect_car(path)
    assert all(0 <= each.offset <= len(data) for each in inspected.findings)
    try:
        read = list(read_entries(path, SMALL))
    except CarError:
        assert data != DATA
    else:
        assert len(read) == 48


NAMES = st.binary(min_size=1, max_size=12).filter(
    lambda name: b"/" not in name and b"\0" not in name and name not in (b".", b"..")
)
TREES = st.recursive(
    st.binary(max_size=90).map(file)
    | st.binary(min_size=1, max_size=9).map(lambda t: symlink(t.replace(b"\0", b"0"))),
    lambda child: st.dictionaries(NAMES, child, max_size=12).map(directory),
    max_leaves=25,
)


@given(dag=TREES)
@FIXED_PATH
def test_any_tree_of_the_encoder_is_right(tmp_path: Path, dag: Dag) -> None:
    path = write(tmp_path / "tree.car", car(dag))
    report = verify_car(path, SMALL)
    assert report.findings == ()
    assert report.blocks == len(dag.blocks)
    assert report.files + report.directories + report.symlinks == len(list(read_entries(path, SMALL)))


def test_findings_stop_at_the_limit(tmp_path: Path) -> None:
    damaged = b"".join(section(cid, b"") for cid, _ in sample().blocks)
    path = write(tmp_path / "a.car", header(sample().cid) + damaged)
    assert len(codes(path)) > 20
    assert len(codes(path, limits=Limits(findings=20))) == 20
    assert len(codes(path, limits=Limits(findings=1))) == 1
    with pytest.raises(ValueError, match="limit of findings"):
        codes(path, limits=Limits(findings=0))


def test_section_limit_is_an_option(good: Path) -> None:
    assert "section-too-large" in codes(good, limits=Limits(section=40))
    assert [each.code for each in inspect_car(good, limits=Limits(section=40)).findings] == [
        "section-too-large"
    ]


def test_inspection_counts(good: Path) -> None:
    seen = inspect_car(good)
    blocks = sample().blocks
    assert seen.block_bytes == sum(len(data) for _, data in blocks)
    assert seen.codecs == {kind: sum(cid[1] == kind for cid, _ in blocks) for kind in (0x55, 0x70)}
    assert seen.hashes == {0x12: len(blocks)}
    assert (seen.version, seen.roots, seen.index_offset) == (1, (sample().cid,), 0)


@pytest.mark.parametrize(
    ("prefix", "digest"),
    [
        (b"\x01\x71\x13\x40", hashlib.sha512(b"abc").digest()),
        (b"\x01\x71\xa0\xe4\x02\x20", hashlib.blake2b(b"abc", digest_size=32).digest()),
        (b"\x01\x55\x00\x03", b"abc"),
        (b"\x12\x20", hashlib.sha256(b"abc").digest()),
    ],
    ids=["sha2-512", "blake2b-256", "identity", "cid v0"],
)
def test_other_hashes_are_checked(tmp_path: Path, prefix: bytes, digest: bytes) -> None:
    good = write(tmp_path / "a.car", header(leaf(b"").cid) + section(prefix + digest, b"abc"))
    assert inspect_car(good).ok
    assert inspect_car(good).unchecked == 0
    bad = write(tmp_path / "a.car", header(leaf(b"").cid) + section(prefix + digest, b"abd"))
    assert [each.code for each in inspect_car(bad).findings] == ["hash-mismatch"]


def test_unknown_hash_is_counted_as_unchecked(tmp_path: Path) -> None:
    path = write(tmp_path / "a.car", header() + section(b"\x01\x55\x1e\x20" + bytes(32), b"abc") * 3)
    assert inspect_car(path).ok
    assert inspect_car(path).unchecked == 3


def test_a_long_cid_does_not_make_a_long_report(tmp_path: Path) -> None:
    cid = b"\x01\x55\x00\x80\x80\x04" + bytes(1 << 16)
    (found, *_) = verify_car(
        write(tmp_path / "a.car", header(leaf(b"").cid) + section(cid, b"")), SMALL
    ).findings
    assert found.code == "cid"
    assert len(found.message) <= 2000


def test_memory_does_not_grow_with_the_car(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "CHUNK", 1 << 16)
    profile = Profile(chunk=1 << 12, width=16)
    big = file(bytes(1 << 16), profile)

    def peak(files: int) -> int:
        dag = directory({b"%02d" % n: big for n in range(files)}, profile)
        path = write(tmp_path / "a.car", car(dag))
        del dag
        tracemalloc.start()
        try:
            assert verify_car(path, profile).ok
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(99) < peak(33) * 1.5


def test_what_is_read_is_in_few_buffers_that_are_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forward, "CHUNK", 1 << 12)
    profile = Profile(chunk=1 << 12, width=16)
    path = write(tmp_path / "a.car", car(file(bytes(range(256)) * (1 << 12), profile)))
    with HashThreads(2) as two:
        for _ in range(2):
            assert verify_car(path, profile, limits=Limits(threads=two)).ok
        # of the jobs, of both queues, and what is looked at, read and parsed
        assert 1 < len(two.chunks) <= two.count + READ_AHEAD + 2 + 3


def test_missing_file_is_an_os_error(tmp_path: Path) -> None:
    for read in (verify_car, inspect_car):
        with pytest.raises(FileNotFoundError):
            read(tmp_path / "none.car")
