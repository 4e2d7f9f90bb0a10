"""Tables of the documentation that are made from the code. `python docs/tables.py` writes them into their pages."""

import re
from pathlib import Path

from ptolemy_core.project import SETTINGS, Setting

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


TABLES = {"settings": ("settings.md", settings_table)}
"""Name of each table, its page, and what makes it."""


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
