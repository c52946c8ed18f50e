# SPDX-License-Identifier: MIT
"""The output of commands: tables and lines for people, JSON for programs, hints and questions on stderr.

External text (contacts, addresses, labels) can neither control the terminal nor be taken for markup.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, TypeVar

import click

from ldapgw.errors import StoreError, UserError
from ldapgw.google.person_text import REPLACEMENT, without_controls

if TYPE_CHECKING:
    from rich.console import Console
    from sqlalchemy import Connection

    from ldapgw.store.database import Database

T = TypeVar("T")

# The width of a table that a program reads.  No row is wider, so the table is neither wrapped nor cut.
_UNBOUNDED = 10_000
# The number of blanks between the columns of a table.
_GAP = 2

# The colors, on a terminal, of a status sign that begins a line or fills a cell.
_COLORS = {"✓": "green", "!": "yellow", "✗": "red", "…": "cyan"}
# The text in place of the time of an event that has never happened.
NEVER = "–"


def print_json(value: object) -> None:
    """Print JSON on stdout, as UTF-8 in every locale (RFC 8259 8.1)."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2).encode())


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, keep: Sequence[str] = (), wide: bool = False
) -> None:
    """Print a table on stdout; a column whose name ends in ``#`` is aligned to the right.

    :param keep: the columns whose values should not be broken into lines, such as addresses, the most important column
        first.  If the terminal has no room for a column, its values are broken into lines nevertheless.
    :param wide: whether lines may be longer than the terminal is wide.
    """
    # Rich is imported here, because commands that print no table are quicker without Rich.
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    screen = console(wide=wide)
    cells = [[clean(cell, keep="\n") for cell in row] for row in rows]
    # Rich cuts a value that must stay on one line and has no room.  So a column's values stay on one line only if the
    # terminal has room for the column.
    free, whole = screen.width - len(columns) * (1 + _GAP), set[str]()
    for name in keep:
        position = columns.index(name)
        more = max(map(cell_len, (name, *(row[position] for row in cells)))) - 1
        if more <= free:
            free -= more
            whole.add(name)
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0))
    for column in columns:
        table.add_column(
            column.removesuffix("#"),
            justify="right" if column.endswith("#") else "left",
            overflow="fold",
            no_wrap=column in whole,
        )
    for row in cells:
        table.add_row(*(Text(cell, style=_COLORS.get(cell, "")) for cell in row))
    screen.print(table)


def print_line(text: str) -> None:
    """Print a line on stdout; on a terminal, a status sign such as "✓" or "!" at its beginning is colored."""
    click.echo(_colored(clean(text), sys.stdout))


def hint(text: str) -> None:
    """Print a line on stderr; on a terminal, a status sign such as "✓" or "!" at its beginning is colored."""
    click.echo(_colored(clean(text), sys.stderr), err=True)


def _colored(line: str, stream: TextIO) -> str:
    sign, _, rest = line.partition(" ")
    # https://no-color.org
    if sign not in _COLORS or os.environ.get("NO_COLOR") or not stream.isatty():
        return line
    return f"{click.style(sign, fg=_COLORS[sign])} {rest}"


def console(*, stderr: bool = False, wide: bool = False) -> Console:
    """Return a Rich console on the current stdout or stderr.

    :param wide: whether lines may be longer than the terminal is wide.
    """
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = _UNBOUNDED if wide or not stream.isatty() else None
    return Console(file=stream, width=width, markup=False, highlight=False, emoji=False, soft_wrap=wide)


def clean(text: str, *, keep: str = "") -> str:
    """Replace control characters by U+FFFD, so that text cannot control the terminal.

    :param keep: control characters to keep.
    """
    return without_controls(text, REPLACEMENT, keep=keep)


def local_time(seconds: float | None, now: float) -> str:
    """Return a time (seconds since the epoch) as local time, without the date of today; return a dash for None."""
    if seconds is None:
        return NEVER
    local, today = (datetime.fromtimestamp(moment, UTC).astimezone() for moment in (seconds, now))
    return local.strftime("%H:%M" if local.date() == today.date() else "%Y-%m-%d %H:%M")


@contextmanager
def new_file(path: Path) -> Iterator[Callable[[bytes], None]]:
    """Create a file that only its owner may read, and yield the function that writes; remove the file after a failure.

    :raises UserError: when the file exists, or cannot be created or written.
    """
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UserError(f"{path}: cannot be created: {error.strerror}") from None

    def write(content: bytes) -> None:
        try:
            with os.fdopen(file, "wb", closefd=False) as stream:
                stream.write(content)
        except OSError as error:
            raise UserError(f"{path}: cannot be written: {error.strerror}") from None

    try:
        yield write
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(file)


@contextmanager
def new_files(contents: Mapping[Path, bytes]) -> Iterator[None]:
    """Create files that only their owner may read; if the ``with`` block fails, remove the files.

    :raises UserError: when a file exists, or cannot be created or written.
    """
    written: list[Path] = []
    try:
        for path, content in contents.items():
            with new_file(path) as write:
                write(content)
            written.append(path)
        yield
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        raise


def write_target(target: str, content: bytes) -> None:
    """Write to a new file that only its owner may read; if the target is ``-``, write to standard output.

    :raises UserError: when the file exists, or cannot be created or written.
    """
    if target == "-":
        click.echo(content, nl=False)
        return
    with new_file(Path(target)) as write:
        write(content)


def discard_output() -> None:
    """Discard the rest of the output, which Python would otherwise try to write once more when the process ends."""
    with suppress(OSError, ValueError):
        descriptor = sys.stdout.fileno()
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), descriptor)


def print_then_commit(database: Database, change: Callable[[Connection], T], show: Callable[[T], None]) -> None:
    """Show the values of a change, and change the database only if the output succeeds.

    The function first makes the change only to get the values, and undoes the change.  Then the function shows the
    values.  If the output succeeds, the function makes the change again, and this time the change stays.

    A password is shown only once, so nothing may be changed if the output fails.  No transaction is open during the
    output, because a terminal that is stopped (Ctrl-S) would keep the database locked.

    :param change: makes the change, and returns the values to show.
    :raises UserError: when the output cannot be written.
    """
    with database.begin() as connection:
        attempt = connection.begin_nested()
        shown = change(connection)
        attempt.rollback()
    try:
        show(shown)
    except OSError as error:
        discard_output()
        raise UserError(f"the output cannot be written, so nothing was changed: {error.strerror}") from None
    try:
        database.run(change)
    except StoreError:  # perhaps the change is stored: the connection may have been lost after the commit
        raise
    except UserError as error:
        raise UserError(f"nothing was changed, so ignore the output above: {error.problems[0]}") from None


def some(names: Sequence[str]) -> str:
    """Return the first five names, and the number of the other names."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def counted(count: int, word: str) -> str:
    """Return a number with a noun, such as ``1 search`` or ``2 searches``."""
    ending = "" if count == 1 else "es" if word.endswith("ch") else "s"
    return f"{count} {word}{ending}"


yes_option = click.option("--yes", is_flag=True, help="Don't ask for confirmation.")


def confirm(consequence: str, *, yes: bool) -> None:
    """Ask on a terminal whether to go on.

    :param consequence: sentences that say what will happen.
    :param yes: whether the person has agreed in advance.
    :raises UserError: when the answer is no, or there is nobody to ask.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise UserError(f"{consequence} To go ahead without a terminal, add --yes.")
    if not click.confirm(f"{consequence}\nContinue?", err=True):
        raise UserError("nothing was changed")


def ask_for_password() -> str:
    """Ask on a terminal for a phone's password, and return the password; return "" if there is no terminal."""
    if not sys.stdin.isatty():
        return ""
    question = "The phone's password (leave empty to skip the login)"
    return str(click.prompt(question, "", hide_input=True, show_default=False, err=True)).strip()
