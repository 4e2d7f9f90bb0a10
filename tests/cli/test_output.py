"""Progress bars: bytes where there are bytes, entries where a scan counts entries."""

import io

import pytest
from rich.console import Console

from ptolemy_dagster.cli import output


def drawn(total: int | None, done: int, description: str) -> str:
    """A bar as a terminal shows it."""
    bars = output.byte_progress()
    bars.add_task(description, total=total, completed=done)
    console = Console(file=io.StringIO(), width=160)
    console.print(bars.get_renderable())
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert isinstance(text, str)
    return text


def test_a_scan_shows_entries_and_no_bytes() -> None:
    text = drawn(None, 0, "scanning: 12,000 entries, 3,000 entries/s")
    assert "12,000 entries" in text
    assert "bytes" not in text
    assert "?" not in text


def test_a_build_shows_its_bytes() -> None:
    assert "1 MiB of 4 MiB" in drawn(4 << 20, 1 << 20, "building CARs, 1/4 done")


def test_names_with_colons_are_shown_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    output.say("a:key:b")
    output.fail("a:smile:b")
    output.print_table(("name",), [("a:heart:b",)])
    shown = capsys.readouterr()
    assert "a:key:b" in shown.err
    assert "a:smile:b" in shown.err
    assert "a:heart:b" in shown.out


def test_names_with_brackets_and_backslashes_are_shown_as_they_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("a\\[b", "[red]a[/red]", "a\\", "\\[x]", "[/]"):
        output.say(name)
        output.fail(name)
        output.print_table((name,), [(name,)], title=name)
        shown = capsys.readouterr()
        assert shown.err.splitlines() == [name, f"error: {name}"]
        assert shown.out.count(name) == 3
