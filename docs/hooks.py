"""Pages and parts of the documentation that are made from the code whenever it is built, so they can't be stale."""

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

SIZES_HERE = "<!-- the table of sizes -->"
_ROOT = Path(__file__).parents[1]


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that aren't files of this folder."""
    files.append(File.generated(config, "cli.md", content=commands_page()))
    files.append(File.generated(config, "benchmarks.md", content=benchmarks_page()))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the table of sizes where its mark stands."""
    return markdown.replace(SIZES_HERE, sizes_table())


def commands_page() -> str:
    """Every command of `ptolemy` with its arguments and options."""

    from ptolemy_dagster.cli.app import loaded

    group = loaded()
    parts = [
        "# Commands",
        "`ptolemy COMMAND --help` prints the same. Exit codes: 0 done, 1 failed, 2 wrong usage.",
    ]
    for name, command in sorted(group.commands.items()):  # type: ignore[attr-defined]
        parts += _command_section(f"## ptolemy {name}", command)
        for below, one in getattr(command, "commands", {}).items():
            parts += _command_section(f"### ptolemy {name} {below}", one)
    return "\n\n".join(parts) + "\n"


def _command_section(heading: str, command: Any) -> list[str]:
    """A command's heading, its help, and a table of its arguments and options."""
    rows = ["| argument or option | default | meaning |", "| --- | --- | --- |"]
    for parameter in command.params:
        if parameter.name == "help":
            continue
        is_option = parameter.param_type_name == "option"
        shown = ", ".join(parameter.opts) if is_option else _metavar(parameter)
        given = parameter.default
        silent = given is None or given is False or callable(given) or not is_option
        default = "required" if parameter.required else "" if silent else str(given)
        rows.append(f"| `{shown}` | {_plain(default)} | {_plain(getattr(parameter, 'help', None) or '')} |")
    table = ["\n".join(rows)] if len(rows) > 2 or not hasattr(command, "commands") else []
    return [heading, _plain(command.help or ""), *table]


def _metavar(parameter: Any) -> str:
    name = parameter.metavar or parameter.name.upper()
    return name.replace("|", " or ") + ("…" if parameter.nargs == -1 else "")


def _plain(text: str) -> str:
    """A help text within a table or paragraph of Markdown."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def benchmarks_page() -> str:
    """bench/RESULTS.md as a page."""
    text = (_ROOT / "bench" / "RESULTS.md").read_text(encoding="utf-8")
    text = text.replace("# Results", "# Benchmarks", 1).replace("[README.md](README.md)", "bench/README.md")
    return text.replace("](../docs/", "](")  # a page among those it links to


def sizes_table() -> str:
    """What each car_size gives: the piece, and how much of it is padding when a CAR is full."""
    from ptolemy_core import commp
    from ptolemy_core.project import padding_warning

    gib = 1 << 30
    rows = [
        "| car_size, GiB | piece, GiB | padding of a full CAR | deals for 1 TiB | |",
        "| ---: | ---: | ---: | ---: | --- |",
    ]
    for size in range(1, 32):
        piece = commp.piece_size(size * gib)
        waste = 1 - size * gib / piece
        note = "" if padding_warning(size) else "pads well"
        rows.append(f"| {size} | {piece // gib} | {waste:.1%} | {-(-1024 // size)} | {note} |")
    return "\n".join(rows)
