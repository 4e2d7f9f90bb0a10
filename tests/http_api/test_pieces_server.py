"""The piece server as a process: whole CARs, ranges, headers, tokens, killed, and with sources that change."""

import http.client
import itertools
import json
import os
import random
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.dag import cid

from .pieces import MIB, Home, Server, curl, headers_of, serving, status_of


def fill(folder: Path, size: int = 24 * MIB) -> None:
    """A large file and small ones."""
    (folder / "big.bin").write_bytes(random.Random(1).randbytes(size + 12345))
    (folder / "small").mkdir()
    for number in range(300):
        (folder / "small" / f"{number:03d}").write_bytes(random.Random(number).randbytes(4096))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """The same content staged, generated, and not public."""
    made = Home(tmp_path_factory.mktemp("pieces"))
    fill(made.source)
    (staged,) = made.build("staged")
    (generated,) = made.build("generated", car_storage="generated")
    assert staged.piece_cid_v2 == generated.piece_cid_v2
    # what is staged would be taken first
    made.staged_car = (made.staging("staged") / staged.file_name).read_bytes()  # type: ignore[attr-defined]
    (made.staging("staged") / staged.file_name).unlink()
    return made


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, CarRow, bytes]:
    """A project with its CAR as a file."""
    made = Home(tmp_path_factory.mktemp("kept"))
    fill(made.source)
    (row,) = made.build("delta")
    return made, row, (made.staging("delta") / row.file_name).read_bytes()


@pytest.fixture(scope="module")
def row(home: Home) -> CarRow:
    from ptolemy_core.catalog import cars

    return next(cars.rows(home.catalog, "generated"))


@pytest.fixture(scope="module")
def car(home: Home) -> bytes:
    data: bytes = home.staged_car  # type: ignore[attr-defined]
    return data


def fetched(port: int, path: str, first: int, length: int) -> bytes:
    """A range, by a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path, headers={"Range": f"bytes={first}-{first + length - 1}"})
        answer = connection.getresponse()
        assert answer.status == 206
        return answer.read()
    finally:
        connection.close()


def check_downloads(server: Server, row: CarRow, car: bytes, folder: Path) -> None:
    """The whole CAR by each CID, and by ranges in random order, several at a time."""
    for version in (1, 2):
        curl("-o", str(folder / "whole.car"), server.piece(row, version))
        assert (folder / "whole.car").read_bytes() == car
    path = server.piece(row).removeprefix(server.url)
    rng = random.Random(5)
    edges = sorted({0, len(car), *(rng.randrange(len(car)) for _ in range(40))})
    parts = list(itertools.pairwise(edges))
    rng.shuffle(parts)
    with ThreadPoolExecutor(6) as pool:
        got = pool.map(lambda part: (part[0], fetched(server.port, path, part[0], part[1] - part[0])), parts)
        assert b"".join(data for _, data in sorted(got)) == car


def test_a_generated_car_is_downloaded_byte_for_byte(
    home: Home, row: CarRow, car: bytes, tmp_path: Path
) -> None:
    with serving(home) as server:
        check_downloads(server, row, car, tmp_path)
        assert not [line for line in server.log if "Traceback" in line]


def test_a_staged_car_is_downloaded_byte_for_byte(kept: tuple[Home, CarRow, bytes], tmp_path: Path) -> None:
    home, row, car = kept
    with serving(home) as server:
        check_downloads(server, row, car, tmp_path)
        assert not [line for line in server.log if "Traceback" in line]


@pytest.mark.skipif(shutil.which("aria2c") is None, reason="aria2c isn't installed")
def test_aria2c_downloads_a_car_by_eight_connections(
    home: Home, row: CarRow, car: bytes, tmp_path: Path
) -> None:
    with serving(home) as server:
        options = ["-x8", "-s8", "-k1M", "-q", "-d", str(tmp_path), "-o", "a.car"]
        subprocess.run(["aria2c", *options, server.piece(row)], check=True, timeout=120)
    assert (tmp_path / "a.car").read_bytes() == car


def test_head_and_get_say_what_providers_look_for(home: Home, row: CarRow) -> None:
    name = cid.to_text(row.piece_cid_v1)
    with serving(home) as server:
        for version, arguments in ((1, ["-I"]), (2, ["-I"]), (1, [])):
            found = headers_of(server.piece(row, version), *arguments)
            assert found["status"] == "200"
            assert found["content-length"] == str(row.car_size)
            assert found["accept-ranges"] == "bytes"
            assert found["etag"] == f'"{name}"'
            assert found["content-type"] == "application/vnd.ipld.car; version=1"
            assert found["content-disposition"] == f'attachment; filename="{name}.car"'
            assert found["access-control-allow-origin"] == "*"
            assert "Content-Range" in found["access-control-expose-headers"]
            assert "ETag" in found["access-control-expose-headers"]
            assert found["cache-control"] == "public, max-age=29030400, immutable, no-transform"
        # nothing is compressed, whatever the client takes
        found = headers_of(server.piece(row), "-I", "-H", "Accept-Encoding: gzip, br, zstd")
        assert "content-encoding" not in found
        assert found["content-length"] == str(row.car_size)
        url = server.piece(row)
        assert headers_of(url, "-r", "5-9")["content-range"] == f"bytes 5-9/{row.car_size}"
        assert headers_of(url, "-r", f"{row.car_size}-")["content-range"] == f"bytes */{row.car_size}"
        assert status_of(url, "-r", f"{row.car_size}-") == 416
        assert status_of(url, "-H", f"If-None-Match: {found['etag']}") == 304
        assert status_of(url, "-r", "0-9", "-H", f"If-Range: {found['etag']}") == 206
        assert status_of(url, "-r", "0-9", "-H", 'If-Range: "other"') == 200
        assert status_of(url, "-X", "POST") == 405
        asked = headers_of(url, "-X", "OPTIONS", "-H", "Origin: https://x.org")
        assert asked["status"] == "204"
        assert "Range" in asked["access-control-allow-headers"]


def test_what_is_not_there_is_told_as_problem_details(home: Home, row: CarRow) -> None:
    unknown = "baga6ea4seaqao7s73y24kcutaosvacpdjgfe5pw76ooefnyqw4ynr3d2y6x2mpq"
    with serving(home) as server:
        for path, status in ((unknown, 404), ("nonsense", 400), (cid.to_text(row.payload_cid), 400)):
            code, body = curl("-w", "%{http_code}", f"{server.url}/piece/{path}")
            assert code == 0
            problem = json.loads(body[:-3])
            assert problem["status"] == status == int(body[-3:])
            assert problem["type"].startswith("urn:ptolemy:problem:")
        assert status_of(f"{server.url}/piece/{unknown}", "-I") == 404
        assert status_of(f"{server.url}/") == 404
        assert status_of(f"{server.url}/health") == 200


def test_a_piece_that_is_not_public_needs_a_token_or_a_signed_url(tmp_path: Path) -> None:
    home = Home(tmp_path)
    (home.source / "a").write_bytes(b"private")
    (row,) = home.build("closed", public_pieces=False)
    token, key = "a-token-that-nobody-guesses", "a-key-that-nobody-guesses"
    tokens = tmp_path / "tokens"
    tokens.write_text(f"# of the provider\n{token}\n")
    with serving(home) as server:
        assert status_of(server.piece(row)) == 404
    log = tmp_path / "access.log"
    with serving(
        home, "--token-file", str(tokens), "--access-log", str(log), PTOLEMY_PIECE_URL_KEY=key
    ) as server:
        url = server.piece(row)
        assert status_of(url) == 401
        assert status_of(url, "-H", "Authorization: Bearer wrong-wrong-wrong-wrong") == 401
        found = headers_of(url, "-H", f"Authorization: Bearer {token}")
        assert (found["status"], found["cache-control"].split(",")[0]) == ("200", "private")
        arguments = ["piece-url", cid.to_text(row.piece_cid_v1), "--base", server.url]
        signed = home.ptolemy(*arguments, PTOLEMY_PIECE_URL_KEY=key).strip()
        assert status_of(signed) == 200
        assert status_of(signed, "-r", "0-9") == 206
        assert status_of(signed + "0") == 401
        late = home.ptolemy(*arguments, "--days", "-1", PTOLEMY_PIECE_URL_KEY=key).strip()
        assert status_of(late) == 401
        counts = curl(f"{server.url}/metrics", "-H", f"Authorization: Bearer {token}")[1]
    assert 'ptolemy_pieces_requests_total{route="piece",method="GET",status="401"} 4' in counts
    written = log.read_text()
    assert f'"GET /piece/{cid.to_text(row.piece_cid_v1)}" 206 10 ' in written
    for secret in (token, key, "signature=", "wrong-wrong"):
        assert secret not in written + counts + "".join(server.log)


def test_a_server_that_is_killed_and_started_again_loses_connections_alone(
    home: Home, row: CarRow, car: bytes, tmp_path: Path
) -> None:
    place = tmp_path / "resumed.car"
    with serving(home) as server:
        port, url = server.port, server.piece(row)
        client = begun(url, place)
        server.kill()
        assert client.wait(60) in (18, 56)
    had = place.stat().st_size
    assert MIB <= had < len(car)
    assert car.startswith(place.read_bytes())
    with serving(home, port=port):
        curl("-C", "-", "-o", str(place), url)
    assert place.read_bytes() == car


def changed(path: Path) -> None:
    """Other bytes in the second half, behind the same size and time."""
    old = path.stat()
    with path.open("r+b") as file:
        file.seek(old.st_size // 2)
        file.write(bytes(old.st_size - old.st_size // 2))
    os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))


def truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def vanished(path: Path) -> None:
    path.unlink()


class Load:
    """Clients that fetch random ranges while the block lasts; `wrong` is what they should never get."""

    def __init__(self, server: Server, row: CarRow, car: bytes) -> None:
        self.wrong: list[int] = []
        self._port, self._path, self._car = server.port, server.piece(row).removeprefix(server.url), car
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(3)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _run(self) -> None:
        while not self._stop.is_set():
            first = random.randrange(len(self._car) - 70_000)
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
            try:
                connection.request("GET", self._path, headers={"Range": f"bytes={first}-{first + 69_999}"})
                answer = connection.getresponse()
                data = answer.read()
                if answer.status == 206 and data != self._car[first : first + 70_000]:
                    self.wrong.append(first)
                elif answer.status not in (206, 409):
                    self.wrong.append(answer.status)
            except (http.client.HTTPException, ConnectionError):
                pass  # it broke off
            finally:
                connection.close()


def begun(url: str, place: Path) -> "subprocess.Popen[bytes]":
    """A slow download that has brought a MiB."""
    client = subprocess.Popen(["curl", "-sS", "--limit-rate", "8M", "-o", str(place), url])
    deadline = time.monotonic() + 60
    while not place.exists() or place.stat().st_size < MIB:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return client


@pytest.mark.parametrize("happens", [changed, truncated, vanished])
def test_a_source_that_changes_is_never_sent_as_if_it_were_right(
    happens: Callable[[Path], None], tmp_path: Path
) -> None:
    home = Home(tmp_path)
    fill(home.source, 64 * MIB)
    (row,) = home.build("delta", car_storage="generated")
    place = tmp_path / "part.car"
    with serving(home) as server:
        curl("-o", str(tmp_path / "whole.car"), server.piece(row))
        car = (tmp_path / "whole.car").read_bytes()
        with Load(server, row, car) as load:
            client = begun(server.piece(row), place)
            happens(home.source / "big.bin")
            assert client.wait(60) in (18, 56)  # it ends early, and not as if it were whole
        assert load.wrong == []
        assert car.startswith(place.read_bytes())
        assert place.stat().st_size < len(car)
        assert "big.bin" in "".join(server.log)
    with serving(home) as server:  # which remembers nothing of before
        # nothing was sent yet: an answer that says so, without names for those who may not know them
        _, body = curl("-w", "%{http_code}", "-r", f"{50 * MIB}-{51 * MIB}", server.piece(row))
        problem = json.loads(body[:-3])
        assert (problem["status"], body[-3:]) == (409, "409")
        assert problem["type"].endswith(("source-changed", "source-unreadable"))
        assert str(home.source) not in body


def test_a_body_whose_end_could_not_be_seen_is_not_given_in_http_1_0(home: Home, row: CarRow) -> None:
    with serving(home) as server:
        path = f"{server.url}/ipfs/{cid.to_text(row.payload_cid)}?format=car"
        assert status_of(path, "--http1.0") == 505
        assert status_of(path, "--http1.0", "-I") == status_of(path) == 200
        assert status_of(f"{path}&car-dups=y", "--http1.0") == 200


def test_a_staged_car_that_is_cut_is_never_a_short_success(tmp_path: Path) -> None:
    home = Home(tmp_path)
    fill(home.source, 64 * MIB)
    (row,) = home.build("delta")
    place = home.staging("delta") / row.file_name
    with serving(home) as server:
        got = tmp_path / "part.car"
        client = begun(server.piece(row), got)
        os.truncate(place, 60 * MIB)
        assert client.wait(60) in (18, 56)
        assert status_of(server.piece(row)) == 503
        place.unlink()
        assert status_of(server.piece(row)) == 404


def test_clients_that_are_gone_before_their_answer_are_no_failure(home: Home, row: CarRow) -> None:
    with serving(home) as server:
        path = server.piece(row).removeprefix(server.url)
        for _ in range(30):
            with socket.create_connection(("127.0.0.1", server.port)) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.sendall(f"GET {path} HTTP/1.1\r\nHost: here\r\n\r\n".encode())
                time.sleep(random.random() / 100)
        assert status_of(server.piece(row), "-I") == 200
        _, counts = curl(f"{server.url}/metrics")
    log = "".join(server.log)
    assert "Traceback" not in log, log[-3000:]
    assert 'status="500"' not in counts
