"""Sizes for people: bytes as KiB, MiB, GiB."""


def readable(size: float) -> str:
    """A number of bytes in the largest fitting binary unit: "0 B", "1.5 KiB", "31.75 GiB"."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(size) < 1024 or unit == "TiB":
            break
        size /= 1024
    text = f"{size:.2f}".rstrip("0").rstrip(".")
    return f"{text} {unit}"
