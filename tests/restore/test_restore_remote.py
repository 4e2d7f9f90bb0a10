"""Restore from servers: no CAR and no source is here, and each server may lie."""

import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from ptolemy_core.catalog.views import Entries, View
from ptolemy_core.dag import cid
from ptolemy_core.errors import SettingsError
from ptolemy_core.restore import Report
from ptolemy_core.restore import http_ranges as http_ranges_module
from ptolemy_core.restore import remote as remote_module
from ptolemy_core.restore.from_manifest import load_manifest
from ptolemy_core.restore.http_ranges import FetchError, HttpOptions, HttpRanges
from ptolemy_core.restore.project import RestoreError, RestoreJob, Writing, load, work
from ptolemy_core.restore.remote import RemoteError, Servers
from ptolemy_core.stages.manifest import ManifestOptions, write_manifest
from tests.dag import oracle
from tests.stages.conftest import PROFILE, Scene

from .servers import Handler, Provider, honest, provider
from .trees import read_tree

CONTENT: oracle.Content = {
    b"big": bytes(range(256)) * 40,  # shards in several CARs
    b"a": {b"b": b"short", b"c": bytes(range(250)) * 4},
    b"link": oracle.Link(b"a/b"),
    b"none": {},
    b"many": {b"%03d" % number: b"%d" % number * 30 for number in range(40)},
    b"\xff": b"awkward",
}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers that fail are asked again without a pause."""
    monkeypatch.setattr(remote_module, "_PAUSES", (0.0,))


@pytest.fixture
def away(stage: Scene, tmp_path: Path) -> Scene:
    """A project whose CARs are at a provider alone, and whose source is gone."""
    stage.run(CONTENT)
    assert len(stage.cars()) > 3
    shutil.move(stage.staging, tmp_path / "provider")
    shutil.rmtree(stage.target)
    stage.staging.mkdir()
    return stage


def restored(away: Scene, to: Path, *servers: Provider | str, below: tuple[bytes, ...] = ()) -> Report:
    """Restore with these servers, asked in this order."""
    templates = [one if isinstance(one, str) else one.template for one in servers]
    view = View(away.name, None, below)
    job = load(away.catalog, view, profile=PROFILE, servers=Servers.of(templates))
    return done(job, Entries(away.catalog, view), to)


def done(job: RestoreJob, entries: Any, to: Path) -> Report:
    return work(job, entries, os.fsencode(to), Writing(threads=4))


def missing(away: Scene, *servers: Provider) -> list[str]:
    templates = [one.template for one in servers]
    job = load(away.catalog, View(away.name), profile=PROFILE, servers=Servers.of(templates))
    return [one.reason for one in job.needs.missing]


def test_everything_is_restored_from_a_server_alone(away: Scene, tmp_path: Path) -> None:
    with provider(tmp_path / "provider") as server:
        report = restored(away, tmp_path / "out", server)
    assert report.ok
    assert read_tree(tmp_path / "out") == CONTENT
    assert all(range_ for _, range_ in server.requests)


def test_one_file_costs_its_own_bytes_and_little_more(make: Any, tmp_path: Path) -> None:
    stage: Scene = make(car_size=31)
    data = bytes(range(200)) * 5
    stage.run({b"%02d" % number: data for number in range(25)} | {b"x": data[:900]})
    shutil.move(stage.staging, tmp_path / "provider")
    stage.staging.mkdir()
    for names, most in (((b"x",), 900 + 4096 + 200), ((b"07",), len(data) + 4096 + 1000)):
        with provider(tmp_path / "provider") as server:
            assert restored(stage, tmp_path / f"out{len(names[0])}", server, below=names).ok
        assert server.sent < most


def test_a_manifest_is_enough(away: Scene, tmp_path: Path) -> None:
    for form in ("parquet", "csv", "jsonl"):
        options = ManifestOptions(form, str(tmp_path / "manifests"))
        written = write_manifest(away.catalog, away.name, options, profile=PROFILE)
        with provider(tmp_path / "provider") as server:
            found = load_manifest(written.manifest, servers=Servers.of([server.template]), profile=PROFILE)
            assert found.needs.missing == []
            assert done(found.job, found.entries, tmp_path / form).ok
            assert read_tree(tmp_path / form) == CONTENT
            part = load_manifest(
                written.manifest, [b"a", b"big"], servers=Servers.of([server.template]), profile=PROFILE
            )
            assert done(part.job, part.entries, tmp_path / f"{form}-part").ok
        assert read_tree(tmp_path / f"{form}-part") == {b"a": CONTENT[b"a"], b"big": CONTENT[b"big"]}  # type: ignore[index]
    found = load_manifest(written.manifest, folders=[str(tmp_path / "provider")], profile=PROFILE)
    assert done(found.job, found.entries, tmp_path / "local").ok


def test_a_manifest_that_cannot_be_used_is_refused(away: Scene, tmp_path: Path) -> None:
    servers = Servers.of(["http://127.0.0.1:1/{piece}"])
    for name, text in (("x.csv", "a,b\n1,2\n"), ("x.jsonl", "{"), ("x.txt", ""), ("x.parquet", "PAR1")):
        (tmp_path / name).write_text(text)
        with pytest.raises(SettingsError, match="is no manifest|can't be read"):
            load_manifest(str(tmp_path / name), servers=servers)
    with pytest.raises(SettingsError, match="can't be read"):
        load_manifest(str(tmp_path / "none.csv"), servers=servers)
    written = write_manifest(away.catalog, away.name, ManifestOptions("csv", str(tmp_path)), profile=PROFILE)
    with pytest.raises(RestoreError, match="--from"):
        load_manifest(written.manifest)
    with pytest.raises(RestoreError, match="no entry 'nope'"):
        load_manifest(written.manifest, [b"nope"], servers=servers, profile=PROFILE)


def short(handler: Handler, car: bytes, first: int, last: int) -> None:
    part = car[first : last + 1]
    handler.give(
        part[: len(part) // 2],
        Content_Range=f"bytes {first}-{last}/{len(car)}",
        Content_Length=str(len(part)),
        Connection="close",
    )
    handler.close_connection = True


def wrong(handler: Handler, car: bytes, first: int, last: int) -> None:
    part = car[first : last + 1]
    if first:
        part = bytes(byte ^ 1 for byte in part)
    handler.give(part, Content_Range=f"bytes {first}-{last}/{len(car)}")


def wrong_in_part(handler: Handler, car: bytes, first: int, last: int) -> None:
    """Lies about one byte of each answer, and not about the header."""
    part = bytearray(car[first : last + 1])
    if first:
        part[len(part) // 2] ^= 1
    handler.give(bytes(part), Content_Range=f"bytes {first}-{last}/{len(car)}")


def endless(handler: Handler, car: bytes, first: int, last: int) -> None:
    if not first:
        honest(handler, car, first, last)
        return
    handler.send_response(206)
    handler.send_header("Content-Range", f"bytes {first}-{last}/{len(car)}")
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    for _ in range(20_000):
        handler.wfile.write(b"1000\r\n" + bytes(4096) + b"\r\n")


def whole(handler: Handler, car: bytes, first: int, last: int) -> None:
    handler.give(car, 200)


def another_range(handler: Handler, car: bytes, first: int, last: int) -> None:
    handler.give(car[: last + 1 - first], Content_Range=f"bytes 0-{last - first}/{len(car)}")


def no_range_header(handler: Handler, car: bytes, first: int, last: int) -> None:
    handler.give(car[first : last + 1])


def encoded(handler: Handler, car: bytes, first: int, last: int) -> None:
    handler.give(
        car[first : last + 1], Content_Range=f"bytes {first}-{last}/{len(car)}", Content_Encoding="gzip"
    )


def announces_more(handler: Handler, car: bytes, first: int, last: int) -> None:
    handler.give(car, Content_Range=f"bytes {first}-{last}/{len(car)}")


def failing(handler: Handler, car: bytes, first: int, last: int) -> None:
    handler.give(b"{}", 500)


def loops(handler: Handler, car: bytes, first: int, last: int) -> None:
    handler.give(b"", 302, Location=handler.path)


def nonsense(handler: Handler, car: bytes, first: int, last: int) -> None:
    handler.wfile.write(b"SSH-2.0-x\r\n")
    handler.close_connection = True


def to_elsewhere(handler: Handler, car: bytes, first: int, last: int) -> None:
    handler.give(b"", 301, Location="file:///etc/passwd")


LIARS = [
    short,
    wrong,
    wrong_in_part,
    endless,
    whole,
    another_range,
    no_range_header,
    encoded,
    announces_more,
    failing,
    loops,
    nonsense,
    to_elsewhere,
]


@pytest.mark.parametrize("lie", LIARS)
def test_another_server_takes_over_from_one_that_lies(
    away: Scene, tmp_path: Path, lie: Callable[..., None]
) -> None:
    with provider(tmp_path / "provider", lie) as liar, provider(tmp_path / "provider") as right:
        report = restored(away, tmp_path / "out", liar, right)
    assert report.ok, report.problems
    assert read_tree(tmp_path / "out") == CONTENT
    assert liar.requests


@pytest.mark.parametrize("lie", LIARS)
def test_of_a_lie_nothing_is_kept(away: Scene, tmp_path: Path, lie: Callable[..., None]) -> None:
    with provider(tmp_path / "provider", lie) as liar:
        why = missing(away, liar)
        if why:
            assert len(why) == len(away.cars())
            assert all(liar.url in one for one in why)
            return
        report = restored(away, tmp_path / "out", liar)
    assert not report.ok
    assert lie in (wrong, wrong_in_part, endless, another_range)  # others are known by their first answer
    if lie is wrong_in_part:
        # what is right is kept, since it is known to be
        found, expected = read_tree(tmp_path / "out"), CONTENT
        assert isinstance(found, dict)
        found.pop(b".ptolemy-restore", None)
        assert _is_part(found, expected)
    else:
        assert report.files == 0


def _is_part(found: oracle.Content, expected: oracle.Content) -> bool:
    if isinstance(found, Mapping) and isinstance(expected, Mapping):
        return all(name in expected and _is_part(below, expected[name]) for name, below in found.items())
    return found == expected


def test_a_piece_that_a_server_lacks_is_taken_from_another(away: Scene, tmp_path: Path) -> None:
    (tmp_path / "half").mkdir()
    for row in away.cars()[::2]:
        shutil.copy(tmp_path / "provider" / row.file_name, tmp_path / "half")
    with provider(tmp_path / "half") as half, provider(tmp_path / "provider") as right:
        assert len(missing(away, half)) == len(away.cars()) - len(away.cars()[::2])
        assert restored(away, tmp_path / "out", half, right).ok
    assert read_tree(tmp_path / "out") == CONTENT


def test_a_server_that_dies_is_left_for_another(away: Scene, tmp_path: Path) -> None:
    count = 0

    def dying(handler: Handler, car: bytes, first: int, last: int) -> None:
        nonlocal count
        count += 1
        if count > len(away.cars()) + 2:
            handler.connection.close()
            handler.close_connection = True
        else:
            honest(handler, car, first, last)

    with provider(tmp_path / "provider", dying) as one, provider(tmp_path / "provider") as other:
        assert restored(away, tmp_path / "out", one, other).ok
        assert other.requests
    assert read_tree(tmp_path / "out") == CONTENT


def test_a_restore_that_was_cut_off_goes_on_from_another_server(away: Scene, tmp_path: Path) -> None:
    row = away.cars()[0]
    lost = tmp_path / "provider" / row.file_name
    kept = lost.read_bytes()
    with provider(tmp_path / "provider") as server:
        lost.write_bytes(kept[:59] + bytes(len(kept) - 59))
        assert not restored(away, tmp_path / "out", server).ok
        lost.write_bytes(kept)
        report = restored(away, tmp_path / "out", server)
    assert report.ok
    assert report.kept > 0
    assert read_tree(tmp_path / "out") == CONTENT


def test_a_token_goes_to_the_server_that_was_named_and_not_where_it_redirects(tmp_path: Path) -> None:
    (tmp_path / "x.car").write_bytes(bytes(range(100)))
    with provider(tmp_path) as other:

        def redirecting(handler: Handler, car: bytes, first: int, last: int) -> None:
            handler.give(b"", 302, Location=f"{other.url}/piece/x")

        with provider(tmp_path, redirecting) as named:
            buffer = bytearray(10)
            ranges = HttpRanges(HttpOptions(token="secret-token"))
            ranges.fetch_into(f"{named.url}/piece/x", 5, memoryview(buffer))
            ranges.close()
    assert buffer == bytes(range(5, 15))
    assert [one.get("Authorization") for one in named.headers] == ["Bearer secret-token"]
    assert [one.get("Authorization") for one in other.headers] == [None]
    assert "secret-token" not in repr(HttpOptions(token="secret-token"))


def test_a_public_server_may_not_redirect_to_a_private_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.car").write_bytes(bytes(range(100)))
    with provider(tmp_path) as inside:

        def redirecting(handler: Handler, car: bytes, first: int, last: int) -> None:
            handler.give(b"", 302, Location=f"{inside.url}/piece/x")

        with provider(tmp_path, redirecting) as outside:
            public = [True, False]  # of the first connection, and of the second
            monkeypatch.setattr(http_ranges_module, "_is_private", lambda _: not public.pop(0))
            with pytest.raises(FetchError, match="private address"):
                HttpRanges().fetch_into(f"{outside.url}/piece/x", 0, memoryview(bytearray(5)))
            assert inside.requests == []
            public = [True, False]
            allowed = HttpRanges(HttpOptions(private_redirects=True))
            allowed.fetch_into(f"{outside.url}/piece/x", 0, memoryview(bytearray(5)))
            assert len(inside.requests) == 1


@pytest.mark.parametrize(
    ("address", "private"),
    [
        ("127.0.0.1", True),
        ("10.0.0.1", True),
        ("192.168.1.1", True),
        ("169.254.169.254", True),
        ("::1", True),
        ("fe80::1%eth0", True),
        ("fd00::1", True),
        ("100.64.0.1", True),
        ("8.8.8.8", False),
        ("2001:4860:4860::8888", False),
    ],
)
def test_private_addresses_are_known(address: str, private: bool) -> None:
    assert http_ranges_module._is_private(address) == private


@pytest.mark.parametrize(
    "template",
    [
        "",
        "example.org/{piece}",
        "ftp://x/{piece}",
        "http://x/",
        "https://{piece}",
        "http://u:p@x/{piece}",
        "http:///{piece}",
    ],
)
def test_a_template_that_cannot_be_used_is_refused(template: str) -> None:
    with pytest.raises(RemoteError, match="can't be used"):
        Servers.of([template])


def test_a_template_may_name_either_piece_cid(away: Scene, tmp_path: Path) -> None:
    row = away.cars()[0]
    piece = Servers.of(["http://x/{piece_v2}?a={piece}"]).piece(row)
    assert piece.place == f"http://x/{cid.to_text(row.piece_cid_v2)}?a={cid.to_text(row.piece_cid_v1)}"


def test_a_server_that_is_too_slow_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.car").write_bytes(bytes(100))
    monkeypatch.setattr(http_ranges_module, "_SLOWEST", 1 << 30)

    def dripping(handler: Handler, car: bytes, first: int, last: int) -> None:
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes {first}-{last}/{len(car)}")
        handler.send_header("Content-Length", str(last + 1 - first))
        handler.end_headers()
        for _ in range(last + 1 - first):
            handler.wfile.write(b"\0")
            handler.wfile.flush()
            time.sleep(0.05)

    with provider(tmp_path, dripping) as server, pytest.raises(FetchError, match="too slowly|no answer"):
        HttpRanges(HttpOptions(seconds=0.3)).fetch_into(
            f"{server.url}/piece/x", 0, memoryview(bytearray(100))
        )
