# SPDX-License-Identifier: MIT
"""The budget of unknown numbers is one for LDAP and HTTP."""

from __future__ import annotations

from twisted.internet.task import Clock

from ldapgw.ldap.admission import UNKNOWN_NUMBERS
from tests.support.phonebook.trees import HALL, PHONE
from tests.support.phonebook.wire import make_factory


def test_each_login_has_one_budget() -> None:
    """Whoever has used it up has none from another address either; others have theirs."""
    factory = make_factory(clock=Clock())
    assert factory.budget(PHONE, "192.0.2.1").take(int(UNKNOWN_NUMBERS))
    assert not factory.budget(PHONE, "192.0.2.2").take(1)
    assert factory.budget(HALL, "192.0.2.1").take(1)
