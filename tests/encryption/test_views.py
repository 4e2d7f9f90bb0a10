"""Encrypted and decrypted views: the same bytes in any ranges, any buffers, any number of threads."""

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptolemy_core.encryption import Decrypted, Encrypted, FileCipher, Header, views
from ptolemy_core.errors import DamagedError, SourceError
from tests.encryption import files

BOUNDARIES = [0, 1, 7, 8, 9, 55, 56, 57, 103, 104, 105, 500, 900]
SIZES = st.sampled_from(BOUNDARIES) | st.integers(0, 1000)


def cut(length: int, cuts: Sequence[int]) -> list[memoryview]:
    """Buffers that take `length` bytes together, filled with question marks."""
    ends = sorted({min(length, one) for one in cuts} | {length})
    starts = [0, *ends[:-1]]
    return [memoryview(bytearray(b"?" * (end - start))) for start, end in zip(starts, ends, strict=True)]


@settings(deadline=None, max_examples=300)
@given(SIZES, st.integers(0, 1400), st.integers(0, 1400), st.lists(st.integers(0, 1400), max_size=8))
def test_any_range_in_any_buffers_is_that_of_the_whole(
    size: int, offset: int, length: int, cuts: list[int]
) -> None:
    plain = files.plaintext(size)
    whole = files.slow_encryption(plain, files.KEY.reveal(), files.HEADER, files.PATH)
    for view, expected in ((files.encrypted_view(plain), whole), (files.decrypted_view(whole), plain)):
        buffers = cut(length, cuts)
        got = view.read(offset, buffers)
        part = expected[offset : offset + length]
        assert got == len(part)
        assert b"".join(buffers) == part + b"?" * (length - len(part))


@settings(deadline=None)
@given(SIZES)
def test_an_encrypted_view_of_a_decrypted_view_is_the_encrypted_file_again(size: int) -> None:
    whole = files.everything(files.encrypted_view(files.plaintext(size)))
    back = Encrypted(files.decrypted_view(whole), files.cipher(size))
    assert files.everything(back) == whole


def test_many_threads_read_the_same_bytes_in_any_order() -> None:
    size = 3_200_000
    plain = files.plaintext(size)
    cipher = FileCipher(files.KEY, files.HEADER, files.PATH, size)
    view = Encrypted(files.Memory(plain), cipher)
    whole = files.everything(view)
    assert whole == files.slow_encryption(plain, files.KEY.reveal(), files.HEADER, files.PATH, 1 << 20)
    back = Decrypted(files.Memory(whole), cipher)
    rng = random.Random(5)
    ranges = [(rng.randrange(view.size), rng.choice((1, 5000, 1 << 20, 1_500_000))) for _ in range(60)]
    ranges += [(number << 20, 1 << 20) for number in range(4)] * 5
    rng.shuffle(ranges)

    def same(place: tuple[int, int]) -> bool:
        offset, length = place
        return (
            files.read(view, offset, length) == whole[offset : offset + length]
            and files.read(back, offset, length) == plain[offset : offset + length]
        )

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(same, ranges))


def test_whole_segments_are_read_in_one_call_to_where_they_go() -> None:
    size = 40 + 48 * 40
    source = files.Memory(files.plaintext(size))
    view = Encrypted(source, files.cipher(size))
    everything = bytearray(view.size)
    leaves = [memoryview(everything)[at : at + 64] for at in range(0, view.size, 64)]
    assert view.read(0, leaves) == view.size
    assert bytes(everything) == files.slow_encryption(
        source.data, files.KEY.reveal(), files.HEADER, files.PATH
    )
    assert len(source.reads) == 6  # 8 segments at a time
    assert sum(length for _, length in source.reads) == size


class Failing(files.Memory):
    """It has given some of its bytes when it fails."""

    def read(self, offset: int, buffers: Sequence[memoryview]) -> int:
        super().read(offset, buffers)
        raise SourceError("the disk is gone")


@pytest.mark.parametrize("source", [Failing(files.plaintext(500)), files.Memory(files.plaintext(500)[:499])])
def test_no_plaintext_is_left_in_the_buffers_when_reading_fails(source: files.Memory) -> None:
    view = Encrypted(source, files.cipher(500))
    encrypted = files.everything(files.encrypted_view(files.plaintext(500)))
    ranges = [(0, view.size), (448, view.size - 448), (690, 40)]  # each has the last of 12 segments
    for offset, length in ranges:
        out = bytearray(length)
        with pytest.raises(SourceError):
            view.read_into(offset, memoryview(out))
        for at, byte in enumerate(out):
            assert byte in (0, encrypted[offset + at])
        assert not any(out[max(0, 512 - offset) :])  # what was read together with it
        for spare in views._spare:
            assert source.data[-30:-10] not in bytes(spare)


def test_a_plaintext_that_became_shorter_is_an_error_that_names_the_file() -> None:
    plain = files.plaintext(100)
    view = Encrypted(files.Memory(plain[:90]), files.cipher(100))
    with pytest.raises(SourceError, match=r"folder/b.bin changed since the scan, only 90 of its 100 bytes"):
        files.everything(view)
    assert files.read(view, 0, 64) == files.everything(files.encrypted_view(plain))[:64]


def test_an_encrypted_file_that_ends_early_is_an_error_that_says_where() -> None:
    whole = files.everything(files.encrypted_view(files.plaintext(200)))
    view = files.decrypted_view(whole[:150], len(whole))
    with pytest.raises(DamagedError, match=f"ends at byte 150 of {len(whole)}: it is cut off"):
        view.check()


def test_an_empty_file_is_checked_though_it_gives_no_byte() -> None:
    whole = files.everything(files.encrypted_view(b""))
    assert len(whole) == 56
    assert files.everything(files.decrypted_view(whole)) == b""
    forged = whole[:40] + bytes(16)
    with pytest.raises(DamagedError):
        files.everything(files.decrypted_view(forged))


@pytest.mark.parametrize("size", [1_048_519, 1_048_520, 1_048_521, 2_097_079, 2_097_080, 2_097_081])
def test_leaves_of_one_mib_are_segments_at_each_boundary(size: int) -> None:
    plain = files.plaintext(size)
    cipher = FileCipher(files.KEY, Header.random(), files.PATH, size)
    view = Encrypted(files.Memory(plain), cipher)
    leaves = [files.read(view, at, 1 << 20) for at in range(0, view.size, 1 << 20)]
    assert len(leaves) == cipher.segments.count
    whole = b"".join(leaves)
    assert whole == files.slow_encryption(plain, files.KEY.reveal(), cipher.header, files.PATH, 1 << 20)
    back = Decrypted.open(files.Memory(whole), len(whole), files.KEY, files.PATH)
    assert files.read(back, size - 1, 10) == plain[-1:]
    assert files.read(back, 1_048_510, 20) == plain[1_048_510:1_048_530]


def test_memory_that_is_used_again_does_not_grow_with_the_number_of_files(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(views, "_spare", [])
    for size in range(1, 3000, 7):
        plain = files.plaintext(size)
        cipher = FileCipher(files.KEY, files.HEADER, files.PATH, size)
        view = Encrypted(files.Memory(plain), cipher)
        whole = b"".join(files.read(view, at, 100) for at in range(0, view.size, 100))
        assert files.everything(Decrypted(files.Memory(whole), cipher)) == plain
    assert sum(map(len, views._spare)) < 20_000
