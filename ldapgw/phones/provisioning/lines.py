# SPDX-License-Identifier: MIT
"""Writes values into lines and XML elements; a value can't add a line or an element, or end its quotes."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from xml.etree import ElementTree

Element = ElementTree.Element

NOT_VERIFIED = "not verified by ldapgw with such a phone"


def one_line(value: str) -> str:
    """Return a value without line breaks and control characters, most of which XML 1.0 forbids as well."""
    return "".join(" " if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Cn", "Zl", "Zp") else char
                   for char in value).strip()  # fmt: skip


def label(title: str, max_length: int) -> str:
    """Return the directory's name for a phone's menu, at most `max_length` characters long."""
    return one_line(title)[:max_length].rstrip() or "Contacts"


def quoted(value: str) -> str:
    """Return a value in double quotes; the formats have no escapes, so double quotes within become apostrophes."""
    return '"' + one_line(value).replace('"', "'") + '"'


def xml_document(root: Element, unverified: Iterable[str] = ()) -> str:
    """Return the text of a document, with a comment in front for each unverified key."""
    ElementTree.indent(root)
    comments = "".join(f"<!-- {NOT_VERIFIED}: {key} -->\n" for key in unverified)
    body = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{comments}{body}\n'


def element(tag: str, text: str = "", **attributes: str) -> Element:
    """Return an element with a text; attributes and text are reduced to one line."""
    result = Element(tag, {name: one_line(value) for name, value in attributes.items()})
    result.text = one_line(text)
    return result


def nested_element(tag: str, children: Iterable[Element], **attributes: str) -> Element:
    """Return an element with child elements."""
    result = Element(tag, attributes)
    result.extend(children)
    return result
