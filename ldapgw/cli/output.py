# SPDX-License-Identifier: MIT
"""The output of commands: tables and lines for people, JSON for programs, and hints on stderr.

External text (contacts, addresses, labels) can neither control the terminal nor be taken for markup.
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

# Wider than any row, so that a table that a program reads is neither wrapped nor cut.
_UNBOUNDED = 10_000

# Control characters that change the direction of the following text; names do not need them, forgeries do.
_BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def print_json(value: object) -> None:
    """Print JSON on stdout, as UTF-8 in every locale (RFC 8259 8.1)."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2).encode())


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table on stdout; a column whose name ends in ``#`` is aligned to the right."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column.removesuffix("#"), justify="right" if column.endswith("#") else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(clean(cell, keep="\n")) for cell in row))
    console().print(table)


def print_line(text: str) -> None:
    """Print a line on stdout."""
    click.echo(clean(text))


def hint(text: str) -> None:
    """Print a line on stderr."""
    click.echo(clean(text), err=True)


def console(*, stderr: bool = False) -> Console:
    """A Rich console on the current stdout or stderr."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(
        file=stream, width=None if stream.isatty() else _UNBOUNDED, markup=False, highlight=False, emoji=False
    )


def clean(text: str, *, keep: str = "") -> str:
    """Replace control characters by U+FFFD, so that text cannot control the terminal.

    :param keep: control characters to keep.
    """
    return "".join("\ufffd" if _is_control_character(char) and char not in keep else char for char in text)


def _is_control_character(char: str) -> bool:
    return char in _BIDI_CONTROLS or unicodedata.category(char) in ("Cc", "Zl", "Zp")


def local_time(seconds: float | None, now: float) -> str:
    """Seconds since the epoch in local time; a time of today without the date; None: empty text."""
    if seconds is None:
        return ""
    local, today = (datetime.fromtimestamp(moment, UTC).astimezone() for moment in (seconds, now))
    return local.strftime("%H:%M" if local.date() == today.date() else "%Y-%m-%d %H:%M")
