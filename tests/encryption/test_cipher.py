"""Encrypted files: byte for byte those of Google's tink; whatever is changed in one is refused."""

import base64
import hashlib
import io
import json
import mmap
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptolemy_core.encryption import (
    Decrypted,
    Encrypted,
    FileCipher,
    Header,
    Segments,
    associated_data,
)
from ptolemy_core.errors import DamagedError
from ptolemy_core.keys import Secret
from tests.encryption import files

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "vectors/tink/aes256_gcm_hkdf_1mb.json").read_text()
)
TINK_KEY = Secret(bytes.fromhex(VECTORS["key"]))


def tink_plaintext(size: int) -> bytes:
    return hashlib.shake_128(b"ptolemy vector %d" % size).digest(size)


@pytest.mark.parametrize("vector", VECTORS["files"], ids=lambda vector: str(vector["plain_size"]))
def test_files_are_those_that_tink_writes_and_are_read_back(vector: dict[str, Any]) -> None:
    size, path = vector["plain_size"], vector["path"].encode().replace(b"/", b"\0")
    header = Header(bytes.fromhex(vector["salt"]), bytes.fromhex(vector["prefix"]))
    plain = tink_plaintext(size)
    view = Encrypted(files.Memory(plain), FileCipher(TINK_KEY, header, path, size))
    encrypted = files.everything(view)
    assert len(encrypted) == vector["size"]
    assert hashlib.sha256(encrypted).hexdigest() == vector["sha256"]
    if "encrypted" in vector:
        assert encrypted.hex() == vector["encrypted"]
    back = Decrypted.open(files.Memory(encrypted), len(encrypted), TINK_KEY, path)
    assert files.everything(back) == plain


@pytest.mark.parametrize("size", [0, 1, 1_048_520, 1_048_521, 2_097_080, 2_097_081, 3_000_000])
def test_tink_reads_our_files_and_we_read_its(size: int) -> None:
    tink = pytest.importorskip("tink", reason="pip install tink: the vectors were made by it too")
    from tink import json_proto_keyset_format, secret_key_access, streaming_aead
    from tink.proto import aes_gcm_hkdf_streaming_pb2 as messages

    streaming_aead.register()
    handle = tink.new_keyset_handle(streaming_aead.streaming_aead_key_templates.AES256_GCM_HKDF_1MB)
    keyset = json.loads(json_proto_keyset_format.serialize(handle, secret_key_access.TOKEN))
    message = messages.AesGcmHkdfStreamingKey.FromString(
        base64.b64decode(keyset["key"][0]["keyData"]["value"])
    )
    primitive = handle.primitive(streaming_aead.StreamingAead)
    key, path, plain = Secret(message.key_value), b"a\0b", tink_plaintext(size)

    ours = files.everything(Encrypted(files.Memory(plain), FileCipher(key, Header.random(), path, size)))
    with primitive.new_decrypting_stream(io.BytesIO(ours), b"ptolemy/1:a/b") as stream:
        assert stream.read() == plain

    target = io.BytesIO()
    closed, target.close = target.close, lambda: None  # type: ignore[method-assign]
    with primitive.new_encrypting_stream(target, b"ptolemy/1:a/b") as stream:
        stream.write(plain)
    theirs = target.getvalue()
    closed()
    assert files.everything(Decrypted.open(files.Memory(theirs), len(theirs), key, path)) == plain


@settings(deadline=None)
@given(st.integers(0, 300))
def test_files_are_what_the_specification_says_step_by_step(size: int) -> None:
    plain = files.plaintext(size)
    slow = files.slow_encryption(plain, files.KEY.reveal(), files.HEADER, files.PATH)
    assert files.everything(files.encrypted_view(plain)) == slow
    assert files.everything(files.decrypted_view(slow)) == plain


@pytest.mark.parametrize("size", [0, 5, 8, 9, 56, 57, 100])
def test_a_changed_bit_anywhere_is_refused_and_nothing_of_its_segment_is_given(size: int) -> None:
    good = files.everything(files.encrypted_view(files.plaintext(size)))
    for at in range(len(good)):
        for bit in (1, 0x80):
            bad = bytearray(good)
            bad[at] ^= bit
            out = bytearray(size)
            with pytest.raises(DamagedError) as caught:
                view = files.decrypted_view(bytes(bad))
                view.read_into(0, memoryview(out))
            assert "folder/b.bin" in str(caught.value)
            number = 0 if at < 40 else at // files.SMALL
            start, length = Segments(size, files.SMALL).plain_range(number)
            assert out[start : start + length] == bytes(length)
            assert bytes(out[:start]) == files.plaintext(size)[:start]  # it was checked before
            assert bytes(out[start + length :]) == bytes(size - start - length)  # it wasn't reached


@settings(deadline=None)
@given(st.data())
def test_a_file_that_was_cut_off_or_made_longer_is_refused(data: st.DataObject) -> None:
    size = data.draw(st.integers(0, 200))
    good = files.everything(files.encrypted_view(files.plaintext(size)))
    kept = data.draw(st.integers(0, len(good) - 1))
    for bad in (good[:kept], good + good[kept:], good + bytes(files.SMALL), good + b"x"):
        with pytest.raises(DamagedError):
            files.decrypted_view(bad).check()
    with pytest.raises(DamagedError):  # the size is right and the data isn't there
        files.decrypted_view(good[:kept], len(good)).check()


def test_segments_that_change_places_are_refused() -> None:
    size = 8 + 48 * 3
    good = files.everything(files.encrypted_view(files.plaintext(size)))
    one, two = good[64:128], good[128:192]
    swapped = good[:64] + two + one + good[192:]
    assert len(swapped) == len(good)
    with pytest.raises(DamagedError, match="segment 1 of 4 of encrypted file folder/b.bin is refused"):
        files.decrypted_view(swapped).check()


def test_files_that_change_places_are_refused_and_so_are_other_keys() -> None:
    encrypted = files.everything(files.encrypted_view(files.plaintext(70)))
    files.decrypted_view(encrypted).check()
    with pytest.raises(DamagedError, match=r"encrypted file folder/c.bin is refused.*another file"):
        files.decrypted_view(encrypted, path=b"folder\0c.bin").check()
    with pytest.raises(DamagedError, match="check that the key is this project's"):
        files.decrypted_view(encrypted, key=Secret(bytes(32))).check()


def test_a_segment_of_another_version_of_the_same_file_is_refused() -> None:
    plain = files.plaintext(8 + 48 + 10)
    good = files.everything(files.encrypted_view(plain))
    other = files.everything(Encrypted(files.Memory(plain), files.cipher(len(plain), header=Header.random())))
    with pytest.raises(DamagedError):
        files.decrypted_view(good[:64] + other[64:128] + good[128:]).check()


def test_what_is_no_encrypted_file_is_refused() -> None:
    with pytest.raises(DamagedError, match="isn't encrypted by Ptolemy"):
        files.decrypted_view(b"a" * 100)
    with pytest.raises(DamagedError, match="0 bytes are not a complete encrypted file"):
        files.decrypted_view(b"")


def test_the_plaintext_of_a_refused_segment_is_wiped_from_the_buffer() -> None:
    plain = files.plaintext(8)
    encrypted = bytearray(files.everything(files.encrypted_view(plain)))
    encrypted[-1] ^= 1  # in the tag: AES-GCM has decrypted all when it sees that
    out = bytearray(b"?" * 8)
    with pytest.raises(DamagedError):
        files.cipher(8).decrypt(0, encrypted, out)
    assert out == bytes(8)


def test_segments_are_encrypted_in_place_and_in_memory_of_any_kind() -> None:
    plain = files.plaintext(100)
    expected = files.everything(files.encrypted_view(plain))
    page = mmap.mmap(-1, mmap.PAGESIZE)
    coder = files.cipher(100)
    for number in range(coder.segments.count):
        start, length = coder.segments.plain_range(number)
        out_start, out_length = coder.segments.encrypted_range(number)
        with memoryview(page)[:out_length] as out:
            before = 0 if number else 40
            place = out[before : before + length]
            place[:] = plain[start : start + length]
            coder.encrypt(number, place, out)
            assert out == expected[out_start : out_start + out_length]
            place.release()


def test_a_file_with_another_header_than_the_kept_one_is_refused() -> None:
    encrypted = files.everything(files.encrypted_view(files.plaintext(100)))
    for at in range(40):
        bad = bytearray(encrypted)
        bad[at] ^= 1
        with pytest.raises(DamagedError, match="segment 0"):
            Decrypted(files.Memory(bytes(bad)), files.cipher(100)).check()


def test_a_segment_that_is_not_there_is_refused() -> None:
    coder = files.cipher(8)
    with pytest.raises(IndexError, match="folder/b.bin has 1 segments, there is no segment 1"):
        coder.encrypt(1, b"", bytearray(16))


def test_the_path_is_tied_in_with_slashes_and_any_bytes() -> None:
    assert associated_data(b"a\0\xff b") == b"ptolemy/1:a/\xff b"


def test_headers_are_random_and_checked() -> None:
    headers = {bytes(Header.random()) for _ in range(50)}
    assert len(headers) == 50
    assert {(len(one), one[0]) for one in headers} == {(40, 40)}
    assert Header.parse(bytes(files.HEADER), "x") == files.HEADER
    with pytest.raises(ValueError, match="32 and 7 random bytes, got 31 and 7"):
        Header(bytes(31), bytes(7))
    with pytest.raises(DamagedError, match="x doesn't start with the header"):
        Header.parse(b"\x27" + bytes(39), "x")


def test_keys_show_in_no_repr_and_no_pickle() -> None:
    coder = files.cipher(10)
    assert files.KEY.reveal().hex() not in repr((coder, files.KEY, vars(coder)))
    assert repr(files.KEY) == "Secret(hidden)"
    with pytest.raises(TypeError, match="can't be pickled"):
        pickle.dumps(files.KEY)
    with pytest.raises(ValueError, match="has 32 bytes, got 5"):
        FileCipher(Secret(b"short"), files.HEADER, b"a", 1)
