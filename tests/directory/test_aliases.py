# SPDX-License-Identifier: MIT
"""Further names of attributes, as an administrator configures them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ldapgw.directory import schema
from ldapgw.directory.schema import attribute_type, can_be_alias, configure_aliases
from tests.support.phonebook.trees import ALICE, PHONE, SINGLE_LEVEL, TREE, entries_found


@pytest.fixture(autouse=True)
def aliases() -> Iterator[None]:
    """DirName is cn, and other, which is homePhone else, is telephoneNumber."""
    configure_aliases({"DirName": "cn", "other": "telephoneNumber"})
    yield
    configure_aliases({})


def found(text: str) -> list[bytes]:
    return [entry.uid for entry in entries_found(TREE, PHONE, text, ALICE, SINGLE_LEVEL)]


@pytest.mark.parametrize("name", ["DirName", "dirname", "DIRNAME"])
def test_filters(name: str) -> None:
    """In any case, beside the names that the attribute has anyway."""
    assert found(f"({name}=ada*)") == found("(cn=ada*)") == [b"c1"]
    assert attribute_type("commonName") is attribute_type(name)


def test_one_of_ours_can_be_another() -> None:
    """Until it is configured otherwise."""
    assert found("(other=+49301234567)") == [b"c1"]
    configure_aliases({})
    assert (attribute_type("other"), attribute_type("DirName")) == (attribute_type("homePhone"), None)


@pytest.mark.parametrize(
    ("alias", "name", "can_be"),
    [
        ("DirName", "cn", True),
        ("CallerIDName", "cn", True),
        ("callerIdName", "sn", True),
        ("commonName", "cn", True),
        ("commonName", "sn", False),
        ("MAIL", "cn", False),
        ("2.5.4.3", "sn", False),
    ],
)
def test_which_names_are_free(alias: str, name: str, can_be: bool) -> None:
    """Not those that the standards give another attribute."""
    assert can_be_alias(alias, name) is can_be


def test_an_attribute_that_does_not_exist() -> None:
    with pytest.raises(KeyError):
        schema.configure_aliases({"x": "nothing"})
