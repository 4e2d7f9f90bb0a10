"""A bucket as target_dir: the same CIDs as of a folder, and no change that goes unnoticed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ptolemy_core.catalog import projects
from ptolemy_core.errors import DeletionError, LossError, SettingsError, SourceError, UnreadableError
from ptolemy_core.project import parse_project
from ptolemy_core.stages import delete_source
from ptolemy_core.tree import LEFT_OUT, Kind, paths
from tests.remote.servers import Store
from tests.stages.conftest import Scene

TREE = {
    "a-b": b"listed before a/b, and after it in a tree",
    "a/b": b"first in the tree",
    "a/b.c": b"",
    "a/b/c.d/e": b"deep",
    "big": bytes(range(256)) * 23,
    "größe/ü #%+&'\"": b"odd name",
    "sp ace/100%": b"%2F isn't a slash",
    "z": b"last",
}
FILES = {key: data for key, data in TREE.items() if key != "a/b"}
"""A folder can't hold both a/b and a/b/c."""


def write(folder: Path, files: Mapping[str, bytes]) -> None:
    for key, data in files.items():
        place = folder / key
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)


def remote(make: Any, store: Store, name: str = "remote", **settings: Any) -> Scene:
    """A project whose target is below `pre` in the bucket."""
    scene: Scene = make(name, **({"target_dir": f"s3://{store.bucket}/pre"} | settings))
    return scene


def put(store: Store, files: Mapping[str, bytes]) -> None:
    store.put({f"pre/{key}": data for key, data in files.items()})


def delete(store: Store, *keys: str) -> None:
    for key in keys:
        store.client.delete_object(Bucket=store.bucket, Key=f"pre/{key}")


def run(scene: Scene) -> list[Any]:
    scene.scan()
    scene.plan()
    return scene.blitz()


def seen(scene: Scene) -> dict[str, int]:
    """Paths and kinds of the last scan."""
    return {paths.display(bytes(row.path)): row.kind for row in scene.files()}


def reasons(scene: Scene) -> dict[str, str]:
    return {paths.display(bytes(row.path)): row.reason for row in scene.files() if row.kind == LEFT_OUT}


def test_a_bucket_and_a_folder_of_the_same_files_give_the_same_cars(make: Any, store: Store) -> None:
    put(store, FILES)
    local, far = make("local"), remote(make, store)
    write(local.target, FILES)
    for scene in (local, far):
        run(scene)
    assert [(row.path, row.size) for row in far.files()] == [(row.path, row.size) for row in local.files()]
    assert [row.file_name for row in far.cars()] == [row.file_name for row in local.cars()]
    assert far.problems() == []
    assert [verdict.problems for verdict in far.verify(source=True, again=True)] == [[]] * len(far.cars())


def test_a_rescan_finds_what_is_new_overwritten_and_gone(make: Any, store: Store) -> None:
    put(store, FILES)
    scene = remote(make, store)
    run(scene)
    again = scene.scan()
    assert (again.added, again.changed, again.gone) == (0, 0, 0)
    put(store, {"z": b"LAST", "new": b"n"})
    delete(store, "a-b")
    found = scene.scan()
    assert (found.added, found.changed, found.gone) == (1, 1, 1)
    scene.plan()
    scene.blitz()
    assert scene.problems() == []


def test_an_object_overwritten_between_scan_and_build_is_refused_by_name(make: Any, store: Store) -> None:
    """With as many bytes as before: only the ETag tells."""
    put(store, FILES)
    for key, other in (("z", b"LAST"), ("big", bytes(5888))):
        scene = remote(make, store, f"p-{key}")
        scene.scan()
        scene.plan()
        put(store, {key: other})
        with pytest.raises(SourceError, match=f"pre/{key} changed since the scan, it was overwritten"):
            scene.blitz()
        put(store, FILES)
        assert scene.blitz()


def test_an_object_deleted_between_scan_and_build_is_refused_by_name(make: Any, store: Store) -> None:
    put(store, FILES)
    scene = remote(make, store)
    scene.scan()
    scene.plan()
    delete(store, "big")
    with pytest.raises(SourceError, match="pre/big is missing since the scan"):
        scene.blitz()


def test_what_changed_is_skipped_with_a_record_where_the_project_says_so(make: Any, store: Store) -> None:
    put(store, FILES)
    scene = remote(make, store, on_error="skip")
    scene.scan()
    scene.plan()
    put(store, {"z": b"LAST"})
    delete(store, "big")
    scene.blitz()
    assert scene.problems() == []
    assert seen(scene)["z"] == Kind.FILE
    assert scene.scan().changed == 1


def test_verification_names_an_object_that_was_overwritten(make: Any, store: Store) -> None:
    put(store, FILES)
    scene = remote(make, store)
    run(scene)
    put(store, {"z": b"LAST"})
    delete(store, "a-b")
    problems = [problem for verdict in scene.verify(source=True) for problem in verdict.problems]
    assert any(
        "z differs from the source in bytes 0 to 3; it was modified after the scan" in one for one in problems
    )
    assert any("a-b can't be read in the source" in one for one in problems)


def test_keys_that_a_tree_cant_hold_are_left_out_with_their_reasons(make: Any, bucket: Store) -> None:
    odd = {
        "x//y": b"1",
        "/lead": b"2",
        "n" * 256: b"3",
        "both": b"4",
        "both/inner": b"5",
        "data/": b"not empty",
        "same": b"6",
        "same/": b"",
        "ok": b"7",
    }
    put(bucket, odd)
    scene = remote(make, bucket, on_error="skip")
    scene.scan()
    found = reasons(scene)
    assert set(found) == {"x//y", "/lead", "n" * 256, "both", "data/", "same"}
    assert "empty name" in found["x//y"]
    assert "empty name" in found["/lead"]
    assert "longer than 255" in found["n" * 256]
    assert "also a folder" in found["both"]
    assert "also a folder" in found["same"]
    assert "ends in a slash" in found["data/"]
    assert {path for path, kind in seen(scene).items() if kind == Kind.FILE} == {"both/inner", "ok"}
    strict = remote(make, bucket, "strict")
    with pytest.raises(UnreadableError, match="both: is a key and also a folder"):
        strict.scan()


def test_an_empty_object_whose_key_ends_in_a_slash_is_a_folder(make: Any, store: Store) -> None:
    put(store, {"empty/": b"", "full/": b"", "full/f": b"x", "f": b"y"})
    scene = remote(make, store)
    run(scene)
    assert seen(scene) == {"empty": Kind.DIRECTORY, "f": Kind.FILE, "full/f": Kind.FILE}
    local = make("local")
    write(local.target, {"full/f": b"x", "f": b"y"})
    (local.target / "empty").mkdir()
    run(local)
    assert [row.file_name for row in scene.cars()] == [row.file_name for row in local.cars()]


def test_rules_hold_for_keys_as_for_files(make: Any, bucket: Store) -> None:
    files = {".hidden/a": b"1", "keep/.h": b"2", "keep/a.jpg": b"3", "keep/b.raw": b"4", "c.jpg": b"5"}
    put(bucket, files)
    settings = {"include": ["*.jpg", "/keep/b.*"], "hidden": False}
    far, local = remote(make, bucket, **settings), make("local", **settings)
    write(local.target, files)
    far.scan()
    local.scan()
    assert seen(far) == seen(local)
    assert set(seen(far)) == {"keep/a.jpg", "keep/b.raw", "c.jpg"}


def test_an_emptied_bucket_and_another_store_are_not_taken_for_deletions(
    make: Any, bucket: Store, versitygw: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(bucket, FILES)
    scene = remote(make, bucket)
    scene.scan()
    with monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", versitygw.endpoint)
        versitygw.client.create_bucket(Bucket=bucket.bucket)
        with pytest.raises(LossError, match="in another store"):
            scene.scan()
    delete(bucket, *FILES)
    with pytest.raises(LossError, match="no entry any more"):
        scene.scan()
    assert scene.scan(accept_loss=True).gone == len(FILES)


def test_nothing_is_deleted_in_a_store(make: Any, bucket: Store) -> None:
    put(bucket, FILES)
    scene = remote(make, bucket)
    run(scene)
    with pytest.raises(DeletionError, match="Ptolemy deletes nothing there"):
        delete_source.delete_source(scene.catalog, scene.name)


def test_a_bucket_that_isnt_there_is_refused_when_the_project_is_defined(make: Any, store: Store) -> None:
    with pytest.raises(
        SettingsError, match=r"'s3://no-such-bucket' can't be listed \(HTTP 404 NoSuchBucket\)"
    ):
        make("p", target_dir="s3://no-such-bucket")


def test_a_profile_names_the_store_and_its_credentials(
    make: Any, bucket: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(bucket, FILES)
    values = bucket.environment
    for name in values:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    (tmp_path / "aws-credentials").write_text(
        f"[museum]\naws_access_key_id={values['AWS_ACCESS_KEY_ID']}\n"
        f"aws_secret_access_key={values['AWS_SECRET_ACCESS_KEY']}\n"
    )
    (tmp_path / "aws-config").write_text(
        f"[profile museum]\nendpoint_url={bucket.endpoint}\nregion=us-east-1\n"
    )
    scene = remote(make, bucket, source_profile="museum")
    run(scene)
    assert scene.problems() == []
    with pytest.raises(SettingsError, match="no profile 'other'"):
        projects.change(scene.catalog, scene.name, {"source_profile": "other"})


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://", "needs a bucket"),
        ("ftp://host/x", "'ftp' isn't a kind of URL"),
        ("s3://key:secret@bucket/x", "must not hold credentials"),
        ("sftp://me:secret@host/x", "must not hold credentials"),
        ("https://host/list.csv?token=secret", "must not have a query"),
        ("s3://bucket/a//b", "an empty name"),
        ("s3://bucket/../b", "one of dots alone"),
    ],
)
def test_urls_that_cant_be_are_refused_without_repeating_secrets(url: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        parse_project({"name": "p", "target_dir": url, "staging_dir": "/tmp/x"})
    assert "secret" not in str(caught.value)


def test_a_url_has_one_spelling() -> None:
    for url in ("S3://bucket/a/b/", "s3://bucket/a/b"):
        project = parse_project({"name": "p", "target_dir": url, "staging_dir": "/tmp/x"})
        assert project.target_dir == "s3://bucket/a/b"
