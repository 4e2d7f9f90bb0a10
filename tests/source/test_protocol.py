"""A source is whatever offers the primitives: here one in memory, whose CARs are those of the same files on disk."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from ptolemy_core.car.whole import whole
from ptolemy_core.dag.profile import UNIXFS_V1_2025
from ptolemy_core.errors import SourceError
from ptolemy_core.layout import compute_layout
from ptolemy_core.rules.selection import Rules
from ptolemy_core.source import Entry, Source, Stamp, Stamps, open_source, refusals
from ptolemy_core.source.protocol import FolderSeen, ReadsMany
from ptolemy_core.staging.build import build_car
from ptolemy_core.tree import SEPARATOR, Kind
from tests.car import scene
from tests.dag import oracle

TREE: oracle.Content = {
    b"a": b"first",
    b"big": bytes(range(256)) * 20_000,
    b"d": {b"e": {}, b"l": oracle.Link(b"../a"), b"odd\xff": b"?"},
    b"z": b"",
}


@dataclass
class MemorySource:
    """A tree in memory; the token of a file is a version, which the source calls strong."""

    content: oracle.Content
    version: int = 1

    def name(self, path: bytes) -> str:
        return "memory:" + repr(path)

    def top(self) -> Entry:
        return self._entry(b"", self.content)

    def entries(
        self, rules: Rules | None = None, *, folder: FolderSeen | None = None, size: int = 3
    ) -> Iterator[list[Entry]]:
        found = [self._entry(path, one) for path, one in self._leaves(b"", self.content)]
        for low in range(0, len(found), size):
            yield found[low : low + size]

    def read(self, path: bytes, offset: int, buffers: Sequence[memoryview], stamp: Stamp) -> None:
        data = self._at(path)
        assert isinstance(data, bytes)
        how = stamp.difference(Stamp(len(data), self.version, strong=True))
        if how:
            raise refusals.changed(self.name(path), how)
        for buffer in buffers:
            buffer[:] = data[offset : offset + len(buffer)]
            offset += len(buffer)

    def check(self, path: bytes, kind: int, stamp: Stamp) -> None:
        assert kind != Kind.DIRECTORY or self._at(path) == {}

    def link(self, path: bytes) -> bytes:
        link = self._at(path)
        assert isinstance(link, oracle.Link)
        return link.target

    def _at(self, path: bytes) -> oracle.Content:
        content = self.content
        for name in path.split(SEPARATOR):
            assert isinstance(content, dict)
            content = content[name]
        return content

    def _entry(self, path: bytes, content: oracle.Content) -> Entry:
        if isinstance(content, dict):
            return Entry(path, Kind.DIRECTORY, 0, self.version)
        if isinstance(content, oracle.Link):
            return Entry(path, Kind.SYMLINK, len(content.target), self.version, content.target)
        return Entry(path, Kind.FILE, len(content), self.version)

    def _leaves(self, path: bytes, content: oracle.Content) -> Iterator[tuple[bytes, oracle.Content]]:
        if isinstance(content, dict) and (content or not path):
            for name in sorted(content):
                yield from self._leaves(path + SEPARATOR + name if path else name, content[name])
        else:
            yield path, content


def build(source: Source, folder: Path) -> bytes:
    folder.mkdir()
    items, inputs = whole(source)
    built = build_car(compute_layout(items, UNIXFS_V1_2025), inputs, str(folder), ".p")
    return (folder / built.file_name).read_bytes()


def test_cars_from_memory_and_from_disk_are_the_same_bytes(tmp_path: Path) -> None:
    on_disk = open_source(scene.write_tree(tmp_path / "t", TREE))
    assert isinstance(on_disk, ReadsMany)
    memory = MemorySource(TREE)
    assert not isinstance(memory, ReadsMany)
    car = build(memory, tmp_path / "memory")
    assert car == build(on_disk, tmp_path / "disk")
    assert len(car) > 5_000_000


def test_a_wrapper_of_a_source_is_a_source(tmp_path: Path) -> None:
    """As encryption would be one: the bytes on their way through it are other bytes of the same size."""

    class Inverted(MemorySource):
        def read(self, path: bytes, offset: int, buffers: Sequence[memoryview], stamp: Stamp) -> None:
            super().read(path, offset, buffers, stamp)
            for buffer in buffers:
                buffer[:] = bytes(255 - byte for byte in buffer)

    plain = {b"f": b"some text", b"g": b"x" * 1000}
    inverted = {name: bytes(255 - byte for byte in data) for name, data in plain.items()}
    car = build(Inverted(plain), tmp_path / "wrapped")
    assert car == build(MemorySource(inverted), tmp_path / "plain")


def test_another_version_is_refused_by_name(tmp_path: Path) -> None:
    source = MemorySource({b"f": b"data"})
    _, inputs = whole(source)
    inputs.stamps = Stamps(inputs.stamps.sizes, inputs.stamps.tokens, strong=True)
    source.version = 2
    with pytest.raises(
        SourceError, match="memory:b'f' changed since the scan, its version changed"
    ) as caught:
        build_car(compute_layout(inputs.items), inputs, str(tmp_path), ".p")
    assert caught.value.item == 0
    assert os.listdir(tmp_path) == []


def test_both_forms_of_the_rule_agree() -> None:
    stamp = Stamp(5, 100)
    found = [Stamp(5, 100), Stamp(6, 100), Stamp(5, 101), Stamp(6, 101)]
    assert [stamp.difference(one) for one in found] == [
        None,
        "its size was 5 bytes, now 6",
        "its modification time changed",
        "its size was 5 bytes, now 6",
    ]
    columns = Stamps(np.array([one.size for one in found]), np.array([one.token for one in found]))
    same = Stamps(np.full(4, 5), np.full(4, 100)).same(columns)
    assert same.tolist() == [stamp.difference(one) is None for one in found]
    assert [columns[k] for k in range(4)] == found
