# SPDX-License-Identifier: MIT
"""The core's nouns are those of an RFC, or the glossary explains them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from docutils import nodes

from tests.support import rst
from tests.support.architecture import folders
from tests.support.checkout import ROOT

GLOSSARY = ROOT / "docs" / "reference" / "glossary.rst"

# Classes whose name is a word of a document that everybody can read.
STANDARD = {
    "RFC 2696": {"PagedResults"},
    "RFC 2891": {"ServerSideSort", "SortKey"},
    "RFC 4511 4.1 to 4.14": {
        *("Control", "Message", "Operation", "Result", "StartTls"),
        *("AbandonRequest", "BindRequest", "CompareRequest", "ExtendedRequest", "SearchRequest"),
        *("Sasl", "Scope", "Simple"),
    },
    "RFC 4511 4.5.1.7": {
        *("And", "Approximate", "Equality", "Extensible", "GreaterOrEqual"),
        *("LessOrEqual", "Not", "Or", "Present", "Substrings"),
    },
    "RFC 4512": {"AttributeType", "Dit", "MatchingRule", "NamingContext", "ObjectClass"},
    "RFC 4513": {"Credentials"},
    "RFC 4514": {"Dn"},
    "RFC 4533": {"SyncCookie", "SyncRequestValue", "SyncState"},
    "draft-ietf-ldapext-ldapv3-vlv-09": {"VirtualListView"},
}


def public_classes(*folders: str) -> Iterator[str]:
    """The public classes of packages, without those of packages in them."""
    for folder in folders:
        for path in sorted((ROOT / "ldapgw" / folder).glob("*.py")):
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    yield node.name


def core() -> set[str]:
    return set(public_classes("directory", "ldap", "ldap/replication", "sync"))


def terms() -> list[str]:
    """The words that the glossary explains."""
    found = rst.read(GLOSSARY).findall(nodes.term)
    return [word for term in found for word in term.astext().split(", ")]


def words_of(name: str) -> str:
    return " ".join(re.findall(r"[A-Z][a-z]*", name)).lower()


def test_classes_are_named_by_known_words() -> None:
    """By a word of an RFC, or by one that the glossary explains."""
    known, words = {*rst.code(rst.read(GLOSSARY))}.union(*STANDARD.values()), {*terms()}
    unknown = [name for name in core() if name not in known and words_of(name) not in words]
    assert unknown == [], "explain them in docs/reference/glossary.rst"


def test_the_words_of_rfcs_are_in_use() -> None:
    """No name stands in the table that no class has."""
    assert set().union(*STANDARD.values()) <= core()


def test_the_glossary_names_classes_that_exist() -> None:
    """A class that was renamed is renamed there too."""
    named = {piece for piece in rst.code(rst.read(GLOSSARY)) if re.fullmatch(r"(?:[A-Z][a-z]+)+", piece)}
    assert named <= set(public_classes(*folders()))


def test_a_word_is_explained_once() -> None:
    assert len(terms()) == len(set(terms()))
