# SPDX-License-Identifier: MIT
"""Axe and html-validate, which look for what keeps people from using a page, and browsers from reading it."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.checkout import ROOT

NODE = ROOT / "tests" / "node"
PROGRAM = NODE / "node_modules" / "axe-core" / "axe.min.js"
# WCAG 2.2 AA, and what axe holds to be good practice besides.
TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")


def violations(page: Any) -> list[str]:
    """Return axe's findings on Playwright's page, a line for each element."""
    page.evaluate(PROGRAM.read_text())
    found = page.evaluate("tags => axe.run(document, {runOnly: tags})", list(TAGS))
    return [
        f"{one['id']}: {one['help']}: {node['html']} {node['failureSummary']}"
        for one in found["violations"]
        for node in one["nodes"]
    ]


RULES: Mapping[str, Any] = {
    "extends": ["html-validate:recommended", "html-validate:a11y"],
    "rules": {
        # Matters of taste: how void elements are written, and blanks that templates leave.
        "void-style": "off",
        "no-trailing-whitespace": "off",
        "doctype-style": "off",
        "attribute-boolean-style": "off",
        # In a form of ours a button sends it; those that do not say so.
        "no-implicit-button-type": "off",
        "no-inline-style": "error",
        # A typographic blank or a dash in a number is as typed by people.
        "tel-non-breaking": "off",
    },
}


def invalid(pages: Mapping[str, str], folder: Path) -> str:
    """Return html-validate's findings in pages as we sent them, which have names; empty: all are valid.

    :param folder: where the pages are put.
    """
    for name, html in pages.items():
        # Buttons may share a name, but the validator takes those without a type for fields.
        (folder / f"{name}.html").write_text(re.sub(r'(<button\b[^>]*?) name="\w+"', r"\1", html))
    config = folder / "html-validate.json"
    config.write_text(json.dumps(RULES))
    command = ["node", str(NODE / "node_modules" / "html-validate" / "bin" / "html-validate.mjs"), "--config"]
    done = subprocess.run(
        [*command, str(config), *(str(path) for path in sorted(folder.glob("*.html")))],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout + done.stderr if done.returncode else ""
