"""Tables for a terminal, and for what reads its output through a pipe."""

from __future__ import annotations

import os
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

PIPE_WIDTH = 240  # columns: nobody's window is too narrow if nobody looks


def make_console() -> Console:
    """Return a console for plain text, in which brackets are brackets."""
    console = Console(markup=False, highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = PIPE_WIDTH
    return console


def make_table(texts: Sequence[str], numbers: Sequence[str] = (), more: Sequence[str] = ()) -> Table:
    """Return a table without lines: columns of texts, then of numbers, then of texts again."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in texts:
        table.add_column(heading, overflow="fold")
    for heading in numbers:
        table.add_column(heading, justify="right")
    for heading in more:
        table.add_column(heading, overflow="fold")
    return table
