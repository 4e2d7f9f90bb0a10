"""Wrapped data keys: kept as text, tied to project, use and version, wrapped anew by rotation."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap, aes_key_wrap
from hypothesis import given, settings
from hypothesis import strategies as st

from ptolemy_core.errors import DamagedError, EncryptionError, UnknownKeyError, WrongKeyError
from ptolemy_core.keys import (
    Keyring,
    WrappedKey,
    new_data_key,
    rewrap,
    unreadable_without,
    unwrap,
    wrapping,
)
from ptolemy_core.keys.key import Key, to_text
from ptolemy_core.keys.providers import TextKeys
from ptolemy_core.keys.secret import Secret

FIXED = TextKeys(to_text(Key("a", 1, Secret(bytes(range(32))))), "the tests")


@pytest.fixture
def ring(tmp_path: Path) -> Keyring:
    made = Keyring(str(tmp_path / "keyring.json"))
    made.create("a")
    return made


def test_a_data_key_is_random_and_comes_back(ring: Keyring) -> None:
    files, more = (new_data_key(ring, "a", "photos", "files", version) for version in (1, 2))
    names = new_data_key(ring, "a", "photos", "names")
    secrets = [unwrap(ring, one) for one in (files, more, names)]
    assert [len(one) for one in secrets] == [32, 32, 64]
    assert len({one.reveal()[:32] for one in secrets}) == 3
    assert unwrap(ring, files) == secrets[0]
    assert (files.alias, files.alias_version, files.key_id) == ("a", 1, ring.versions("a")[0].id)
    for one, secret in zip((files, more, names), secrets, strict=True):
        assert secret.reveal()[:8] not in one.wrapped


def test_key_wrap_is_that_of_rfc_3394() -> None:
    kek = bytes(range(32))
    data = bytes.fromhex("00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f")
    wrapped = aes_key_wrap(kek, data)
    assert wrapped.hex() == "28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21"
    ours = new_data_key(FIXED, "a", "p", "files")
    assert aes_key_unwrap(kek, ours.wrapped)[:32] == unwrap(FIXED, ours).reveal()


def test_a_wrapped_key_stays_as_it_was_published() -> None:
    text = (
        '{"format":"ptolemy-wrapped-key/1","project":"p","use":"files","version":1,"alias":"a","alias_version":1,'
        '"key_id":"032fa3dc862ccdb0","wrapped":"QKIk2QrGUXCdsGymVWDMG6qnMrs0HmdcvXVnlH1oV3G2edm/WIgPjFrUw3bRfoXK9OjFbcbtHZ8="}'
    )
    assert unwrap(FIXED, wrapping.from_text(text, "the test")).reveal() == bytes(range(100, 132))


@settings(deadline=None)
@given(st.text('añ"\\\n\0\ud800', max_size=20), st.sampled_from(["files", "names"]), st.integers(1, 2**31))
def test_text_is_read_back(project: str, use: wrapping.Use, version: int) -> None:
    made = new_data_key(FIXED, "a", project, use, version)
    text = wrapping.to_text(made)
    assert "\n" not in text
    assert wrapping.from_text(text, "here") == made
    assert wrapping.from_record(json.loads(text), "here") == made


def test_a_change_of_any_byte_of_the_text_is_refused() -> None:
    made = new_data_key(FIXED, "a", "photos", "files")
    text, secret = wrapping.to_text(made), unwrap(FIXED, made)
    for at in range(len(text)):
        for new in 'A9"{ ':
            bad = text[:at] + new + text[at + 1 :]
            if bad == text:
                continue
            with pytest.raises(EncryptionError) as caught:
                unwrap(FIXED, wrapping.from_text(bad, "the manifest"))
            assert secret.reveal().hex()[:8] not in str(caught.value)


@settings(deadline=None)
@given(st.integers(0, 55), st.integers(1, 255))
def test_a_change_of_any_byte_of_the_wrapped_key_is_refused(at: int, change: int) -> None:
    made = new_data_key(FIXED, "a", "photos", "files")
    bad = bytearray(made.wrapped)
    assert len(bad) == 56
    bad[at] ^= change
    with pytest.raises(DamagedError, match="the data key of project photos for files, version 1 is damaged"):
        unwrap(FIXED, _with(made, wrapped=bytes(bad)))


@pytest.mark.parametrize("size", [0, 1, 15, 16, 24, 48, 55, 57, 64])
def test_a_wrapped_key_of_another_length_is_refused(size: int) -> None:
    made = new_data_key(FIXED, "a", "photos", "files")
    with pytest.raises(DamagedError):
        unwrap(FIXED, _with(made, wrapped=(made.wrapped * 2)[:size]))


@pytest.mark.parametrize("change", [{"project": "other"}, {"version": 2}, {"use": "names"}])
def test_a_wrapped_key_can_not_be_passed_off_as_another(change: dict[str, object]) -> None:
    made = new_data_key(FIXED, "a", "photos", "files")
    with pytest.raises(DamagedError, match="was wrapped for another project, use or version"):
        unwrap(FIXED, _with(made, **change))


def test_a_data_key_of_another_length_is_refused_though_all_else_fits() -> None:
    made = new_data_key(FIXED, "a", "photos", "files")
    inner = aes_key_unwrap(bytes(range(32)), made.wrapped)
    short = aes_key_wrap(bytes(range(32)), inner[8:])
    with pytest.raises(DamagedError, match="doesn't match its record"):
        unwrap(FIXED, _with(made, wrapped=short))


def test_the_wrong_key_is_told_from_a_damaged_one(ring: Keyring) -> None:
    made = new_data_key(FIXED, "a", "photos", "files")
    with pytest.raises(WrongKeyError, match="version 1 of key a in the keyring .* is another key"):
        unwrap(ring, made)
    with pytest.raises(UnknownKeyError, match="there is no key b"):
        unwrap(ring, _with(made, alias="b"))
    with pytest.raises(UnknownKeyError, match="version 7 of key a isn't in"):
        unwrap(ring, _with(made, alias_version=7))
    with pytest.raises(UnknownKeyError):
        new_data_key(ring, "b", "photos", "files")


def test_rotation_wraps_the_same_key_anew_and_the_older_version_is_needed_no_more(ring: Keyring) -> None:
    made = new_data_key(ring, "a", "photos", "names")
    secret = unwrap(ring, made)
    assert rewrap(ring, made) is made
    ring.rotate("a")
    again = rewrap(ring, made)
    assert (again.alias_version, again.wrapped != made.wrapped) == (2, True)
    assert rewrap(ring, again) is again
    assert unwrap(ring, again) == unwrap(ring, made) == secret
    ring.destroy("a", 1)
    assert unwrap(ring, again) == secret
    with pytest.raises(UnknownKeyError, match="was destroyed"):
        rewrap(ring, made)


def test_a_data_key_moves_to_another_alias(ring: Keyring) -> None:
    made = new_data_key(ring, "a", "photos", "files")
    ring.create("b")
    moved = rewrap(ring, made, "b")
    secret = unwrap(ring, made)
    ring.destroy("a")
    assert unwrap(ring, moved) == secret


def test_what_becomes_unreadable_is_what_that_version_wrapped(ring: Keyring) -> None:
    one = new_data_key(ring, "a", "photos", "files")
    ring.rotate("a")
    two = new_data_key(ring, "a", "videos", "files")
    ring.create("b")
    other = new_data_key(ring, "b", "photos", "names")
    kept = [one, two, other]
    assert unreadable_without(kept, "a") == [one, two]
    assert unreadable_without(kept, "a", 1) == [one]
    assert unreadable_without(kept, "b", 2) == []


@pytest.mark.parametrize(
    "text",
    ["", "{", "null", "[]", "{}", '"x"', '{"format":"ptolemy-wrapped-key/1"}', "[" * 100_000],
)  # fmt: skip
def test_what_is_no_wrapped_key_is_refused(text: str) -> None:
    with pytest.raises(DamagedError, match="the manifest m has a wrapped key that is damaged"):
        wrapping.from_text(text, "the manifest m")


def test_a_newer_format_is_named() -> None:
    record = wrapping.as_record(new_data_key(FIXED, "a", "p", "files")) | {"format": "ptolemy-wrapped-key/2"}
    with pytest.raises(DamagedError, match="upgrade Ptolemy"):
        wrapping.from_record(record, "the manifest m")


def _with(made: WrappedKey, **changes: object) -> WrappedKey:
    fields = {name: getattr(made, name) for name in WrappedKey.__slots__}
    return WrappedKey(**(fields | changes))
