# SPDX-License-Identifier: MIT
"""The pages get explanations from the served directory, and another thread than the phones' does the work."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from twisted.internet.defer import Deferred, maybeDeferred

from ldapgw.directory.catalog import Snapshot
from ldapgw.directory.dit import Dit
from ldapgw.directory.special_entries import Features
from ldapgw.errors import DirectoryError, UserError
from ldapgw.phones.explain.explain import PhoneExplainer
from ldapgw.phones.explain.model import USER, ExplanationReader
from ldapgw.store.accounts import Account
from ldapgw.store.phones import NumberMode, PhoneLogin
from ldapgw.sync.publisher import make_login
from tests.support.phonebook import naming_context
from tests.support.phonebook.explain import sight
from tests.support.results import result_of

DESK = PhoneLogin("Desk1", "acme", 1, NumberMode.VALUES, "sha256$00$00", 0.0)


class Thread:
    """The double queues the work of a thread until a test runs the work."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], object]] = []

    def __call__(self, function: Callable[..., Any], *args: Any) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()
        self.waiting.append(lambda: done.callback(function(*args)))
        return done


def question(asked: str, base: str = "") -> tuple[str, str, ExplanationReader, Sequence[Account], str]:
    return asked, base, USER, (), "here"


def served() -> Snapshot:
    return Snapshot(sight().dit, {"desk1": make_login(DESK, naming_context(), ("alice",))}, loaded=True)


def test_it_is_worked_out_elsewhere() -> None:
    """Another thread explains the query with the directory that was served at the time of the question."""
    thread = Thread()
    now = [served()]
    explainer = PhoneExplainer(lambda: now[0], 1000, thread, lambda: 0.0)
    query, base, reader, _, page = question("meier")
    begun: list[str] = []

    def accounts() -> Iterator[Account]:
        """Yield no account, and note that somebody has asked for the accounts, which may be thousands."""
        begun.append("accounts")
        yield from ()

    asked = Deferred.fromCoroutine(explainer.explain(DESK, query, base, reader, accounts(), page))
    now[0] = Snapshot(Dit((), Features("1")))
    assert not asked.called
    [work] = thread.waiting
    assert begun == []
    work()
    assert begun == ["accounts"]
    found = result_of(asked)
    assert [match.name for match in found.matches] == ["Karin Meier"]


def test_a_phone_that_is_not_served() -> None:
    """The explainer returns None for a phone without a served directory."""
    explainer = PhoneExplainer(lambda: Snapshot(Dit((), Features("1"))), 1000, Thread(), lambda: 0.0)
    assert result_of(explainer.explain(DESK, *question("meier"))) is None


@pytest.mark.parametrize(
    ("asked", "base", "error"),
    [("(cn=", "", UserError), ("meier", "dc=nowhere", DirectoryError)],
    ids=["no filter", "no base"],
)
def test_what_cannot_be_explained(asked: str, base: str, error: type[Exception]) -> None:
    """The caller gets the errors of the engine."""
    explainer = PhoneExplainer(served, 1000, maybeDeferred, lambda: 0.0)
    with pytest.raises(error):
        result_of(explainer.explain(DESK, *question(asked, base)))
