"""How long work tells of its progress: one contract for all of the engine.

A callback named `progress` is called with what was done since its last call, never with a running total: bytes, or
entries or rows where a docstring says so. The numbers add up to the whole. It may raise, which ends the work.
"""

from collections.abc import Callable

Progress = Callable[[int], None]
"""Takes what was done since the last call."""

ScanProgress = Callable[[int, int], None]
"""Takes entries, and bytes of their files, that were found since the last call."""
