"""Encrypted names: RFC 5297 and base32hex, tied to their folders; whatever is changed or moved is refused."""

import base64
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptolemy_core.encryption import NameCipher, names
from ptolemy_core.errors import DamagedError
from ptolemy_core.keys import Secret
from ptolemy_core.layout.names import decode, encode
from tests.encryption import siv

KEY = Secret(bytes(range(64)))
OTHER = Secret(bytes(64))
NAME = st.binary(min_size=1, max_size=40).filter(lambda name: b"\0" not in name and b"/" not in name)
PATH = st.lists(NAME, min_size=1, max_size=5).map(b"\0".join)


def encrypted(name: bytes, parent: bytes) -> bytes:
    """A name as the description says it."""
    text = base64.b32hexencode(siv.encrypt(KEY.reveal(), name, [b"ptolemy-name/1", parent]))
    return text.decode().lower().rstrip("=").encode()


def test_the_slow_siv_of_these_tests_gives_the_vector_of_rfc_5297() -> None:
    key = bytes.fromhex("fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff")
    data = bytes.fromhex("101112131415161718191a1b1c1d1e1f2021222324252627")
    assert siv.encrypt(key, bytes.fromhex("112233445566778899aabbccddee"), [data]) == bytes.fromhex(
        "85632d07c6e8f37f950acd320a2ecc9340c02b9690c4dc04daef7f6afe5c"
    )


def test_the_slow_siv_gives_the_vector_of_rfc_5297_with_three_strings() -> None:
    key = bytes.fromhex("7f7e7d7c7b7a79787776757473727170404142434445464748494a4b4c4d4e4f")
    one = bytes.fromhex("00112233445566778899aabbccddeeffdeaddadadeaddadaffeeddccbbaa99887766554433221100")
    two, three = bytes.fromhex("102030405060708090a0"), bytes.fromhex("09f911029d74e35bd84156c5635688c0")
    plain = b"this is some plaintext to encrypt using SIV-AES"
    assert siv.encrypt(key, plain, [one, two, three]) == bytes.fromhex(
        "7bdb6e3b432667eb06f4d14bff2fbd0fcb900f2fddbe404326601965c889bf17"
        "dba77ceb094fa663b7a3f748ba8af829ea64ad544a272e9c485b62a3fd5c0d"
    )


@settings(deadline=None)
@given(PATH)
def test_each_name_is_encrypted_under_its_folder(path: bytes) -> None:
    expected: list[bytes] = []
    for name in path.split(b"\0"):
        expected.append(encrypted(name, b"/".join(expected)))
    cipher = NameCipher(KEY)
    assert cipher.encrypt_path(path) == b"\0".join(expected)
    assert cipher.encrypt_path(path) == b"\0".join(expected)  # the same with its folders known
    assert NameCipher(KEY).decrypt_path(b"\0".join(expected)) == path
    assert cipher.decrypt_path(b"\0".join(expected)) == path


def test_the_form_of_a_name_stays_as_it_was_published() -> None:
    cipher = NameCipher(KEY)
    assert cipher.encrypt_path(b"") == b""
    assert cipher.encrypt_path(b"folder\0b.bin").split(b"\0") == [
        encrypted(b"folder", b""),
        encrypted(b"b.bin", encrypted(b"folder", b"")),
    ]
    assert cipher.encrypt_path(b"folder") == b"ln3i2pq0qdn6h7fsh5pnuck1qia8p8rodh1g"


def test_the_same_name_differs_between_folders_and_projects() -> None:
    cipher = NameCipher(KEY)
    last = {cipher.encrypt_path(path).rpartition(b"\0")[2] for path in (b"a", b"a\0a", b"b\0a", b"b\0b\0a")}
    assert len(last | {NameCipher(OTHER).encrypt_path(b"a")}) == 5


@pytest.mark.parametrize("length", [1, 15, 16, 17, 142, 143, 144, 255])
def test_a_name_grows_by_what_is_documented_and_up_to_143_bytes_fit_a_file_system(length: int) -> None:
    text = NameCipher(KEY).encrypt_path(b"n" * length)
    assert len(text) == -(-8 * (length + 16) // 5)
    assert (len(text) <= 255) == (length <= 143)
    assert set(text) <= set(b"0123456789abcdefghijklmnopqrstuv")


@settings(deadline=None)
@given(NAME, st.none() | st.integers(0, 10**6))
def test_a_shards_mark_goes_behind_the_encrypted_name(name: bytes, shard: int | None) -> None:
    text = NameCipher(KEY).encrypt_path(name)
    in_car = encode(text, shard)
    assert in_car == (text if shard is None else text + b".ptolemy%d" % shard)
    assert decode(in_car) == (text, shard)


def test_a_change_of_any_byte_of_a_name_is_refused() -> None:
    cipher = NameCipher(KEY)
    path = cipher.encrypt_path(b"folder\0b.bin")
    for at in range(len(path)):
        for new in b"0v\0/AZ.=\xff":
            bad = path[:at] + bytes((new,)) + path[at + 1 :]
            if bad == path:
                continue
            with pytest.raises(DamagedError, match="the name .* can't be decrypted"):
                NameCipher(KEY).decrypt_path(bad)


@pytest.mark.parametrize(
    "change", [bytes.upper, lambda t: t + b"=", lambda t: t[:-1], lambda t: t + b"0", lambda _: b""]
)
def test_only_the_one_form_of_a_name_is_read(change: Callable[[bytes], bytes]) -> None:
    text = NameCipher(KEY).encrypt_path(b"some name")
    with pytest.raises(DamagedError):
        NameCipher(KEY).decrypt_path(b"x\0" + change(text))
    if change(text):
        with pytest.raises(DamagedError):
            NameCipher(KEY).decrypt_path(change(text))


def test_unused_bits_at_the_end_of_a_name_must_be_zero() -> None:
    text = NameCipher(KEY).encrypt_path(b"ab")  # 18 bytes: 29 digits, the last with one unused bit
    digits = b"0123456789abcdefghijklmnopqrstuv"
    other = text[:-1] + bytes((digits[digits.index(text[-1]) ^ 1],))
    with pytest.raises(DamagedError):
        NameCipher(KEY).decrypt_path(other)


def test_a_name_that_was_moved_to_another_folder_or_project_is_refused() -> None:
    cipher = NameCipher(KEY)
    one, two = cipher.encrypt_path(b"one\0name"), cipher.encrypt_path(b"two\0name")
    moved = one.split(b"\0")[0] + b"\0" + two.split(b"\0")[1]
    with pytest.raises(DamagedError, match="moved"):
        cipher.decrypt_path(moved)
    with pytest.raises(DamagedError, match="another project's"):
        NameCipher(OTHER).decrypt_path(one)
    with pytest.raises(DamagedError, match="isn't encrypted"):
        cipher.decrypt_path(b"plain name.txt")


@settings(deadline=None)
@given(PATH, st.binary(max_size=100))
def test_targets_of_links_are_tied_to_their_link(path: bytes, target: bytes) -> None:
    cipher = NameCipher(KEY)
    link = cipher.encrypt_path(path)
    text = cipher.encrypt_target(link, target)
    assert text.isalnum()
    assert cipher.decrypt_target(link, text) == target
    with pytest.raises(DamagedError, match="the target of link"):
        cipher.decrypt_target(cipher.encrypt_path(path + b"x"), text)
    with pytest.raises(DamagedError):
        cipher.decrypt_path(text)  # a target is no name


def test_each_name_costs_one_encryption_however_deep_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    cipher = NameCipher(KEY)
    calls = []
    plain = NameCipher._encrypt

    def counted(self: NameCipher, name: bytes, parent: bytes) -> bytes:
        calls.append(name)
        return plain(self, name, parent)

    monkeypatch.setattr(NameCipher, "_encrypt", counted)
    folder = b"\0".join(b"folder%d" % level for level in range(20))
    for number in range(100):
        cipher.encrypt_path(folder + b"\0%d" % number)
    assert len(calls) == 120


def test_memory_for_folders_is_bounded_and_what_was_forgotten_comes_out_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(names, "_CACHE_BYTES", 500)
    small, large = NameCipher(KEY), NameCipher(KEY)
    paths = [b"a%d\0b%d\0c" % (n % 7, n % 3) for n in range(60)]
    texts = [small.encrypt_path(path) for path in paths]
    assert [small.decrypt_path(text) for text in texts] == paths
    assert small._encrypted._bytes < 1000
    monkeypatch.setattr(names, "_CACHE_BYTES", 1 << 25)
    assert [large.encrypt_path(path) for path in paths] == texts


def test_a_path_of_thousands_of_levels_is_encrypted() -> None:
    path = b"\0".join(b"%d" % level for level in range(1500))
    text = NameCipher(KEY).encrypt_path(path)
    assert NameCipher(KEY).decrypt_path(text) == path


def test_a_name_key_has_64_bytes() -> None:
    with pytest.raises(ValueError, match="has 64 bytes, got 32"):
        NameCipher(Secret(bytes(32)))
