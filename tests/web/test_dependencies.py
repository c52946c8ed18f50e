# SPDX-License-Identifier: MIT
"""The tests show who may connect, and who is an administrator."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ldapgw.google.identity import Identity
from ldapgw.store.sign_ins import SignIn
from ldapgw.web.sessions import Visitor
from tests.support.stage.web import ACME

ALICE = Identity("1", "alice@acme.example", email_verified=True, hd="acme.example")


@pytest.mark.parametrize(
    ("rules", "identity", "admitted"),
    [
        (("*",), ALICE, True),
        (("*",), replace(ALICE, hd=""), True),
        (("*",), replace(ALICE, email_verified=False), False),
        (("*",), replace(ALICE, email=""), False),
        (("alice@acme.example",), ALICE, True),
        (("Alice@ACME.example",), ALICE, True),
        (("alice@acme.example",), replace(ALICE, email="ALICE@acme.EXAMPLE"), True),
        (("alice@acme.example",), replace(ALICE, email_verified=False), False),
        (("bob@acme.example",), ALICE, False),
        (("bob@acme.example", "alice@acme.example"), ALICE, True),
        (("@acme.example",), ALICE, True),
        (("@Acme.Example",), replace(ALICE, hd="ACME.example"), True),
        (("@acme.example",), replace(ALICE, hd=""), False),
        (("@acme.example",), replace(ALICE, hd="elsewhere.example"), False),
        (("@acme.example",), replace(ALICE, email="alice@elsewhere.example"), True),
        (("@acme.example",), replace(ALICE, hd="sub.acme.example"), False),
        (("@acme.example",), replace(ALICE, email_verified=False), False),
        ((), ALICE, False),
        ((), replace(ALICE, email="Root@acme.example"), True),
        ((), replace(ALICE, email="root@acme.example", email_verified=False), False),
        (("@acme.example",), replace(ALICE, email="root@acme.example"), True),
        (("@acme.example",), replace(ALICE, email="root@acme.example", hd=""), False),
        (("@ACME.example",), replace(ALICE, email="Root@acme.example", hd="evil.example"), False),
        (("@acme.example", "root@acme.example"), replace(ALICE, email="root@acme.example", hd=""), True),
        (("kim@acme.example",), replace(ALICE, email="\N{KELVIN SIGN}im@acme.example"), False),
        (("@kim.example",), replace(ALICE, hd="\N{KELVIN SIGN}im.example"), False),
    ],
)
def test_who_is_admitted(rules: tuple[str, ...], identity: Identity, admitted: bool) -> None:
    """Addresses match in any case, and domains by Google's claim; an unverified address is never admitted."""
    assert replace(ACME, allowed_users=rules).admits(identity) is admitted


def test_a_tenant_without_a_title_is_called_by_its_name() -> None:
    assert replace(ACME, title="").heading == "acme"


@pytest.mark.parametrize(
    ("person", "is_admin"),
    [
        (SignIn("acme", "1", "Root@acme.example", hd="acme.example"), True),
        (SignIn("acme", "1", "alice@acme.example"), False),
        (SignIn("acme", "", ""), True),
        (SignIn("globex", "", ""), False),
        (SignIn("globex", "1", "root@acme.example"), False),
    ],
    ids=["by address", "somebody", "by link", "by link to another", "signed in to another"],
)
def test_who_administers(person: SignIn, is_admin: bool) -> None:
    """The tenant's configured administrators, and visitors by the tenant's own link, are administrators."""
    assert Visitor(person, "A" * 43, None).administers(ACME) is is_admin


@pytest.mark.parametrize(("hd", "is_admin"), [("acme.example", True), ("", False), ("evil.example", False)])
def test_an_administrator_is_of_the_workspace_that_is_admitted(hd: str, is_admin: bool) -> None:
    """An administrator has to be in the Workspace, as a former user may keep the address in a consumer account."""
    tenant = replace(ACME, allowed_users=("@acme.example", "root@acme.example"))
    person = SignIn("acme", "1", "root@acme.example", hd=hd)
    assert Visitor(person, "A" * 43, None).administers(tenant) is is_admin
