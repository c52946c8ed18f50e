# SPDX-License-Identifier: MIT
"""A QR code as SVG, to stand in a page: it needs no file, no script and no style."""

from __future__ import annotations

import segno
from markupsafe import Markup

# Pixels of a square.
_SCALE = 4


def qr_code(text: str, title: str) -> Markup:
    """The code; black on white in any colours of the page, so that cameras read it.

    :param title: what it says, for those who do not see it.
    """
    made = segno.make(text, micro=False, boost_error=False)
    # With a view box: a narrow window shrinks all of it, where width and height alone would cut it off.
    drawn = made.svg_inline(omitsize=True, dark="#000", light="#fff", svgclass="qr", lineclass=None, title=title)
    width, height = made.symbol_size(scale=_SCALE)
    # segno escapes the title; all else are figures.
    return Markup(drawn.replace("<svg ", f'<svg role="img" width="{width}" height="{height}" ', 1))  # noqa: S704
