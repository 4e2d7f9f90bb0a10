"""What goes wrong with keys, and what attackers change: clear errors, and no byte that isn't authentic is written."""

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ptolemy_core.encryption import ProjectCipher
from ptolemy_core.errors import UnknownKeyError, WrongKeyError
from ptolemy_core.keys import Keyring
from ptolemy_core.project import parse_project
from ptolemy_core.restore import ProjectRestore
from ptolemy_core.restore.target import STATE
from ptolemy_core.stages.project_keys import define_project
from ptolemy_core.stages.rewrap import rewrap_all
from tests.car import scene
from tests.dag import oracle
from tests.encrypted.conftest import ALIAS
from tests.encrypted.test_extract import cars_of, cipher_of
from tests.encrypted.test_stages import data, restored
from tests.restore.trees import extract, read_tree
from tests.stages.conftest import PROFILE, Scene

PLAIN: dict[bytes, Any] = {
    b"a": data(1500),
    b"b": data(1500, seed=1),
    b"below": {b"c": data(30), b"l": oracle.Link(b"target")},
}


def test_an_unknown_alias_is_an_error_before_anything_is_defined(make: Any, tmp_path: Path) -> None:
    stage = make()
    project = parse_project(stage.project.model_dump() | {"name": "new", "encryption": "nobody"})
    with pytest.raises(UnknownKeyError, match="there is no key nobody in the keyring.*it has my-key"):
        define_project(stage.catalog, project)


def test_a_project_without_its_key_scans_and_verifies_and_says_what_it_needs(
    secret: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret.run(PLAIN)
    monkeypatch.setenv("PTOLEMY_KEYRING", str(tmp_path / "empty.json"))
    assert secret.problems() == []
    secret.put({b"new": b"x"})
    secret.scan()
    with pytest.raises(UnknownKeyError, match="there is no key my-key in the keyring .*empty.json"):
        secret.plan()
    with pytest.raises(UnknownKeyError, match="there is no key my-key"):
        ProjectRestore(secret.catalog, secret.name, profile=PROFILE)
    problems = [problem for verdict in secret.verify(source=True) for problem in verdict.problems]
    assert all("without the project's key, my-key" in problem for problem in problems)
    assert problems


def test_a_damaged_car_is_found_without_the_key(
    secret: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = secret.run(PLAIN)[0]
    car = secret.staging / row.file_name
    whole = bytearray(car.read_bytes())
    whole[-5] ^= 1
    car.write_bytes(whole)
    monkeypatch.setenv("PTOLEMY_KEYRING", str(tmp_path / "empty.json"))
    assert any("hash" in problem for problem in secret.problems())


def test_another_key_of_the_same_alias_is_told_apart(
    secret: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret.run(PLAIN)
    monkeypatch.setenv("PTOLEMY_KEYRING", str(tmp_path / "other.json"))
    Keyring(str(tmp_path / "other.json")).create(ALIAS)
    with pytest.raises(WrongKeyError, match="version 1 of key my-key in .* is another key"):
        ProjectRestore(secret.catalog, secret.name, profile=PROFILE)


def test_rotation_changes_no_car_and_what_is_built_later_reads_with_all(
    secret: Scene, keyring: Keyring, tmp_path: Path
) -> None:
    first = secret.run(PLAIN)
    keyring.rotate(ALIAS)
    assert rewrap_all(secret.catalog, keyring, ALIAS) == 2
    keyring.destroy(ALIAS, 1)
    secret.put({b"later": b"y" * 700})
    secret.scan()
    secret.plan()
    rows = secret.blitz()
    assert rows[: len(first)] == first
    assert secret.problems() == []
    assert restored(secret, tmp_path / "out") == PLAIN | {b"later": b"y" * 700}


class Attacker:
    """Someone who makes CARs of changed encrypted files, right in every CID."""

    def __init__(self, stage: Scene, keyring: Keyring, folder: Path) -> None:
        stage.run(PLAIN)
        self.cipher: ProjectCipher = cipher_of(stage, keyring)
        self.folder = folder
        folder.mkdir()
        report = extract(cars_of(stage), folder / "right", raw_names=False, complete=True)
        assert report.ok, report.problems
        self.right = read_tree(folder / "right")
        self.files = [path for path in sorted((folder / "right").rglob("*")) if path.is_file()]
        self.count = 0

    def content(self) -> dict[bytes, Any]:
        """The encrypted tree, to change."""
        return read_tree(self.folder / "right")  # type: ignore[return-value]

    def given_out(self, tree: Any) -> tuple[dict[bytes, Any], int]:
        """What an extraction writes of a changed tree, and how many problems it tells."""
        self.count += 1
        place = self.folder / str(self.count)
        scene.write_tree(place / "tree", {}) if place.mkdir() else None
        scene.write_tree(place / "tree", tree)
        (place / "cars").mkdir()
        scene.build(str(place / "tree").encode(), place / "cars", PROFILE)
        report = extract(sorted((place / "cars").iterdir()), place / "out", cipher=self.cipher)
        out: Any = read_tree(place / "out") if (place / "out").exists() else {}
        parts = out.pop(STATE, {})
        assert all(map(is_part, parts.values()))
        return out, len(report.problems)


@pytest.fixture
def attacker(secret: Scene, keyring: Keyring, tmp_path: Path) -> Attacker:
    return Attacker(secret, keyring, tmp_path / "attack")


def paths_in(tree: Any, above: tuple[bytes, ...] = ()) -> dict[tuple[bytes, ...], Any]:
    """All files and links of a tree, by their names."""
    out: dict[tuple[bytes, ...], Any] = {}
    for name, below in tree.items():
        out |= paths_in(below, (*above, name)) if isinstance(below, dict) else {(*above, name): below}
    return out


def put(tree: Any, names: tuple[bytes, ...], content: Any) -> None:
    for name in names[:-1]:
        tree = tree[name]
    tree[names[-1]] = content


def is_part(content: bytes) -> bool:
    """Whether a partial file has nothing but authentic bytes of a file, and zeros."""
    files = [right for right in paths_in(PLAIN).values() if isinstance(right, bytes)]
    return any(
        all(byte in (0, right) for byte, right in zip(content, file + bytes(2000), strict=False))
        for file in files
    )


def authentic(out: Any) -> bool:
    """Whether all that was written is what was there."""
    right = paths_in(PLAIN)
    return all(right.get(names) == content for names, content in paths_in(out).items())


def test_what_nobody_changed_comes_back(attacker: Attacker) -> None:
    assert attacker.given_out(attacker.content()) == (PLAIN, 0)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_changed_byte_of_a_file_or_link_is_refused(attacker: Attacker, draw: st.DataObject) -> None:
    tree = attacker.content()
    names = draw.draw(st.sampled_from(sorted(paths_in(tree))))
    content = paths_in(tree)[names]
    raw = content.target if isinstance(content, oracle.Link) else content
    at = draw.draw(st.integers(0, len(raw) - 1))
    changed = raw[:at] + bytes([raw[at] ^ draw.draw(st.integers(1, 255))]) + raw[at + 1 :]
    if isinstance(content, oracle.Link) and (b"\0" in changed or b"/" in changed):
        return
    put(tree, names, oracle.Link(changed) if isinstance(content, oracle.Link) else changed)
    out, problems = attacker.given_out(tree)
    assert problems == 1
    assert authentic(out)
    assert len(paths_in(out)) == len(paths_in(PLAIN)) - 1


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_files_that_are_cut_lengthened_or_patched_together_are_refused(
    attacker: Attacker, draw: st.DataObject
) -> None:
    tree = attacker.content()
    files = {names: raw for names, raw in paths_in(tree).items() if isinstance(raw, bytes) and len(raw) > 600}
    one, other = draw.draw(st.permutations(sorted(files)))[:2]
    size = PROFILE.chunk
    kind = draw.draw(st.sampled_from(["cut", "cut at a segment", "longer", "swapped", "mixed", "moved"]))
    raw = files[one]
    if kind == "cut":
        raw = raw[: draw.draw(st.integers(0, len(raw) - 1))]
    elif kind == "cut at a segment":
        raw = raw[: size * draw.draw(st.integers(1, (len(raw) - 1) // size))]
    elif kind == "longer":
        raw += draw.draw(st.binary(min_size=1, max_size=2 * size))
    elif kind == "swapped":
        raw = files[other]
    elif kind == "mixed":
        raw = raw[:size] + files[other][size : 2 * size] + raw[2 * size :]
    else:
        raw = raw[:size] + raw[size * 2 : size * 3] + raw[size : size * 2] + raw[size * 3 :]
    put(tree, one, raw)
    out, problems = attacker.given_out(tree)
    assert problems == 1
    assert authentic(out)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_names_that_are_changed_or_moved_are_refused(attacker: Attacker, draw: st.DataObject) -> None:
    tree = attacker.content()
    names = draw.draw(st.sampled_from(sorted(paths_in(tree))))
    content = paths_in(tree)[names]
    folder = tree
    for name in names[:-1]:
        folder = folder[name]
    del folder[names[-1]]
    if draw.draw(st.booleans()):
        at = draw.draw(st.integers(0, len(names[-1]) - 1))
        letter = draw.draw(
            st.sampled_from(sorted(set(b"0123456789abcdefghijklmnopqrstuv") - {names[-1][at]}))
        )
        folder[names[-1][:at] + bytes([letter]) + names[-1][at + 1 :]] = content
    else:
        elsewhere = tree if len(names) > 1 else next(v for v in tree.values() if isinstance(v, dict))
        elsewhere[names[-1]] = content
    out, problems = attacker.given_out(tree)
    assert problems == 1
    assert authentic(out)


def test_random_bytes_in_place_of_files_write_nothing(attacker: Attacker) -> None:
    tree = attacker.content()
    for names, content in paths_in(tree).items():
        if isinstance(content, bytes):
            put(tree, names, random.Random(len(content)).randbytes(len(content)))
    out, problems = attacker.given_out(tree)
    assert problems == 3
    assert list(paths_in(out)) == [(b"below", b"l")]
