"""The kernel's ARM variant, cross-compiled and run under qemu's user emulation, gives the oracle's answers.

The tests are those of all variants; only the fixture is another one. Without the cross-compiler or qemu they are
skipped, unless PTOLEMY_ARM=required.
"""

import functools
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ptolemy_core.kernel import Kernel

from .test_kernel_variants import (  # noqa: F401
    test_large_subtree_is_the_same_as_pure_python,
    test_messages_of_any_lengths_come_back_in_the_order_given,
    test_messages_of_equal_length_fill_or_do_not_fill_the_lanes,
    test_more_messages_than_are_sorted_together,
    test_one_long_message_among_many_short_ones,
    test_one_message_of_each_edge_length,
    test_ranges_may_overlap_and_touch_the_end,
    test_subtree_root_of_every_small_height,
    test_subtree_root_of_extreme_bits,
    test_subtree_roots_are_those_of_each_subtree,
)

COMPILER, EMULATOR = "aarch64-linux-gnu-gcc", "qemu-aarch64"
HERE = Path(__file__).parent
NATIVE = HERE.parents[1] / "ptolemy_core" / "kernel" / "native"
FLAGS = ("-O3", "-std=gnu11", "-static", "-pthread", "-Wall", "-Wextra", "-Werror", f"-I{NATIVE}")


@pytest.fixture(scope="session")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program that calls the kernel, built for ARM."""
    missing = [tool for tool in (COMPILER, EMULATOR) if shutil.which(tool) is None]
    if missing:
        reason = f"{' and '.join(missing)} not found: install qemu-user and gcc-aarch64-linux-gnu"
        if os.environ.get("PTOLEMY_ARM") == "required":
            pytest.fail(reason)
        pytest.skip(reason)
    program = tmp_path_factory.mktemp("arm") / "emulated"
    sources = [HERE / "emulated.c", *sorted(NATIVE.glob("*.c"))]
    subprocess.run([COMPILER, *FLAGS, *map(str, sources), "-o", str(program)], check=True)
    return program


@pytest.fixture(params=["arm-sha", "portable"])
def variant(request: pytest.FixtureRequest, emulated: Path) -> Kernel:
    call = functools.partial(_run, emulated, request.param)
    return Kernel(request.param, functools.partial(_ranges, call), functools.partial(_roots, call))


def _run(program: Path, variant: str, *words: object, data: bytes) -> NDArray[np.uint8]:
    command = [EMULATOR, "-cpu", "max", str(program), variant, *map(str, words)]
    done = subprocess.run(command, input=data, capture_output=True, check=True, timeout=300)
    return np.frombuffer(done.stdout, dtype=np.uint8).reshape(-1, 32)


def _ranges(
    call: "functools.partial[NDArray[np.uint8]]",
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    lengths: NDArray[np.int64],
) -> NDArray[np.uint8]:
    ranges = np.concatenate([offsets, lengths]).tobytes()
    return call("ranges", offsets.size, data=ranges + data.tobytes())


def _roots(
    call: "functools.partial[NDArray[np.uint8]]", data: NDArray[np.uint8], subtree_bytes: int
) -> NDArray[np.uint8]:
    return call("roots", subtree_bytes // 127, data.size // subtree_bytes, data=data.tobytes())
