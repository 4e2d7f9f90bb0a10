"""Filecoin addresses: public vectors, round trips, and that no wrong character passes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptolemy_core import address
from ptolemy_core.address import Address, Network, parse
from ptolemy_core.dag import varint
from ptolemy_core.errors import SettingsError

# from the tests of filecoin-project/go-address, and facts about the private key 32 x 0x01
VECTORS = [
    ("f00", "0000"),
    ("f01", "0001"),
    ("f0127", "007f"),
    ("f0128", "008001"),
    ("f01729", "00c10d"),
    ("f09223372036854775807", "00ffffffffffffffff7f"),
    ("t15ihq5ibzwki2b4ep2f46avlkrqzhpqgtga7pdrq", "01ea0f0ea039b291a0f08fd179e0556a8c3277c0d3"),
    ("f1ksu3ktw4xhyaoltwr546b3epfs5wxxqfyyxipwi", "01"),
    ("t24vg6ut43yw2h2jqydgbg2xq7x6f4kub3bg6as6i", "02e54dea4f9bc5b47d261819826d5e1fbf8bc5503b"),
    ("t3vvmn62lofvhjd2ugzca6sof2j2ubwok6cj4xxbfzz4yuxfkgobpihhd2thlanmsh3w2ptld2gqkn2jvlss4a", "03"),
    ("f410fdjsc6dr4hl2ulz5mxu4la4srwomqsfhrj5x3f4i", "040a1a642f0e3c3af545e7acbd38b07251b3990914f1"),
]


@pytest.mark.parametrize(("text", "start"), VECTORS)
def test_public_addresses_are_read_and_written_as_they_are(text: str, start: str) -> None:
    read = parse(text)
    assert str(read) == text
    assert bytes(read).hex().startswith(start)
    assert address.from_bytes(bytes(read), read.network) == read


networks = st.sampled_from(["mainnet", "calibration"])
any_address = st.one_of(
    st.builds(address.of_id, st.integers(0, 2**63 - 1), networks),
    st.builds(Address, networks, st.sampled_from([1, 2]), st.binary(min_size=20, max_size=20)),
    st.builds(Address, networks, st.just(3), st.binary(min_size=48, max_size=48)),
    st.builds(
        lambda network, namespace, rest: Address(network, 4, varint.encode(namespace) + rest),
        networks,
        st.integers(0, 2**63 - 1),
        st.binary(min_size=1, max_size=54),
    ),
)


@given(any_address)
def test_each_address_comes_back_from_its_text_and_its_bytes(one: Address) -> None:
    assert parse(str(one)) == one
    assert address.from_bytes(bytes(one), one.network) == one


@given(any_address, st.data())
def test_a_changed_character_is_never_read_as_the_same_kind_of_address(
    one: Address, data: st.DataObject
) -> None:
    text = str(one)
    if one.protocol in (0, 4):
        return  # digits of IDs and namespaces have no checksum of their own
    at = data.draw(st.integers(2, len(text) - 1))
    other = data.draw(st.sampled_from("abcdefghijklmnopqrstuvwxyz234567").filter(lambda c: c != text[at]))
    with pytest.raises(SettingsError):
        parse(text[:at] + other + text[at + 1 :])


@given(st.text(max_size=130))
def test_any_text_is_an_address_or_a_clear_error(text: str) -> None:
    said = f"{text} isn't a Filecoin address"
    try:
        assert str(parse(text)) == text
    except SettingsError as error:
        said = str(error)
    assert "isn't a Filecoin address" in said


@given(st.binary(max_size=70), networks)
def test_any_bytes_are_an_address_or_a_clear_error(data: bytes, network: Network) -> None:
    said = "it isn't a Filecoin address"
    try:
        assert bytes(address.from_bytes(data, network)) == data
    except SettingsError as error:
        said = str(error)
    assert "isn't a Filecoin address" in said


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("f1ksu3ktw4xhyaoltwr546b3epfs5wxxqfyyxipwq", "its checksum is wrong"),
        ("F1KSU3KTW4XHYAOLTWR546B3EPFS5WXXQFYYXIPWI", "starts with f"),
        ("f007", "without leading zeros"),
        ("f09223372036854775808", "larger than 9223372036854775807"),
        ("f0-1", "must be a number"),
        ("f0١", "must be a number"),
        ("f410", "an f after f4"),
        ("f5abc", "a digit from 0 to 4"),
        ("0x1a642f0e3c3af545e7acbd38b07251b3990914f1", "starts with f"),
        ("", "starts with f"),
        ("f1" + "a" * 200, "has 202 characters"),
    ],
)
def test_a_wrong_address_is_refused_with_the_part_that_is_wrong(text: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        parse(text)


def test_an_address_of_the_other_network_is_refused() -> None:
    assert str(address.parse_on("t01000", "calibration")) == "t01000"
    with pytest.raises(SettingsError, match=r"f01000 is an address of mainnet.*calibration.*start with t"):
        address.parse_on("f01000", "calibration")
    assert str(parse("f01000").on("calibration")) == "t01000"
