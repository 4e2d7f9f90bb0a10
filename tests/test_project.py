"""Settings of a project: each refusal says the value, the limit and the remedy."""

import os
import re
from pathlib import Path
from typing import Any

import pytest

from ptolemy_core.catalog import Catalog, projects
from ptolemy_core.errors import SettingsError
from ptolemy_core.padding import padding_warning
from ptolemy_core.project import Project, parse_project
from tests.car import nobody

GOOD: dict[str, Any] = {"name": "p", "target_dir": "/data/in", "staging_dir": "/data/out"}


def test_defaults_are_1_gib_shards_in_31_gib_cars() -> None:
    project = parse_project(GOOD)
    assert (project.shard_size, project.car_size) == (1, 31)
    assert (project.encryption, project.load_type) == ("None", "blitz")
    assert project.shard_bytes() == 1 << 30
    assert project.car_bytes() == 31 << 30
    assert project.target_bytes == b"/data/in"


@pytest.mark.parametrize(
    "settings",
    [
        {"shard_size": 31, "car_size": 31},
        {"shard_size": "2", "car_size": "31"},
        {"car_size": 1},
        {"load_type": "serial"},
        {"load_type": "serial", "staging_budget": 32},
        {"load_type": "serial", "staging_budget": "100", "car_size": 16},
        {"load_type": "serial", "staging_budget": 2, "car_size": 1},
        {"staging_budget": None},
        {"encryption": None},
        {"name": "A-b_9"},
        {"name": "x" * 63},
        {"staging_dir": "/data/in-staging"},
        {"staging_dir": "/data"},
    ],
)
def test_good_settings_are_taken(settings: dict[str, Any]) -> None:
    parse_project(GOOD | settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"car_size": 32},
            "car_size must be 1 to 31 GiB, got 32: a 32 GiB piece holds at most 31.75 GiB; use car_size=31",
        ),
        ({"car_size": 64}, "car_size must be 1 to 31 GiB, got 64"),
        ({"car_size": 0}, "car_size must be 1 to 31 GiB, got 0; use car_size=1"),
        ({"car_size": -1}, "car_size must be 1 to 31 GiB, got -1; use car_size=1"),
        ({"car_size": 1.5}, "car_size must be whole GiB from 1 to 31, got 1.5"),
        ({"car_size": 2.0}, "car_size must be whole GiB from 1 to 31, got 2.0"),
        ({"car_size": True}, "car_size must be whole GiB from 1 to 31, got True"),
        ({"car_size": None}, "car_size must be whole GiB from 1 to 31, got None"),
        ({"car_size": "31 GiB"}, "car_size must be whole GiB from 1 to 31, got '31 GiB'"),
        ({"car_size": "-3"}, "car_size must be 1 to 31 GiB, got -3; use car_size=1"),
        ({"car_size": "٣"}, "car_size must be whole GiB from 1 to 31, got '٣'"),
        ({"shard_size": 32}, "shard_size must be 1 to 31 GiB, got 32"),
        ({"shard_size": 0}, "shard_size must be 1 to 31 GiB, got 0; use shard_size=1"),
        (
            {"shard_size": 9, "car_size": 8},
            "shard_size 9 GiB is larger than car_size 8 GiB: a shard must fit a CAR; use shard_size=8 or less",
        ),
        (
            {"encryption": "my key"},
            "encryption must be \"None\" or the alias of a key, got 'my key': `ptolemy keys",
        ),
        ({"load_type": "fast"}, 'load_type must be "blitz" or "serial", got \'fast\''),
        (
            {"load_type": "serial", "staging_budget": 31},
            "staging_budget 31 GiB is too small: with car_size 31 a CAR, its data and structure, may take up to "
            "32 GiB; use staging_budget=32 or more",
        ),
        (
            {"load_type": "serial", "staging_budget": 1, "car_size": 1},
            "may take up to 2 GiB; use staging_budget=2",
        ),
        (
            {"staging_budget": 100},
            "staging_budget 100 GiB needs load_type serial, and this project's load_type is blitz",
        ),
        ({"staging_budget": 0}, "staging_budget must be 1 to 1000000 GiB, got 0; use staging_budget=1"),
        ({"staging_budget": 1.5}, "staging_budget must be 1 to 1000000 GiB, got 1.5; use a whole number"),
        ({"staging_budget": True}, "staging_budget must be 1 to 1000000 GiB, got True; use a whole number"),
        (
            {"staging_budget": "2 GiB"},
            "staging_budget must be 1 to 1000000 GiB, got '2 GiB'; use a whole number",
        ),
        ({"target_dir": "in"}, "target_dir must be an absolute path, got 'in'"),
        ({"staging_dir": ""}, "staging_dir must be an absolute path, got ''"),
        ({"target_dir": "/a\0b"}, "target_dir contains a NUL character"),
        ({"target_dir": 5}, "target_dir must be text, got 5"),
        ({"target_dir": "/data/\udcff"}, "target_dir"),
        (
            {"staging_dir": "/data/in"},
            "staging_dir '/data/in' is inside target_dir '/data/in': finished CARs",
        ),
        (
            {"staging_dir": "/data/in/deep/er"},
            "is inside target_dir '/data/in': finished CARs would be scanned as data",
        ),
        ({"staging_dir": "/data/other/../in/x"}, "is inside target_dir"),
        ({"target_dir": "/", "staging_dir": "/data"}, "is inside target_dir '/'"),
        ({"shard": 1}, "shard is not a setting; the settings are name, target_dir, staging_dir, shard_size"),
    ],
)
def test_bad_setting_is_refused_with_value_limit_and_remedy(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(message)) as caught:
        parse_project(GOOD | settings)
    assert "\n" not in str(caught.value)
    assert caught.value.__suppress_context__  # a user sees no traceback of the validation


@pytest.mark.parametrize(("car_size", "gib"), [(1, 4), (2, 8), (3, 8), (7, 16), (16, 64), (31, 64)])
def test_serial_budget_is_two_of_the_largest_cars_unless_given(car_size: int, gib: int) -> None:
    """The largest CAR fills its piece: 1 GiB of data stands in a 2 GiB piece, 31 GiB in one of 32 GiB."""
    serial = GOOD | {"load_type": "serial", "car_size": car_size}
    assert parse_project(serial).budget_bytes() == gib << 30
    assert parse_project(serial | {"staging_budget": gib // 2}).budget_bytes() == gib << 29
    assert parse_project(GOOD | {"car_size": car_size}).budget_bytes() is None


@pytest.mark.parametrize("setting", ["name", "target_dir", "staging_dir"])
def test_missing_setting_is_named(setting: str) -> None:
    with pytest.raises(SettingsError, match=f"{setting} is missing"):
        parse_project({key: value for key, value in GOOD.items() if key != setting})


def test_all_bad_settings_are_named_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        parse_project({"name": "", "car_size": 99, "target_dir": "x"})
    for part in ("name must be", "car_size must be", "target_dir must be", "staging_dir is missing"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "a b",
        "a/b",
        "../x",
        ".",
        "..",
        ".hidden",
        "-x",
        "_x",
        "a.b",
        "a\nb",
        "a\n",
        "a\0",
        "ü",
        "x" * 64,
        "a:b",
        "a'b",
        'a"b',
        "a\\b",
        "a*",
        "a,b",
        "a[0]",
        "a...b",
        "١",
    ],
    ids=ascii,
)
def test_name_that_is_no_partition_key_or_file_name_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="name must be 1 to 63 letters, digits, - or _") as caught:
        parse_project(GOOD | {"name": name})
    assert repr(name) in str(caught.value)


def test_staging_that_leads_into_the_target_by_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to("in/deep")
    (tmp_path / "to-in").symlink_to("in")
    for target, staging in (("in", "link"), ("in", "link/new"), ("to-in", "in/new"), ("to-in", "to-in/x")):
        with pytest.raises(SettingsError, match="is inside target_dir"):
            parse_project(
                {"name": "p", "target_dir": str(tmp_path / target), "staging_dir": str(tmp_path / staging)}
            )


def test_project_is_a_value() -> None:
    project = parse_project(GOOD)
    assert project == parse_project(GOOD | {"target_dir": "/data//in/"})
    with pytest.raises(ValueError, match="frozen"):
        project.name = "other"  # type: ignore[misc]


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(f"sqlite:///{tmp_path}/home/catalog.db")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "in").mkdir()
    return parse_project(
        {"name": "p", "target_dir": str(tmp_path / "in"), "staging_dir": str(tmp_path / "out" / "deep")}
    )


def test_creating_makes_the_staging_folder_and_again_does_nothing(catalog: Catalog, project: Project) -> None:
    assert projects.create(catalog, project)
    assert os.path.isdir(project.staging_dir)
    assert not projects.create(catalog, project)
    assert projects.get(catalog, "p") == project
    assert projects.names(catalog) == ["p"]


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("car_size", 7, "car_size 31, not 7"),
        ("shard_size", 2, "shard_size 1, not 2"),
        ("load_type", "serial", "load_type 'blitz', not 'serial'"),
    ],
)
def test_other_settings_under_the_same_name_are_refused(
    catalog: Catalog, project: Project, setting: str, value: Any, message: str
) -> None:
    projects.create(catalog, project)
    with pytest.raises(SettingsError, match=f"already exists, with {message}: use another name"):
        projects.create(catalog, parse_project(project.model_dump() | {setting: value}))
    assert projects.get(catalog, "p") == project


def test_target_that_is_no_folder_is_refused(catalog: Catalog, project: Project) -> None:
    os.rmdir(project.target_dir)
    with pytest.raises(SettingsError, match="isn't a folder: check the path, or mount it"):
        projects.create(catalog, project)
    Path(project.target_dir).write_bytes(b"")
    with pytest.raises(SettingsError, match="isn't a folder"):
        projects.create(catalog, project)
    assert projects.names(catalog) == []


def test_staging_that_cannot_be_made_is_refused(catalog: Catalog, project: Project) -> None:
    Path(project.staging_dir).parent.write_bytes(b"")
    with pytest.raises(
        SettingsError, match=r"can't be created \(Not a directory\): use a folder that you can write to"
    ):
        projects.create(catalog, project)


def test_folders_without_the_rights_for_them_are_refused() -> None:
    with nobody.open_folder() as folder:
        for name in ("in", "closed", "out"):
            (folder / name).mkdir()
        (folder / "closed").chmod(0)
        (folder / "out").chmod(0o555)

        def refusal(target: str, staging: str) -> str:
            settings = {"name": "p", "target_dir": str(folder / target), "staging_dir": str(folder / staging)}
            with pytest.raises(SettingsError) as caught:
                projects.create(Catalog(f"sqlite:///{folder}/home/catalog.db"), parse_project(settings))
            return str(caught.value)

        def work() -> str:
            return "|".join([refusal("closed", "new"), refusal("in", "out"), refusal("in", "out/new")])

        closed, read_only, below = nobody.unprivileged(work).split("|")
        assert closed.endswith("closed' can't be read: change its permissions")
        assert read_only.endswith("out' can't be written: change its permissions")
        assert "can't be created (Permission denied): use a folder that you can write to" in below


PADDING = {
    1: "car_size=1 makes 2 GiB pieces that are 50% padding; car_size=3 has 25%",
    2: "car_size=2 makes 4 GiB pieces that are 50% padding; car_size=3 has 25%",
    3: "car_size=3 makes 4 GiB pieces that are 25% padding; car_size=7 has 12%",
    4: "car_size=4 makes 8 GiB pieces that are 50% padding; car_size=7 has 12%",
    5: "car_size=5 makes 8 GiB pieces that are 38% padding; car_size=7 has 12%",
    6: "car_size=6 makes 8 GiB pieces that are 25% padding; car_size=7 has 12%",
    8: "car_size=8 makes 16 GiB pieces that are 50% padding; car_size=15 has 6%",
    13: "car_size=13 makes 16 GiB pieces that are 19% padding; car_size=15 has 6%",
    16: "car_size=16 makes 32 GiB pieces that are 50% padding; car_size=31 has 3%",
    27: "car_size=27 makes 32 GiB pieces that are 16% padding; car_size=31 has 3%",
}
FINE = {7, 14, 15, 28, 29, 30, 31}


@pytest.mark.parametrize("car_size", range(1, 32))
def test_car_sizes_that_pad_more_than_an_eighth_are_warned_of(car_size: int) -> None:
    warning = padding_warning(car_size)
    assert (warning is None) == (car_size in FINE)
    if car_size in PADDING:
        assert warning == PADDING[car_size]
    if warning:
        better = int(re.findall(r"car_size=(\d+) has", warning)[0])
        assert car_size < better <= 31
        assert better in FINE | {3}
