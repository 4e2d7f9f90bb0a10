"""Keys from an environment variable and from a command; several places in turn."""

import os
import shlex
import sys
import time
from pathlib import Path

import pytest

from ptolemy_core.errors import DamagedError, KeyStoreError, SettingsError, UnknownKeyError, WrongKeyError
from ptolemy_core.keys import Key, KeyChain, Keyring, open_keys
from ptolemy_core.keys.key import KEY_BYTES, to_text
from ptolemy_core.keys.providers import CommandKeys, TextKeys, find_key, newest_key
from ptolemy_core.keys.secret import random_secret


def key(alias: str = "a", version: int = 1) -> Key:
    return Key(alias, version, random_secret(KEY_BYTES))


def command(tmp_path: Path, code: str) -> str:
    """A command line that runs some Python."""
    script = tmp_path / "with space.py"
    script.write_text(code)
    return f"{shlex.quote(sys.executable)} {shlex.quote(str(script))} {{alias}}"


def test_a_variable_holds_keys_of_any_aliases_and_versions() -> None:
    keys = [key("a", 2), key("b"), key("a", 1)]
    provider = TextKeys(" ".join(map(to_text, keys)), "the environment variable PTOLEMY_KEYS")
    assert provider.aliases() == ["a", "b"]
    assert [(one.version, one.secret) for one in provider.versions("a")] == [
        (1, keys[2].secret),
        (2, keys[0].secret),
    ]
    assert newest_key(provider, "a")[1] == keys[0].secret


def test_a_variable_with_something_else_is_refused_without_quoting_it(tmp_path: Path) -> None:
    with pytest.raises(
        DamagedError, match="line 1 of the environment variable PTOLEMY_KEYS is not a key"
    ) as caught:
        open_keys(str(tmp_path), {"PTOLEMY_KEYS": "hunter2hunter2"})
    assert "hunter2" not in str(caught.value)


def test_a_command_prints_the_keys_of_the_alias_that_it_is_asked_for(tmp_path: Path) -> None:
    keys = [key("my-key"), key("other")]
    code = f"import sys; print({to_text(keys[0])!r} if sys.argv[1] == 'my-key' else '')\n"
    code += "print('a warning', file=sys.stderr)\n"
    code += "open('%s', 'a').write('x')" % (tmp_path / "runs")
    provider = CommandKeys(command(tmp_path, code))
    assert [provider.versions("my-key")[0].secret for _ in range(3)] == [keys[0].secret] * 3
    assert (tmp_path / "runs").read_text() == "x"  # it ran once
    assert provider.versions("other") == []
    assert provider.aliases() == []


def test_no_shell_reads_the_command(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    provider = CommandKeys(f"echo $HOME; touch {marker} #{{alias}} `touch {marker}`")
    with pytest.raises(DamagedError) as caught:
        provider.versions("a")
    assert "is not a key" in str(caught.value)
    assert not marker.exists()
    with pytest.raises(SettingsError, match="a key's alias must be"):
        provider.versions("$(touch x)")


def test_a_command_that_fails_is_named_and_what_it_said_is_not_shown(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code = "import sys; print('secret-1'); print('secret-2', file=sys.stderr); sys.exit(3)"
    with pytest.raises(KeyStoreError, match=r"failed for key a \(exit code 3\): run it yourself") as caught:
        CommandKeys(command(tmp_path, code)).versions("a")
    assert "secret" not in str(caught.value)
    assert "secret" not in "".join(capfd.readouterr())


def test_a_command_that_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    line = f"sh -c 'sleep 600 & echo $! > {pids}; wait' {{alias}}"
    with pytest.raises(
        KeyStoreError, match=r"didn't end within 2 seconds when asked for key a.*PTOLEMY_KEY_TIMEOUT"
    ):
        CommandKeys(line, 2).versions("a")
    child = int(pids.read_text())
    for _ in range(200):
        try:
            if Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                break
        except OSError:
            break
        time.sleep(0.05)
    else:
        os.kill(child, 9)
        raise AssertionError("the child is still there")


@pytest.mark.parametrize("text", ["", "   ", "'open"])
def test_a_command_line_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="PTOLEMY_KEY_COMMAND"):
        CommandKeys(text)


def test_a_command_that_is_not_there_is_named() -> None:
    with pytest.raises(
        KeyStoreError, match=r"the command /no/such of PTOLEMY_KEY_COMMAND can't be started \(No such"
    ):
        CommandKeys("/no/such {alias}").versions("a")


def test_a_command_that_prints_too_much_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyStoreError, match="printed more than"):
        CommandKeys(command(tmp_path, "print('#' * (1 << 21))")).versions("a")


@pytest.mark.parametrize("text", ["0", "-1", "nan", "x", "1e9"])
def test_a_time_out_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(
        SettingsError, match="PTOLEMY_KEY_TIMEOUT must be more than 0 and at most 3600 seconds"
    ):
        open_keys(str(tmp_path), {"PTOLEMY_KEY_COMMAND": "true", "PTOLEMY_KEY_TIMEOUT": text})


def test_the_variable_answers_first_then_the_keyring_then_the_command(tmp_path: Path) -> None:
    ring = Keyring(str(tmp_path / "keyring.json"))
    ring.create("a")
    in_ring = ring.create("b")
    keys = [key("a"), key("b"), key("c")]
    printed = "; ".join(f"print({to_text(one)!r})" for one in keys)
    keychain = open_keys(
        str(tmp_path), {"PTOLEMY_KEYS": to_text(keys[0]), "PTOLEMY_KEY_COMMAND": command(tmp_path, printed)}
    )
    assert newest_key(keychain, "a")[1] == keys[0].secret
    assert newest_key(keychain, "b")[1] == in_ring.secret
    assert newest_key(keychain, "c")[1] == keys[2].secret
    assert keychain.aliases() == ["a", "b"]
    with pytest.raises(UnknownKeyError) as caught:
        newest_key(keychain, "d")
    message = str(caught.value)
    assert "there is no key d in the environment variable PTOLEMY_KEYS or the keyring" in message
    assert "or the output of the command" in message
    assert "it has a, b" in message
    assert "ptolemy keys create d" in message


def test_a_key_is_found_by_version_and_id_and_each_failure_says_what_is_wrong(tmp_path: Path) -> None:
    ring = Keyring(str(tmp_path / "keyring.json"))
    one, two = ring.create("a"), ring.rotate("a")
    chain = KeyChain([ring])
    assert find_key(chain, "a", 1, one.id) == (one, one.secret)
    assert newest_key(chain, "a") == (two, two.secret)
    with pytest.raises(UnknownKeyError, match=r"version 3 of key a isn't in .*which has versions 1, 2"):
        find_key(chain, "a", 3, two.id)
    with pytest.raises(
        WrongKeyError, match=rf"another key \(ID {two.id}\) than the one that was used \(ID {one.id}\)"
    ):
        find_key(chain, "a", 2, one.id)
    ring.destroy("a", 1)
    with pytest.raises(UnknownKeyError, match="version 1 of key a was destroyed in .* on 20"):
        find_key(chain, "a", 1, one.id)
    ring.destroy("a", 2)
    with pytest.raises(UnknownKeyError, match="version 2 of key a was destroyed"):
        newest_key(chain, "a")
