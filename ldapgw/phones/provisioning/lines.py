# SPDX-License-Identifier: MIT
"""Values on the lines of a file, so that none can end its line, its quotes or its element."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from xml.etree import ElementTree

Element = ElementTree.Element

NOT_VERIFIED = "not verified by ldapgw with such a phone"


def one_line(value: str) -> str:
    """A value without what could begin another line or steer whoever reads it (XML 1.0 forbids such signs, too)."""
    return "".join(" " if unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Cn", "Zl", "Zp") else sign
                   for sign in value).strip()  # fmt: skip


def label(title: str, max_length: int) -> str:
    """A directory's name for a menu."""
    return one_line(title)[:max_length].rstrip() or "Contacts"


def quoted(value: str) -> str:
    """In double quotes; those formats know no escaping, so one within becomes an apostrophe."""
    return '"' + one_line(value).replace('"', "'") + '"'


def xml_document(root: Element, unverified: Iterable[str] = ()) -> str:
    """A document; keys of which we are not sure are named in front."""
    ElementTree.indent(root)
    told = "".join(f"<!-- {NOT_VERIFIED}: {key} -->\n" for key in unverified)
    body = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{told}{body}\n'


def element(tag: str, text: str = "", **attributes: str) -> Element:
    """An element with a text."""
    made = Element(tag, {name: one_line(value) for name, value in attributes.items()})
    made.text = one_line(text)
    return made


def nested_element(tag: str, parts: Iterable[Element], **attributes: str) -> Element:
    """An element around others."""
    made = Element(tag, attributes)
    made.extend(parts)
    return made
