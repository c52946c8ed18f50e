# SPDX-License-Identifier: MIT
"""What a bench prints: progress, tables in reStructuredText, figures with goals, and results in the documents.

Standard output is for the results.  In the page about performance, what a script writes stands between two comments of
the script's own.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from tests.support.checkout import ROOT

PAGE = ROOT / "docs" / "explanation" / "performance.rst"


@dataclass(frozen=True)
class Figure:
    """Something measured.

    :ivar text: how it is written.
    :ivar goal: what is expected; empty: nothing is.
    :ivar met: whether it is so.
    """

    load: str
    what: str
    text: str
    goal: str = ""
    met: bool = True

    @property
    def verdict(self) -> str:
        """Return whether the goal is met, in one word; nothing where there is no goal."""
        return ("ok" if self.met else "MISSED") if self.goal else ""


def say(line: str) -> None:
    """Tell somebody who waits for a bench how far it is."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def command_line(program: str, purpose: str | None, explanation: str) -> argparse.ArgumentParser:
    """Return the parser of a bench's options.

    :param purpose: the docstring of the bench's package, whose first line says what is measured.
    """
    return argparse.ArgumentParser(
        prog=program,
        description=(purpose or "").partition("\n")[0],
        epilog=explanation,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def end_on_sigterm() -> None:
    """Have SIGTERM end this process as an error does, so that servers are ended and folders are deleted."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def simple_table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a simple table, which reads well on a terminal too.

    :param rows: the first is the head; the first cell of a row is never empty.
    """
    widths = [max(1, *map(len, column)) for column in zip(*rows, strict=True)]
    rule = "  ".join("=" * width for width in widths)
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [rule, lines[0], rule, *lines[1:], rule]


def figure_table(load: str, what: str, figures: Sequence[Figure]) -> list[str]:
    """Return the lines of a table of figures of ldapgw.

    :param load: the title of the first column; the second one has the title `what`.
    """
    rows = ((one.load, one.what, one.goal, one.text, one.verdict) for one in figures)
    return simple_table([(load, what, "Goal", "ldapgw", ""), *rows])


def comments(script: str) -> tuple[str, str]:
    """Return the lines that stand around what a script writes."""
    return f".. What follows is written by {script} --docs\n", f".. What was written by {script} ends here\n"


def between(text: str, script: str, written: str) -> str:
    """Return the text with something else between a script's comments.

    :raises ValueError: when they are not there.
    """
    first, last = comments(script)
    before, begin, rest = text.partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end:
        raise ValueError(f"{PAGE}: the comments are missing between which the results of {script} go")
    return f"{before}{begin}{written}{end}{after}"


def put(script: str, written: str) -> None:
    """Write a script's results into the page."""
    PAGE.write_text(between(PAGE.read_text(encoding="utf-8"), script, written), encoding="utf-8")
