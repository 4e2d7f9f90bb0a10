"""`python -m bench`: every benchmark beside its floors and peers, as Markdown tables."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from bench import (
    big_file,
    compare,
    data,
    encryption,
    end_to_end,
    floors,
    generate,
    kernel,
    lookup,
    machine,
    orchestration,
    plan,
    rows,
    scan,
    serve,
    serve_large,
    small_files,
    verify,
)
from bench.report import Section

BENCHMARKS: dict[str, Callable[[data.Bench], Section | list[Section]]] = {
    "floors": floors.measure,
    "kernel": kernel.measure,
    "big-file": big_file.measure,
    "peers": compare.measure,
    "small-files": small_files.measure,
    "scan": scan.measure,
    "plan": plan.measure,
    "orchestration": orchestration.measure,
    "lookup": lookup.measure,
    "rows": rows.measure,
    "verify": verify.measure,
    "encryption": encryption.measure,
    "generate": generate.measure,
    "serve": serve.measure,
    "serve-31-gib": serve_large.large,
    "serve-64-clients": serve_large.many,
    "end-to-end": end_to_end.measure,
    "end-to-end-million": end_to_end.million,
    "million": small_files.million,
    "orchestration-100k": orchestration.hundred_thousand,
}
_BY_NAME_ONLY = (
    "serve-31-gib",
    "serve-64-clients",
    "end-to-end",
    "end-to-end-million",
    "million",
    "orchestration-100k",
    "rows",
)
_RESULTS = Path(__file__).with_name("RESULTS.md")
_REPEAT = {"full": 5, "small": 3, "toy": 1}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    out = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    out.add_argument(
        "--size", choices=list(_REPEAT), default="small", help="small: minutes; full: for figures; toy: tests"
    )
    out.add_argument(
        "--only", action="append", choices=list(BENCHMARKS), metavar="NAME", help=", ".join(BENCHMARKS)
    )
    out.add_argument("--repeat", type=int, help="runs of each (default: 3, full 5)")
    out.add_argument(
        "--rows", type=int, default=0, metavar="N", help="files of the catalog that `rows` makes"
    )
    out.add_argument(
        "--data",
        metavar="DIR",
        help="where to put the data, removed at the end (default: the temporary folder)",
    )
    out.add_argument(
        "--results",
        metavar="FILE",
        nargs="?",
        const=str(_RESULTS),
        help="append the tables to this file (without a value: bench/RESULTS.md)",
    )
    return out


def main(argv: list[str] | None = None) -> int:
    """Run; 1 if results don't agree or a benchmark failed."""
    arguments = parser().parse_args(argv)
    repeat: int = arguments.repeat or _REPEAT[arguments.size]
    chosen = arguments.only or [name for name in BENCHMARKS if name not in _BY_NAME_ONLY]
    title = f"## {arguments.size} size, {repeat} runs of each: median (min..max); GB = 10^9 bytes"
    out = [title + "\n\n" + "\n".join(f"- {line}" for line in machine.describe()) + "\n"]
    print(out[0], flush=True)
    wrong: list[str] = []
    for name in chosen:
        with data.folder(arguments.data) as folder:
            bench = data.Bench(
                folder, arguments.size == "full", repeat, arguments.size == "toy", arguments.rows
            )
            try:
                answer = BENCHMARKS[name](bench)
            except (RuntimeError, OSError) as error:
                wrong.append(f"{name} failed: {error}")
                continue
        for section in answer if isinstance(answer, list) else [answer]:
            out.append(section.markdown())
            wrong += section.wrong
            print(out[-1], flush=True)
    for line in wrong:
        print(f"WRONG: {line}", file=sys.stderr)
    if arguments.results:
        with open(arguments.results, "a", encoding="utf-8") as file:
            file.write("\n" + "\n".join(out))
            file.writelines(f"- WRONG: {line}\n" for line in wrong if " failed: " in line)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
