"""Paths of any length and any bytes: opening entries that lie deeper than the system's path limit.

A path's NUL-joined form turns into file system calls here, and into text for people.
"""

import errno
import os
import re
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

SEPARATOR = b"\0"
"""Stands between the names of a path: no name can hold it, so the order of these bytes is the order of the tree."""

_STEP = 3000
"""Bytes of a path that one call takes; Linux allows 4095, and a name 255."""

_ESCAPE = re.compile(r"(\\\\|\\x[0-9a-f]{2})")

_T = TypeVar("_T")


def parent(path: bytes) -> bytes:
    """The path of the folder that holds an entry; empty for an entry at the top."""
    return path.rpartition(SEPARATOR)[0]


def name_of(path: bytes) -> bytes:
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


def at_or_below(path: bytes, folder: bytes) -> bool:
    """Whether a path is `folder` itself or below it; every path is below the empty one."""
    return not folder or path == folder or path.startswith(folder + SEPARATOR)


def range_below(folder: bytes) -> tuple[bytes, bytes]:
    """The range of all paths below a folder that isn't the top: from the first on, up to and without the second."""
    return folder + SEPARATOR, folder + bytes((SEPARATOR[0] + 1,))


def real_path(root: bytes, path: bytes) -> bytes:
    """The file system path of an entry below `root`."""
    return root + b"/" + to_slashes(path) if path else root


def display(path: bytes) -> str:
    """An entry's path for people: `/` between names, whatever isn't printable text escaped."""
    text = to_slashes(path).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def from_display(text: str) -> bytes:
    """The NUL-joined path of what a user typed: names joined by `/`, any bytes through surrogates.

    Slashes at either end or doubled, and names that are a single dot, as in `./x`, mean nothing.
    """
    parts = os.fsencode(text).split(b"/")
    return join_names(name for name in parts if name not in (b"", b"."))


def below(folder: str, text: str) -> str | None:
    """What a user typed as an absolute path, from a folder down; None if it isn't that folder or below it."""
    if not text.startswith("/"):
        return None
    path, top = os.path.normpath(text), os.path.normpath(folder)
    if path == top:
        return "."
    top = top.rstrip("/") + "/"
    return path[len(top) :] if path.startswith(top) else None


def escape(path: bytes) -> str:
    """An entry's path as text from which `unescape` makes the same bytes again.

    `/` stands between names; a backslash is doubled; each byte of what isn't printable UTF-8 is `\\xNN`.
    """
    text = to_slashes(path).decode("utf-8", "surrogateescape")
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    if character == "\\":
        return "\\\\"
    if character.isprintable():
        return character
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogateescape"))


def unescape(text: str) -> bytes:
    """The NUL-joined path behind what `escape` made.

    Raises:
        ValueError: a backslash stands before something else than a backslash or xNN.
    """
    parts = _ESCAPE.split(text)
    out = [parts[0].encode("utf-8", "surrogateescape")]
    for code, rest in zip(parts[1::2], parts[2::2], strict=True):
        out.append(b"\\" if code == "\\\\" else bytes.fromhex(code[2:]))
        out.append(rest.encode("utf-8", "surrogateescape"))
    if any("\\" in rest for rest in parts[::2]):
        raise ValueError(f"{text!r} is no escaped path: a backslash is written \\\\, a byte \\xNN")
    return from_slashes(b"".join(out))


def at_path(path: bytes, call: Callable[[bytes, int | None], _T]) -> _T:
    """`call(path, None)`, or where the path is too long, `call(rest, dir_fd)` from a folder near its end.

    Raises:
        OSError: as the call does, and where a folder on the way can't be opened.
    """
    try:
        return call(path, None)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG or len(path) < _STEP:
            raise
    folder, rest = os.open(b"/" if path.startswith(b"/") else b".", _FOLDER), path.lstrip(b"/")
    try:
        while len(rest) > _STEP:
            cut = rest.rfind(b"/", 0, _STEP)
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
    """How many folders two paths, given as lists of names, share from the top."""
    common = 0
    for one, other in zip(ours, theirs, strict=False):
        if one != other:
            break
        common += 1
    return common
