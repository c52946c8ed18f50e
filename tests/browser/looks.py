# SPDX-License-Identifier: MIT
"""At any width, nothing of a page has to be scrolled sideways, and no blank is lost."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from tests.support.checkout import ROOT

SIZES = {"wide": {"width": 1280, "height": 800}, "narrow": {"width": 390, "height": 844}}
SCHEMES = ("light", "dark")
# Tests look at these; pictures are taken of each size in each scheme.
LOOKS = {"wide": "light", "narrow": "dark"}
DOCUMENTS = ROOT / "docs" / "images"
# Pictures go there, if they are wanted.
IMAGES = Path(os.environ["PICTURES_FOLDER"]) if "PICTURES_FOLDER" in os.environ else None

# Nothing stands over the edge of its card; the bar below a table scrolls sideways in a narrow window.
_SPILT = """() => [...document.querySelectorAll(".card")].flatMap((card) => {
  const edge = card.getBoundingClientRect().right;
  const over = (one) => one.getBoundingClientRect().right > edge;
  return [...card.querySelectorAll(":not(.bar > *, .bar label > *)")].filter(over).map((one) => one.outerHTML);
})"""

# Times in tables and telephone numbers that are on two lines.
_BROKEN = """() => [...document.querySelectorAll("td time, .tel")]
  .filter((one) => one.getClientRects().length > 1).map((one) => one.outerHTML)"""

# Two sentences or a label and its value that have lost the blank between them.
_GLUED = r"[a-zäöüß][.:!?;][A-ZÄÖÜ0-9]"
_PROSE = """() => {
  const main = document.getElementById("main").cloneNode(true);
  for (const one of main.querySelectorAll("pre, code, svg, select, [lang]")) one.replaceWith(" ");
  for (const one of main.querySelectorAll(":not(a, b, em, span, strong, time)")) one.append(" ");
  return main.textContent;
}"""


def fits(page: Any) -> None:
    """Nothing is scrolled sideways or over the edge of its card, no time and number is broken, and no blank is lost."""
    over = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert over <= 0, f"{page.url} is wider than the window by {over} px"
    hidden = page.evaluate("[...document.querySelectorAll('.top nav')].map(one => one.scrollWidth - one.clientWidth)")
    assert max(hidden, default=0) <= 0, f"{page.url} hides {hidden} px of its navigation"
    spilt = page.evaluate(_SPILT)
    assert spilt == [], spilt
    broken = page.evaluate(_BROKEN)
    assert broken == [], broken
    glued = re.findall(rf".*{_GLUED}.*", page.evaluate(_PROSE))
    assert glued == [], glued
