"""The kernel's ARM build, cross-compiled and run under qemu's user emulation, does what Python does.

The tests are those of the kernel on this machine; only the library that they call is another one. Without the
cross-compiler or qemu they are skipped, unless PTOLEMY_ARM=required.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ptolemy_core import kernel
from ptolemy_core.kernel import Kernel, _native, files
from tests.car import scene
from tests.reader.test_many_at_once import (
    both,  # noqa: F401
    test_files_are_passed_on_as_columns,  # noqa: F401
    test_files_of_a_folder_are_those_that_are_read_one_by_one,  # noqa: F401
    test_odd_folders_are_refused_alike,  # noqa: F401
)
from tests.source.test_beneath import (
    target,  # noqa: F401
    test_a_link_in_the_middle_of_a_path_is_refused_too,  # noqa: F401
    test_a_path_that_leads_up_is_refused,  # noqa: F401
    test_reading_many_at_once_leaves_them_to_the_read_that_names_them,  # noqa: F401
)

from . import emulated
from .test_kernel_encode import (  # noqa: F401
    test_a_node_of_another_size_than_laid_out_is_named,
    test_heads_of_leaves_are_length_and_cid,
    test_heads_outside_of_the_buffer_are_refused,
    test_links_to_blocks_that_are_not_there_are_not_followed,
    test_nodes_of_all_kinds_are_those_of_python,
    test_pieces_are_copied_as_far_as_they_are_inside,
)
from .test_kernel_folders import (  # noqa: F401
    test_entries_of_all_kinds_among_so_many_that_threads_share_them,
    test_folders_of_any_size,
    test_kinds_are_those_of_the_entries_and_not_of_what_links_lead_to,
    test_names_of_any_bytes_in_byte_order,
    test_times_before_1970_and_after_2038,
    test_what_is_no_folder_is_refused,
)
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
from .test_kernel_walk import (  # noqa: F401
    test_a_block_that_is_no_node_or_has_another_size_is_named,
    test_a_folder_is_walked_as_in_python_however_many_entries_come_at_once,
    test_folders_deeper_than_the_longest_path_of_the_system,
    test_nodes_encoded_from_a_layouts_columns_are_those_of_python,
    test_the_states_of_a_walk_are_those_of_the_files,
)

COMPILER, EMULATOR = "aarch64-linux-gnu-gcc", "qemu-aarch64"
HERE = Path(__file__).parent
NATIVE = HERE.parents[1] / "ptolemy_core" / "kernel" / "native"
FLAGS = ("-O3", "-std=gnu11", "-pthread", "-Wall", "-Wextra", "-Werror")
SHARED = ("-fPIC", "-shared", "-fvisibility=hidden")
LOADER = "ld-linux-aarch64.so.1"


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_native.Library]:
    """The kernel, built for ARM, in a process of the emulator."""
    missing = [tool for tool in (COMPILER, EMULATOR) if shutil.which(tool) is None]
    if missing:
        reason = f"{' and '.join(missing)} not found: install qemu-user and gcc-aarch64-linux-gnu"
        if os.environ.get("PTOLEMY_ARM") == "required":
            pytest.fail(reason)
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("arm")
    library, program = folder / "libkernel.so", folder / "emulated"
    subprocess.run([COMPILER, *FLAGS, *SHARED, *sorted(NATIVE.glob("*.c")), "-o", library], check=True)
    subprocess.run([COMPILER, *FLAGS, HERE / "emulated.c", "-o", program], check=True)
    found = subprocess.run(
        [COMPILER, f"-print-file-name={LOADER}"], check=True, capture_output=True, text=True
    )
    system = Path(found.stdout.strip()).resolve().parents[1]
    handle = emulated.Library([EMULATOR, "-cpu", "max", "-L", system, program], library)
    try:
        _native.declare(handle)
        assert handle.ptolemy_kernel_interface() == _native.INTERFACE
        yield _native.Library(handle, _native.variants(handle))
    finally:
        handle.close()


@pytest.fixture(autouse=True)
def arm(emulator: _native.Library, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of Python calls the library in the emulator."""
    monkeypatch.setattr(_native, "library", lambda: emulator)
    best = Kernel.load(next(iter(emulator.variants)))
    monkeypatch.setattr(kernel, "_default", lambda: best)


@pytest.fixture(params=["arm-sha", "portable"])
def variant(request: pytest.FixtureRequest, arm: None) -> Kernel:
    return Kernel.load(request.param)


def test_the_best_variant_uses_the_instructions_for_sha256() -> None:
    assert kernel.available() == ["arm-sha", "portable", "python"]
    assert kernel.variant() == "arm-sha"


def test_every_function_that_python_may_call_can_be_called_here() -> None:
    sources = "".join(path.read_text() for path in sorted(NATIVE.glob("*.[ch]")))
    assert set(re.findall(r"\bEXPORT\s[^;{]*?\b(ptolemy_\w+)\(", sources)) == set(emulated.SIGNATURES)


def test_files_are_opened_beneath_a_folder(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_bytes(b"in it")
    root = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with open(files.open_beneath(root, b"d\0f", os.O_RDONLY), "rb") as file:
            assert file.read() == b"in it"
    finally:
        os.close(root)


def test_a_car_of_small_and_large_folders_and_files_is_the_oracles(
    emulator: _native.Library, tmp_path: Path
) -> None:
    content: scene.oracle.Content = {
        **{b"f%03d" % number: bytes([number]) * (number * 5) for number in range(60)},
        b"large": os.urandom(3000),
        b"folder": {b"%d" % number: {b"in it": b"%d" % number} for number in range(40)},
        b"link": scene.oracle.Link(b"large"),
    }
    path = scene.write_tree(tmp_path / "tree", content)
    built, _ = scene.build(path, tmp_path, scene.SMALL, unit=1016)
    expected = scene.oracle.car(scene.oracle.dag(content, scene.sizes(scene.SMALL)))
    assert (tmp_path / built.file_name).read_bytes() == expected
    handle: Any = emulator.handle
    assert handle.called >= {"ptolemy_layout_nodes", "ptolemy_put_heads"}
