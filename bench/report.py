"""What a benchmark answers: tables and remarks, as Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Section:
    """One benchmark's answer.

    Attributes:
        title: its heading.
        head: the table's columns.
        rows: its cells.
        notes: lines below it: targets, agreements, what was not found.
        wrong: results that don't agree; the command fails if there are any.
    """

    title: str
    head: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def row(self, *cells: str) -> None:
        """Add a row; missing cells are empty."""
        self.rows.append((*cells, *[""] * (len(self.head) - len(cells))))

    def target(self, name: str, value: float, limit: float, *, most: bool = False, unit: str = "") -> None:
        """Add a line that says whether a target is met: at least `limit`, or at most if `most`."""
        met = value <= limit if most else value >= limit
        sign = "<=" if most else ">="
        verdict = "met" if met else "NOT MET"
        self.notes.append(f"Target: {name} {sign} {limit:g}{unit}: {value:.3g}{unit}, {verdict}.")

    def same(self, what: str, results: dict[str, str]) -> None:
        """Say whether all results are equal; if not, that is wrong."""
        if len(set(results.values())) <= 1:
            value = next(iter(results.values()), "nothing")
            self.notes.append(f"Same {what} from {', '.join(results)}: {value}")
        else:
            text = "; ".join(f"{name}: {value}" for name, value in results.items())
            self.wrong.append(f"{self.title}: {what} differ: {text}")

    def markdown(self) -> str:
        """The section."""
        lines = [f"### {self.title}", "", *_table(self.head, self.rows)]
        if self.notes or self.wrong:
            lines.append("")
        lines += [f"- {note}" for note in self.notes]
        lines += [f"- WRONG: {text}" for text in self.wrong]
        return "\n".join(lines) + "\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(cell) for cell in column) for column in zip(head, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        first, *rest = (
            cell.ljust(width) if k == 0 else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return "| " + " | ".join([first, *rest]) + " |"

    rule = "| " + " | ".join("-" * w if k == 0 else "-" * (w - 1) + ":" for k, w in enumerate(widths)) + " |"
    return [line(head), rule, *map(line, rows)]


def mib(size: float) -> str:
    """Bytes as MiB."""
    return f"{size / (1 << 20):.0f}"
