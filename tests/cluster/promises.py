# SPDX-License-Identifier: MIT
"""Gateways that share a database keep these promises in `tests.cluster.companies`: syncs, the lead, and times.

Times are those that the documentation promises; machines that are busy with something else may miss them.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from contextlib import closing

from ldapgw.store import phones
from ldapgw.store.database import Mode
from tests.cluster.companies import CONNECTIONS, Companies, now
from tests.support.site.running import wait_until

# A change is found at all gateways within this time after its commit.
VISIBLE_SECONDS = 2.0
# Three gateways on two processors build 10,000 contacts anew, while phones search.
REBUILT_SECONDS = 30.0
# Another gateway syncs within this time after the leader was killed, was stopped, or was stopped in a transaction.
KILLED_SECONDS, STOPPED_SECONDS, STOPPED_IN_TRANSACTION_SECONDS = 3.0, 15.0, 35.0
# An account is synced this often, at the least.
SYNCED_SECONDS = 8.0


def tell(what: str, seconds: list[float]) -> None:
    """A figure of the report (pytest -s)."""
    ordered = sorted(seconds)
    sys.stdout.write(
        f"\n{what}: {len(ordered)}, median {ordered[len(ordered) // 2]:.3f} s, longest {ordered[-1]:.3f} s\n"
    )


def let_run(seconds: float) -> None:
    """Let the callers and the gateways go on for a time."""
    until = time.monotonic() + max(seconds, 0.0)
    wait_until(lambda: time.monotonic() >= until, "the time is over", max(seconds, 0.0) + 10)


def serve(companies: Companies, without: int = 0) -> None:
    """No search has failed since the last call, at all gateways but one."""
    for at, caller in enumerate(companies.callers, 1):
        failures, durations = caller.take()
        if at != without:
            assert failures == []
            assert durations


def begin_anew(companies: Companies, at: int) -> None:
    """Forget the failures of one caller, whose gateway was away."""
    caller = companies.callers[at - 1]
    caller.take()
    wait_until(lambda: caller.take()[1], "the caller finds something")


def is_right(companies: Companies) -> None:
    """Google has seen one call of an account at a time, and only the leader has written."""
    assert companies.calls_at_once() == []
    assert [one for one in companies.written() if not one.leads] == []
    wait_until(companies.all_know, "all gateways serve what Google has")


def check_steady(companies: Companies, seconds: float) -> None:
    """Let them run: one gateway syncs each account as often as promised."""
    wait_until(companies.leader, "a gateway leads")
    leader = companies.leader()
    serve(companies)
    began = now()
    let_run(seconds)
    durations = [each for caller in companies.callers for each in caller.take()[1]]
    synced = Counter(call.account for call in companies.calls(began) if call.is_answered and call.path == CONNECTIONS)
    sys.stdout.write(f"\nsyncs of an account: {min(synced.values())} to {max(synced.values())}\n")
    tell("searches", durations)
    assert synced.keys() == set(companies.addresses)
    assert min(synced.values()) >= seconds // SYNCED_SECONDS
    assert {call.gateway for call in companies.calls(began)} == {companies.leader()} == {leader}
    serve(companies)
    is_right(companies)


def check_changes(companies: Companies) -> None:
    """A hundred contacts that change, a hundred logins that are added and removed again, each of them by itself.

    All gateways find the contact, accept the login, and then refuse it and end its connections, within two seconds
    after the commit.
    """
    contacts: list[float] = []
    for round_ in range(10):
        changes = [companies.change(account, 2) for account in range(round_ % 5, len(companies.addresses), 5)]
        found = companies.wait_until_found(changes)
        committed = companies.committed(changes)
        contacts += [found[change] - committed[change] for change in changes]
    tell("contacts found after", contacts)
    accepted, refused, ended = [], [], []
    with closing(companies.open_database()) as database:
        for number in range(100):
            name, at = f"hall{number}", number % len(companies.gateways) + 1
            by_command = number % 10 == 0
            if by_command:
                password = companies.add_phone(name, at)
            else:
                password = name
                database.call(Mode.BESIDE, phones.add, companies.new_phone(name))
            committed_at = now()
            accepted.append(companies.wait_until_accepted(name, password) - committed_at)
            connections = companies.connect(name, password)
            if by_command:
                companies.remove_phone(name, at)
            else:
                assert database.call(Mode.BESIDE, phones.remove, name)
            committed_at = now()
            refused.append(companies.wait_until_refused(name, password) - committed_at)
            ended.append(companies.wait_until_ended(connections) - committed_at)
    tell("logins accepted after", accepted)
    tell("logins refused after", refused)
    tell("connections ended after", ended)
    assert [len(each) for each in (contacts, accepted, refused)] == [100, 100, 100]
    assert max(contacts + accepted + refused + ended) <= VISIBLE_SECONDS
    serve(companies)
    is_right(companies)
