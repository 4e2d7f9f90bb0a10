"""Roots of a server hold for URLs, too."""

import pytest

from ptolemy_core.project import Project, parse_project
from ptolemy_dagster.roots import OutsideRootsError, environment_roots, require_inside, set_environment


def project(url: str) -> Project:
    return parse_project({"name": "p", "target_dir": url, "staging_dir": "/tmp/cars"})


def test_a_url_must_be_below_a_root_as_a_folder_must(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PTOLEMY_ROOTS", "")
    set_environment(["/tmp", "s3://bucket/a", "sftp://host:2222/x"])
    roots = environment_roots()
    assert roots == ("/tmp", "s3://bucket/a", "sftp://host:2222/x")
    for url in ("s3://bucket/a", "s3://bucket/a/b", "sftp://host:2222/x/y"):
        require_inside(project(url), roots)
    for url in ("s3://bucket", "s3://bucket/ab", "s3://bucket2/a", "sftp://host:2222/y"):
        with pytest.raises(OutsideRootsError, match="outside the folders"):
            require_inside(project(url), roots)
    with pytest.raises(OutsideRootsError):
        require_inside(project("s3://bucket/a"), ("/tmp",))
    with pytest.raises(OutsideRootsError):
        require_inside(project("s3://bucket/a"), ("s3://bucket/a",))  # the staging folder isn't below it
