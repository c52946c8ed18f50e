# SPDX-License-Identifier: MIT
"""What commands print: tables and lines for people, JSON for machines, hints on stderr.

Nothing that came from elsewhere (contacts, addresses, labels) can steer the terminal or be taken for markup.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

# Wider than any row: a table that a program reads is neither wrapped nor cut.
_UNBOUNDED = 10_000

# Signs that turn the direction of what follows; names do not need them, forgeries do.
_BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def print_json(value: object) -> None:
    """JSON on stdout; UTF-8 whatever the locale is (RFC 8259 8.1)."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2).encode())


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table on stdout; a column whose name ends in ``#`` holds numbers."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column.removesuffix("#"), justify="right" if column.endswith("#") else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(clean(cell, keep="\n")) for cell in row))
    console().print(table)


def print_line(text: str) -> None:
    """A line on stdout."""
    click.echo(clean(text))


def hint(text: str) -> None:
    """A line on stderr."""
    click.echo(clean(text), err=True)


def console(*, stderr: bool = False) -> Console:
    """Rich's, on the streams as they are now."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(
        file=stream, width=None if stream.isatty() else _UNBOUNDED, markup=False, highlight=False, emoji=False
    )


def clean(text: str, *, keep: str = "") -> str:
    """Text that a terminal shows and does not obey: control signs become U+FFFD."""
    return "".join("\ufffd" if _is_control_character(sign) and sign not in keep else sign for sign in text)


def _is_control_character(sign: str) -> bool:
    return sign in _BIDI_CONTROLS or unicodedata.category(sign) in ("Cc", "Zl", "Zp")


def local_time(seconds: float | None, now: float) -> str:
    """Seconds since the epoch as a person here reads them: today's without the date; empty for None."""
    if seconds is None:
        return ""
    moment, today = (datetime.fromtimestamp(one, UTC).astimezone() for one in (seconds, now))
    return moment.strftime("%H:%M" if moment.date() == today.date() else "%Y-%m-%d %H:%M")
