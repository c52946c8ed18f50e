# SPDX-License-Identifier: MIT
"""Accounts of people who have left the company are marked and removed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import insert, update

from ldapgw.contact import Sharing, Source
from ldapgw.store import accounts, activity, leavers, phones, revocations, sync_state
from ldapgw.store.accounts import Account, ErrorStatus
from ldapgw.store.leavers import HeldRemoval, Leaver, LeaverReason
from ldapgw.store.tables import source as source_table
from ldapgw.store.tables import workspace
from ldapgw.sync.leavers import (
    DAY,
    MAX_AGE,
    Decision,
    DirectoryListing,
    Facts,
    LeaverService,
    decide,
    read_listing,
    remove,
)
from tests.support.results import result_of
from tests.support.stage.sync import ALICE, ALL_SOURCES, NOW, Stage, person

ACME, DELAY = "acme.example", 14 * DAY
LONG_AGO = NOW - DELAY
REVOKED = {"revoked": True, "error": ErrorStatus("consent_revoked", LONG_AGO)}
SYNCED = {"has_consent": True, "last_sync": NOW - 600}


def account(number: int, **more: Any) -> Account:
    """A connected account of the Workspace."""
    known = {"address": f"P{number}@{ACME}", "connected_at": LONG_AGO - DAY, "hd": ACME, "sharing": Sharing.PRIVATE}
    return Account(number, "acme", f"sub-{number}", **{**known, **more})


def company(size: int, *odd: Account) -> tuple[Account, ...]:
    """So many accounts, some of which are replaced."""
    return tuple({each.id: each for each in (*map(account, range(size)), *odd)}.values())


def listing(*numbers: int, at: float = NOW) -> DirectoryListing:
    """A directory that has the people of some accounts."""
    return DirectoryListing(frozenset(f"p{number}@{ACME}" for number in numbers), frozenset(), at)


def marked(reason: LeaverReason, *numbers: int, **more: Any) -> dict[int, Leaver]:
    return {number: Leaver(number, reason, **{"since": LONG_AGO, **more}) for number in numbers}


def decided(
    considered: Collection[int], gone: Collection[int] = (), removed: Collection[Leaver] = (), held: int = 0
) -> Decision:
    return Decision(frozenset(considered), dict.fromkeys(gone, LeaverReason.MISSING), tuple(removed), held)


FIVE, LEFT = range(5), account(0, **REVOKED)
HERE, OTHERS = listing(1, 2, 3, 4), (1, 2, 3, 4)
MISSING = marked(LeaverReason.MISSING, 0)
DUE = MISSING[0]
DELEGATED = {"delegated": True, "hd": ACME}
SUSPENDED = marked(LeaverReason.SUSPENDED, 0)


def many(left: int, size: int, **more: Any) -> Facts:
    """A company with people who have left long ago."""
    gone = [account(number, **REVOKED) for number in range(left)]
    marks = marked(LeaverReason.MISSING, *range(left))
    return Facts(company(size, *gone), marks, listing(*range(left, size)), **more)


def held(facts: Facts, approved: int) -> Facts:
    """The same, when an administrator has approved the removal of the first of them."""
    marks = {key: replace(mark, approved=key < approved) for key, mark in facts.marks.items()}
    return replace(facts, marks=marks)


CASES: dict[str, tuple[Facts, Decision]] = {
    "nobody has left": (Facts(company(5), {}, listing(*FIVE)), decided(FIVE)),
    "a new leaver": (Facts(company(5, LEFT), {}, HERE), decided(FIVE, [0])),
    "a leaver whose time is over": (Facts(company(5, LEFT), MISSING, HERE), decided(FIVE, [0], [DUE])),
    "a leaver whose time is not over": (
        Facts(company(5, LEFT), marked(LeaverReason.MISSING, 0, since=LONG_AGO + 1), HERE), decided(FIVE, [0])),
    "a leaver who is kept": (
        Facts(company(5, LEFT), marked(LeaverReason.MISSING, 0, kept=True), HERE), decided(FIVE, [0])),
    "no full listing since the mark": (
        Facts(company(5, LEFT), MISSING, listing(*OTHERS, at=LONG_AGO - 1)), decided(FIVE, [0])),
    "Google has ended the access of somebody who is there": (
        Facts(company(5, LEFT), MISSING, listing(*FIVE)), decided(FIVE)),
    "somebody who is there has another address": (
        Facts(company(5, LEFT), MISSING, replace(HERE, ids=frozenset({"sub-0"}))), decided(FIVE)),
    "somebody who is not listed syncs": (Facts(company(5), MISSING, HERE), decided(FIVE)),
    "who is disconnected has not left": (
        Facts(company(5, account(0, connected_at=None)), MISSING, HERE), decided(FIVE)),
    "no directory that can be trusted": (Facts(company(5, LEFT), MISSING), decided(OTHERS)),
    "a directory that came back short": (Facts(company(5, LEFT), MISSING, listing(1, 2)), decided(OTHERS)),
    "a private account": (Facts(company(5, account(0, hd="", **REVOKED)), MISSING, HERE), decided(OTHERS)),
    "a directory of another company": (
        Facts(company(5, account(0, hd="other.example", **REVOKED)), MISSING, HERE), decided(OTHERS)),
    "another OAuth client": (
        Facts(company(5, account(0, revoked=True, error=ErrorStatus("consent_revoked", 0, facts={"by": "client"}))),
        MISSING, HERE), decided(OTHERS)),
    "an alarm of the tenant": (
        Facts(company(5, account(0, alarm=ErrorStatus("api_disabled", 0), **REVOKED)), MISSING, HERE), decided(OTHERS)),
    "a suspended user": (
        Facts(company(5, account(0, **DELEGATED)), SUSPENDED, listing(*FIVE), users_read_at=NOW),
        decided(OTHERS, removed=[SUSPENDED[0]])),
    "a suspended user, when the users cannot be read": (
        Facts(company(5, account(0, **DELEGATED)), SUSPENDED, HERE), decided(OTHERS)),
    "a user who is no longer delegated and syncs by consent": (
        Facts(company(5, account(0, **SYNCED)), SUSPENDED, HERE, users_read_at=NOW), decided(OTHERS)),
    "a user who is no longer delegated and whose consent has ended": (
        Facts(company(5, account(0, **SYNCED, **REVOKED)), SUSPENDED, HERE, users_read_at=NOW),
        decided(OTHERS, removed=[SUSPENDED[0]])),
    "a tenth": (many(3, 30), decided(range(30), range(3), marked(LeaverReason.MISSING, *range(3)).values())),
    "more than a tenth": (many(4, 30), decided(range(30), range(4), held=4)),
    "two of a small company": (many(2, 5), decided(FIVE, range(2), held=2)),
    "more than twenty": (many(21, 400), decided(range(400), range(21), held=21)),
    "more than a tenth within a day": (many(2, 28, removed_lately=2), decided(range(28), range(2), held=2)),
    "an approved removal of many": (
        held(many(4, 30), approved=4), decided(range(30), range(4), held(many(4, 30), approved=4).marks.values())),
    "an approval does not hold for more": (
        held(many(8, 30), approved=4),
        decided(range(30), range(8), list(held(many(8, 30), approved=4).marks.values())[:4], held=4)),
}  # fmt: skip


@pytest.mark.parametrize(("facts", "expected"), CASES.values(), ids=CASES)
def test_who_has_left(facts: Facts, expected: Decision) -> None:
    """The mark is set, kept or deleted, or the account is removed."""
    assert decide(facts, DELAY, NOW) == expected


def test_nobody_is_removed_unless_the_tenant_says_so() -> None:
    """Marks from the directory are deleted when the setting is taken away; others belong to another service."""
    facts = Facts(company(5, LEFT), MISSING | marked(LeaverReason.DELETED, 1), HERE, users_read_at=NOW)
    assert decide(facts, 0, NOW) == decided([0])


# --- with a database --------------------------------------------------------------------------------------------------


class Company:
    """A tenant whose people are in the directory, and the service that looks for leavers.

    :ivar removed: the accounts that were removed, as the service has told.
    """

    def __init__(self, size: int) -> None:
        self.stage = Stage(sources=ALL_SOURCES)
        self.stage.configure(remove_leavers=DELAY)
        self.people = [ALICE, *self.stage.add_users(size - 1)]
        self.names = {address: self.enlist(address) for address in self.people}
        for address in self.people:
            self.stage.connect(address, hd=ACME)
        self.stage.sync(ALICE)
        self.removed: list[tuple[str, str]] = []
        self.service = LeaverService(
            clock=self.stage.clock, leader=self.stage.leader, tenants=self.stage.synced, removed=self._note
        )

    async def _note(self, removed: Collection[tuple[str, str]]) -> None:
        self.removed.extend(removed)

    def enlist(self, address: str) -> str:
        """Add somebody to the directory."""
        return self.stage.world.add_person(
            ALICE, {**person(address), "emailAddresses": [{"value": address}]}, "directory"
        )

    def leave(self, *addresses: str) -> None:
        """Google ends their access, and the directory loses them."""
        for address in addresses:
            self.end_access(address)
            self.stage.world.delete_person(ALICE, self.names[address])

    def end_access(self, address: str) -> None:
        account, now = self.stage.account(address), self.stage.clock.seconds()
        self.stage.database.run(sync_state.fail, account, "consent_revoked", now, None)

    def look(self, days: float = 0) -> None:
        """Sync the directory after some days, in full after more than a day, and look for leavers."""
        self.stage.clock.advance(days * DAY)
        self.stage.sync_directory(ALICE, full=days > 1)
        result_of(self.service.look())

    def marks(self) -> dict[int, Leaver]:
        return self.stage.database.run(leavers.read, "acme")

    def here(self) -> set[str]:
        return {each.address for each in self.stage.database.run(accounts.read_all, "acme")}

    def log(self) -> list[tuple[str, str, str]]:
        """The activity log, without its beginning."""
        entries = self.stage.database.run(activity.read_since, "acme", 0.0)
        assert {entry.actor for entry in entries} <= {"gateway"}
        return [(entry.act, entry.subject, entry.detail) for entry in entries]


def test_a_leaver_leaves() -> None:
    """Contacts, phones and sign-ins are gone after the time; everybody else stays."""
    company = Company(5)
    leaver, other = company.people[1:3]
    company.stage.add_phone("desk1", owner=leaver)
    company.stage.add_phone("desk2", owner=other)
    found = company.stage.account(leaver)
    company.end_access(other)
    company.leave(leaver)
    company.look()
    begun = company.stage.clock.seconds()
    assert company.marks() == {found.id: Leaver(found.id, LeaverReason.MISSING, begun)}
    company.look(13.9)
    assert company.here() == set(company.people)
    company.look(0.2)
    assert company.here() == {*company.people} - {leaver}
    assert company.removed == [("acme", found.sub)]
    assert [login.name for login in company.stage.database.run(phones.read_all)] == ["desk2"]
    assert company.stage.database.run(revocations.read_due, company.stage.secret_box, begun * 2) == ()
    company.look(1)
    assert company.log() == [
        ("leaver_found", leaver, "missing"),
        ("leaver_removed", leaver, "missing"),
        ("phone_removed", "desk1", ""),
    ]


def test_a_leaver_comes_back() -> None:
    """The mark is gone with the first look, and a later mark has its own time."""
    company = Company(5)
    leaver = company.people[1]
    company.leave(leaver)
    company.look()
    company.look(10)
    company.stage.connect(leaver, hd=ACME)
    company.look()
    assert company.marks() == {}
    company.end_access(leaver)
    company.look(5)
    assert company.here() == set(company.people)
    assert [entry[0] for entry in company.log()] == ["leaver_found", "leaver_back", "leaver_found"]


def test_who_comes_back_in_the_last_moment_stays() -> None:
    """The account and its mark are read once more in the transaction that removes the account."""
    company = Company(7)
    connected, kept, gone = company.people[1:4]
    company.leave(connected, kept, gone)
    company.look()
    company.stage.database.run(leavers.approve, "acme", list(company.marks()))
    store, read = company.stage.leader.store, company.stage.leader.store.read

    def read_and_change(*args: Any, **kw: Any) -> Any:
        decision = read(*args, **kw)
        company.stage.connect(connected, hd=ACME)
        company.stage.database.run(leavers.keep, company.stage.account(kept).id)
        return decision

    store.read = read_and_change  # type: ignore[method-assign]
    company.look(15)
    assert company.here() == set(company.people) - {gone}


def test_many_leavers_wait_for_an_administrator() -> None:
    """Nobody is removed; the log and the activity log say so once.  Later leavers need another approval."""
    company = Company(21)
    company.leave(*company.people[1:5])
    company.look()
    company.look(15)
    company.look(1)
    assert company.here() == set(company.people)
    since = company.stage.clock.seconds() - DAY
    assert company.stage.database.run(leavers.read_held, "acme") == HeldRemoval("acme", 4, since)
    company.stage.database.run(leavers.approve, "acme", list(company.marks()))
    company.leave(*company.people[5:8])
    company.look()
    assert company.here() == {ALICE, *company.people[5:]}
    company.look(15)
    assert company.here() == {ALICE, *company.people[5:]}
    for address in company.people[5:8]:
        company.stage.connect(address, hd=ACME)
    company.look()
    assert company.stage.database.run(leavers.read_held, "acme") is None
    acts = [entry[0] for entry in company.log()]
    assert (acts.count("leavers_held"), acts.count("leaver_removed")) == (2, 4)


def test_a_suspended_user_is_removed_while_the_users_are_read() -> None:
    """The marks of the service account's users are left alone; without a good list of users, nobody is removed."""
    company = Company(5)
    suspended = company.stage.account(company.people[1])
    company.stage.database.run(leavers.mark, [suspended.id], {suspended.id: LeaverReason.SUSPENDED}, NOW)
    company.look(20)
    read = insert(workspace).values(tenant="acme", read_at=company.stage.clock.seconds(), error_code="key_rejected")
    company.stage.execute(read)
    company.look()
    assert company.here() == set(company.people)
    company.stage.execute(update(workspace).values(error_code=None))
    company.look()
    assert company.here() == set(company.people)  # the user's own consent is as good as ever
    company.stage.database.run(sync_state.fail, suspended, "consent_revoked", company.stage.clock.seconds(), None)
    company.look()
    assert company.here() == set(company.people) - {suspended.address}


@pytest.mark.parametrize(("facts", "count"), [({}, 0), ({"by": "client"}, 1)], ids=["ended", "another client"])
def test_the_grant_of_a_leaver_is_revoked_unless_google_has_ended_it(facts: dict[str, str], count: int) -> None:
    """Google still knows a grant to the client that the tenant had before."""
    company = Company(5)
    stage, now = company.stage, company.stage.clock.seconds()
    account = stage.account(company.people[1])
    stage.database.run(sync_state.fail, account, "consent_revoked", now, None, facts=facts)
    stage.database.run(leavers.mark, [account.id], {account.id: LeaverReason.SUSPENDED}, now)
    [mark] = company.marks().values()
    assert stage.database.run(remove, "acme", mark, now) == account.sub
    assert len(stage.database.run(revocations.read_due, stage.secret_box, 2 * now)) == count


def test_the_directory_is_trusted_only_if_complete_and_recent() -> None:
    """Each of the oddities alone spoils it, and none of them spoils it for ever."""
    company = Company(3)
    stage = company.stage

    def seen(after: float = 0.0) -> DirectoryListing | None:
        return stage.database.run(read_listing, "acme", stage.clock.seconds() + after)

    whole = DirectoryListing(
        frozenset(company.people), frozenset(stage.world.account(each).sub for each in company.people), NOW
    )
    assert seen(MAX_AGE) == whole
    for spoilt in (
        {"sync_token": None},
        {"full_sync_at": None},
        {"asked_at": NOW - MAX_AGE - 1},
        {"warnings": {"incomplete": {"listed": 2, "total": 3}}},
        {"warnings": {"directory_shrunk": {"lost": 2, "before": 10}}},
        {"error_code": "suspicious_shrink", "error_since": NOW},
        {"state": "unavailable"},
    ):
        with stage.database.begin() as connection:
            before = connection.execute(source_table.select().where(source_table.c.source == Source.DIRECTORY)).one()
            connection.execute(update(source_table).where(source_table.c.source == Source.DIRECTORY).values(spoilt))
        assert seen() is None, spoilt
        with stage.database.begin() as connection:
            values = {name: before._mapping[name] for name in spoilt}
            connection.execute(update(source_table).where(source_table.c.source == Source.DIRECTORY).values(values))
    assert seen() == whole
    assert stage.database.run(read_listing, "other", NOW) is None
