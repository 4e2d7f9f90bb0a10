"""Build the compiled kernel (ptolemy_core/kernel/native) as a plain shared library beside its Python code.

The rest of the project's description is in pyproject.toml. The library is loaded through ctypes, so one wheel
serves every Python of a platform; and it is optional, since the engine has a (slow) Python path without it.
The compiler is $CC if that is set, else the ziglang package, which is an ordinary build requirement, else cc.
"""

import ctypes
import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

NATIVE = Path("ptolemy_core/kernel/native")
LIBRARY = "libkernel.dylib" if sys.platform == "darwin" else "libkernel.so"
FLAGS = [
    "-O3",
    "-std=gnu11",
    "-g0",
    "-fPIC",
    "-shared",
    "-fvisibility=hidden",
    "-pthread",
    "-Wall",
    "-Wextra",
]
if sys.platform == "linux":
    FLAGS.append("-s")
OLDEST_GLIBC = (2, 17)
"""What zig builds for on Linux; wheels with such a library have the tag manylinux_2_17."""

BANNER = """
*******************************************************************************
ptolemy: the compiled kernel could NOT be built; hashing will run in pure Python,
some 20 times slower. Set CC to a C compiler (or `pip install ziglang`) and
install again.
{reasons}
*******************************************************************************
"""


def zig_target() -> str | None:
    """The machine and the oldest system library to build for, in zig's words; None where we don't know one.

    Stated explicitly, because zig otherwise uses all that the building machine's CPU can.
    """
    known = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}
    machine = known.get(platform.machine().lower())
    if machine is None:
        return None
    if sys.platform == "darwin":
        return f"{machine}-macos.11.0"
    if sys.platform == "linux":
        musl = "musl" in (sysconfig.get_config_var("HOST_GNU_TYPE") or "")
        return f"{machine}-linux-musl" if musl else f"{machine}-linux-gnu.{OLDEST_GLIBC[0]}.{OLDEST_GLIBC[1]}"
    return None


def compilers() -> list[list[str]]:
    """Commands to try, in this order."""
    if os.environ.get("CC"):
        return [shlex.split(os.environ["CC"])]
    found = []
    target = zig_target()
    if target and importlib.util.find_spec("ziglang"):
        zig = [sys.executable, "-m", "ziglang", "cc"]
        # zig adds run-time checks for undefined behaviour unless told not to: a third of the speed
        found.append([*zig, "-target", target, "-mcpu=baseline", "-fno-sanitize=all"])
    return found + [[path] for name in ("cc", "gcc", "clang") if (path := shutil.which(name))]


class BuildKernel(build_ext):
    """Compile all C files of the kernel with one command.

    Attributes:
        target: what the library was built for, in zig's words; None for another compiler.
    """

    target: str | None = None

    def get_ext_filename(self, fullname: str) -> str:
        """A plain library's name, without the tag of a Python version."""
        return str(Path(*fullname.split(".")[:-1], LIBRARY))

    def build_extension(self, ext: Extension) -> None:
        """Try each compiler; say loudly when none works, and let setuptools go on without the library."""
        target = Path(self.get_ext_fullpath(ext.name)).absolute()
        target.parent.mkdir(parents=True, exist_ok=True)
        reasons = []
        for compiler in compilers():
            reason = self._compile(compiler, ext.sources, target)
            if reason is None:
                if "-target" in compiler:
                    BuildKernel.target = compiler[compiler.index("-target") + 1]
                return
            reasons.append(f"{shlex.join(compiler)}: {reason}")
        target.unlink(missing_ok=True)
        print(BANNER.format(reasons="\n".join(reasons) or "No compiler was found."), file=sys.stderr)
        raise CompileError("ptolemy's kernel was not built")

    def _compile(self, compiler: list[str], sources: list[str], target: Path) -> str | None:
        """Build and load the library; why not, if that fails."""
        command = [*compiler, *FLAGS, *sources, "-o", str(target)]
        cache = Path(self.build_temp).absolute() / "zig-cache"
        environment = os.environ | {"ZIG_GLOBAL_CACHE_DIR": str(cache), "ZIG_LOCAL_CACHE_DIR": str(cache)}
        print(shlex.join(command))
        try:
            subprocess.run(command, check=True, env=environment, stderr=subprocess.PIPE, text=True)
            ctypes.CDLL(str(target)).ptolemy_kernel_interface()
        except subprocess.CalledProcessError as error:
            return str(error.stderr).strip()
        except (OSError, AttributeError) as error:
            return str(error)
        return None


class PlatformWheel(bdist_wheel):
    """A wheel for one platform and any Python 3."""

    def get_tag(self) -> tuple[str, str, str]:
        """py3-none-<platform>, with the platform's manylinux tag where the library is built for an old glibc."""
        machine, _, system = (BuildKernel.target or "").partition("-linux-")
        if not system.startswith("gnu."):
            return "py3", "none", super().get_tag()[2]
        oldest = "_".join(map(str, OLDEST_GLIBC))
        return "py3", "none", f"manylinux_{oldest}_{machine}.manylinux2014_{machine}"


setup(
    ext_modules=[
        Extension(
            "ptolemy_core.kernel.libkernel",
            sources=sorted(str(path) for path in NATIVE.glob("*.c")),
            depends=sorted(str(path) for path in NATIVE.glob("*.h")),
            optional=True,
        )
    ],
    cmdclass={"build_ext": BuildKernel, "bdist_wheel": PlatformWheel},
)
