# SPDX-License-Identifier: MIT
"""CSV files (RFC 4180) that spreadsheets open safely, and the activity log as such a file."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from typing import Final

from ldapgw.store.account_status import timestamp
from ldapgw.store.activity import ActivityEntry

ACTIVITY_COLUMNS: Final = ("time", "tenant", "actor", "act", "subject", "detail", "address")

# A spreadsheet evaluates a cell that begins with one of these signs, and a stranger's name can begin with such a sign.
# The cell then gets an apostrophe in front, so that a spreadsheet shows the cell as text.  A cell with only telephone
# numbers gets no apostrophe.
_FORMULA_START: Final = re.compile(r"[=+\-@\t\r＝＋－＠]")
_NUMBERS: Final = re.compile(r"[+\d \n]+")


def csv_line(cells: Iterable[str]) -> bytes:
    """Return a row of a CSV file in UTF-8."""
    line = io.StringIO(newline="")
    csv.writer(line).writerow(cells)
    return line.getvalue().encode("utf-8", "replace")


def as_text(cell: str) -> str:
    """Return a cell that no spreadsheet evaluates as a formula."""
    return f"'{cell}" if _FORMULA_START.match(cell) and not _NUMBERS.fullmatch(cell) else cell


def activity_values(entry: ActivityEntry) -> tuple[str, ...]:
    """Return the values of an entry of the activity log in the order of `ACTIVITY_COLUMNS`."""
    return timestamp(entry.when) or "", entry.tenant, entry.actor, entry.act, entry.subject, entry.detail, entry.address


def activity_csv(entries: Iterable[ActivityEntry]) -> bytes:
    """Return the activity log as a CSV file."""
    rows = (ACTIVITY_COLUMNS, *map(activity_values, entries))
    return b"".join(csv_line(map(as_text, row)) for row in rows)
