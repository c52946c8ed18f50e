# SPDX-License-Identifier: MIT
"""The activity log: entries with what they say, pages of them, and what is deleted when."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection

from ldapgw.store import activity
from ldapgw.store.activity import COMMAND_LINE, GATEWAY, PAGE_SIZE, Act, ActivityEntry, Actor, entry, record

NOW = 1_700_000_000.0
ANNA = Actor("anna@acme.example", "192.0.2.7")


def test_an_entry_says_who_did_what(connection: Connection) -> None:
    """In another tenant's log it is not."""
    new = entry(NOW, "acme", ANNA, Act.PHONE_RENAMED, "desk1", "desk2")
    record(connection, new, entry(NOW, "other", GATEWAY, Act.CONNECTED, "anna@acme.example"))
    page = activity.read_page(connection, "acme")
    assert page.entries == (
        ActivityEntry(NOW, "acme", "anna@acme.example", "phone_renamed", "desk1", "desk2", "192.0.2.7"),
    )
    assert (page.total, page.number, page.pages) == (1, 1, 1)
    assert activity.count_acts(connection, "acme") == {"phone_renamed": 1}
    assert "anna" not in repr(new) + repr(ANNA)


@pytest.mark.parametrize(("result", "count"), [(True, 1), (None, 1), (False, 0)])
def test_what_did_nothing_is_not_recorded(connection: Connection, result: bool | None, count: int) -> None:
    """As when a phone is removed that is gone already."""
    new = entry(NOW, "acme", COMMAND_LINE, Act.PHONE_REMOVED, "desk1")

    def act(_connection: Connection, given: bool | None) -> bool | None:
        return given

    assert activity.recorded(connection, new, act, result) is result
    assert activity.read_page(connection, "acme").total == count


def test_pages_begin_with_the_newest_or_the_oldest(connection: Connection) -> None:
    """A page that does not exist is the nearest one; entries of the same second keep their order."""
    names = [f"desk{number}" for number in range(PAGE_SIZE + 2)]
    record(connection, *(entry(NOW, "acme", ANNA, Act.PHONE_ADDED, name) for name in names))

    def subjects(number: int, *, oldest_first: bool = False) -> list[str]:
        page = activity.read_page(connection, "acme", number=number, oldest_first=oldest_first)
        return [one.subject for one in page.entries]

    assert subjects(1) == [*reversed(names[2:])]
    assert subjects(2) == subjects(99) == [names[1], names[0]]
    assert subjects(1, oldest_first=True) == subjects(-1, oldest_first=True) == names[:PAGE_SIZE]
    assert subjects(2, oldest_first=True) == names[PAGE_SIZE:]


def test_entries_are_filtered_by_act_and_person(connection: Connection) -> None:
    """A person acts, or is acted on; what a filter has of SQL's signs is meant literally."""
    record(
        connection,
        entry(NOW, "acme", ANNA, Act.SIGNED_IN, ANNA.name),
        entry(NOW + 1, "acme", Actor("root@acme.example"), Act.DISCONNECTED, "anna@acme.example"),
        entry(NOW + 2, "acme", Actor("Jörg@acme.example"), Act.PHONE_REMOVED, "desk1"),
    )

    def acts(act: str = "", person: str = "") -> list[str]:
        return [one.act for one in activity.read_page(connection, "acme", act=act, person=person).entries]

    assert acts(act="signed_in") == ["signed_in"]
    assert acts(person="ANNA@") == ["disconnected", "signed_in"]
    assert acts(person="Jörg") == acts(person="JöRG") == ["phone_removed"]
    assert acts(act="disconnected", person="root") == ["disconnected"]
    assert acts(person="%") == acts(person="desk_") == []


def test_old_entries_are_deleted(connection: Connection) -> None:
    """As each tenant says; those of a tenant that left the configuration stay."""
    for tenant in ("acme", "other", "gone"):
        record(connection, *(entry(NOW + age, tenant, GATEWAY, Act.CONNECTED) for age in (0, 100)))
    activity.prune(connection, NOW + 100, {"acme": 50.0, "other": 500.0})
    left = [(one.tenant, one.when - NOW) for one in activity.read_since(connection, None, 0)]
    assert left == [("other", 0), ("gone", 0), ("acme", 100), ("other", 100), ("gone", 100)]
    assert [one.tenant for one in activity.read_since(connection, "acme", 0)] == ["acme"]
    assert [one.tenant for one in activity.read_since(connection, "other", NOW + 1)] == ["other"]
