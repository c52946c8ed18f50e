# SPDX-License-Identifier: MIT
"""The figures of people and phones are the same on the overview page, in ``ldapgw status`` and in the metrics.

Each engine groups rows with its own SQL, so the figures are compared on both.
"""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from itertools import product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert

from ldapgw.cli.status import tenant_object
from ldapgw.contact import Sharing
from ldapgw.directory.passwords import UNKNOWN_LOGIN_HASH
from ldapgw.phones.hints import Hint
from ldapgw.phones.summary import PhoneCondition, Summary, phone_condition, summarize, summarize_alike
from ldapgw.server import config
from ldapgw.store import accounts, phones, tables
from ldapgw.store.account_status import STALE_SECONDS, UNKNOWN_REFUSALS
from ldapgw.store.database import Database
from ldapgw.store.phones import LastSearch, NumberMode, PhoneLogin, Refusal
from tests.server.test_metrics import metrics_of, told
from tests.support import work
from tests.support.postgresql import needs_postgresql, open_new
from tests.support.stage.databases import open_in_memory
from tests.support.stage.web import NOW, Stage, add_phone, by_link, connect, words_on
from tests.support.work import calls

PEOPLE = ("ok", "waiting", "consent_revoked", "network", "disconnected")
PHONES = ("working", "problems", "refused", "waiting")
TENANT = config.Tenant(name="acme", title="Acme GmbH", base_dn="dc=acme,dc=example")


def fill(stage: Stage, people: list[str], desks: list[str]) -> None:
    for number, kind in enumerate(people):
        address = f"p{number}@acme.example"
        if kind == "waiting":
            grant = accounts.NewGrant(address, address, frozenset(), "at", NOW + 3600, f"rt-{address}", None)
            stage.do(accounts.connect, stage.secret_box, "acme", grant, Sharing.PRIVATE, NOW, shared_label="")
            continue
        key = connect(stage, address, code=kind if kind in ("consent_revoked", "network") else "")
        if kind == "disconnected":
            stage.do(accounts.disconnect, key)
    for number, kind in enumerate(desks):
        name = f"desk{number}"
        add_phone(stage, name)
        if kind == "working":
            stage.do(phones.store_last_searches, {name: LastSearch(NOW, "", NOW)})
        elif kind == "problems":
            stage.do(phones.store_last_searches, {name: LastSearch(NOW, Hint.NUMBER_ALONE.value, NOW)})
        elif kind == "refused":
            stage.do(phones.store_refusals, {name: (Refusal(NOW, "192.0.2.7", 3), UNKNOWN_LOGIN_HASH)})


# The states of accounts and the conditions of phones follow from these columns.
ACCOUNT = (
    *("tenant", "connected_at", "last_sync", "syncing", "error_code", "error_since", "error_facts"),
    *("failures", "refresh_token", "delegated"),
)
PHONE = ("tenant", "last_seen", "password_at", "search_hint", "worked_at", "refused_at", "refused_address")


def unlike() -> tuple[list[dict[str, object]], list[dict[str, object]], list[dict[str, object]]]:
    """Return rows of accounts, failing sources and phones in all conditions, for two tenants."""
    long_ago, lately = NOW - STALE_SECONDS - 1, NOW - 60
    people = product(
        *(("t0", "t1"), (None, lately), (None, long_ago, lately), (False, True)),
        *((None, "network", "internal", "consent_revoked"), (long_ago, lately), (None, {"by": "token"})),
        *((0, UNKNOWN_REFUSALS), (None, b"token"), (False, True)),
    )
    accounts = [
        dict(zip(ACCOUNT, values, strict=True))
        | {
            "sub": f"{number}",
            "address": f"{number}@acme.example",
            "sharing": "private",
            "contacts": number % 5 or None,
            "next_sync": NOW if number % 3 else None,
        }
        for number, values in enumerate(people)
    ]
    # Two accounts differ only in their syncs: the second account, which is not synced any more, has the older sync.
    synced = accounts[0] | {"connected_at": long_ago, "last_sync": long_ago, "next_sync": NOW}
    accounts += [synced | {"sub": "synced"}, synced | {"sub": "idle", "last_sync": long_ago - 100, "next_sync": None}]
    # The first and the last account have the same row, but a source of the last account fails.
    accounts.append(accounts[0] | {"sub": "failing", "connected_at": lately})
    accounts.insert(0, accounts[-1] | {"sub": "good"})
    sources = [
        {"account_id": len(accounts), "source": "directory", "state": "on", "error_code": "quota", "error_since": NOW}
    ]
    desks = product(
        *(("t0", "t1"), (None, lately), (None, lately), ("", "no_name"), (None, lately)),
        *((None, long_ago, NOW - 30), ("192.0.2.7", "192.0.3.7")),
    )
    phones = [
        dict(zip(PHONE, values, strict=True))
        | {"name": f"desk{number}", "numbers": "values", "password": "", "created_at": 0}
        | {"last_address": "192.0.2.1", "refused_count": 1}
        for number, values in enumerate(desks)
    ]
    return accounts, sources, phones


@pytest.mark.parametrize("opened", [lambda: closing(open_in_memory()), pytest.param(open_new, marks=needs_postgresql)])
def test_alike_accounts_and_phones_have_the_figures_of_all(
    opened: Callable[[], AbstractContextManager[Database]],
) -> None:
    """The database groups the rows, so no account and no phone is read alone."""
    rows = zip((tables.account, tables.source, tables.phone), unlike(), strict=True)
    with opened() as database, database.begin() as connection:
        for table, values in rows:
            connection.execute(insert(table), values)
        connection.execute(insert(tables.alarm), [{"tenant": "t1", "code": "api_disabled", "since": NOW}])
        if isinstance(raw := connection.connection.driver_connection, sqlite3.Connection):
            raw.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 999)  # 999 is the lowest limit of a build of SQLite
        people, desks = accounts.read_alike(connection, NOW - STALE_SECONDS), phones.read_alike(connection)
        known, logins = accounts.read_all(connection), phones.read_all(connection)
        assert summarize_alike(people, desks, NOW) == summarize(known, logins, NOW)
        for tenant in ("t0", "t1"):
            syncs = [each.last_sync for each in known if each.tenant == tenant and each.next_sync and each.last_sync]
            oldest = [each.oldest_sync for each in people if each.account.tenant == tenant and each.account.next_sync]
            assert min(syncs) == min(filter(None, oldest))
        errors = Counter((found.tenant, found.error.code) for found in known if found.error is not None)
        for found, size, *_ in people:
            if found.error is not None:
                errors[found.tenant, found.error.code] -= size
        assert not any(errors.values())


def test_the_metrics_do_not_take_longer_for_more_accounts() -> None:
    """The number of phones does not matter either."""
    asked = []
    for count in (10, 500):
        stage = Stage()
        with stage.database.begin() as connection:
            account, phone = (rows[-1] for rows in unlike()[::2])
            many = [{**account, "sub": f"{at}", "error_code": None, "tenant": "acme"} for at in range(count)]
            connection.execute(insert(tables.account), many)
            desks = [{**phone, "name": f"desk{at}", "refused_at": None, "tenant": "acme"} for at in range(count)]
            connection.execute(insert(tables.phone), desks)
        metrics = metrics_of(stage)
        asked.append(work.calls(lambda metrics=metrics: told(metrics)))  # type: ignore[misc]
    assert asked[1] < 1.05 * asked[0]


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(PEOPLE), max_size=6), st.lists(st.sampled_from(PHONES), max_size=6))
def test_page_command_and_metrics_agree(people: list[str], desks: list[str]) -> None:
    """The figures are connected people, people who need action, and phones by condition."""
    stage = Stage()
    fill(stage, people, desks)
    command = tenant_object(
        TENANT,
        summarize(stage.accounts(), stage.do(phones.read_all), NOW).get("acme", Summary()),
        {},
    )
    samples = told(metrics_of(stage))
    metrics = {
        (name.removeprefix("ldapgw_"), dict(labels).get("state") or dict(labels)["condition"]): int(value)
        for (name, labels), value in samples.items()
        if name in ("ldapgw_accounts", "ldapgw_phones") and dict(labels)["tenant"] == "acme"
    }
    assert metrics == {(kind, key): count for kind in ("accounts", "phones") for key, count in command[kind].items()}
    states, conditions = command["accounts"], command["phones"]
    assert conditions == {kind: desks.count(kind) for kind in PHONES}
    browser = by_link(stage)
    words = words_on(browser.get("/acme/admin"))
    connected = states["ok"] + states["syncing"] + states["waiting"]
    attention, wrong, refused = states["attention"], conditions["problems"], conditions["refused"]
    assert attention == people.count("consent_revoked")
    needing = f" {attention} need{'s' * (attention == 1)} action" if attention else ""
    assert f"People connected {connected} of {len(people)}{needing} Phones working" in words
    to_fix = f" {wrong} with settings to fix" if wrong else ""
    with_wrong_password = f" {refused} with a wrong password" if refused else ""
    expected = f"Phones working {conditions['working']} of {len(desks)}{to_fix}{with_wrong_password} Contacts 0"
    assert expected in words
    chips = words_on(browser.get("/acme/admin/people"))
    assert ("Needs action" in chips, f"Needs action {attention}" in chips) == (bool(attention), bool(attention))
    assert (connected > 0) is (f"Connected {connected}" in chips)
    for show, count in (("works", conditions["working"]), ("settings", wrong), ("refused", refused)):
        rows = re.findall('name="row-', browser.get(f"/acme/admin/phones?show={show}").body)
        assert len(rows) == count


@pytest.mark.parametrize(
    ("hint", "worked_at", "expected"),
    [
        ("", None, PhoneCondition.WAITING),
        ("", 1.0, PhoneCondition.WORKING),
        ("a hint of a later version", 1.0, PhoneCondition.WORKING),
        (Hint.NOTHING.value, 1.0, PhoneCondition.WORKING),
        (Hint.AFFIX.value, 1.0, PhoneCondition.PROBLEMS),
    ],
)
def test_the_condition_of_a_phone(hint: str, worked_at: float | None, expected: PhoneCondition) -> None:
    """A table shows the conditions of thousands of phones, so a condition takes few calls of functions."""
    login = PhoneLogin("desk1", "acme", None, NumberMode.VALUES, "", 0.0, search_hint=hint, worked_at=worked_at)
    assert phone_condition(login, 2.0) is expected
    assert calls(lambda: phone_condition(login, 2.0)) < 8
