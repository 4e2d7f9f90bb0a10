"""Nothing secret is where others, or only the owner, may look: canaries in contents, names, targets, and the keys."""

import base64
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ptolemy_core.catalog import data_keys
from ptolemy_core.keys import Keyring, unwrap
from ptolemy_core.keys.key import to_text
from ptolemy_core.keys.secret import Secret
from tests.cli.commands import process
from tests.pipeline.backend import Backend
from tests.pipeline.fixtures import postgres, sqlite

__all__ = ["postgres", "sqlite"]

CONTENT, NAME, TARGET = b"canary-of-contents", b"canary-of-names", b"canary-of-targets"


def all_files(*folders: Path) -> Iterator[tuple[Path, bytes]]:
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink():
                yield path, path.read_bytes()


def forms(secret: Secret, text: str = "") -> list[bytes]:
    """A key as it could have been written down."""
    raw = secret.reveal()
    plain = [raw, raw.hex().encode(), base64.b64encode(raw)[:40], base64.urlsafe_b64encode(raw)[:40]]
    plain += [base64.b32encode(raw).rstrip(b"="), base64.b32encode(raw).rstrip(b"=").lower()]
    return [*plain, repr(raw)[2:-1].encode()] + ([text.encode()] if text else [])


@pytest.mark.slow
def test_no_canary_and_no_key_is_anywhere(sqlite: Backend) -> None:
    home = Path(sqlite.env["DAGSTER_HOME"])
    temporary = Path(tempfile.mkdtemp(prefix="t"))  # short: sockets are made there
    backend = Backend(sqlite.root, {**sqlite.env, "TMPDIR": str(temporary)})
    name = NAME.decode()
    target = backend.folder(
        files={f"{name}/{name}.txt": CONTENT * 50, "big": CONTENT * 200_000, f"gone {name}": CONTENT}
    )
    os.symlink(TARGET, os.fsencode(target / "link"))
    staging = backend.staging("p")

    def ptolemy(*arguments: str, code: int = 0) -> None:
        done = process(backend, *arguments)
        assert done.returncode == code, done.stderr
        assert CONTENT not in done.stdout + done.stderr

    ptolemy("keys", "create", "my-key")
    for project, storage in (("p", "staged"), ("g", "generated")):
        folders = ("-t", str(target), "-s", str(staging) if project == "p" else str(backend.staging("g")))
        ptolemy("create", project, *folders, "--encryption", "my-key", "--car-storage", storage)
        ptolemy("run", project)
    ptolemy("keys", "rotate", "my-key")
    (target / f"gone {name}").write_bytes(CONTENT * 2)
    ptolemy("scan", "p")
    ptolemy("containerize", "p")
    (target / f"gone {name}").unlink()
    ptolemy("blitz", "p", code=1)  # its error names the file, in logs
    ptolemy("verify", "p", "--source")

    keyring = Keyring(str(home / "keyring.json"))
    keys = [
        form for key in keyring.versions("my-key") if key.secret for form in forms(key.secret, to_text(key))
    ]
    for wrapped in data_keys.data_keys(backend.catalog):
        keys += forms(unwrap(keyring, wrapped))
    assert len(keys) > 40
    seen = 0
    for path, held in all_files(home, sqlite.root / "staging", temporary):
        seen += 1
        assert CONTENT not in held, path
        assert path.name == "keyring.json" or not [key for key in keys if key in held], path
        if path.is_relative_to(sqlite.root / "staging"):
            assert NAME not in held, path
            assert TARGET not in held, path
            assert NAME not in os.fsencode(path), path
    assert seen > 15
    shutil.rmtree(temporary)
