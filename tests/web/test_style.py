# SPDX-License-Identifier: MIT
"""The style sheets: each selector in them is of something that pages have."""

from __future__ import annotations

import re

from tests.support.checkout import ROOT

WEB = ROOT / "ldapgw" / "web"


def selectors() -> str:
    """What stands before the braces."""
    written = "".join(file.read_text() for file in WEB.glob("static/*.css"))
    style = re.sub(r"/\*.*?\*/", "", written, flags=re.DOTALL)
    heads = re.findall(r"([^{}]+)\{", style)
    return " ".join(head for head in heads if not head.strip().startswith("@"))


def pages() -> str:
    """All that pages are made of: templates, our script, and the code that names classes and draws."""
    text = "\n".join(file.read_text() for file in (*WEB.glob("templates/*.html"), WEB / "static" / "page.js"))
    # Of the code the strings alone.
    return "\n".join((text, *re.findall(r'"[^"\n]*"', "\n".join(file.read_text() for file in WEB.glob("*.py")))))


def test_no_selector_is_of_nothing() -> None:
    """Each class, id and element of a style sheet is in a page; what is cut or forgotten shows here."""
    text = pages()
    plain = re.sub(r"\[[^]]*\]", "", selectors())
    names = set(re.findall(r"[.#]([a-z][a-z-]*)", plain))
    elements = set(re.findall(r"(?<![\w.#:-])([a-z][a-z0-9]*)", plain))
    assert {name for name in names if not re.search(rf"(?<![\w-]){name}(?![\w-])", text)} == set()
    assert {one for one in elements if not re.search(rf"<{one}[\s>]", text)} == set()
