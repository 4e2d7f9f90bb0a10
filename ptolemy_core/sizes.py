"""Sizes, times and counts for people: bytes as KiB, MiB, GiB; seconds as minutes and hours; "1 CAR", "2 CARs"."""


def readable(size: float) -> str:
    """A number of bytes in the largest fitting binary unit: "0 B", "1.5 KiB", "31.75 GiB"."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(size) < 1024 or unit == "TiB":
            break
        size /= 1024
    text = f"{size:.2f}".rstrip("0").rstrip(".")
    return f"{text} {unit}"


def duration(seconds: float) -> str:
    """Seconds in the two largest fitting units: "8 s", "4 min 10 s", "1 h 12 min", "3 d 2 h"."""
    whole = max(0, round(seconds))
    for name, size, smaller, part in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {name}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun: "1 CAR", "1,024 CARs"; `plural` where it isn't the noun with an s."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
