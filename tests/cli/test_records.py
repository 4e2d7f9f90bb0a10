"""The commands set, skipped, history and changes; rules and on_error from end to end on the command line."""

import os
from pathlib import Path

import pytest

from ptolemy_core.catalog import projects
from ptolemy_core.stages.blitz import build_container, pending
from ptolemy_core.stages.containerize import containerize
from ptolemy_core.stages.scan import scan
from tests.cli.commands import error_of, printed, process, ptolemy
from tests.pipeline.backend import Backend


def test_rules_given_to_create_keep_entries_out(sqlite: Backend) -> None:
    files = {"a.jpg": b"1", "b.tmp": b"2", "raw/c.jpg": b"3", ".hidden.jpg": b"4", "cache/d.jpg": b"5"}
    target = sqlite.folder(files=files)
    rules = ("--include", "*.jpg", "--exclude", "cache/", "--exclude", "/raw/*", "--no-hidden")
    arguments = ("create", "echo", "-t", target, "-s", sqlite.staging("echo"), "--car-size", 1, *rules)
    made = printed(*arguments)
    assert (made["include"], made["exclude"], made["hidden"]) == (["*.jpg"], ["cache/", "/raw/*"], False)
    assert printed(*arguments)["created"] is False
    scan(sqlite.catalog, "echo")
    assert [one["path"] for one in printed("history", "echo")] == ["a.jpg"]
    refused = error_of(*arguments[:-1])
    assert "with hidden False, not True: use `ptolemy set echo` to change that" in refused


def test_set_changes_what_may_change(delta: Backend) -> None:
    changed = printed("set", "delta", "--watch", "--auto", "--on-error", "skip", "--quiet-seconds", 5)
    assert (changed["watch"], changed["auto"], changed["on_error"], changed["quiet_seconds"]) == (
        True,
        True,
        "skip",
        5,
    )
    changed = printed("set", "delta", "--no-watch", "--exclude", "*.tmp", "--include", "a", "--include", "b")
    assert (changed["watch"], changed["auto"], changed["exclude"]) == (False, True, ["*.tmp"])
    assert changed["include"] == ["a", "b"]
    assert printed("set", "delta", "--no-include")["include"] == []
    assert printed("set", "delta") == projects.get(delta.catalog, "delta").model_dump(mode="json")
    shown = ptolemy("set", "delta", "--exclude", "[bold]x").stdout
    assert "[bold]x" in shown


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("set", "nemo", "--watch"), 1, "no project 'nemo'"),
        (("set", "delta", "--on-error", "ignore"), 2, 'on_error must be "fail" or "skip"'),
        (("set", "delta", "--quiet-seconds", 100_000), 2, "quiet_seconds must be 0 to 86400"),
        (("set", "delta", "--exclude", "!a"), 2, "exclude: pattern '!a' starts with !"),
        (("set", "delta", "--exclude", "a", "--no-exclude"), 2, "can't be given and emptied at once"),
        (("changes", "delta"), 1, "project 'delta' isn't scanned yet"),
        (("history", "nemo"), 1, "no project 'nemo'"),
        (("skipped", "nemo"), 1, "no project 'nemo'"),
        (("history", "delta", "nowhere"), 1, "no scan of delta saw 'nowhere'"),
    ],
)
def test_what_cannot_be_is_refused_clearly(
    delta: Backend, arguments: tuple[str, ...], code: int, message: str
) -> None:
    before = projects.get(delta.catalog, "delta")
    assert message in ptolemy(*arguments, code=code).stderr
    assert projects.get(delta.catalog, "delta") == before


def all_stages(backend: Backend, project: str = "delta") -> None:
    """Scan, containerize and blitz, without runs of Dagster."""
    scan(backend.catalog, project)
    containerize(backend.catalog, project)
    for row in pending(backend.catalog, project):
        build_container(backend.catalog, project, row.number)


def test_a_file_that_vanished_is_skipped_listed_and_tried_again(delta: Backend) -> None:
    printed("set", "delta", "--on-error", "skip")
    path = delta.root / "data" / "a.txt"
    scan(delta.catalog, "delta")
    containerize(delta.catalog, "delta")
    path.unlink()
    assert [car["items"] for car in printed("blitz", "delta")] == [1]
    (record,) = printed("skipped", "delta")
    assert (record["path"], record["stage"], record["container"]) == ("a.txt", "blitz", 0)
    assert record["reason"] == "is missing since the scan (No such file or directory)"
    assert "a.txt" in ptolemy("skipped", "delta").stdout
    assert printed("skipped", "delta", "--current") == [record]
    path.write_bytes(b"back")
    all_stages(delta)
    assert [car["items"] for car in printed("cars", "delta")] == [1, 1]
    assert printed("skipped", "delta", "--current") == []
    assert "nothing of delta was left out" in ptolemy("skipped", "delta", "--current").stderr


def test_changes_and_history_tell_what_scans_found(delta: Backend) -> None:
    all_stages(delta)
    data = delta.root / "data"
    (data / "a.txt").write_bytes(b"longer than before")
    (data / "new\n.txt").write_bytes(b"")
    (data / "b" / "c.bin").rename(data / "b" / "d.bin")
    all_stages(delta)
    found = printed("changes", "delta")
    assert [(c["what"], c["path"], c["was"], c["now"]) for c in found["changes"]] == [
        ("changed", "a.txt", 5, 18),
        ("gone", "b/c.bin", 5000, None),
        ("added", "b/d.bin", None, 5000),
        ("added", "new\\x0a.txt", None, 0),
    ]
    first = printed("changes", "delta", "--scan", found["scan"] - 1)
    assert [c["what"] for c in first["changes"]] == ["added", "added"]
    assert "has no finished scan 99" in error_of("changes", "delta", "--scan", 99)
    old, new = printed("history", "delta", "a.txt")
    assert (old["size"], old["containers"], old["gone_scan"]) == (5, [0], found["scan"])
    assert (new["size"], new["containers"], len(new["file_names"])) == (18, [1], 1)
    shown = ptolemy("history", "delta", "b").stdout
    assert "b/c.bin" in shown
    assert "000000" in shown
    scan(delta.catalog, "delta")
    assert "found nothing new, changed or gone" in ptolemy("changes", "delta").stderr


def test_commands_take_and_show_any_name(delta: Backend, awkward: Path) -> None:
    made = process(delta, "create", "odd", "-t", str(awkward), "-s", str(delta.staging("odd")))
    assert made.returncode == 0, made.stderr
    name = b"not utf-8 \xff\xfe.txt"
    changed = process(delta, "set", "odd", "--exclude", name, "--json")
    assert b'"not utf-8 \\\\xff\\\\xfe.txt"' in changed.stdout
    scan(delta.catalog, "odd")
    assert "not utf-8 \\xff\\xfe.txt" not in [one["path"] for one in printed("history", "odd")]
    assert len(printed("history", "odd")) == len(os.listdir(awkward)) - 1
    printed("set", "odd", "--no-exclude")
    scan(delta.catalog, "odd")
    assert name.decode("ascii", "backslashreplace").encode() in process(delta, "changes", "odd").stdout
    assert b"not utf-8" in process(delta, "history", "odd", name).stdout


def test_history_restore_and_delete_source_take_a_name_as_they_show_it_and_an_absolute_path(
    delta: Backend,
) -> None:
    data = delta.root / "data"
    name = os.fsdecode(b"caf\xe9")
    (data / name).write_bytes(b"latin")
    (data / "x\\xff").write_bytes(b"a name with a backslash")
    all_stages(delta)
    for typed in ("caf\\xe9", "./caf\\xe9", str(data / name), str(data / "caf\\xe9")):
        assert [one["size"] for one in printed("history", "delta", typed)] == [5]
        assert printed("restore", "delta", typed, "--list")["entries"] == 1
        assert printed("delete-source", "delta", typed)["kept_sample"][0][0] == "caf\\xe9"
    assert [one["size"] for one in printed("history", "delta", "x\\xff")] == [23]
    assert [one["size"] for one in printed("history", "delta", "x\\\\xff")] == [23]


def test_find_says_that_a_pipe_was_left_out(delta: Backend) -> None:
    os.mkfifo(delta.root / "data" / "pipe")
    all_stages(delta)
    shown = ptolemy("find", "pipe").stdout
    assert "left out by the scan" in shown
    assert "not built" not in shown
