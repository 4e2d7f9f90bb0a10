"""The machine that figures belong to."""

import os
import platform
import time

from ptolemy_core import kernel

_FLAGS = ("avx2", "avx512f", "avx512vl", "sha_ni", "sha2")


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe() -> list[str]:
    """Lines about CPU, memory, system, Python, kernel variant and the load of others at the start."""
    fields = _cpu_fields()
    flags = (fields.get("flags") or fields.get("Features") or "").split()
    model = fields.get("model name") or platform.processor() or platform.machine()
    detail = f"family {fields['cpu family']} model {fields['model']}" if "cpu family" in fields else ""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return [
        f"CPU: {model} {detail}; {cores()} cores; {' '.join(f for f in _FLAGS if f in flags) or 'no flags known'}",
        f"kernel variant: {kernel.variant()} (available: {', '.join(kernel.available())})",
        f"{memory:.0f} GiB memory; {platform.system()} {platform.release()}; Python {platform.python_version()}",
        f"{time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())}; load before the run {os.getloadavg()[0]:.2f}",
    ]


def _cpu_fields() -> dict[str, str]:
    out: dict[str, str] = {}
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            for line in file:
                key, _, value = line.partition(":")
                out.setdefault(key.strip(), value.strip())
    except OSError:
        pass
    return out
