"""Wallets by alias: where they come from, their addresses and signatures, and that their keys are never shown."""

import base64
import json
import os
import pickle
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from ptolemy_core.errors import DamagedError, KeyStoreError, PtolemyError, SettingsError, UnknownKeyError
from ptolemy_core.keys.wallets import Wallet, WalletFiles, open_wallets, parse_wallet

KEY = "01" * 32
OTHER = "02" * 32


def lotus(kind: str, key: str) -> str:
    """What `lotus wallet export` prints."""
    value = {"Type": kind, "PrivateKey": base64.b64encode(bytes.fromhex(key)).decode()}
    return json.dumps(value).encode().hex()


def put(home: Path, alias: str, text: str, mode: int = 0o600) -> Path:
    path = home / "wallets" / alias
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("kind", "mainnet", "calibration"),
    [
        (
            "secp256k1",
            "f1ksu3ktw4xhyaoltwr546b3epfs5wxxqfyyxipwi",
            "t1ksu3ktw4xhyaoltwr546b3epfs5wxxqfyyxipwi",
        ),
        (
            "delegated",
            "f410fdjsc6dr4hl2ulz5mxu4la4srwomqsfhrj5x3f4i",
            "t410fdjsc6dr4hl2ulz5mxu4la4srwomqsfhrj5x3f4i",
        ),
    ],
)
def test_a_key_has_the_address_that_other_tools_give_it(kind: str, mainnet: str, calibration: str) -> None:
    for text in (f"{kind}:{KEY}", f"{kind}:0x{KEY}\n", lotus(kind, KEY), f"  {lotus(kind, KEY)}\n"):
        wallet = parse_wallet(text, "main", "here")
        assert wallet.kind == kind
        assert str(wallet.address("mainnet")) == mainnet
        assert str(wallet.address("calibration")) == calibration


def test_a_wallet_comes_from_a_variable_a_file_or_a_command_in_this_order(tmp_path: Path) -> None:
    script = tmp_path / "print.py"
    script.write_text(f"import sys; print('secp256k1:{KEY}' if sys.argv[1] == 'c' else '')")
    put(tmp_path, "a", f"secp256k1:{OTHER}")
    put(tmp_path, "b", lotus("delegated", KEY))
    wallets = open_wallets(
        str(tmp_path),
        {
            "PTOLEMY_WALLETS": f"a=secp256k1:{KEY}",
            "PTOLEMY_WALLET_COMMAND": f"{shlex.quote(sys.executable)} {shlex.quote(str(script))} {{alias}}",
        },
    )
    assert wallets.find("a").secret.reveal().hex() == KEY  # the variable's
    assert wallets.find("b").kind == "delegated"
    assert wallets.find("c").secret.reveal().hex() == KEY
    assert wallets.aliases() == ["a", "b"]
    with pytest.raises(UnknownKeyError, match=r"there is no wallet d in .*it has a, b"):
        wallets.find("d")


def test_the_folder_of_wallets_can_be_another_one(tmp_path: Path) -> None:
    put(tmp_path, "a", f"secp256k1:{KEY}")
    wallets = open_wallets("/nowhere", {"PTOLEMY_WALLET_FOLDER": str(tmp_path / "wallets")})
    assert wallets.find("a").alias == "a"
    assert open_wallets("/nowhere", {}).aliases() == []


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o777])
def test_a_file_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    put(tmp_path, "a", f"secp256k1:{KEY}", mode)
    with pytest.raises(KeyStoreError, match=f"has mode {mode:04o}.*chmod 600") as caught:
        open_wallets(str(tmp_path), {}).find("a")
    assert KEY not in str(caught.value)


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    os.mkfifo(tmp_path / "b", 0o600)
    for alias in ("a", "b"):
        with pytest.raises(KeyStoreError):
            WalletFiles(str(tmp_path)).wallet(alias)
    with pytest.raises(SettingsError, match="alias"):
        WalletFiles(str(tmp_path)).wallet("../a")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "lotus wallet export"),
        ("secp256k1:" + "7f" * 31, "lotus wallet export"),
        ("7f" * 32, "lotus wallet export"),
        ("secp256k1:" + "00" * 32, "isn't a private key"),
        ("secp256k1:" + "ff" * 32, "isn't a private key"),
        (lotus("bls", "7f" * 32), "bls can't sign here"),
        (lotus("secp256k1", "7f" * 31), "must have 32 bytes, it has 31"),
        (b'{"Type":"secp256k1","PrivateKey":7}'.hex(), "lotus wallet export"),
        (b"[[[[".hex(), "lotus wallet export"),
    ],
)
def test_a_text_that_is_no_wallet_is_refused_without_quoting_it(text: str, reason: str) -> None:
    with pytest.raises(DamagedError, match=reason) as caught:
        parse_wallet(text, "main", "the wallet file x")
    assert "main in the wallet file x" in str(caught.value)
    assert "7f7f" not in str(caught.value)


@pytest.mark.parametrize("text", ["hunter2hunter2", "a=x b", f"a=secp256k1:{KEY} a=secp256k1:{OTHER}"])
def test_a_variable_with_something_else_is_refused_without_quoting_it(text: str) -> None:
    with pytest.raises(DamagedError, match="PTOLEMY_WALLETS") as caught:
        open_wallets("/nowhere", {"PTOLEMY_WALLETS": text})
    assert not any(word in str(caught.value) for word in ("hunter2", KEY, OTHER))


def test_a_command_that_fails_is_named_without_what_it_printed(tmp_path: Path) -> None:
    script = tmp_path / "print.py"
    script.write_text(f"print('{KEY}'); raise SystemExit(2)")
    command = f"{shlex.quote(sys.executable)} {shlex.quote(str(script))} --token hunter2 {{alias}}"
    with pytest.raises(
        KeyStoreError, match=r"PTOLEMY_WALLET_COMMAND failed for key a \(exit code 2\)"
    ) as caught:
        open_wallets(str(tmp_path), {"PTOLEMY_WALLET_COMMAND": command}).find("a")
    assert KEY not in str(caught.value)
    assert "hunter2" not in str(caught.value)


def shown(wallet: Wallet) -> str:
    """Everything that prints a wallet."""
    return f"{wallet} {wallet!r} {wallet.secret} {[wallet]} {wallet.address('mainnet')!r}"


@pytest.mark.parametrize("kind", ["secp256k1", "delegated"])
def test_a_key_is_in_no_text_of_its_wallet_and_cannot_be_pickled(kind: str) -> None:
    wallet = parse_wallet(f"{kind}:{'7e' * 32}", "main", "here")
    assert "7e7e" not in shown(wallet)
    assert repr(b"\x7e" * 4)[2:-1] not in shown(wallet)
    with pytest.raises(TypeError, match="can't be pickled"):
        pickle.dumps(wallet)


def test_a_missing_library_is_named_with_what_to_install() -> None:
    code = (
        "import sys; sys.modules['coincurve'] = None\n"
        "from ptolemy_core.keys.wallets import parse_wallet\n"
        f"try: parse_wallet('secp256k1:{KEY}', 'a', 'b')\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "SettingsError wallets need coincurve" in done.stdout
    assert "pip install" in done.stdout


def test_errors_of_wallets_are_errors_that_a_user_can_read() -> None:
    for kind in (DamagedError, KeyStoreError, UnknownKeyError):
        assert issubclass(kind, PtolemyError)
