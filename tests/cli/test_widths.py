"""Terminals of any width show whole CIDs: a table where it fits, and a block for each row where it doesn't."""

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest
from rich.console import Console

from ptolemy_dagster.cli import output
from tests.cli.commands import command, printed, ptolemy
from tests.cli.test_lookup import build
from tests.pipeline.backend import Backend


def shown(width: int, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    """What a command prints in a terminal of this width."""
    file = io.StringIO()
    terminal = Console(width=width, file=file, force_terminal=True, soft_wrap=True, highlight=False)
    monkeypatch.setattr(output, "out", terminal)
    ptolemy(*arguments)
    return re.sub(r"\x1b\[[0-9;]*m", "", file.getvalue())


def is_whole(text: str, *cids: str) -> bool:
    """Whether no line is cut, and all CIDs are there."""
    return "…" not in text and all(cid in text for cid in cids)


def test_cids_are_whole_in_a_terminal_of_any_width(delta: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    build(delta)
    (car,) = printed("cars", "delta")
    (found,) = printed("find", "a.txt")
    (root,) = printed("root", "delta", "--history")
    for width in (80, 100, 120, 200):
        text = shown(width, monkeypatch, "cars", "delta")
        assert is_whole(text, car["payload_cid"], car["piece_cid"], root["root_cid"], root["piece_cid"]), text
        assert ("CAR: root" in text) == ("payload CID: " in text) == (width < 200), text
        assert is_whole(shown(width, monkeypatch, "find", "a.txt"), found["cid"], found["piece_cid"])
        assert is_whole(shown(width, monkeypatch, "root", "delta", "--history"), root["root_cid"])


def test_without_a_terminal_a_table_is_as_wide_as_it_must_be(delta: Backend) -> None:
    long = "x" * 250 + "/" + "y" * 250
    (delta.root / "data" / long).parent.mkdir()
    (delta.root / "data" / long).write_bytes(b"1")
    build(delta)
    (found,) = printed("find", long)
    text = ptolemy("find", long).stdout
    assert is_whole(text, found["cid"], found["piece_cid"], long)
    assert is_whole(ptolemy("history", "delta").stdout, long)


def test_columns_have_heads_and_are_left_out_where_nothing_is_in_them(delta: Backend) -> None:
    build(delta)
    head = [cell.strip() for cell in ptolemy("find", "a.txt").stdout.splitlines()[1].split("┃")[1:-1]]
    assert head == ["project", "path", "size", "CID", "CAR", "piece CID", "offset", "bytes in the CAR"]
    (delta.root / "data" / "a.txt").write_bytes(b"newer")
    build(delta)
    table = ptolemy("find", "a.txt", "--all").stdout
    assert "version" in table
    assert "replaced" in table


def test_cars_lists_the_cars_of_the_root_with_readable_sizes(delta: Backend) -> None:
    assert "no CAR of delta is built yet" in ptolemy("cars", "delta").stderr
    build(delta)
    rows = [line.split("│")[1:-1] for line in ptolemy("cars", "delta").stdout.splitlines() if "│" in line]
    assert [row[0].strip() for row in rows] == ["000000", "root"]
    (car,) = printed("cars", "delta")
    assert rows[0][3].strip() == f"{car['car_size'] / 1024:.2f} KiB"


def test_a_real_terminal_of_80_columns_shows_blocks(delta: Backend) -> None:
    build(delta)
    (car,) = printed("cars", "delta")
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    env = {name: value for name, value in delta.env.items() if name != "COLUMNS"} | {"TERM": "xterm"}
    subprocess.run(
        [sys.executable, *command("cars", "delta")], env=env, stdout=child, stderr=child, check=True
    )
    os.close(child)
    text = b""
    while True:
        try:
            text += os.read(parent, 65536)
        except OSError:  # all is read, and nobody has the other end
            break
    os.close(parent)
    assert f"{car['payload_cid']}".encode() in text
    assert f"{car['piece_cid']}".encode() in text
    assert "…".encode() not in text
