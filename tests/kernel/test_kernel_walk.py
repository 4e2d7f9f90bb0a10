"""A whole folder as the compiled kernel walks it, against the walk in Python; and nodes from a layout's columns."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptolemy_core.car.nodes import NodeEncoder
from ptolemy_core.errors import SourceError
from ptolemy_core.kernel import folders, links
from ptolemy_core.kernel.blocks import compiled
from ptolemy_core.layout import ItemsBuilder, Kind, compute_layout
from ptolemy_core.source.posix import PosixSource
from ptolemy_core.source.walk import walk
from ptolemy_core.tree import paths
from tests.car import nobody, scene
from tests.dag import oracle

needs_kernel = pytest.mark.skipif(compiled() is None, reason="no compiled kernel")

TREE: oracle.Content = {
    b"a": {b"b": {b"c": {b"deep": b"1", b"deeper": {}}}, b"b.txt": b"22", b"ba": {b"x": b""}},
    b"a.txt": b"333",
    b"alone": {b"file": b"4444"},
    b"empty": {},
    b"link": oracle.Link(b"a.txt"),
    b"many": {b"%03d" % k: b"x" * (k % 7) for k in range(300)},
    b"\xff\xfe": {b"new\nline": b"5"},
}


def expected(root: bytes) -> list[tuple[bytes, int, int, int, bytes | None]]:
    return [(one.path, one.kind, one.size, one.token, one.target) for one in walk(root)]


def packed(root: bytes) -> list[tuple[bytes, int, int, int, bytes | None]]:
    found = PosixSource(root).packed()
    assert found is not None
    columns = (found.paths, found.kinds.tolist(), found.stamps.sizes.tolist(), found.stamps.tokens.tolist())
    return [(*row, found.targets.get(k)) for k, row in enumerate(zip(*columns, strict=True))]


@needs_kernel
@pytest.mark.parametrize("room", [8, 9, 100, 8192])
def test_a_folder_is_walked_as_in_python_however_many_entries_come_at_once(
    tmp_path: Path, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "ROOM", room)
    root = scene.write_tree(tmp_path / "t", TREE)
    assert packed(root) == expected(root)


@needs_kernel
def test_the_states_of_a_walk_are_those_of_the_files(tmp_path: Path) -> None:
    root = scene.write_tree(tmp_path / "t", TREE)
    found = PosixSource(root).packed()
    assert found is not None
    assert found.stamps.seen is not None
    for path, state in zip(found.paths, found.stamps.seen.tolist(), strict=True):
        status = os.lstat(root + b"/" + paths.to_slashes(path))
        assert state == [status.st_ctime_ns, status.st_ino]


@needs_kernel
def test_folders_deeper_than_the_longest_path_of_the_system(tmp_path: Path) -> None:
    before = os.getcwd()
    try:
        os.chdir(tmp_path)
        for _ in range(25):
            os.mkdir("n" * 200)
            os.chdir("n" * 200)
            Path("z").write_text("file")
    finally:
        os.chdir(before)
    assert packed(bytes(tmp_path)) == expected(bytes(tmp_path))
    assert len(packed(bytes(tmp_path))) == 25


@needs_kernel
@pytest.mark.parametrize("name", [b"pipe", b"a", b"z"])
def test_what_cannot_be_stored_is_left_to_the_walk_that_names_it(tmp_path: Path, name: bytes) -> None:
    root = scene.write_tree(tmp_path / "t", {b"m": {b"f": b"1"}})
    place = root + b"/m/" + name
    os.mkfifo(place)
    assert PosixSource(root).packed() is None
    with pytest.raises(SourceError, match="a named pipe"):
        scene.whole(root)


@needs_kernel
def test_files_and_folders_without_permission_are_left_to_the_walk_that_names_them() -> None:
    with nobody.open_folder() as place:
        root = place / "t"

        def work() -> str:
            scene.write_tree(root, {b"m": {b"f": b"1"}, b"own": b"2"})
            (root / "own").chmod(0o600)
            assert packed(bytes(root)) == expected(bytes(root))
            for name in ("own", "m"):
                (root / name).chmod(0)
                assert PosixSource(bytes(root)).packed() is None
                (root / name).chmod(0o700)
            return "done"

        assert nobody.unprivileged(work) == "done"


_NAMES = st.binary(min_size=1, max_size=6).filter(
    lambda name: not set(name) & {0, 47} and name not in (b".", b"..")
)


@needs_kernel
@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.lists(_NAMES, min_size=1, max_size=3).map(tuple), st.sampled_from([0, 3, 9, 70, 200]), max_size=60
    )
)
def test_nodes_encoded_from_a_layouts_columns_are_those_of_python(tree: dict[tuple[bytes, ...], int]) -> None:
    """Plain folders, HAMTs, files of many leaves, links."""
    folders_in_it = {path[:k] for path in tree for k in range(1, len(path))}
    builder = ItemsBuilder()
    for path, size in sorted(
        (b"\0".join(path), size) for path, size in tree.items() if path not in folders_in_it
    ):
        builder.add(path, Kind.SYMLINK if size == 3 else Kind.FILE, size)
    layout = compute_layout(builder.build(), scene.SMALL)
    digests = np.random.default_rng(1).integers(0, 256, (len(layout), 32)).astype(np.uint8)
    ours, theirs = digests.copy(), digests.copy()
    encoder, python = NodeEncoder(layout, ours), NodeEncoder(layout, theirs)
    numbers = np.array([node for _, node in encoder.completion()], dtype=np.int64)
    found = encoder.encode(numbers)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(links, "compiled", lambda: None)
        wanted = python.encode(numbers)
    assert found.ends.tolist() == wanted.ends.tolist()
    assert found.data[: found.ends[-1]].tobytes() == wanted.data.tobytes()
    assert (ours == theirs).all()


@needs_kernel
def test_a_block_that_is_no_node_or_has_another_size_is_named() -> None:
    builder = ItemsBuilder()
    builder.add(b"a", Kind.FILE, 3)
    layout = compute_layout(builder.build())
    digests = np.zeros((len(layout), 32), dtype=np.uint8)
    for number in (-1, 1, 5):
        with pytest.raises((AssertionError, IndexError)):
            NodeEncoder(layout, digests).encode(np.array([number]))
    layout.size[0] += 1
    with pytest.raises(AssertionError, match="block 0 isn't .* bytes long, as it was laid out"):
        NodeEncoder(layout, digests).encode(np.array([0]))
