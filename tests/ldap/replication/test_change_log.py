# SPDX-License-Identifier: MIT
"""The content of replicas and its changes; `test_provider.py` has what a replica makes of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ldapgw.contact import Sharing
from ldapgw.directory.access import ReplicaAccess
from ldapgw.directory.book import with_sharing
from ldapgw.directory.catalog import Snapshot
from ldapgw.directory.dit import Dit
from ldapgw.directory.dn import folded
from ldapgw.ldap.replication import change_log
from ldapgw.ldap.replication.change_log import Change, ChangeLog, ReplicaContent, ordered
from ldapgw.ldap.replication.replica_entry import ContainerEntry, Csn, LoginEntry
from ldapgw.numbers.phone_number import NumberFormat
from tests.support.phonebook.replicated import BRANCH, FEATURES, PRIVATE, SHARED, Site, book, contact, phone
from tests.support.phonebook.wire import BASE, CONTEXT

ALICE, BOB = (f"ou={name}@acme.example,{BASE}" for name in ("alice", "bob"))
SALES = {"contactGroups/1": "Sales"}
LABELLED = {"labels": ("contactGroups/1",)}


def opened(site: Site, access: ReplicaAccess = SHARED) -> ChangeLog:
    """The log of a replica, which has caught up."""
    log = site.logs.open(access)
    assert log is not None
    site.catch_up()
    return log


def content(site: Site, access: ReplicaAccess) -> ReplicaContent:
    found = opened(site, access).content
    assert found is not None
    return found


def dns(site: Site, access: ReplicaAccess) -> list[str]:
    found = content(site, access)
    names = [entry.dn().decode() for entry in found.entries()]
    assert found.size == len(names)
    assert [entry.depth for entry in found.entries()] == sorted(entry.depth for entry in found.entries())
    return sorted(set(names) - {BASE, f"ou=phones,{BASE}"})


def marks(site: Site) -> dict[str, bytes]:
    others = content(site, PRIVATE).others.values()
    return {entry.dn().decode(): entry.sharing for entry in others if isinstance(entry, ContainerEntry)}


def changes_since(log: ChangeLog, csn: Csn) -> list[tuple[str, bool]]:
    assert log.find(csn) == csn
    return sorted((change.entry.dn().decode(), change.is_deleted) for change in log.changes_after(csn))


@pytest.mark.parametrize(
    ("sharing", "label", "shared", "private", "marked"),
    [
        (Sharing.SHARED, "", ["", "uid=c1,"], ["", "uid=c1,"], {"": b"shared"}),
        (Sharing.PRIVATE, "", [], ["", "uid=c1,"], {"": b""}),
        (Sharing.CALLERS, "", [], ["", "uid=c1,"], {"": b""}),
        (Sharing("group:sales"), "", [], ["", "uid=c1,"], {"": b"group:sales"}),
        (
            Sharing.SHARED,
            "Sales",
            ["", "ou=Sales,", "uid=c1,ou=Sales,"],
            ["", "ou=Sales,", "uid=c1,", "uid=c1,ou=Sales,"],
            {"": b"", "ou=Sales,": b"shared"},
        ),
        (Sharing.PRIVATE, "Sales", [], ["", "uid=c1,"], {"": b""}),
        (Sharing.SHARED, "None", [], ["", "uid=c1,"], {"": b""}),
    ],
    ids=["shared", "private", "for callers", "group", "shared label", "private label", "label that is gone"],
)
def test_who_holds_what(
    sharing: Sharing, label: str, shared: list[str], private: list[str], marked: dict[str, bytes]
) -> None:
    """Without private books, what a phone for everybody finds; labels are no branches, but for a shared label."""
    site = Site()
    site.set("alice", Sharing.PRIVATE, [contact(1, **LABELLED)], SALES)
    site.share("alice", sharing, label)
    assert dns(site, SHARED) == sorted(f"{name}{ALICE}" for name in shared)
    assert dns(site, PRIVATE) == sorted(f"{name}{ALICE}" for name in private)
    assert marks(site) == {BASE: b""} | {f"{name}{ALICE}": mark for name, mark in marked.items()}


def test_logins_of_phones_are_held_and_those_of_replicas_are_not() -> None:
    site = Site()
    site.logins |= {"desk1": phone("Desk1", "alice"), "away": phone("away")}
    other = phone("other")
    site.logins["other"] = replace(other, viewer=other.viewer._replace(access=()))
    site.publish()
    assert dns(site, SHARED) == [f"cn={name},ou=phones,{BASE}" for name in ("Desk1", "away")]


def test_books_of_a_phone() -> None:
    """With private books, a phone names its own book and those that are shared with a group of its account."""
    groups = {"sales": frozenset((folded("alice@acme.example"),))}
    site = Site(context=replace(CONTEXT, groups=groups))
    for key in ("alice", "bob", "carol", "dave"):
        site.set(key, Sharing.PRIVATE, [contact(1, **LABELLED)], SALES)
    site.share("bob", Sharing("group:sales"), "Sales")
    site.share("carol", Sharing("group:sales"), "Nothing")
    site.share("dave", Sharing("group:other"))
    site.logins |= {"desk1": phone("desk1", "alice"), "hall": phone("hall")}
    site.publish()
    logins = content(site, PRIVATE).logins
    assert logins["desk1"].books == (ALICE.encode(), f"ou=Sales,{BOB}".encode())
    assert logins["hall"].books == ()
    assert {entry.books for entry in content(site, SHARED).logins.values()} == {()}
    site.share("dave", Sharing("group:sales"))
    assert content(site, PRIVATE).logins["desk1"].books == (
        *logins["desk1"].books,
        f"ou=dave@acme.example,{BASE}".encode(),
    )


@pytest.mark.parametrize(("label", "held"), [("", ["uid=c1,"]), ("Sales", ["ou=Sales,", "uid=c1,ou=Sales,"])])
def test_two_books_of_one_name(label: str, held: list[str]) -> None:
    """Google can give an address to another person: a replica can hold only one of them."""
    site = Site()
    for key, number in (("alice", 1), ("other", 2)):
        made = book("alice", Sharing.SHARED, [contact(number, **LABELLED)], SALES)
        site.books[key] = with_sharing(replace(made, key=key), Sharing.SHARED, label)
    site.publish()
    assert dns(site, SHARED) == sorted(f"{name}{ALICE}" for name in ("", *held))


def test_unchanged_entries_are_the_same() -> None:
    site = Site()
    site.logins["desk1"] = phone("desk1")
    site.set("alice", Sharing.SHARED, [contact(1)])
    before = content(site, SHARED)
    site.change("alice", [contact(2)])
    after = content(site, SHARED)
    assert [after.others[uuid] is entry for uuid, entry in before.others.items()] == [True] * 4
    assert isinstance(after.logins["desk1"], LoginEntry)


def test_changes_are_found_wherever_they_are() -> None:
    """In a segment, beside it, in a merged one, and in a book that was built anew."""
    site = Site()
    site.set("alice", Sharing.SHARED, [contact(at) for at in range(100)])
    log = opened(site)
    csns = [log.csn]
    for stored, deleted in (([contact(3, "New")], []), ([], ["c4"]), ([contact(200)], ["c3"])):
        site.change("alice", stored, deleted)
        site.catch_up()
        csns.append(log.csn)
    made = [contact(at) for at in range(100) if at not in (3, 4)]
    site.set("alice", Sharing.SHARED, [*made, contact(200, "Newer")])
    site.catch_up()
    assert csns == sorted(set(csns))
    assert changes_since(log, csns[0]) == [
        (f"uid=c200,{ALICE}", False),
        (f"uid=c3,{ALICE}", True),
        (f"uid=c4,{ALICE}", True),
    ]
    assert changes_since(log, csns[2]) == [(f"uid=c200,{ALICE}", False), (f"uid=c3,{ALICE}", True)]
    assert changes_since(log, csns[3]) == [(f"uid=c200,{ALICE}", False)]
    assert changes_since(log, log.csn) == []


def test_content_that_comes_back() -> None:
    """The content has its own number again; whoever has it already needs nothing, wherever it comes from."""
    site, other = Site(), Site(now=1.0)
    for made in (site, other):
        made.set("alice", Sharing.SHARED, [contact(1)])
    log, elsewhere = opened(site), opened(other)
    assert (log.csn.state, log.csn) != (0, elsewhere.csn)
    assert log.csn.state == elsewhere.csn.state
    first = log.csn
    assert (log.find(elsewhere.csn), log.changes_after(first)) == (first, [])
    site.change("alice", [contact(2)])
    site.catch_up()
    assert (log.find(first), log.find(elsewhere.csn)) == (first, first)
    assert changes_since(log, first) == [(f"uid=c2,{ALICE}", False)]
    site.change("alice", [], ["c2"])
    site.catch_up()
    assert (log.csn.state, log.find(elsewhere.csn)) == (first.state, log.csn)
    assert changes_since(log, first) == [(f"uid=c2,{ALICE}", True)]


def test_content_that_comes_back_after_forgotten_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A number from before the forgotten changes names the content, which the log has again."""
    monkeypatch.setattr(change_log, "MAX_CHANGES", 2)
    site = Site()
    site.set("alice", Sharing.SHARED, [contact(1)])
    log = opened(site)
    first, added = log.csn, [contact(at) for at in (2, 3, 4)]
    site.change("alice", added)
    site.catch_up()
    assert log.find(first) is None
    site.change("alice", [], [one.uid for one in added])
    site.catch_up()
    assert (log.csn > first, log.find(first)) == (True, log.csn)


def test_more_changes_at_once_than_a_log_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The log forgets all earlier changes, and knows the content after the changes."""
    monkeypatch.setattr(change_log, "MAX_CHANGES", 2)
    site = Site()
    site.set("alice", Sharing.SHARED, [contact(1)])
    log = opened(site)
    csns = [log.csn]
    for stored in ([contact(1, "New")], [contact(at) for at in (2, 3, 4)], [contact(5)]):
        site.change("alice", stored)
        site.catch_up()
        csns.append(log.csn)
    assert [log.find(csn) for csn in csns] == [None, None, *csns[2:]]
    assert changes_since(log, csns[2]) == [(f"uid=c5,{ALICE}", False)]


def test_a_snapshot_is_read_once() -> None:
    """However many replicas ask while it is served: there is nothing new in it."""
    site = Site()
    site.set("alice", Sharing.SHARED, [contact(1)])
    log = site.logs.open(SHARED)
    assert log is not None
    assert site.catch_up() > 0
    content, csn = log.content, log.csn
    assert (site.catch_up(), log.content, log.csn) == (0, content, csn)
    site.change("alice", [contact(2)])
    assert site.catch_up() > 0
    assert log.csn > csn


def test_settings_are_part_of_the_content() -> None:
    """A replica gets everything anew when numbers have another format in the same entries."""
    plain = SHARED._replace(extra_values=False)
    site = Site()
    logs = [site.logs.open(access) for access in (SHARED, plain)]
    site.logins["plain"] = replace(BRANCH, name="plain", viewer=BRANCH.viewer._replace(replica=plain))
    site.publish()
    site.catch_up()
    others = [
        opened(Site(context=replace(CONTEXT, **setting)))
        for setting in ({"number_format": NumberFormat.DIAL}, {"region": "US"}, {"outside_line": "0"})
    ]
    assert len({log.csn.state for log in (*logs, *others) if log is not None}) == 5


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Older changes, and numbers that were given out long ago, are forgotten."""
    monkeypatch.setattr(change_log, "_MAX_CSNS", 3)
    monkeypatch.setattr(change_log, "MAX_CHANGES", 4)
    site = Site()
    site.set("alice", Sharing.SHARED, [contact(at) for at in range(50)])
    log = opened(site)
    csns = [log.csn]
    for at in (1, 3, 5):
        site.change("alice", [contact(at, "New"), contact(at + 1, "New")])
        site.catch_up()
        csns.append(log.csn)
    # Six changes: the first comparison's two are gone, so the first number is unknown.
    assert [log.find(csn) for csn in csns] == [None, *csns[1:]]
    assert site.logs.renew(log, Csn(10**17, 0)) == Csn(10**17 + 1, log.csn.state)
    assert [log.find(csn) for csn in csns] == [None, None, *csns[2:]]
    for _ in range(2):
        site.logs.renew(log, log.csn)
    # The content of the last number has a later one.
    assert [log.find(csn) for csn in csns] == [None, None, None, log.csn]


def test_work_is_done_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """However much there is to compare, each step is short."""
    monkeypatch.setattr(change_log, "SLICE", 5)
    monkeypatch.setattr(change_log, "_BOOKS_IN_SLICE", 1)
    site = Site()
    site.set("alice", Sharing.SHARED, [contact(at) for at in range(100)])
    for at in range(12):
        site.logins[f"p{at}"] = phone(f"p{at}")
    site.publish()
    site.logs.open(SHARED)
    first = site.catch_up()
    site.set("alice", Sharing.SHARED, [contact(at, "New") for at in range(100)])
    again = site.catch_up()
    monkeypatch.setattr(change_log, "MAX_CHANGES", 99)
    site.set("alice", Sharing.SHARED, [contact(at, "Newer") for at in range(100)])
    # 20 slices log the changes, and 20 slices free the former entries; too many changes are not logged, but freed.
    assert (again, site.catch_up()) == (135, 115)
    site.set("alice", Sharing.SHARED, [contact(at, "Newer") for at in range(200)])
    added = site.catch_up()
    assert (first > 20, added > 60) == (True, True)


def test_a_replica_that_gets_a_new_csn_between_two_slices_gets_all_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The log publishes the changes together, with a CSN that is later than all CSNs that replicas have."""
    monkeypatch.setattr(change_log, "SLICE", 5)
    site = Site()
    site.set("alice", Sharing.SHARED, [contact(at) for at in range(30)])
    log = opened(site)
    former, given = log.csn, [log.csn]
    site.change("alice", [contact(at, "New") for at in range(30)])
    for step, _ in enumerate(site.logs.catch_up()):
        if step < 60:
            given.append(site.logs.renew(log, log.csn))
    found = [(csn.state == former.state, len(changes_since(log, csn))) for csn in given]
    assert (len(given), set(found)) == (61, {(True, 30)})
    assert given[-1] < log.csn


def test_logs_end_with_their_logins() -> None:
    site = Site()
    assert not site.logs
    assert site.logs.open(SHARED) is site.logs.open(SHARED)
    assert site.logs
    del site.logins["branch"]
    site.publish()
    site.catch_up()
    assert not site.logs


def test_tenant_that_is_gone() -> None:
    """The content stays what it was; a new log begins only where there is a tenant."""
    site = Site()
    log = opened(site)
    before = log.content
    site.snapshot = Snapshot(Dit((), FEATURES), site.logins, loaded=True)
    site.catch_up()
    assert log.content is before
    assert site.logs.open(PRIVATE) is None


def test_clock_of_cookies() -> None:
    site = Site(now=1000.0)
    assert [site.logs.is_future(Csn(int(seconds * 1e6), 0)) for seconds in (87000, 88000)] == [False, True]


def test_order_of_changes() -> None:
    """Deleted entries come first, children before parents; then the others, parents before children."""
    site = Site()
    site.set("alice", Sharing.SHARED, [contact(1)])
    entries = list(content(site, SHARED).entries())
    csn = Csn(1, 1)
    changes = [Change(csn, entry, is_deleted, csn) for entry in entries for is_deleted in (True, False)]
    deleted, stored = ordered(changes)
    depths = [entry.depth for entry in entries]
    assert [change.entry.depth for change in deleted] == sorted(depths, reverse=True)
    assert [change.entry.depth for change in stored] == sorted(depths)
    assert ([one.is_deleted for one in deleted], [one.is_deleted for one in stored]) == ([True] * 4, [False] * 4)
