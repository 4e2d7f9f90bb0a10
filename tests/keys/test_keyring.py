"""The keyring file: private, whole at any moment, shared by processes; its errors name it and show no key."""

import base64
import json
import multiprocessing
import os
from pathlib import Path

import pytest

from ptolemy_core.errors import DamagedError, EncryptionError, KeyStoreError, SettingsError, UnknownKeyError
from ptolemy_core.keys import Keyring, keyring, keyring_path
from ptolemy_core.keys.key import Key, parse_keys, to_text


@pytest.fixture
def ring(tmp_path: Path) -> Keyring:
    return Keyring(str(tmp_path / "home" / "keyring.json"))


def shown(error: BaseException, ring: Keyring) -> str:
    """The message of an error; no key of the ring may be in it, in any form."""
    text = repr(error) + str(error)
    for entry in json.loads(Path(ring.path).read_bytes())["keys"].get("a", ()):
        if "key" in entry:
            value = base64.b64decode(entry["key"])
            for form in (entry["key"], value.hex(), base64.b32encode(value).decode().lower(), repr(value)):
                assert form[:12] not in text
    return str(error)


def test_a_key_is_random_and_there_for_everyone_who_opens_the_file(ring: Keyring) -> None:
    assert ring.aliases() == []
    assert ring.versions("a") == []
    made = [ring.create("a"), ring.create("b")]
    again = Keyring(ring.path)
    assert again.aliases() == ["a", "b"]
    assert again.versions("a") == [made[0]]
    assert made[0].secret is not None
    assert len(made[0].secret) == 32
    assert made[0].id != made[1].id
    assert made[0].created.endswith("Z")


def test_an_alias_is_made_once(ring: Keyring) -> None:
    ring.create("a")
    with pytest.raises(SettingsError, match="already has a key a: use `ptolemy keys rotate a`"):
        ring.create("a")


@pytest.mark.parametrize("alias", ["", "None", "none", "-a", "a b", "a/b", "a:b", "é", "x" * 64, "a\n"])
def test_an_alias_that_can_not_be_one_is_refused(ring: Keyring, alias: str) -> None:
    with pytest.raises(SettingsError, match="a key's alias must be"):
        ring.create(alias)


def test_rotation_adds_a_version_and_keeps_the_older_ones(ring: Keyring) -> None:
    first, second = ring.create("a"), ring.rotate("a")
    assert [key.version for key in (first, second)] == [1, 2]
    assert ring.versions("a") == [first, second]
    with pytest.raises(UnknownKeyError, match=r"there is no key b in the keyring .*keyring.json"):
        ring.rotate("b")


def test_destroyed_keys_are_gone_from_the_file_and_their_numbers_are_not_used_again(ring: Keyring) -> None:
    first, second = ring.create("a"), ring.rotate("a")
    assert first.secret is not None
    gone = ring.destroy("a", 1)
    assert [(key.version, key.secret) for key in gone] == [(1, None)]
    text = Path(ring.path).read_text()
    assert base64.b64encode(first.secret.reveal()).decode() not in text
    assert gone[0].destroyed_id == ring.versions("a")[0].destroyed_id == first.id
    kept = ring.versions("a")
    assert (kept[0].secret, kept[1]) == (None, second)
    assert kept[0].destroyed
    assert ring.rotate("a").version == 3
    assert [key.version for key in ring.destroy("a")] == [2, 3]
    assert ring.rotate("a").version == 4
    with pytest.raises(UnknownKeyError, match="no version 1 of key a that isn't destroyed"):
        ring.destroy("a", 1)
    with pytest.raises(UnknownKeyError, match="there is no key b"):
        ring.destroy("b")


def test_a_backup_brings_keys_back_but_never_replaces_one(ring: Keyring, tmp_path: Path) -> None:
    first, second = ring.create("a"), ring.rotate("a")
    backup = parse_keys(to_text(first) + "\n" + to_text(second), "the backup")
    assert ring.add(backup) == []
    ring.destroy("a", 1)
    assert [key.version for key in ring.add(backup)] == [1]
    assert ring.versions("a")[0].secret == first.secret

    other = Keyring(str(tmp_path / "other.json"))
    mine = other.create("a")
    with pytest.raises(SettingsError, match="has another key for version 1 of a"):
        other.add(backup)
    assert other.versions("a") == [mine]  # nothing of it was taken


def test_the_file_is_private_from_its_first_moment(ring: Keyring) -> None:
    before = os.umask(0)
    try:
        ring.create("a")
    finally:
        os.umask(before)
    for name in os.listdir(os.path.dirname(ring.path)):
        assert os.stat(os.path.join(os.path.dirname(ring.path), name)).st_mode & 0o777 == 0o600
    assert os.stat(os.path.dirname(ring.path)).st_mode & 0o077 == 0


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o620, 0o602, 0o700, 0o4600])
def test_a_file_that_others_may_use_is_refused_for_reading_and_writing(ring: Keyring, mode: int) -> None:
    ring.create("a")
    content = Path(ring.path).read_bytes()
    os.chmod(ring.path, mode)
    for use in (ring.aliases, lambda: ring.create("b"), lambda: ring.destroy("a")):
        with pytest.raises(KeyStoreError, match=f"has mode {mode:04o}.*chmod 600") as caught:
            use()
        shown(caught.value, ring)
    assert Path(ring.path).read_bytes() == content


def test_what_is_no_keyring_is_refused(ring: Keyring, tmp_path: Path) -> None:
    ring.create("a")
    good = Path(ring.path).read_bytes()
    for bad in (b"", b"{}", b"[]", b"null", good[:-20], good.replace(b'"version": 1', b'"version": 0'), b"\xff",
                good.replace(b'"a"', b'"/"'), b"[" * 100_000):  # fmt: skip
        Path(ring.path).write_bytes(bad)
        with pytest.raises(DamagedError, match="keyring.json is damaged"):
            ring.aliases()
        with pytest.raises(DamagedError):
            ring.create("b")
        assert Path(ring.path).read_bytes() == bad
    Path(ring.path).write_bytes(good.replace(b"keyring/1", b"keyring/2"))
    with pytest.raises(KeyStoreError, match="upgrade Ptolemy"):
        ring.aliases()
    with pytest.raises(KeyStoreError, match="is not a regular file"):
        Keyring(str(tmp_path)).aliases()
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(KeyStoreError, match="is not a regular file"):
        Keyring(str(tmp_path / "pipe")).aliases()


def test_a_changed_byte_of_a_key_is_seen_before_the_key_is_used(ring: Keyring) -> None:
    ring.create("a")
    entry = json.loads(Path(ring.path).read_bytes())
    good = entry["keys"]["a"][0]["key"]
    for at in range(43):
        for new in "AB":
            if good[at] == new:
                continue
            entry["keys"]["a"][0]["key"] = good[:at] + new + good[at + 1 :]
            Path(ring.path).write_text(json.dumps(entry))
            if base64.b64decode(entry["keys"]["a"][0]["key"]) == base64.b64decode(good):
                continue  # unused bits of the last digit
            with pytest.raises(
                DamagedError, match="version 1 of key a in the keyring .* is damaged"
            ) as caught:
                ring.versions("a")
            shown(caught.value, ring)


def test_a_version_that_is_there_twice_is_refused(ring: Keyring) -> None:
    ring.create("a")
    value = json.loads(Path(ring.path).read_bytes())
    value["keys"]["a"] *= 2
    Path(ring.path).write_text(json.dumps(value))
    with pytest.raises(DamagedError):
        ring.aliases()


def test_a_place_that_can_not_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        KeyStoreError, match=r"the keyring .*file/keyring.json can't be locked.*PTOLEMY_KEYRING"
    ):
        Keyring(str(tmp_path / "file" / "keyring.json")).create("a")


def test_what_an_interrupted_write_left_is_no_hindrance_and_the_file_stays_whole(
    ring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring.create("a")
    with monkeypatch.context() as patched:

        def stopped(*_: object) -> None:
            raise KeyboardInterrupt

        patched.setattr(os, "replace", stopped)
        with pytest.raises(KeyboardInterrupt):
            ring.create("b")
    assert ring.aliases() == ["a"]
    ring.create("c")
    assert ring.aliases() == ["a", "c"]
    assert sorted(os.listdir(os.path.dirname(ring.path))) == ["keyring.json", "keyring.json.lock"]


def test_a_link_to_the_file_stays_a_link(tmp_path: Path) -> None:
    real = Keyring(str(tmp_path / "real.json"))
    real.create("a")
    link = tmp_path / "link.json"
    link.symlink_to("real.json")
    Keyring(str(link)).create("b")
    assert link.is_symlink()
    assert real.aliases() == ["a", "b"]


def _create(path: str, number: int) -> None:
    Keyring(path).create(f"key{number}")
    Keyring(path).rotate("shared")


def test_processes_that_write_at_once_lose_nothing(ring: Keyring) -> None:
    ring.create("shared")
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_create, args=(ring.path, number)) for number in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 8
    assert ring.aliases() == [*(f"key{number}" for number in range(8)), "shared"]
    assert [key.version for key in ring.versions("shared")] == list(range(1, 10))


def test_the_place_is_the_variables_or_in_the_home_folder() -> None:
    assert keyring_path("/home/x", {}) == "/home/x/keyring.json"
    assert keyring_path("/home/x", {"PTOLEMY_KEYRING": "/keys/k"}) == "/keys/k"
    assert keyring_path("/home/x", {"PTOLEMY_KEYRING": ""}) == "/home/x/keyring.json"


def test_a_file_is_never_overwritten_by_a_private_one(tmp_path: Path) -> None:
    place = tmp_path / "file"
    keyring.write_private(str(place), b"one")
    with pytest.raises(FileExistsError):
        keyring.write_private(str(place), b"two")
    assert place.read_bytes() == b"one"


def _parsed(text: str) -> tuple[list[Key], str]:
    """The keys in a text, or the message that refuses it."""
    try:
        return parse_keys(text, "the file f"), ""
    except EncryptionError as error:
        return [], str(error)


def test_the_text_of_a_key_is_read_back_and_a_slip_in_it_is_seen(ring: Keyring) -> None:
    key = ring.create("a")
    text = to_text(key)
    assert text.startswith("ptolemy-key-1:a:1:")
    assert parse_keys(f"# a comment\n\n  {text}  {text}\n", "here")[0].secret == key.secret
    value = text.split(":")[3]
    for at in range(len(text)):
        for new in "ab7:Z ":
            bad = text[:at] + new + text[at + 1 :]
            if bad == text:
                continue
            read, message = _parsed(bad)
            # what is read is another alias or version, or unused bits of the last digit: the key is the same
            assert [one.secret for one in read] in ([], [key.secret])
            assert read or "the file f" in message
            assert value[:10] not in message
    ring.destroy("a")
    with pytest.raises(ValueError, match="was destroyed"):
        to_text(ring.versions("a")[0])


def test_two_different_keys_of_one_version_are_refused(ring: Keyring) -> None:
    one, two = ring.create("a"), ring.create("b")
    text = to_text(one) + "\n" + to_text(Key("a", 1, two.secret))
    with pytest.raises(DamagedError, match="here has two different keys for version 1 of a"):
        parse_keys(text, "here")
