# SPDX-License-Identifier: MIT
"""The administration tries a service account before saving its key, which is sealed and never shown."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import select

from ldapgw.google.delegation import GROUPS_SCOPE, USERS_SCOPE
from ldapgw.google.oauth import SCOPE_OF
from ldapgw.google.sandbox import delegation as sandbox
from ldapgw.store import activity, tenants
from ldapgw.store.activity import Act
from ldapgw.store.tables import delegation
from ldapgw.store.tenants import DelegationSettings
from tests.support.stage.web import ALICE, BOB, Browser, Stage, by_link, words_on

EMAIL = "phonebook@acme-phones.iam.gserviceaccount.com"
PAGE, FORM = "/acme/admin/google", "/acme/admin/delegation"


@pytest.fixture
def key_file(stage: Stage) -> str:
    """Return the key of a service account that no Workspace allows anything yet; Bob administers the Workspace."""
    stage.world.workspaces.register(EMAIL)
    stage.world.set_user(BOB, admin=True)
    for address in (ALICE, BOB):
        stage.world.set_user(address, signed_in=True)
    return sandbox.key_file(stage.world).decode()


def allow(stage: Stage) -> None:
    stage.world.workspaces.authorize(EMAIL, "acme.example", [*SCOPE_OF.values(), USERS_SCOPE, GROUPS_SCOPE])


def test_a_service_account_is_tried_and_then_saved(stage: Stage, admin: Browser, key_file: str) -> None:
    """The page says what the Workspace has to allow; the file is sent once, and no page shows its key."""
    secret = json.loads(key_file)["private_key"].splitlines()[1]
    refused = admin.submit(FORM, key_file=key_file, administrator=BOB, users="@acme.example")
    assert refused.status == 400
    account = stage.world.workspaces.service_account()
    for told in (
        "Not saved.",
        "Google Workspace does not allow this service account to read any data of this user.",
        "The Google Workspace administrator: In the Google Admin console, go to Security, Access and data control",
        account.client_id,
        f"{SCOPE_OF[next(iter(SCOPE_OF))]},",
    ):
        assert told in words_on(refused)
    assert f"clientIdToAdd={account.client_id}&amp;overwriteClientId=true" in refused.body
    assert stage.delegations == {}
    allow(stage)
    assert admin.submit(FORM, administrator=BOB, users="@acme.example").status == 303
    saved = admin.get(PAGE)
    assert "Saved. Google accepts the service account." in words_on(saved)
    assert EMAIL in words_on(saved)
    assert stage.delegations["acme"].settings == DelegationSettings(BOB, users=("@acme.example",))
    assert not any(secret in page.body for page in (refused, saved, admin.get(PAGE)))
    with stage.database.begin() as connection:
        (row,) = connection.execute(select(delegation)).all()
        (entry,) = (each for each in activity.read_since(connection, "acme", 0) if each.act == Act.DELEGATION_ENTERED)
    assert secret.encode() not in row.key_file
    assert entry.detail == "3"  # the users whose contacts would be read
    changed = admin.submit(FORM, administrator=BOB, users=ALICE, org_units="/Sales, /East", exclude=BOB)
    assert changed.status == 303
    assert stage.delegations["acme"].settings == DelegationSettings(
        BOB, users=(ALICE,), org_units=("/Sales", "/East"), exclude=(BOB,)
    )


def test_a_saved_service_account_stays_in_use_after_a_refusal(stage: Stage, admin: Browser, key_file: str) -> None:
    """Google refuses new settings; the page still shows the saved service account with its source."""
    allow(stage)
    admin.submit(FORM, key_file=key_file, administrator=BOB, users="@acme.example")
    refused = admin.submit(FORM, administrator=ALICE, users="@acme.example")
    assert (refused.status, "Not saved." in words_on(refused)) == (400, True)
    for page in (refused, admin.get(PAGE)):
        assert "Source entered here on" in words_on(page)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({}, "Choose the JSON file of the service account’s key."),
        ({"key_file": '{"web": {}}'}, "The file belongs to an OAuth client."),
        ({"key_file": "%PDF"}, "The file is not JSON."),
        ({"administrator": "bob"}, "Enter the email address of a Workspace user who may read users and groups."),
        ({"users": ""}, "Say whose contacts the service account may read"),
        ({"users": "acme.example"}, "“acme.example” isn’t an address, a domain such as @acme.example, or *."),
        ({"groups": "sales"}, "“sales” isn’t the address of a Google Group."),
        ({"org_units": "Sales"}, "“Sales” isn’t the path of an organizational unit, such as /Sales."),
        ({"exclude": "@acme.example"}, "“@acme.example” isn’t an email address."),
    ],
)
def test_what_is_wrong_is_said(stage: Stage, values: dict[str, str], told: str) -> None:
    page = by_link(stage).submit(FORM, **{"administrator": BOB, "users": "@acme.example", **values})
    assert (page.status, told in words_on(page)) == (400, True)
    assert values.get("administrator", BOB) in page.body


def test_a_service_account_is_removed(stage: Stage, key_file: str) -> None:
    """The page asks first; then the service account is gone from the database, and the log has its removal."""
    allow(stage)
    admin = by_link(stage)
    admin.submit(FORM, key_file=key_file, administrator=BOB, users="@acme.example")
    asked = admin.get(f"{FORM}/remove")
    assert "Remove the service account?" in words_on(asked)
    admin.submit(f"{FORM}/remove")
    assert "The gateway no longer reads contacts with the service account." in words_on(admin.get(PAGE))
    assert stage.delegations == {}
    assert stage.database.run(tenants.delegation_entered_at, "acme") is None
    assert stage.database.run(activity.read_since, "acme", 0)[-1].act == Act.DELEGATION_REMOVED


def test_a_configured_service_account_is_not_entered(stage: Stage, key_file: str) -> None:
    stage.configured_delegations.add("acme")
    admin = by_link(stage)
    assert f'action="{FORM}"' not in admin.get(PAGE).body
    assert admin.submit(FORM, key_file=key_file, administrator=BOB, users="*").status == 400
