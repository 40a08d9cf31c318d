"""A result as a table that fits the terminal."""

from __future__ import annotations

import itertools
import shutil
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from skyvault.formats.stream import TableStream
    from skyvault.model.table import Column

#: rows shown; the rest is counted
MOST_ROWS: Final = 200
MOST_CELL: Final = 40
#: a column takes at least so much of the line
LEAST_WIDTH: Final = 8


def show(stream: TableStream) -> None:
    """Print the first rows on stdout and say on stderr how many more rows and columns there are."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows: list[tuple[Any, ...]] = []
    total = 0
    for batch in stream.batches:
        total += batch.num_rows
        missing = MOST_ROWS - len(rows)
        if missing > 0:
            part = batch.slice(0, missing)
            rows.extend(zip(*(column.to_pylist() for column in part.columns), strict=True))
    columns = stream.table.columns
    cells = [[_text(value, column) for value, column in zip(row, columns, strict=True)] for row in rows]
    shown = _columns_that_fit(columns, cells)
    table = Table(show_edge=False, header_style="bold", pad_edge=False)
    for column in columns[:shown]:
        heading = Text(column.name)
        if column.unit:
            heading.append(f"\n[{column.unit}]", style="dim")
        table.add_column(heading, justify="left" if column.is_text else "right", overflow="ellipsis", no_wrap=True)
    for row in cells:
        table.add_row(*(Text(cell) for cell in row[:shown]))
    Console(highlight=False, width=shutil.get_terminal_size().columns).print(table)
    notes = [f"{total:,} row{'s' if total != 1 else ''}"]
    if total > len(rows):
        notes.append(f"the first {len(rows)} are shown, -o FILE writes all")
    if shown < len(columns):
        notes.append(f"not shown: {', '.join(column.name for column in columns[shown:])}")
    click.echo("; ".join(notes), err=True)


def _columns_that_fit(columns: tuple[Column, ...], cells: list[list[str]]) -> int:
    """How many columns, from the first, have room on one line."""
    room = shutil.get_terminal_size().columns
    widths = (
        max(itertools.chain([LEAST_WIDTH, len(column.name)], (len(row[place]) for row in cells))) + 3
        for place, column in enumerate(columns)
    )
    used = itertools.accumulate(widths)
    return max(1, sum(1 for width in used if width <= room + 3))


def _text(value: Any, column: Column) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        text = f"{value:.7g}" if column.datatype == "float" else f"{value:.12g}"
    elif isinstance(value, list):
        text = " ".join(_text(item, column) for item in value)
    else:
        text = str(value)
    text = "".join(character if character.isprintable() else " " for character in text)
    return text if len(text) <= MOST_CELL else text[: MOST_CELL - 1] + "…"
