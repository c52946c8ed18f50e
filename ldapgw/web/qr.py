# SPDX-License-Identifier: MIT
"""A QR code as SVG, to stand in a page: it needs no file, no script and no style."""

from __future__ import annotations

import segno
from markupsafe import Markup


def qr_code(text: str, title: str) -> Markup:
    """The code; black on white in any colours of the page, so that cameras read it.

    :param title: what it says, for those who do not see it.
    """
    made = segno.make(text, micro=False, boost_error=False)
    drawn = made.svg_inline(scale=4, dark="#000", light="#fff", svgclass="qr", lineclass=None, title=title)
    # segno escapes the title; all else are figures.
    return Markup(drawn.replace("<svg ", '<svg role="img" ', 1))  # noqa: S704
