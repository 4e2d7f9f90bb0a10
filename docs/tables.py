"""Tables and pages of the documentation that are made from the code. `python docs/tables.py` writes them."""

import re
from pathlib import Path
from typing import Any

from ptolemy_core import commp
from ptolemy_core.padding import padding_warning
from ptolemy_core.settings import SETTINGS, Setting

DOCS = Path(__file__).parent


def settings_table() -> str:
    """A row for each setting of a project."""
    rows = ["| setting | default | may change | meaning |", "| --- | --- | --- | --- |"]
    for setting in SETTINGS.values():
        changeable = "yes" if setting.changeable else ""
        meaning = re.sub(r"([*|])", r"\\\1", setting.description)
        rows.append(f"| `{setting.name}` | {_default(setting)} | {changeable} | {meaning} |")
    return "\n".join(rows)


def _default(setting: Setting) -> str:
    if setting.required or setting.default is None or setting.default == []:
        return ""
    if isinstance(setting.default, bool):
        return "yes" if setting.default else "no"
    return f"`{setting.default}`"


def sizes_table() -> str:
    """What each car_size gives: the piece, and how much of it is padding when a CAR is full."""
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


def commands_page() -> str:
    """Every command of `ptolemy` with its arguments and options."""

    from ptolemy_dagster.cli.app import loaded

    group = loaded()
    parts = [
        "# Commands",
        "`ptolemy COMMAND --help` prints the same. Exit codes: 0 done, 1 failed, 2 wrong usage or a value that "
        "isn't allowed, 130 interrupted.",
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


TABLES = {"settings": ("settings.md", settings_table), "sizes": ("sizes.md", sizes_table)}
"""Name of each table, its page, and what makes it."""

PAGES = {"cli.md": commands_page}
"""Name of each page that is made as a whole, and what makes it."""


def updated(name: str) -> tuple[Path, str]:
    """The page of a table, and its text with the table as it is now."""
    page, make = TABLES[name]
    path = DOCS / page
    before, _, rest = path.read_text().partition(f"<!-- table: {name} -->\n")
    _, _, after = rest.partition("<!-- end of table -->")
    return path, f"{before}<!-- table: {name} -->\n{make()}\n<!-- end of table -->{after}"


if __name__ == "__main__":
    for table in TABLES:
        page, text = updated(table)
        page.write_text(text)
    for name, make in PAGES.items():
        (DOCS / name).write_text(make())
