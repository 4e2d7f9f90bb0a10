"""What the kernel refuses, which variant it chooses, and what it says when there is nothing compiled."""

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from ptolemy_core import kernel
from ptolemy_core.kernel import Kernel, _native, node

from . import oracle

DATA = bytes(range(256)) * 40


def ranges(*pairs: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    table = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


@pytest.mark.parametrize(
    "bad",
    [
        (-1, 5),
        (0, -1),
        (len(DATA) + 1, 0),
        (len(DATA), 1),
        (0, len(DATA) + 1),
        (2**63 - 1, 1),
        (1, 2**63 - 1),
    ],
)
def test_ranges_outside_the_buffer_are_refused_by_number(bad: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"range 1 .* is not inside the buffer"):
        kernel.sha256_ranges(DATA, *ranges((0, 1), bad))


def test_offsets_and_lengths_must_match() -> None:
    with pytest.raises(ValueError, match="two flat arrays"):
        kernel.sha256_ranges(DATA, np.array([0, 1]), np.array([1]))


@pytest.mark.parametrize("size", [0, 1, 126, 128, 127 * 3, 254 + 1])
def test_subtree_sizes_are_127_times_a_power_of_two(size: int) -> None:
    with pytest.raises(ValueError, match=r"127 \* 2\*\*k"):
        kernel.subtree_root(DATA[:size])
    with pytest.raises(ValueError, match=r"127 \* 2\*\*k"):
        kernel.subtree_roots(b"", size)


def test_a_buffer_must_be_whole_subtrees() -> None:
    with pytest.raises(ValueError, match="not whole subtrees"):
        kernel.subtree_roots(DATA[:255], 127)


def test_scattered_bytes_are_refused() -> None:
    with pytest.raises(ValueError, match="contiguous"):
        kernel.subtree_root(memoryview(DATA)[: 127 * 2 : 2])


def test_node_is_the_truncated_hash_of_both_children() -> None:
    left, right = DATA[:32], DATA[100:132]
    assert node(left, right) == oracle.parent(left, right)
    with pytest.raises(ValueError, match="32 bytes"):
        node(left, right[:31])


def test_python_is_always_available_and_last() -> None:
    assert kernel.available()[-1] == "python"
    assert kernel.variant() in kernel.available()


def test_an_unknown_variant_names_value_choices_and_remedy() -> None:
    with pytest.raises(
        RuntimeError, match=r"'sse9' is not available here.*available: .*python.*PTOLEMY_KERNEL"
    ):
        Kernel.load("sse9")


PRINT_VARIANT = "from ptolemy_core import kernel; print(kernel.variant())"


def run(code: str, forced: str) -> subprocess.CompletedProcess[str]:
    env = {"PTOLEMY_KERNEL": forced, "PYTHONPATH": str(Path(kernel.__file__).parents[2])}
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", kernel.available())
def test_the_environment_forces_a_variant_without_a_warning(name: str) -> None:
    done = run(PRINT_VARIANT, name)
    assert (done.stdout.strip(), done.stderr) == (name, "")


def test_the_environment_with_an_unknown_name_is_an_error() -> None:
    done = run(PRINT_VARIANT, "fast")
    assert done.returncode != 0
    assert "RuntimeError: kernel variant 'fast' is not available here" in done.stderr


def test_without_a_library_it_warns_once_and_works(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    reason = _native.library(tmp_path / "libkernel.so")
    assert isinstance(reason, str)
    monkeypatch.delenv(kernel.ENVIRONMENT, raising=False)
    monkeypatch.setattr(_native, "library", lambda: reason)
    kernel._default.cache_clear()
    try:
        with pytest.warns(RuntimeWarning, match=r"not built.*PTOLEMY_KERNEL=python"):
            assert kernel.variant() == "python"
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert kernel.subtree_root(DATA[:127]) == oracle.subtree_root(DATA[:127])
        with pytest.raises(RuntimeError, match="no compiled kernel"):
            Kernel.load("avx2")
    finally:
        kernel._default.cache_clear()


def test_a_file_that_is_no_library_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "libkernel.so"
    path.write_text("not a library")
    assert "can't be loaded" in str(_native.library(path))
