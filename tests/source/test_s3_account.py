"""The account that a process uses for S3: made once for many sources, and never an old one for long."""

from pathlib import Path

import pytest

from ptolemy_core.source import s3

NAMED = "[museum]\naws_access_key_id = {key}\naws_secret_access_key = s\n"


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The file that a profile is in."""
    file = tmp_path / "credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return file


def key_of(account: s3.Account) -> str:
    found: str = account.credentials().access_key
    return found


def test_sources_that_are_opened_one_after_the_other_share_a_session(credentials: Path) -> None:
    credentials.write_text(NAMED.format(key="FIRST"))
    assert s3.account("museum").session is s3.account("museum").session


def test_other_credentials_in_the_environment_hold_at_once(
    credentials: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    for key in ("FIRST", "SECOND"):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
        assert key_of(s3.account(None)) == key


def test_a_changed_file_of_credentials_is_read_soon(
    credentials: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000 * s3._KEPT
    monkeypatch.setattr(s3.time, "monotonic", lambda: now)
    for key in ("FIRST", "SECOND"):
        credentials.write_text(NAMED.format(key=key))
        assert key_of(s3.account("museum")) == key
        now += s3._KEPT
