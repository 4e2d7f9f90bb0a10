"""`ptolemy keys`: what it says, what it writes, and what it never shows."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from ptolemy_core.catalog import Catalog, data_keys, projects
from ptolemy_core.keys import Keyring, new_data_key, unwrap
from ptolemy_core.keys.key import to_text
from ptolemy_core.project import parse_project
from ptolemy_dagster.cli import keys
from tests.cli.commands import error_of, printed, ptolemy

_KEY = re.compile(r"ptolemy-key-1:([A-Za-z0-9_-]+):([0-9]+):([a-z2-7]{52}):([0-9a-f]{16})")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("PTOLEMY_KEYS", "PTOLEMY_KEYRING", "PTOLEMY_KEY_COMMAND", "PTOLEMY_PG_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def ring(home: Path) -> Keyring:
    return Keyring(str(home / "keyring.json"))


def define(home: Path, *names: str) -> Catalog:
    """A catalog with projects."""
    for folder in ("target", "staging"):
        (home.parent / folder).mkdir()
    folders = {"target_dir": str(home.parent / "target"), "staging_dir": str(home.parent / "staging")}
    catalog = Catalog()
    for name in names:
        projects.create(catalog, parse_project({"name": name} | folders))
    return catalog


def answer(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Answer questions as a user at a terminal would."""
    monkeypatch.setattr(keys, "_can_ask", lambda: True)
    monkeypatch.setattr("typer.prompt", lambda *_, **__: text)


def test_a_new_key_says_that_it_can_not_be_recovered_and_where_a_backup_comes_from(home: Path) -> None:
    result = ptolemy("keys", "create", "my-key")
    assert result.stdout == ""
    assert "nobody can recover it" in result.stderr
    assert "ptolemy keys export my-key --to FILE" in result.stderr
    assert str(home / "keyring.json") in result.stderr
    assert not _KEY.search(result.stderr)
    assert not (home / "catalog.db").exists()
    assert "has a key my-key already" in error_of("keys", "create", "my-key", code=2)
    assert "a key's alias must be" in error_of("keys", "create", "None", code=2)


def test_a_backup_is_private_and_brings_the_key_back_elsewhere(
    home: Path, tmp_path: Path, ring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup = tmp_path / "backup"
    assert "a backup of key a is in" in ptolemy("keys", "create", "a", "--backup", backup).stderr
    assert os.stat(backup).st_mode & 0o777 == 0o600
    monkeypatch.setenv("PTOLEMY_KEYRING", str(tmp_path / "elsewhere.json"))
    assert "a version 1" in ptolemy("keys", "import", backup).stderr
    assert "are in the keyring" in ptolemy("keys", "import", backup).stderr
    assert Keyring(str(tmp_path / "elsewhere.json")).versions("a")[0].secret == ring.versions("a")[0].secret
    # what is there is never written over, and no key is made whose backup can't be
    content = backup.read_bytes()
    assert "already exists" in error_of("keys", "create", "b", "--backup", backup, code=2)
    assert "can't be written" in error_of(
        "keys", "create", "b", "--backup", tmp_path / "no" / "folder", code=2
    )
    assert "already exists" in error_of("keys", "export", "a", "--to", backup, code=2)
    assert backup.read_bytes() == content
    assert [row["alias"] for row in printed("keys", "list")] == ["a"]


def test_at_a_terminal_a_backup_is_offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, f" {tmp_path}/backup ")
    ptolemy("keys", "create", "a")
    assert _KEY.search((tmp_path / "backup").read_text())
    answer(monkeypatch, "")
    assert "There is no backup yet" in ptolemy("keys", "create", "b").stderr


def test_a_key_for_a_vault_is_printed_and_kept_nowhere(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = ptolemy("keys", "create", "a", "--print").stdout
    assert _KEY.fullmatch(text.strip())
    assert not home.exists()
    assert "use one of them" in error_of("keys", "create", "a", "--print", "--backup", tmp_path / "b", code=2)

    vault = tmp_path / "vault"
    vault.write_text(text)
    monkeypatch.setenv("PTOLEMY_KEY_COMMAND", f"cat {shlex.quote(str(vault))}")
    assert ptolemy("keys", "export", "a").stdout == text
    error = error_of("keys", "rotate", "a")
    assert "which Ptolemy can't change: rotate it there, then run it with --rewrap-only" in error
    assert "which Ptolemy can't change: destroy it there" in error_of("keys", "destroy", "a", "--yes")

    monkeypatch.delenv("PTOLEMY_KEY_COMMAND")
    monkeypatch.setenv("PTOLEMY_KEYS", text)
    assert printed("keys", "list")[0]["place"] == "the environment variable PTOLEMY_KEYS"
    assert "PTOLEMY_KEYS has a key a already" in error_of("keys", "create", "a", code=2)


def test_a_command_that_fails_for_new_aliases_does_not_keep_them_from_being_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PTOLEMY_KEY_COMMAND", "false")
    ptolemy("keys", "create", "a")
    ptolemy("keys", "create", "b", "--print")
    assert "the command false of PTOLEMY_KEY_COMMAND failed for key c" in error_of("keys", "export", "c")


def test_listing_shows_keys_without_their_bytes(ring: Keyring) -> None:
    assert "there are no keys" in ptolemy("keys", "list").stderr
    made = [ring.create("a"), ring.rotate("a"), ring.create("b")]
    ring.destroy("a", 1)
    rows = printed("keys", "list")
    assert [(row["alias"], row["version"], row["id"]) for row in rows] == [
        ("a", 1, None),
        ("a", 2, made[1].id),
        ("b", 1, made[2].id),
    ]
    assert rows[0]["destroyed"]
    shown = ptolemy("keys", "list").stdout + repr(rows)
    for key in made:
        assert key.secret is not None
        assert key.secret.reveal().hex()[:8] not in shown
    assert made[1].id in shown


def test_rotation_wraps_the_catalogs_data_keys_anew(home: Path, ring: Keyring, tmp_path: Path) -> None:
    ring.create("a")
    catalog = define(home, "photos")
    old = data_keys.keep(catalog, new_data_key(ring, "a", "photos", "files"))
    said = ptolemy("keys", "rotate", "a", "--backup", tmp_path / "b").stderr
    assert "key a has version 2 now" in said
    assert "data keys wrapped again: 1; no CAR changed" in said
    (new,) = data_keys.data_keys(catalog, "photos")
    assert new.alias_version == 2
    assert unwrap(ring, new) == unwrap(ring, old)
    assert len(_KEY.findall((tmp_path / "b").read_text())) == 2
    assert "data keys wrapped again: 0" in ptolemy("keys", "rotate", "a", "--rewrap-only").stderr
    assert len(ring.versions("a")) == 2
    assert "there is no key b" in error_of("keys", "rotate", "b")


def test_a_rotation_that_could_wrap_no_data_key_again_makes_no_version(
    home: Path, ring: Keyring, tmp_path: Path
) -> None:
    lost = Keyring(str(tmp_path / "lost.json"))
    lost.create("a")
    data_keys.keep(define(home, "photos"), new_data_key(lost, "a", "photos", "files"))
    ptolemy("keys", "create", "a", "--after-loss")
    assert "version 1 of key a isn't in" in error_of("keys", "rotate", "a")
    assert [key.version for key in ring.versions("a")] == [2]


def test_destroying_says_what_becomes_unreadable_and_asks(
    home: Path, ring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring.create("a")
    catalog = define(home, "photos", "videos")
    for project in ("videos", "photos"):
        data_keys.keep(catalog, new_data_key(ring, "a", project, "files"))
    ring.rotate("a")
    error = error_of("keys", "destroy", "a", "--version", 1, code=2)
    assert "data keys of 2 projects: photos, videos. Without a backup" in error
    assert "repeat with --yes" in error
    assert "It wraps no data key in this catalog" in error_of("keys", "destroy", "a", "--version", 2, code=2)
    answer(monkeypatch, "yes")
    assert "nothing was destroyed" in error_of("keys", "destroy", "a")
    assert all(key.secret for key in ring.versions("a"))
    answer(monkeypatch, "a")
    assert "destroyed versions 1, 2 in" in ptolemy("keys", "destroy", "a").stderr
    assert [key.secret for key in ring.versions("a")] == [None, None]
    assert "no version 1 of key a that isn't destroyed" in error_of(
        "keys", "destroy", "a", "--version", 1, "--yes"
    )
    assert "all versions of key a were destroyed" in error_of("keys", "export", "a")


def test_a_key_of_a_lost_keyring_is_not_made_again_by_mistake(
    home: Path, ring: Keyring, tmp_path: Path
) -> None:
    backup, other = tmp_path / "backup", tmp_path / "other"
    ptolemy("keys", "create", "a", "--backup", backup)
    (key,) = ring.versions("a")
    catalog = define(home, "photos")
    wrapped = data_keys.keep(catalog, new_data_key(ring, "a", "photos", "files"))
    os.unlink(ring.path)
    for more in ((), ("--print",)):
        error = error_of("keys", "create", "a", *more, code=2)
        assert f"a key a wraps (project photos; ID {key.id})" in error
        assert "import its backup with `ptolemy keys import FILE`" in error
    assert ":a:2:" in ptolemy("keys", "create", "a", "--print", "--after-loss").stdout
    other.write_text(to_text(Keyring(str(tmp_path / "elsewhere.json")).create("a")))
    assert f"with the ID {key.id}, this one has" in error_of("keys", "import", other, code=2)
    assert "version 2" in ptolemy("keys", "create", "a", "--after-loss").stderr
    assert "a version 1" in ptolemy("keys", "import", backup).stderr, "what was found later still helps"
    assert unwrap(ring, wrapped)
    ptolemy("keys", "create", "b")


def test_a_key_can_be_imported_from_standard_input(ring: Keyring, tmp_path: Path) -> None:
    text = to_text(Keyring(str(tmp_path / "elsewhere.json")).create("a"))
    assert "a version 1" in ptolemy("keys", "import", "-", piped=text).stderr
    assert ring.versions("a")
    assert "standard input has no key in it" in ptolemy("keys", "import", "-", piped="", code=2).stderr
    assert (
        "line 1 of standard input is not a key"
        in ptolemy("keys", "import", "-", piped="hunter2", code=1).stderr
    )


def test_files_that_hold_no_key_are_refused(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("hunter2")
    error = error_of("keys", "import", other)
    assert f"line 1 of {other} is not a key" in error
    assert "hunter2" not in error
    other.write_text("# nothing\n")
    assert "has no key in it" in error_of("keys", "import", other, code=2)
    assert "can't be read: No such file" in error_of("keys", "import", tmp_path / "none", code=2)


def test_a_keyring_that_others_can_read_is_an_error_of_each_command(ring: Keyring) -> None:
    ring.create("a")
    os.chmod(ring.path, 0o644)
    for arguments in (
        ("list",),
        ("create", "b"),
        ("rotate", "a"),
        ("export", "a"),
        ("destroy", "a", "--yes"),
    ):
        assert "has mode 0644, so other users can access it: chmod 600" in error_of("keys", *arguments)


def test_errors_have_codes_for_programs(ring: Keyring) -> None:
    ring.create("a")
    Path(ring.path).write_bytes(b"{")
    said = json.loads(error_of("keys", "list", "--json").splitlines()[-1])
    assert said["error"]["code"] == "damaged"
    os.chmod(ring.path, 0o644)
    said = json.loads(error_of("keys", "list", "--json").splitlines()[-1])
    assert said["error"]["code"] == "keys-unusable"


def test_help_says_what_can_not_be_undone() -> None:
    top = " ".join(ptolemy("keys", "--help").stdout.split())
    assert "Nobody can recover a lost key" in top
    assert "--encryption ALIAS" in top
    for name in ("create", "list", "rotate", "export", "import", "destroy"):
        assert name in top
        assert ptolemy("keys", name, "--help").stdout


def test_keys_need_no_dagster() -> None:
    code = (
        "import sys\n"
        "from ptolemy_dagster.cli.app import app\n"
        "try: app(['keys', 'create', 'a'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "assert 'dagster' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
