"""The command line's tests use the pipeline's fixtures."""

import os
from pathlib import Path

import pytest

from tests.pipeline.backend import Backend
from tests.pipeline.fixtures import backend, postgres, sqlite

__all__ = ["awkward", "backend", "delta", "postgres", "sqlite"]

AWKWARD = (
    b'it\'s "quoted".txt',
    b"two\nlines.txt",
    b"not utf-8 \xff\xfe.txt",
    b"[bold]|pipe|.txt",
    b"-dash.txt",
)
"""Names that a file system allows and programs tend to break."""


@pytest.fixture
def delta(sqlite: Backend, monkeypatch: pytest.MonkeyPatch) -> Backend:
    """A home with project delta defined over a folder of two files."""
    monkeypatch.setenv("PYTHONPATH", sqlite.env["PYTHONPATH"])
    sqlite.define()
    return sqlite


@pytest.fixture
def awkward(tmp_path: Path) -> Path:
    """A folder of files with awkward names."""
    folder = tmp_path / "awkward"
    folder.mkdir()
    for name in AWKWARD:
        with open(os.path.join(os.fsencode(folder), name), "wb") as file:
            file.write(b"data of " + name)
    return folder
