# SPDX-License-Identifier: MIT
"""The pictures of the dashboard: its queries are asked as Grafana asks them, and each panel shows the answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree as Tree

import pytest

# The libraries of the lower bounds come without matplotlib.
pytest.importorskip("matplotlib")

from bench.dashboard import board

SPAN = board.Span(begin=1_800_000_000, end=1_800_000_060, step=20)
ROWS = board.rows(board.load())
VALUES = {"values": [[SPAN.begin, "1"], [SPAN.begin + 40, "NaN"], [SPAN.end, "2.5"]], "value": [SPAN.end, "1"]}


def drawn(row: str, result: list[dict[str, Any]]) -> tuple[list[str], list[Mapping[str, str]]]:
    """Return the texts of a row for which Prometheus gives the same answer to each query, and what it was asked."""
    asked: list[Mapping[str, str]] = []

    def ask(path: str, given: Mapping[str, str]) -> Any:
        asked.append(given)
        return ["a.b:8080", "c:8080"] if path.startswith("label/") else {"result": result}

    values = {**board.variables(board.load(), ask), "__rate_interval": "20s"}
    answers = {panel["title"]: board.answers(panel, values, SPAN, ask) for panel in ROWS[row]}
    svg = board.plot(row, ROWS[row], answers, SPAN)
    return [one.text or "" for one in Tree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")], asked


@pytest.mark.parametrize("row", ROWS)
def test_each_row_of_the_dashboard_is_drawn(row: str) -> None:
    """Each panel has its data, or says that there is none; a moment without a value is a gap."""
    texts, asked = drawn(row, [{"metric": {"le": le, "kind": le, "version": le}, **VALUES} for le in ("0.1", "+Inf")])
    assert {panel["title"] for panel in ROWS[row]} <= {*texts}
    assert "No data" not in texts
    assert not [one for one in asked if "$" in one.get("query", "")]
    empty, _ = drawn(row, [])
    assert empty.count("No data") == len(ROWS[row])


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, "percentunit", "0"),
        (0.0042, "s", "4.2 ms"),
        (90, "s", "1.5 min"),
        (3 * 1 << 20, "bytes", "3 MiB"),
        (0.25, "percentunit", "25 %"),
        (12.34, "ops", "12.3 /s"),
        (2199, "none", "2,199"),
    ],
)
def test_values_are_written_in_their_units(value: float, unit: str, text: str) -> None:
    assert board.number(value, unit) == text
