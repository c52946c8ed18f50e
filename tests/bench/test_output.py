# SPDX-License-Identifier: MIT
"""Figures in a table, and results in the page that shows them."""

from __future__ import annotations

from io import StringIO

import pytest
from docutils.core import publish_doctree

from bench.cluster import __main__ as cluster
from bench.directory import report
from bench.output import PAGE, Figure, between, comments, figure_table
from bench.pages.__main__ import SCRIPT
from tests.bench.test_cluster import MEASURED, TABLE
from tests.bench.test_report import RESULTS


def test_the_table_has_goals_and_verdicts() -> None:
    """Beside the figures that have one."""
    figures = [
        Figure("nothing", "memory", "9 MiB"),
        Figure("start", "turn", "9 ms", "≤ 5 ms", met=False),
        Figure("start", "half", "0", "0"),
    ]
    assert figure_table("While", "What", figures)[1:-1] == [
        "While    What    Goal    ldapgw",
        "=======  ======  ======  ======  ======",
        "nothing  memory          9 MiB",
        "start    turn    ≤ 5 ms  9 ms    MISSED",
        "start    half    0       0       ok",
    ]


@pytest.mark.parametrize("script", [SCRIPT, report.SCRIPT, cluster.SCRIPT])
def test_results_go_between_the_comments(script: str) -> None:
    """What stood there goes; the rest of the page stays."""
    begin, end = comments(script)
    assert between(f"before\n\n{begin}\nold\n\n{end}\nafter\n", script, "\nnew\n\n") == (
        f"before\n\n{begin}\nnew\n\n{end}\nafter\n"
    )
    assert between(PAGE.read_text(), script, "") != ""


@pytest.mark.parametrize("lines", [(), comments(SCRIPT)[:1], comments(SCRIPT)[1:]], ids=["none", "first", "last"])
def test_a_page_without_the_comments_is_left_alone(lines: tuple[str, ...]) -> None:
    """Nobody guesses where results belong."""
    with pytest.raises(ValueError, match="comments are missing"):
        between("".join(("a page\n", *lines)), SCRIPT, "new")


@pytest.mark.parametrize(
    ("script", "written"),
    [(report.SCRIPT, report.shown(RESULTS)), (cluster.SCRIPT, cluster.page_text(1000, [TABLE], MEASURED))],
    ids=["directory", "cluster"],
)
def test_what_is_written_is_restructured_text(script: str, written: str) -> None:
    """The parser has nothing to say of it, in the page that it goes into."""
    complaints = StringIO()
    text = between(PAGE.read_text(), script, written)
    publish_doctree(text, settings_overrides={"warning_stream": complaints, "report_level": 1})
    assert complaints.getvalue() == ""
