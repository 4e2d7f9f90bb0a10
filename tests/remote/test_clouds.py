"""Azure and Google, on their emulators: the same CARs as of a folder, and no change that goes unnoticed."""

from pathlib import Path
from typing import Any

import pytest

from ptolemy_core.errors import SettingsError, SourceError, UnreadableError
from ptolemy_core.tree import Kind
from tests.remote import servers
from tests.remote.clouds import Cloud
from tests.remote.test_bucket import FILES, reasons, run, seen, write

ODD = {"b//x": b"5", "b/./y": b"6", "c/../w": b"7", "/lead": b"8"}


def test_a_cloud_and_a_folder_of_the_same_files_give_the_same_cars(make: Any, cloud: Cloud) -> None:
    """With a marker of an empty folder, one of a folder that isn't empty, and an empty file."""
    cloud.put_all({**FILES, "empty/": b"", "a/": b""})
    local, far = make("local"), make("far", target_dir=cloud.url)
    write(local.target, FILES)
    (local.target / "empty").mkdir()
    for scene in (local, far):
        run(scene)
    assert seen(far) == seen(local)
    assert seen(far)["empty"] == Kind.DIRECTORY
    assert [row.file_name for row in far.cars()] == [row.file_name for row in local.cars()]
    assert [verdict.problems for verdict in far.verify(source=True)] == [[]] * len(far.cars())
    again = far.scan()
    assert (again.added, again.changed, again.gone) == (0, 0, 0)


def test_keys_that_a_tree_cant_hold_are_left_out_with_their_reasons(make: Any, cloud: Cloud) -> None:
    cloud.put_all(FILES)
    far = make("far", target_dir=cloud.url, on_error="skip")
    far.scan()
    cloud.put_all(ODD)
    later = far.scan()
    assert (later.changed, later.gone) == (0, 0)
    found = reasons(far)
    assert set(found) == set(ODD)
    assert all("which no file can have" in reason for reason in found.values())
    local = make("local")
    write(local.target, FILES)
    run(local)
    run(far)
    assert [row.file_name for row in far.cars()] == [row.file_name for row in local.cars()]
    with pytest.raises(UnreadableError, match="its key has an empty name"):
        make("strict", target_dir=cloud.url).scan()


def test_an_overwritten_and_a_deleted_object_are_refused_by_name(make: Any, cloud: Cloud) -> None:
    cloud.put_all(FILES)
    far = make("far", target_dir=cloud.url)
    far.scan()
    far.plan()
    cloud.put("pre/z", b"LAST")
    with pytest.raises(SourceError, match="pre/z changed since the scan, it was overwritten"):
        far.blitz()
    far.scan()
    far.plan()
    cloud.delete("pre/big")
    with pytest.raises(SourceError, match="pre/big is missing since the scan"):
        far.blitz()


def test_a_profile_of_a_cloud_is_read_from_a_file_that_nobody_else_may_read(
    make: Any, azure: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    azure.put_all(FILES)
    profiles = tmp_path / "profiles"
    profiles.write_text(
        f"[museum]\nazure_storage_account_name = {servers.AZURE_ACCOUNT}\n"
        f"azure_storage_account_key = {servers.AZURE_KEY}\nazure_storage_use_emulator = true\n"
    )
    monkeypatch.setenv("PTOLEMY_PROFILES", str(profiles))
    for name in ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_USE_EMULATOR"):
        monkeypatch.delenv(name)
    profiles.chmod(0o644)
    with pytest.raises(SettingsError, match="readable by nobody else: chmod 600"):
        make("open", target_dir=azure.url, source_profile="museum")
    profiles.chmod(0o600)
    with pytest.raises(SettingsError, match="no profile 'other'"):
        make("other", target_dir=azure.url, source_profile="other")
    far = make("far", target_dir=azure.url, source_profile="museum")
    assert far.scan().files == len(FILES)
