# SPDX-License-Identifier: MIT
"""The output of benches: their progress, and figures with goals in tables as the page about performance has them.

Standard output is for the results.
"""

from __future__ import annotations

import operator
import platform
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from math import ceil, nan
from os import cpu_count

from tests.support.checkout import ROOT
from tests.support.slapd import PROGRAM

# Modules that scripts/compile has compiled, if it was run.
COMPILED = ROOT / ".compiled"
_IS_MET = {"≤": operator.le, "≥": operator.ge, "<": operator.lt}


@dataclass(frozen=True)
class Figure:
    """A measured value.

    :ivar load: what the server had to do meanwhile.
    :ivar text: the value as a table shows it.
    :ivar goal: the goal as a table shows it; empty: there is no goal.
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


@dataclass(frozen=True)
class Results:
    """All that a bench has measured.

    :ivar lines: tables in reStructuredText.
    :ivar are_good: whether all goals are met.
    """

    lines: Sequence[str]
    are_good: bool = True


def judged(
    load: str, what: str, value: float, goal: str = "", *, text: str = "", unit: str = "", digits: int = 1
) -> Figure:
    """Return a figure that is compared with its goal.

    :param goal: the sign ``≤``, ``≥`` or ``<``, a number and its unit; empty: there is no goal.
    :param text: the value as a table shows it; empty: the value with so many digits and the goal's unit, or `unit`.
    """
    sign, number, goal_unit = [*goal.split(" ", 2), "", "", ""][:3]
    is_met = not goal or bool(_IS_MET[sign](value, float(number.replace(",", ""))))
    return Figure(load, what, text or f"{value:,.{digits}f} {goal_unit or unit}".rstrip(), goal, met=is_met)


def percentile(ordered: Sequence[float], part: float) -> float:
    """Return the smallest value that so many percent of the values do not exceed; nan where there are no values."""
    return ordered[max(ceil(len(ordered) * part / 100), 1) - 1] if ordered else nan


def say(line: str) -> None:
    """Tell the person who waits for a bench how far the bench is."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def simple_table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a simple table, which reads well on a terminal too.

    :param rows: the first row is the head; the first cell of a row is never empty.
    """
    widths = [max(1, *map(len, column)) for column in zip(*rows, strict=True)]
    rule = "  ".join("=" * width for width in widths)
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [rule, lines[0], rule, *lines[1:], rule]


def figure_table(load: str, what: str, figures: Sequence[Figure], others: Sequence[Figure] | None = None) -> list[str]:
    """Return the lines of a table of figures of ldapgw.

    :param load: the title of the first column; the second one has the title `what`.
    :param others: the figures of slapd, which are shown and not judged; None: there is no column for slapd.
    """
    rows = [(load, what, "Goal", "ldapgw", "")]
    rows += [(one.load, one.what, one.goal, one.text, one.verdict) for one in figures]
    if others is None:
        return simple_table(rows)
    told = {(one.load, one.what): one.text for one in others}
    return simple_table([(*rows[0], "slapd"), *((*row, told.get((row[0], row[1]), "not run")) for row in rows[1:])])


def results_of(load: str, what: str, figures: Iterable[Figure], others: Sequence[Figure] | None = None) -> Results:
    """Return a `figure_table` as the results of a bench, and tell each figure as soon as the figure is measured."""
    found = []
    for figure in figures:
        say(f"  {figure.load}: {figure.what}: {figure.text}")
        found.append(figure)
    return Results(figure_table(load, what, found, others), all(one.met for one in found))


def machine() -> str:
    """Return the versions and the number of processors that a bench measures with."""
    versions = ["ldapgw compiled by mypyc"] if COMPILED.exists() else []
    versions += [f"{platform.python_implementation()} {platform.python_version()}", f"Twisted {version('twisted')}"]
    if PROGRAM is not None:
        said = subprocess.run([PROGRAM, "-VV"], capture_output=True, text=True, check=False).stderr
        versions += re.findall(r"slapd \d[.\d]*", said)[:1]
    return ", ".join((*versions, f"ldaptor {version('ldaptor')}", f"{cpu_count()} processors"))
