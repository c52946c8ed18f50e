# SPDX-License-Identifier: MIT
"""The texts and attributes of XML that the gateway writes: phone books and CardDAV."""

from __future__ import annotations

import re
from xml.sax.saxutils import escape, quoteattr

# The characters that no XML document can hold (XML 1.0, section 2.2).
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# A parser reads CR LF as LF, unless the CR is written as a reference (XML 1.0, section 2.11).
_LINE_ENDS = {"\r": "&#13;"}


def xml_text(value: str) -> str:
    """Return a text as the content of an element; a character that XML cannot hold becomes a blank."""
    # Nearly all values need no change, and to find this out is quicker than to look for each character.
    if value.isprintable() and not ("&" in value or "<" in value or ">" in value):
        return value
    return escape(_UNPRINTABLE.sub(" ", value), _LINE_ENDS)


def xml_attribute(value: str) -> str:
    """Return a text as the value of an attribute, in quotes; a character that XML cannot hold becomes a blank."""
    if value.isprintable() and not ("&" in value or "<" in value or ">" in value or '"' in value):
        return f'"{value}"'
    return quoteattr(_UNPRINTABLE.sub(" ", value))
