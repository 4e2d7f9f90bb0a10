"""Hosts as network namespaces: each is connected to the orchestrator's by a cable that a test can pull."""

import ctypes
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

NETWORK = "10.213.0.0/16"
_CLONE_NEWNET = 0x40000000
_ORCHESTRATOR = "0"


@dataclass(frozen=True)
class Host:
    """A namespace of its own at the end of a cable.

    Attributes:
        name: the host's.
        gateway: the orchestrator's address on the cable.
        space: the namespace's name.
        plug: the orchestrator's end of the cable.
    """

    name: str
    gateway: str
    space: str
    plug: str

    def command(self, arguments: Sequence[str]) -> list[str]:
        """A command as it is run on the host, under the host's name."""
        shell = 'hostname "$0" && exec "$@"'
        return [
            "ip",
            "netns",
            "exec",
            self.space,
            "unshare",
            "--uts",
            "sh",
            "-c",
            shell,
            self.name,
            *arguments,
        ]

    def cut(self) -> None:
        """Pull the cable: what is sent is lost, and nobody is told."""
        _ip("link", "set", self.plug, "down")

    def mend(self) -> None:
        """Put the cable in again."""
        _ip("link", "set", self.plug, "up")


def why_not() -> str | None:
    """Why this machine can't make namespaces, if it can't."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    try:
        name = f"pt{os.getpid()}probe"
        _ip("netns", "add", name)
        _ip("-n", name, "link", "add", "ptprobe0", "type", "veth", "peer", "name", "ptprobe1")
        _ip("netns", "delete", name)
    except (OSError, subprocess.CalledProcessError) as error:
        return f"network namespaces can't be made here: {error}"
    return None


@contextmanager
def hosts(*names: str) -> Iterator[list[Host]]:
    """Hosts that reach this process, which is within the orchestrator's namespace while the block lasts."""
    spaces = {name: f"pt{os.getpid()}{name}" for name in (_ORCHESTRATOR, *names)}
    with ExitStack() as stack:
        for space in spaces.values():
            _ip("netns", "add", space)
            stack.callback(_ip, "netns", "delete", space)
            _ip("-n", space, "link", "set", "lo", "up")
        made = []
        for number, name in enumerate(names):
            inner, outer = f"pt{number}in", f"pt{number}out"
            here, there = spaces[_ORCHESTRATOR], spaces[name]
            _ip("-n", here, "link", "add", outer, "type", "veth", "peer", "name", inner, "netns", there)
            for space, link, address in ((here, outer, 1), (there, inner, 2)):
                _ip("-n", space, "address", "add", f"10.213.{number}.{address}/24", "dev", link)
                _ip("-n", space, "link", "set", link, "up")
            made.append(Host(name, f"10.213.{number}.1", there, outer))
        stack.enter_context(_within(spaces[_ORCHESTRATOR]))
        yield made


@contextmanager
def _within(space: str) -> Iterator[None]:
    """This thread, and what it starts, in a namespace."""
    libc = ctypes.CDLL(None, use_errno=True)

    def enter(path: str) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if libc.setns(descriptor, _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
        finally:
            os.close(descriptor)

    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        enter(f"/run/netns/{space}")
        yield
    finally:
        enter(f"/proc/self/fd/{before}")
        os.close(before)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)
