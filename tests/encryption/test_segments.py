"""Sizes and places in encrypted files, at all boundaries."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptolemy_core.encryption import SEGMENT, Segments, encrypted_size, plain_size
from ptolemy_core.encryption.segments import MAX_SEGMENTS
from ptolemy_core.errors import DamagedError
from tests.encryption import files

GIB = 1 << 30
SIZES = {Segments(plain, files.SMALL).size: plain for plain in range(600)}


@pytest.mark.parametrize(
    ("plain", "encrypted", "count"),
    [
        (0, 56, 1),
        (1, 57, 1),
        (1_048_519, 1_048_575, 1),
        (1_048_520, 1_048_576, 1),
        (1_048_521, 1_048_593, 2),
        (2_097_079, 2_097_151, 2),
        (2_097_080, 2_097_152, 2),
        (2_097_081, 2_097_169, 3),
        (GIB, GIB + 16_440, 1025),
        (GIB - 16_424, GIB, 1024),
    ],
)
def test_the_size_of_an_encrypted_file_follows_from_its_plain_size(
    plain: int, encrypted: int, count: int
) -> None:
    segments = Segments(plain)
    assert (segments.size, segments.count) == (encrypted, count)
    assert encrypted_size(plain) == encrypted
    assert plain_size(encrypted) == plain


def test_a_gib_of_ciphertext_is_whole_segments() -> None:
    assert GIB % SEGMENT == 0
    segments = Segments(3 * GIB)
    assert segments.holding_encrypted(GIB, GIB) == range(1024, 2048)
    assert segments.encrypted_range(1024) == (GIB, SEGMENT)


@settings(deadline=None)
@given(st.integers(0, 400))
def test_segments_cover_plaintext_and_ciphertext_exactly_once(plain: int) -> None:
    segments = Segments(plain, files.SMALL)
    at = encrypted_at = 0
    for number in range(segments.count):
        start, length = segments.plain_range(number)
        encrypted_start, encrypted_length = segments.encrypted_range(number)
        assert (start, encrypted_start) == (at, encrypted_at)
        assert encrypted_length == length + 16 + (40 if number == 0 else 0)
        assert encrypted_length == files.SMALL or number == segments.count - 1
        at, encrypted_at = at + length, encrypted_at + encrypted_length
    assert (at, encrypted_at) == (plain, segments.size)


@settings(deadline=None)
@given(st.integers(0, 300), st.integers(0, 400), st.integers(0, 400))
def test_a_range_is_held_by_the_segments_that_share_a_byte_with_it(
    plain: int, offset: int, length: int
) -> None:
    segments = Segments(plain, files.SMALL)
    for holding, place in (
        (segments.holding_plain, segments.plain_range),
        (segments.holding_encrypted, segments.encrypted_range),
    ):
        shared = [
            number
            for number in range(segments.count)
            if max(offset, place(number)[0]) < min(offset + length, sum(place(number)))
        ]
        assert list(holding(offset, length)) == shared


@settings(deadline=None)
@given(st.integers(-1, 600))
def test_only_sizes_of_encrypted_files_have_a_plain_size(size: int) -> None:
    if size in SIZES:
        assert plain_size(size, files.SMALL) == SIZES[size]
    else:
        with pytest.raises(DamagedError, match=f"{size} bytes are not a complete encrypted file"):
            plain_size(size, files.SMALL)


def test_a_file_of_more_segments_than_can_be_numbered_is_refused() -> None:
    most = MAX_SEGMENTS * (SEGMENT - 16) - 40
    assert Segments(most).count == MAX_SEGMENTS
    with pytest.raises(ValueError, match=f"0 to {most} bytes"):
        Segments(most + 1)
    with pytest.raises(ValueError, match="more than 56 bytes"):
        Segments(1, 56)
