"""Many files of 4 KiB: CPU time per file, and memory."""

from functools import partial
from pathlib import Path

from bench import compare
from bench.builds import ours
from bench.data import Bench, clear, small_files
from bench.measure import Run, Sample, alternate, spread
from bench.report import Section, mib


def measure(bench: Bench) -> list[Section]:
    """The benchmark: 100,000 files, beside the peers."""
    count = bench.size(100_000, 5_000, 300)
    folder = small_files(bench.folder / "small", count)
    section = compare.against_peers(bench, f"Small files: {count} of 4 KiB", folder, count, 4096)
    return [section, _parts(bench, folder, count)]


def million(bench: Bench) -> Section:
    """1,000,000 files; only when it is asked for by name."""
    count = bench.size(1_000_000, 20_000, 300)
    folder = small_files(bench.folder / "million", count)
    return _parts(bench, folder, count)


def _parts(bench: Bench, folder: Path, count: int) -> Section:
    out = bench.staging()
    section = Section(
        f"{count} files of 4 KiB, where CPU time goes",
        ("ptolemy makes", "us/file", "walk", "layout", "build", "files/s", "peak RSS MiB"),
    )
    runs: dict[str, Run] = ours(folder, out)
    for name, of in alternate(runs, bench.repeat, before=partial(clear, out)).items():
        section.row(
            name,
            spread(of, partial(_per_file, "work_cpu", count)).text(1),
            *(_part(of, key, count) for key in ("walk_cpu", "layout_cpu", "build_cpu")),
            f"{count / spread(of, 'work_wall').median:.0f}",
            mib(spread(of, "rss").median),
        )
    return section


def _per_file(key: str, count: int, sample: Sample) -> float:
    return sample.number(key) / count * 1e6


def _part(samples: list[Sample], key: str, count: int) -> str:
    """Microseconds a file of one part; empty where the job doesn't tell."""
    return spread(samples, partial(_per_file, key, count)).text(1) if key in samples[0].value else ""
