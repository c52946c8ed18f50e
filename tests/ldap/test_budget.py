# SPDX-License-Identifier: MIT
"""The budget of unknown numbers is one for LDAP and HTTP."""

from __future__ import annotations

from twisted.internet.task import Clock

from ldapgw.ldap.admission import UNKNOWN_NUMBERS
from ldapgw.ldap.server import Guesses
from tests.support.phonebook.trees import HALL, PHONE
from tests.support.phonebook.wire import make_factory


def test_each_login_has_one_budget() -> None:
    """Whoever has used it up has none from another address either; others have theirs."""
    factory = make_factory(clock=Clock())
    assert factory.budget(PHONE, "192.0.2.1").take(int(UNKNOWN_NUMBERS))
    assert not factory.budget(PHONE, "192.0.2.2").take(1)
    assert factory.budget(HALL, "192.0.2.1").take(1)


def test_what_is_tried_elsewhere_counts_here() -> None:
    """At another gateway on the same database."""
    here, there = make_factory(clock=Clock()), make_factory(clock=Clock())
    assert there.take_guesses() == Guesses()
    assert there.budget(PHONE, "192.0.2.1").take(int(UNKNOWN_NUMBERS))
    assert not there.budget(PHONE, "192.0.2.1").take(1)
    assert there.bind_delay("192.0.2.1", "desk1") == 0.25
    guesses = there.take_guesses()
    assert guesses != Guesses()
    assert there.take_guesses() == Guesses()
    here.add_guesses(guesses)
    assert not here.budget(PHONE, "192.0.2.1").take(1)
    assert here.bind_delay("192.0.2.1", "desk1") == 0.5
    assert [client.count for client in here.left_out("acme")] == [2]
    assert here.left_out("other") == ()
