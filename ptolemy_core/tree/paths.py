"""Paths of entries, of any length and any bytes.

A path is its names joined by NUL. This module converts it to file system paths (also beyond the system's length
limit) and to text.
"""

import errno
import os
import re
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

SEPARATOR = b"\0"
"""Separates the names of a path. No name contains it, so sorting paths as bytes gives the order of the tree."""

_MAX_CALL_PATH = 3000
"""Longest path passed to one system call, in bytes; Linux allows 4095, and 255 for a name."""

_ESCAPE = re.compile(r"(\\\\|\\x[0-9a-f]{2})")

_T = TypeVar("_T")


def parent(path: bytes) -> bytes:
    """The path of the folder that contains an entry; empty for an entry at the top."""
    return path.rpartition(SEPARATOR)[0]


def split(path: bytes) -> tuple[bytes, bytes]:
    """The path of an entry's folder, empty at the top, and the entry's name."""
    folder, _, name = path.rpartition(SEPARATOR)
    return folder, name


def name(path: bytes) -> bytes:
    """The last name of a path."""
    return path.rpartition(SEPARATOR)[2]


def names(path: bytes) -> list[bytes]:
    """The names of a path from the top; none for the top itself."""
    return path.split(SEPARATOR) if path else []


def top_of(path: bytes) -> bytes:
    """The first name of a path."""
    return path.partition(SEPARATOR)[0]


def join_names(parts: Iterable[bytes]) -> bytes:
    """The path of these names, from the top."""
    return SEPARATOR.join(parts)


def from_slashes(path: bytes) -> bytes:
    """The NUL-joined form of a path below the source with `/` between its names."""
    return path.replace(b"/", SEPARATOR)


def to_slashes(path: bytes) -> bytes:
    """A path with `/` between its names."""
    return path.replace(SEPARATOR, b"/")


def join(folder: bytes, name: bytes) -> bytes:
    """The path of an entry of a folder; the folder's path is empty at the top."""
    return folder + SEPARATOR + name if folder else name


def prefix_below(folder: bytes) -> bytes:
    """What the path of everything below a folder begins with; empty for the top."""
    return folder + SEPARATOR if folder else b""


def at_or_below(path: bytes, folder: bytes) -> bool:
    """Whether a path is `folder` itself or below it; every path is below the empty one."""
    return not folder or path == folder or path.startswith(folder + SEPARATOR)


def range_below(folder: bytes) -> tuple[bytes, bytes]:
    """The half-open range of all paths below a folder other than the top: first included, second excluded."""
    return folder + SEPARATOR, folder + bytes((SEPARATOR[0] + 1,))


def display(path: bytes) -> str:
    """A path for people: `/` between names, everything that isn't printable text escaped."""
    text = to_slashes(path).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def from_display(text: str) -> bytes:
    """The NUL-joined path of what a user typed: names joined by `/`, undecodable bytes as surrogates.

    Leading, trailing and doubled slashes are ignored, and so are names that are a single dot, as in `./x`.
    """
    parts = os.fsencode(text).split(b"/")
    return join_names(name for name in parts if name not in (b"", b"."))


def relative_to(folder: str, text: str) -> str | None:
    """An absolute path relative to a folder ("." for the folder itself); None if it is relative or outside it.

    So with a URL, if the folder is one.
    """
    if "://" in folder:
        inside = text.startswith(folder + "/") and text.removeprefix(folder).strip("/")
        return inside or ("." if text.rstrip("/") == folder else None)
    if not text.startswith("/"):
        return None
    path, top = os.path.normpath(text), os.path.normpath(folder)
    if path == top:
        return "."
    top = top.rstrip("/") + "/"
    return path[len(top) :] if path.startswith(top) else None


def escape(path: bytes) -> str:
    """A path as text that `unescape` turns back into the same bytes.

    Names are separated by `/`; a backslash is doubled; each byte that isn't part of printable UTF-8 is `\\xNN`.
    """
    text = to_slashes(path).decode("utf-8", "surrogateescape")
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(map(_escaped, text))


def escape_all(many: Sequence[bytes]) -> list[str]:
    """`escape` of each of many paths."""
    text = _joined(many).decode("utf-8", "surrogateescape")
    if text.isprintable() and "\\" not in text:
        found = text.split("//")
        if len(found) == len(many):
            return found
    return [escape(path) for path in many]


def all_to_slashes(many: Sequence[bytes]) -> list[bytes]:
    """`to_slashes` of each of many paths."""
    found = _joined(many).split(b"//")
    return found if len(found) == len(many) else [to_slashes(path) for path in many]


def _joined(many: Sequence[bytes]) -> bytes:
    """Paths with `/` between names and `//` between paths: no name is empty or has a slash."""
    return (SEPARATOR + SEPARATOR).join(many).replace(SEPARATOR, b"/")


def _escaped(character: str) -> str:
    if character == "\\":
        return "\\\\"
    if character.isprintable():
        return character
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogateescape"))


def unescape(text: str) -> bytes:
    """The NUL-joined path that `escape` was given.

    Raises:
        ValueError: a backslash is followed by something other than a backslash or xNN, or a name contains a NUL.
    """
    parts = _ESCAPE.split(text)
    out = [parts[0].encode("utf-8", "surrogateescape")]
    for code, rest in zip(parts[1::2], parts[2::2], strict=True):
        out.append(b"\\" if code == "\\\\" else bytes.fromhex(code[2:]))
        out.append(rest.encode("utf-8", "surrogateescape"))
    if any("\\" in rest for rest in parts[::2]):
        raise ValueError(
            f"{text!r} is not a valid escaped path: write a backslash as \\\\ and a byte as \\xNN"
        )
    path = b"".join(out)
    if SEPARATOR in path:
        raise ValueError(f"{text!r} contains a NUL character, which no name can: leave it out")
    return from_slashes(path)


def at_path(path: bytes, call: Callable[[bytes, int | None], _T]) -> _T:
    """`call(path, None)`; if the path is too long for the system, `call(rest, dir_fd)` from a folder near its end.

    Raises:
        OSError: raised by the call, or a folder in the path can't be opened.
    """
    try:
        return call(path, None)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG or len(path) < _MAX_CALL_PATH:
            raise
    folder, rest = os.open(b"/" if path.startswith(b"/") else b".", _FOLDER), path.lstrip(b"/")
    try:
        while len(rest) > _MAX_CALL_PATH:
            cut = rest.rfind(b"/", 0, _MAX_CALL_PATH)
            if cut < 0:
                break
            deeper = os.open(rest[:cut], _FOLDER, dir_fd=folder)
            os.close(folder)
            folder, rest = deeper, rest[cut + 1 :]
        return call(rest, folder)
    finally:
        os.close(folder)


_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def common_folders(ours: Sequence[bytes], theirs: Sequence[bytes]) -> int:
    """How many leading folders two paths, given as lists of names, have in common."""
    common = 0
    for one, other in zip(ours, theirs, strict=False):
        if one != other:
            break
        common += 1
    return common
