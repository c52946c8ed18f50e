# SPDX-License-Identifier: MIT
"""Each selector of the style sheets fits something on the pages."""

from __future__ import annotations

import re

from tests.support.checkout import ROOT

WEB = ROOT / "ldapgw" / "web"


def selectors() -> str:
    """Return the text before the braces."""
    written = "".join(file.read_text() for file in WEB.glob("static/*.css"))
    style = re.sub(r"/\*.*?\*/", "", written, flags=re.DOTALL)
    heads = re.findall(r"([^{}]+)\{", style)
    return " ".join(head for head in heads if not head.strip().startswith("@"))


def pages() -> str:
    """Return the texts that pages are made of: templates, our script, and strings of the code."""
    text = "\n".join(file.read_text() for file in (*WEB.glob("templates/*.html"), WEB / "static" / "page.js"))
    # The code adds only its strings, which name classes.
    return "\n".join((text, *re.findall(r'"[^"\n]*"', "\n".join(file.read_text() for file in WEB.glob("*.py")))))


def test_no_selector_is_of_nothing() -> None:
    """Each class, id and element of a style sheet is in a page, so no forgotten selector stays."""
    text = pages()
    plain = re.sub(r"\[[^]]*\]", "", selectors())
    names = set(re.findall(r"[.#]([a-z][a-z-]*)", plain))
    elements = set(re.findall(r"(?<![\w.#:-])([a-z][a-z0-9]*)", plain))
    assert {name for name in names if not re.search(rf"(?<![\w-]){name}(?![\w-])", text)} == set()
    assert {one for one in elements if not re.search(rf"<{one}[\s>]", text)} == set()
