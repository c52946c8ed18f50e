# SPDX-License-Identifier: MIT
"""The figures of people and phones are the same on the overview page, in ``ldapgw status`` and in the metrics."""

from __future__ import annotations

import re

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ldapgw.cli.status import tenant_object
from ldapgw.contact import Sharing
from ldapgw.directory.passwords import UNKNOWN_LOGIN_HASH
from ldapgw.phones.hints import Hint
from ldapgw.phones.summary import Summary, summarize
from ldapgw.server import config
from ldapgw.store import accounts, phones
from ldapgw.store.phones import LastSearch, Refusal
from tests.server.test_metrics import metrics_of, told
from tests.support.stage.web import NOW, Stage, add_phone, by_link, connect, words_on

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


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(PEOPLE), max_size=6), st.lists(st.sampled_from(PHONES), max_size=6))
def test_page_command_and_metrics_agree(people: list[str], desks: list[str]) -> None:
    """People connected and needing action; phones working, with settings to fix, and refused."""
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
