# SPDX-License-Identifier: MIT
"""QR codes."""

from __future__ import annotations

from xml.etree import ElementTree

import segno

from ldapgw.web.phone_pages import qr_code

TEXT = "server: phonebook.example.com\npassword: 0123456789abcdefghjk"


def test_a_code_is_drawn_without_script_and_style() -> None:
    """One image with a title, as large as the code with its margin; the title is text."""
    drawn = ElementTree.fromstring(str(qr_code(TEXT, "<b>settings</b>")))
    side = str((segno.make(TEXT, micro=False, boost_error=False).symbol_size()[0]) * 4)
    assert (drawn.get("role"), drawn.get("width"), drawn.get("height")) == ("img", side, side)
    assert [one.text for one in drawn.iter("title")] == ["<b>settings</b>"]
    assert drawn.get("viewBox") == "0 0 {0} {0}".format(int(side) // 4)
    assert {one.tag for one in drawn.iter()} == {"svg", "title", "path"}
    assert not any({"style", "onload", "href"} & one.attrib.keys() for one in drawn.iter())


def test_other_texts_are_other_codes() -> None:
    """What is drawn is the text."""
    assert qr_code(TEXT, "t") != qr_code(TEXT + "x", "t")
