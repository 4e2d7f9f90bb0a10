"""Fields of what is told: their units, times as ISO 8601 in UTC, and their text for people."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic.functional_serializers import PlainSerializer

from ptolemy_core.sizes import readable

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NANOSECONDS = 10**9
_UTC_TIME = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$"


class Unit(StrEnum):
    """What a field counts or is, where its type doesn't say that."""

    BYTES = "bytes"
    SECONDS = "seconds"
    CID = "CID"
    HEX = "hex"
    CONTAINER = "container"


class Facts(BaseModel):
    """The base of all models: values that don't change, without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=True)

    def as_json(self) -> dict[str, Any]:
        """All fields as values that JSON has."""
        return self.model_dump(mode="json", by_alias=True)

    def changed(self, **values: Any) -> Self:
        """The same with other values of some fields."""
        return self.model_copy(update=values)


def field(title: str, description: str, unit: Unit | None = None, **more: Any) -> Any:
    """A field: `title` heads it where people read it, `description` is in JSON schemas and in the API's pages."""
    extra: dict[str, Any] | None = {"unit": str(unit)} if unit else None
    return Field(title=title, description=description, json_schema_extra=extra, **more)


def _iso(value: datetime) -> str:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


_time_schema = {"type": "string", "format": "date-time", "pattern": _UTC_TIME}

Moment = Annotated[
    datetime, PlainSerializer(_iso, when_used="json"), WithJsonSchema(_time_schema, mode="serialization")
]
"""A time; in JSON as ISO 8601 in UTC: 2026-11-26T19:43:30.250000Z."""

ExactMoment = Annotated[str, WithJsonSchema(_time_schema, mode="serialization")]
"""A time to the nanosecond, as files have it, as ISO 8601 in UTC."""


def moment(seconds: float) -> datetime:
    """The time so many seconds after 1970."""
    return _EPOCH + timedelta(seconds=seconds)


def moment_or_none(seconds: float | None) -> datetime | None:
    """The time so many seconds after 1970, if there is one."""
    return None if seconds is None else moment(seconds)


def exact_moment(nanoseconds: int) -> str | None:
    """The time so many nanoseconds after 1970 as text; None where it is outside the years 1 to 9999."""
    seconds, rest = divmod(nanoseconds, _NANOSECONDS)
    try:
        whole = _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        return None
    return f"{whole:%Y-%m-%dT%H:%M:%S}".rjust(19, "0") + (f".{rest:09d}Z" if rest else "Z")


def told(facts: Facts, *names: str) -> Iterator[tuple[str, str]]:
    """Title and text for people of these fields; of all without names. What is empty is left out."""
    for name in names or type(facts).model_fields:
        text = text_of(facts, name)
        if text:
            yield title_of(type(facts), name), text


def title_of(model: type[Facts], name: str) -> str:
    """What a field is called where people read it."""
    return model.model_fields[name].title or name.replace("_", " ")


def unit_of(model: type[Facts], name: str) -> Unit | None:
    """A field's unit."""
    extra = model.model_fields[name].json_schema_extra
    return Unit(str(extra["unit"])) if isinstance(extra, dict) and "unit" in extra else None


def text_of(facts: Facts, name: str) -> str:
    """A field for people: sizes with units, times in the local time zone; empty where there is nothing."""
    value = getattr(facts, name)
    unit = unit_of(type(facts), name)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value.astimezone():%Y-%m-%d %H:%M:%S}"
    if unit == Unit.BYTES:
        return size_text(value)
    if unit == Unit.SECONDS:
        return f"{value:.3g} s"
    if unit == Unit.CONTAINER:
        return f"{value:06d}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def size_text(value: int) -> str:
    """Bytes, readable and exact: "1.5 KiB (1,536 bytes)"."""
    return f"{readable(value)} ({value:,} bytes)"
