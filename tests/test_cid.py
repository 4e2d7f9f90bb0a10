"""CIDs as text: ours, and whatever multibase a person pastes."""

import pytest

from ptolemy_core.dag import cid

TEXT = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        TEXT.upper(),
        "zb2rhj7crUKTQYRGCRATFaQ6YFLTde2YzdqbbhAASkL9uRDXn",
        "f01551220b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9",
    ],
)
def test_any_multibase_of_a_cid_is_the_same_cid(text: str) -> None:
    assert cid.to_text(cid.from_text(text)) == TEXT


@pytest.mark.parametrize("text", ["", "b", "m", "x", "a/path", "notes.txt", "zzz0", "b1", "bé", TEXT + "!"])
def test_what_is_no_cid_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match="not a CID"):
        cid.from_text(text)
