# SPDX-License-Identifier: MIT
"""Tables as reStructuredText has them, which read well on a terminal too."""

from __future__ import annotations

from collections.abc import Sequence


def simple_table(rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a simple table.

    :param rows: the first is the head; the first cell of a row is never empty.
    """
    widths = [max(1, *map(len, column)) for column in zip(*rows, strict=True)]
    rule = "  ".join("=" * width for width in widths)
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [rule, lines[0], rule, *lines[1:], rule]
