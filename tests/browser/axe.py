# SPDX-License-Identifier: MIT
"""Axe, which looks for what keeps people from using a page."""

from __future__ import annotations

from typing import Any

from tests.support.checkout import ROOT

NODE = ROOT / "tests" / "node"
PROGRAM = NODE / "node_modules" / "axe-core" / "axe.min.js"
# WCAG 2.2 AA, and what axe holds to be good practice besides.
TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")


def violations(page: Any) -> list[str]:
    """What axe finds on Playwright's page, a line for each element."""
    page.evaluate(PROGRAM.read_text())
    found = page.evaluate("tags => axe.run(document, {runOnly: tags})", list(TAGS))
    return [
        f"{one['id']}: {one['help']}: {node['html']} {node['failureSummary']}"
        for one in found["violations"]
        for node in one["nodes"]
    ]
