# SPDX-License-Identifier: MIT
"""The files of vendors, read back by parsers of their formats: keys and values as the phone gets them."""

from __future__ import annotations

import configparser
import json
import re
import shlex
from collections.abc import Callable, Mapping
from typing import Any
from xml.etree import ElementTree

Values = Mapping[str, str]


def ini(text: str, separator: str) -> Values:
    """``key = value`` lines by configparser: a line that is none of these, or a key that comes twice, is an error."""
    parser = configparser.ConfigParser(
        delimiters=(separator,), comment_prefixes=("#",), interpolation=None, empty_lines_in_values=False
    )
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(f"[file]\n{text}")
    return dict(parser["file"])


def yealink(text: str) -> Values:
    mark, _, lines = text.partition("\n")
    assert mark == "#!version:1.0.0.1"
    return ini(lines, "=")


def mitel(text: str) -> Values:
    return {key: re.sub(r'^"([^"]*)"$', r"\1", value) for key, value in ini(text, ":").items()}


def panasonic(text: str) -> Values:
    mark, *lines = text.splitlines()
    assert mark == "# Panasonic SIP Phone Standard Format File #"
    found = [re.fullmatch(r'([A-Z_]+)="([^"]*)"', line) for line in lines if not line.startswith("#")]
    assert all(found), text
    return {match[1]: match[2] for match in found if match}


def avaya(text: str) -> Values:
    """Words as a shell splits them, as Avaya's manual writes them."""
    words = [shlex.split(line) for line in text.splitlines() if not line.startswith("##")]
    assert all(len(line) == 3 and line[0] == "SET" for line in words), text
    return {key: value for _, key, value in words}


def fanvil_lines(text: str) -> Values:
    lines = text.splitlines()
    assert re.fullmatch(r"<<VOIP CONFIG FILE>>Version:2\.[0-9]{10}", lines[0])
    assert lines[1:4] == [
        "",
        "<PHONE FEATURE MODULE>",
        "--LDAP Config--    :",
    ]
    assert lines[-1] == "<<END OF FILE>>"
    found = [re.fullmatch(r"LDAP1 ([A-Za-z ]{1,19}?) *:(.*)", line) for line in lines[4:-1]]
    assert all(found), text
    assert {line.index(":") for line in lines[4:-1]} == {25}
    return {match[1].replace(" ", ""): match[2] for match in found if match}


def leaves(path: str, key: str = "") -> Callable[[str], Values]:
    """XML: the texts of the elements at a path, by their tags, or by an attribute."""

    def read(text: str) -> Values:
        root = ElementTree.fromstring(text.encode())
        leaves = root.findall(path)
        assert leaves, text
        assert not any(len(leaf) for leaf in leaves)
        return {leaf.get(key, "") if key else leaf.tag: leaf.text or "" for leaf in leaves}

    return read


def snom(text: str) -> Values:
    """The settings, and the address of a certificate."""
    certificate = ElementTree.fromstring(text.encode()).find("certificates/certificate")
    values = leaves("phone-settings/*")(text)
    return values if certificate is None else {**values, "certificate": certificate.attrib["url"]}


def maxwell(text: str) -> Values:
    params = ElementTree.fromstring(text.encode()).findall("nvm/param")
    return {param.attrib["name"]: param.attrib["value"] for param in params}


def poly(text: str) -> Values:
    """The attributes of all elements: where they stand does not matter."""
    found: dict[str, str] = {}
    for one in ElementTree.fromstring(text.encode()).iter():
        assert found.keys().isdisjoint(one.attrib)
        found |= one.attrib
    return found


def read_json(text: str) -> Values:
    values: dict[str, Any] = json.loads(text)
    return {key: " ".join(value) if isinstance(value, list) else str(value) for key, value in values.items()}
