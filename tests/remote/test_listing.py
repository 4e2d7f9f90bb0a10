"""Listing: the order of the catalog, ranges side by side, answers of different stores, and flat memory."""

import gc
import random
import tracemalloc
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from ptolemy_core.errors import SourceUnreadableError
from ptolemy_core.source.key_tree import entry_of, settled
from ptolemy_core.source.listing import Object, Page, pages
from ptolemy_core.source.objects import ObjectSource
from ptolemy_core.source.protocol import Entry
from ptolemy_core.source.s3 import _parse_slowly, parse_page
from ptolemy_core.source.sorted_runs import SortedRuns
from ptolemy_core.source.store_errors import StoreError
from ptolemy_core.source.tokens import SECOND, same, token_of
from ptolemy_core.tree import SEPARATOR
from ptolemy_core.urls import parse


@dataclass
class ListOfKeys:
    """A lister of given keys, which counts its pages."""

    keys: list[str]
    size: int = 7
    asked: int = 0
    folded: int = field(default=0)

    def page(
        self, prefix: str, *, after: str = "", following: str | None = None, folded: bool = False
    ) -> Page:
        self.asked += 1
        begin = following if following is not None else after
        low = bisect_right(self.keys, begin) if begin else 0
        found: list[Object] = []
        folders: list[str] = []
        for key in self.keys[low:]:
            if not key.startswith(prefix):
                continue
            if len(found) + len(folders) == self.size:
                return Page(
                    found, folders, max(found[-1].key if found else "", folders[-1] if folders else "")
                )
            rest = key[len(prefix) :]
            if folded and "/" in rest:
                folder = prefix + rest.partition("/")[0] + "/"
                if folder not in folders:
                    folders.append(folder)
            else:
                found.append(Object(key, len(key), 1))
        return Page(found, folders, None)

    def objects(self, prefix: str) -> Iterator[list[Object]]:
        return pages(self, prefix)

    def any(self, prefix: str, seconds: float | None = None) -> bool:
        return any(key.startswith(prefix) for key in self.keys)


def listed(lister: ListOfKeys, prefix: str = "") -> list[Entry]:
    url = parse("s3://bucket/" + prefix)
    source = ObjectSource(url, lister, None, "memory")  # type: ignore[arg-type]  # nothing is read
    return [entry for batch in source.entries() for entry in batch]


def random_keys(seed: int, count: int) -> list[str]:
    choose = random.Random(seed)
    names = ["a", "a-", "a.b", "a!", "b", "é", "a b", "a0", "~", "z" * 9]
    return sorted({"/".join(choose.choices(names, k=choose.randint(1, 5))) for _ in range(count)})


@pytest.mark.parametrize("seed", range(8))
def test_all_keys_come_once_and_in_the_order_of_the_tree(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ptolemy_core.source.objects.RUN", 11)
    keys = random_keys(seed, 300)
    found = [entry.path for entry in listed(ListOfKeys(keys))]
    assert found == sorted(key.encode().replace(b"/", SEPARATOR) for key in keys)


def test_only_what_is_below_the_prefix_is_listed() -> None:
    found = listed(ListOfKeys(sorted(["pre/a", "pre/", "pre", "prefix/b", "pre/c/d"])), "pre")
    assert [entry.path for entry in found] == [b"a", b"c\0d"]


def test_folders_near_the_top_are_listed_side_by_side_and_many_of_them_together() -> None:
    """Two folders or thousands: never a request for each."""
    for folders in (2, 1000):
        lister = ListOfKeys(
            sorted(f"f{k:04}/{j}" for k in range(folders) for j in range(3000 // folders)), 1000
        )
        assert len(list(listed(lister))) == 3000
        assert lister.asked < 3 + 22
    few = ListOfKeys(sorted(f"f{k:04}/{j}" for k in range(1000) for j in range(3)), 1000)
    assert len(list(listed(few))) == 3000
    assert few.asked == 3


def test_a_store_that_lists_in_no_order_is_refused() -> None:
    class Unordered(ListOfKeys):
        def page(
            self, prefix: str, *, after: str = "", following: str | None = None, folded: bool = False
        ) -> Page:
            return Page([Object("b", 1, 1), Object("a", 1, 1)], [], None)

    with pytest.raises(SourceUnreadableError, match="doesn't list its keys in their order"):
        listed(Unordered([]))


def test_an_error_of_one_range_ends_the_listing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ptolemy_core.source.listing._FIRST", 1)

    class Broken(ListOfKeys):
        def page(
            self, prefix: str, *, after: str = "", following: str | None = None, folded: bool = False
        ) -> Page:
            if after == "c/":
                raise StoreError("HTTP 403", status=403)
            return super().page(prefix, after=after, following=following, folded=folded)

    with pytest.raises(SourceUnreadableError, match=r"can't be listed \(HTTP 403\)"):
        listed(Broken([f"{name}/{k}" for name in "abcdef" for k in range(5)]))


def test_runs_on_disk_are_merged_like_values_in_memory() -> None:
    choose = random.Random(3)
    entries = [Entry(choose.randbytes(4), 0, k, k) for k in range(1000)]
    with SortedRuns(64) as runs:
        for low in range(0, 1000, 30):
            runs.add(entries[low : low + 30])
        assert list(runs) == sorted(entries)


def test_keys_with_control_characters_are_left_out_under_names_that_can_be_shown() -> None:
    found = [entry_of(key, 1, 1) for key in (b"a\nb", b"nul\0x", b"\x7f")]
    assert [entry.path for entry in found] == [rb"a\x0ab", rb"nul\x00x", rb"\x7f"]
    assert all("control character" in (entry.reason or "") for entry in found)


def test_a_folder_that_isnt_empty_needs_no_marker() -> None:
    keys = sorted([b"a/", b"a/b/", b"a/b/c", b"d/"])
    entries = sorted(entry_of(key, 0, 1) for key in keys)
    assert [(entry.path, entry.kind) for entry in settled(entries)] == [(b"a\0b\0c", 0), (b"d", 1)]


TIME = "2024-01-02T03:04:05Z"
AWS = """<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><Prefix></Prefix>
<KeyCount>2</KeyCount><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>
<NextContinuationToken>1ueGcx+/=</NextContinuationToken>
<Contents><Key>a+b%2Bc/%E2%82%AC</Key><LastModified>2024-01-02T03:04:05.000Z</LastModified><ETag>&quot;aa&quot;</ETag>
<ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType>
<Size>5</Size><StorageClass>STANDARD</StorageClass></Contents>
<Contents><Key>b</Key><LastModified>2024-01-02T03:04:05.000Z</LastModified><ETag>"bb-2"</ETag><Size>6</Size></Contents>
</ListBucketResult>"""


def test_answers_of_stores_that_differ_in_their_form_are_read_alike() -> None:
    quick = parse_page(AWS)
    assert quick.following == "1ueGcx+/="
    assert quick.objects == [
        Object("a b+c/€", 5, token_of('"aa"', TIME)),
        Object("b", 6, token_of("bb-2", TIME)),
    ]
    otherwise = (
        AWS.replace("&quot;", "&#34;").replace("<Key>b</Key>", "").replace("<Size>6", "<Key>b</Key><Size>6")
    )
    assert parse_page(otherwise) == quick
    size_first = AWS.replace("<Size>6</Size>", "").replace("<Key>b</Key>", "<Size>6</Size><Key>b</Key>")
    assert size_first != AWS
    assert parse_page(size_first) == quick
    plain = AWS.replace("<EncodingType>url</EncodingType>", "").replace("a+b%2Bc/%E2%82%AC", "a b+c/&#8364;")
    assert parse_page(plain) == quick
    assert _parse_slowly(AWS, True) == quick


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("<html>", "no XML"),
        ("<html></html>", "no listing"),
        (AWS.replace("1ueGcx+/=", ""), "cut off"),
        (AWS[:300], "no XML"),
    ],
)
def test_answers_that_are_no_listing_are_errors(answer: str, said: str) -> None:
    with pytest.raises(StoreError, match=said):
        parse_page(answer)


def test_an_object_without_an_etag_has_its_time_in_whole_seconds_as_token() -> None:
    answer = AWS.replace('<ETag>"bb-2"</ETag>', "")
    assert parse_page(answer).objects[1].token == 1_704_164_645_000_000_000


def test_a_token_is_a_time_whose_fraction_stands_for_the_etag() -> None:
    one, other = token_of('"aa"', TIME), token_of('W/"ab"', TIME)
    assert one // SECOND == other // SECOND == 1_704_164_645
    assert one != other
    assert same(one, token_of("aa", "2024-01-02T03:04:06.789Z"))  # as a listing and an answer may tell it
    assert not same(one, other)
    assert not same(token_of(None, TIME), token_of(None, "2024-01-02T03:04:06Z"))
    assert not same(one, token_of(None, TIME))


@dataclass
class Million:
    """A lister of a million keys that holds none of them."""

    count: int = 1_000_000

    def page(
        self, prefix: str, *, after: str = "", following: str | None = None, folded: bool = False
    ) -> Page:
        if folded:
            return Page([], [f"{k:03}/" for k in range(self.count // 1000)], None)
        begin = following or after
        folder, _, last = begin.partition("/")
        number = (
            int(folder or 0) * 1000 + (int(last) + 1 if last else 0) + (1000 if begin and not last else 0)
        )
        if begin and not last:
            number -= 1000
        keys = [f"{k // 1000:03}/{k % 1000:03}" for k in range(number, min(self.count, number + 1000))]
        ended = number + 1000 >= self.count
        return Page([Object(key, 5, number) for key in keys], [], None if ended else keys[-1])

    def objects(self, prefix: str) -> Iterator[list[Object]]:
        return pages(self, prefix)

    def any(self, prefix: str, seconds: float | None = None) -> bool:
        return True


def count(entries: Iterator[list[Entry]]) -> int:
    return sum(map(len, entries))


@pytest.mark.slow
def test_a_million_keys_take_no_more_memory_than_a_tenth_of_them() -> None:
    peaks = []
    for keys in (200_000, 1_000_000):
        source = ObjectSource(parse("s3://bucket"), Million(keys), None, "memory")  # type: ignore[arg-type]
        gc.collect()
        tracemalloc.start()
        assert count(source.entries()) == keys
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0] < 100e6


def test_pages_that_arent_wanted_any_more_end_their_threads() -> None:
    lister = ListOfKeys(sorted(f"{k:03}/{j}" for k in range(50) for j in range(50)))
    found = pages(lister, "")
    next(found)
    found.close()  # type: ignore[attr-defined]
