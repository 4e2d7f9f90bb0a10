"""Allocations read from what other tools write: CSV with a header, or JSON, a list of objects."""

import csv
import io
import json
from typing import Any, Final

from ptolemy_core import address
from ptolemy_core.address import Network
from ptolemy_core.catalog.allocations import AllocationRow
from ptolemy_core.commp import parse_piece_cid, piece_cid_v1
from ptolemy_core.dag import cid
from ptolemy_core.errors import SettingsError

_NAMES: Final = {
    "id": ("id", "allocationid", "allocation"),
    "provider": ("provider", "miner", "providerid"),
    "piece": ("data", "piececid", "piececidv1", "cid", "pieceid"),
    "size": ("size", "piecesize"),
    "client": ("client", "clientid", "clientaddress"),
    "term_min": ("termmin", "termminimum"),
    "term_max": ("termmax", "termmaximum"),
    "expiration": ("expiration", "expires", "expirationepoch"),
}
"""Columns, and what they may be called once their letters are small and without - _ and blanks."""

_REQUIRED: Final = ("id", "provider", "piece", "size")


def parse_allocations(text: str, network: Network) -> list[AllocationRow]:
    """The allocations in a text.

    Raises:
        SettingsError: it is neither CSV nor JSON of them; the message names the row and what is wrong.
    """
    return [_allocation(number, row, network) for number, row in enumerate(_table(text), 1)]


def _table(text: str) -> list[dict[str, Any]]:
    stripped = text.lstrip("\ufeff \t\r\n")
    if stripped.startswith(("[", "{")):
        try:
            value = json.loads(stripped)
        except (ValueError, RecursionError) as error:
            raise SettingsError(f"the allocations look like JSON and aren't: {error}") from None
        if isinstance(value, dict):
            value = next((inner for inner in value.values() if isinstance(inner, list)), [value])
        if not all(isinstance(row, dict) for row in value):
            raise SettingsError("allocations in JSON are a list of objects")
        return list(value)
    table = csv.DictReader(io.StringIO(stripped))
    header = {_plain(name) for name in table.fieldnames or ()}
    missing = [name for name in _REQUIRED if header.isdisjoint(_NAMES[name])]
    if missing:
        raise SettingsError(
            f"the first line of the allocations names no column for {', '.join(missing)}: a CSV file begins with "
            f"the names of its columns, and needs {', '.join(_REQUIRED)}"
        )
    return list(table)


def _plain(column: object) -> str:
    return "".join(c for c in str(column).lower() if c not in "-_ ")


def _allocation(number: int, row: dict[str, Any], network: Network) -> AllocationRow:
    plain = {_plain(key): value for key, value in row.items() if value not in (None, "")}
    found: dict[str, Any] = {}
    for name, columns in _NAMES.items():
        value = next((plain[column] for column in columns if column in plain), None)
        if value is None and name in _REQUIRED:
            raise SettingsError(f"allocation {number} has no {name}: it needs {', '.join(_REQUIRED)}")
        found[name] = value
    return AllocationRow(
        network=network,
        id=_whole(number, "id", found["id"]) or 0,
        provider=_address(found["provider"], network),
        piece_cid_v1=_piece(number, found["piece"]),
        piece_size=_whole(number, "size", found["size"]) or 0,
        client=_client(found["client"], network),
        term_min=_whole(number, "term_min", found["term_min"]),
        term_max=_whole(number, "term_max", found["term_max"]),
        expiration=_whole(number, "expiration", found["expiration"]),
    )


def _whole(number: int, name: str, value: Any) -> int | None:
    if value is None:
        return None
    text = str(value).strip()
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise SettingsError(f"{name} of allocation {number} must be a whole number, got {text[:40]!r}")
    return int(text)


def _address(value: Any, network: Network) -> str:
    """An address as text; a number alone is an actor's ID."""
    text = str(value).strip()
    if text.isascii() and text.isdigit() and len(text) < 19:
        return str(address.of_id(int(text), network))
    return str(address.parse_on(text, network))


def _client(value: Any, network: Network) -> str | None:
    """The client's key address; an actor's ID says nothing here, as it can't be compared with a wallet."""
    if value is None:
        return None
    text = _address(value, network)
    return None if address.parse(text).protocol == address.ID else text


def _piece(number: int, value: Any) -> bytes:
    text = value.get("/") if isinstance(value, dict) else value
    try:
        return piece_cid_v1(parse_piece_cid(cid.from_text(str(text))).root)
    except ValueError as error:
        raise SettingsError(
            f"the piece of allocation {number} is no piece CID ({error}): {str(text)[:80]!r}"
        ) from None
