# SPDX-License-Identifier: MIT
"""The forms let a person act on their own account, and nobody else."""

from __future__ import annotations

import html
import json
import re
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, event
from sqlalchemy.exc import OperationalError

from ldapgw.contact import Sharing
from ldapgw.errors import StoreError
from ldapgw.store import accounts, contacts, phones, revocations, sync_state, tenants
from ldapgw.store.account_status import timestamp
from ldapgw.store.accounts import SyncRequest
from ldapgw.store.phones import LastBind, NumberMode, PhoneLogin, ReplicaBooks
from ldapgw.store.sign_ins import ABSOLUTE_SECONDS, IDLE_SECONDS
from ldapgw.store.tables import account as account_table
from ldapgw.web.dependencies import WebTenant
from tests.support.stage.web import ACME, ALICE, BOB, GLOBEX, URL, Browser, Recorder, Stage, words_on


def fulfil_wish(connection: Connection, account_id: int) -> None:
    begun = sync_state.begin(connection, account_id)
    assert begun is not None
    sync_state.end(connection, begun, 1790000010.0, 1790000600.0)


def trouble(stage: Stage, code: str, **facts: object) -> None:
    """Let the account's last sync fail."""
    (account,) = stage.accounts()
    stage.do(sync_state.begin, account.id)
    stage.do(sync_state.fail, account, code, stage.clock.seconds(), None, facts)


def told(alice: Browser) -> str:
    """Return the value that the page about a shrunk book sends with its answer."""
    [answer] = re.findall('name="accept_shrink" value="(.*?)"', alice.get("/acme/accept-shrink?account=1").body)
    return answer


def test_sync_now(stage: Stage, alice: Browser) -> None:
    """The request is stored, the sync begins at once, and the page says so."""
    (account,) = stage.accounts()
    stage.do(fulfil_wish, account.id)
    seen = alice.submit("/acme/sync")
    assert (seen.status, seen.location) == (303, "/acme/")
    (account,) = stage.accounts()
    assert (account.requested_sync, stage.changes) == (SyncRequest.INCREMENTAL, 1)
    assert "Sync started." in alice.get("/acme/").body


def test_no_sync_of_a_grant_that_is_revoked(stage: Stage, alice: Browser) -> None:
    """An old page may still send the form; no sync is requested, and the page does not say that a sync starts."""
    trouble(stage, "consent_revoked")
    (before,) = stage.accounts()
    assert alice.submit("/acme/sync").status == 303
    assert (stage.accounts(), stage.changes) == ((before,), 0)
    assert "Sync started" not in alice.get("/acme/").body


def test_accepting_a_shrunk_book(stage: Stage, alice: Browser) -> None:
    """The page asks before the contacts are removed; then the next full sync may remove them."""
    assert "accept-shrink" not in alice.get("/acme/").body
    assert alice.get("/acme/accept-shrink?account=1").location == "/acme/"
    trouble(stage, "suspicious_shrink", lost=35, before=60)
    page = alice.get("/acme/").body
    assert "confirm it on this page. Until then, the contacts stay" in page
    assert 'href="/acme/accept-shrink?account=1">Remove contacts</a>' in page
    asked = alice.get("/acme/accept-shrink?account=1").body
    assert "<h1>Remove 35 of 60 contacts?</h1>" in asked
    assert "The next sync removes them from all phones, which can’t be undone here." in asked
    assert '<a class="button plain" href="/acme/">Cancel</a>' in asked
    assert (stage.accounts()[0].requested_sync, stage.changes) == (None, 0)
    alice.submit("/acme/accept-shrink", accept_shrink=told(alice))
    (account,) = stage.accounts()
    assert (account.requested_sync, account.accepted_loss, stage.changes) == (SyncRequest.ACCEPT, {"book": 35}, 1)


def test_accepting_a_shrunk_directory(stage: Stage, alice: Browser) -> None:
    """The page names the company directory, and advises to ask the Workspace administrator."""
    trouble(stage, "suspicious_shrink", source="directory", lost=35, before=60)
    asked = alice.get("/acme/accept-shrink?account=1").body
    assert "<h1>Remove 35 of 60 entries of the company directory?</h1>" in asked
    assert "ask the Google Workspace administrator first" in asked
    alice.submit("/acme/accept-shrink", accept_shrink=told(alice))
    assert stage.accounts()[0].accepted_loss == {"directory": 35}


@pytest.mark.parametrize(
    "now",
    [
        lambda stage: trouble(stage, "suspicious_shrink", lost=36, before=60),
        lambda stage: trouble(stage, "suspicious_shrink", lost=35, before=50),
        lambda stage: trouble(stage, "network"),
        lambda stage: stage.do(fulfil_wish, stage.accounts()[0].id),
    ],
    ids=["more", "of fewer", "another trouble", "nothing"],
)
def test_accepting_what_a_page_told_before(stage: Stage, alice: Browser, now: Callable[[Stage], None]) -> None:
    """The answer is refused if the trouble has changed, and the page then shows the present trouble."""
    trouble(stage, "suspicious_shrink", lost=35, before=60)
    answer = told(alice)
    now(stage)
    before = stage.accounts()
    alice.submit("/acme/accept-shrink", accept_shrink=answer)
    assert (stage.accounts(), stage.changes) == (before, 0)
    page = alice.get("/acme/").body
    assert "Something changed since you opened this page, so your input wasn’t used." in page
    assert ("36 of 60" in page) == (before[0].error is not None and before[0].error.facts.get("lost") == 36)


@pytest.mark.parametrize("answer", ["", "yes", "book-35", "book-35-60-1", "directory-35-60", "book-99-60"])
def test_accepting_what_nobody_told(stage: Stage, alice: Browser, answer: str) -> None:
    """A value that no page has sent accepts nothing."""
    trouble(stage, "suspicious_shrink", lost=35, before=60)
    alice.submit("/acme/accept-shrink", accept_shrink=answer)
    (account,) = stage.accounts()
    assert (account.requested_sync is SyncRequest.ACCEPT, account.accepted_loss) == (False, None)


@pytest.mark.parametrize("sharing", list(Sharing))
def test_share(stage: Stage, alice: Browser, sharing: Sharing) -> None:
    """Each choice is stored, phones are told, and the page shows the choice."""
    seen = alice.submit("/acme/share", sharing=sharing.value)
    assert (seen.status, seen.location) == (303, "/acme/account")
    assert [account.sharing for account in stage.accounts()] == [sharing]
    assert stage.changes == 1
    page = alice.get("/acme/account").body
    assert f'value="{sharing.value}" checked' in page
    said = {
        Sharing.PRIVATE: "Only your own phones find your contacts now.",
        Sharing.CALLERS: "When a contact that you share calls a colleague, the colleague’s phone now shows the name.",
        Sharing.SHARED: "All phones here now find the contacts that you share.",
    }
    assert f"Saved. {said[sharing]}" in page


def revisited(stage: Stage, before: Browser, tenant: WebTenant) -> Browser:
    """Return the browser after a restart with another configuration of the tenant."""
    stage.tenants = (tenant,)
    return stage.browser(before)


def test_share_with_a_group(stage: Stage, alice: Browser) -> None:
    """A configured group is a choice; a group that is gone stays a choice while the book is shared with it."""
    alice = revisited(stage, alice, replace(ACME, groups={"sales": 3}))
    assert "The phones of the accounts in the group (3) find your contacts" in alice.get("/acme/account").body
    assert alice.submit("/acme/share", sharing="group:sales").status == 303
    assert [account.sharing for account in stage.accounts()] == [Sharing("group:sales")]
    page = alice.get("/acme/account")
    assert 'value="group:sales" checked' in page.body
    assert "Saved. The phones of the group now find the contacts that you share." in page.body
    alice = revisited(stage, alice, ACME)
    page = alice.get("/acme/account")
    assert 'value="group:sales" checked' in page.body
    assert "The group “sales” no longer exists, so only your own phones find your contacts." in page.body
    alice.submit("/acme/share", sharing="group:sales")
    assert "Saved. Only your own phones find your contacts now." in alice.get("/acme/account").body
    assert alice.submit("/acme/share", sharing="private").status == 303
    assert alice.submit("/acme/share", sharing="group:sales").status == 400
    assert [account.sharing for account in stage.accounts()] == [Sharing.PRIVATE]


def test_share_a_label(stage: Stage, alice: Browser) -> None:
    """Only contacts with the label are shared; the choice stays when Google no longer has the label."""
    (account,) = stage.accounts()
    assert 'name="label"' not in alice.get("/acme/account").body
    stage.do(contacts.set_labels, account.id, {"contactGroups/1": "Customers", "contactGroups/2": "CUSTOMERS"})

    def share(sharing: str, **label: str) -> tuple[int, str, str]:
        status = alice.submit("/acme/share", sharing=sharing, **label).status
        (account,) = stage.accounts()
        return status, account.sharing, account.shared_label

    assert share("shared", label="Customers") == (303, "shared", "Customers")
    stage.do(contacts.set_labels, account.id, {})
    assert 'value="Customers" selected' in alice.get("/acme/account").body
    assert share("callers", label="Friends") == (400, "shared", "Customers")
    assert share("callers", label="Customers") == (303, "callers", "Customers")
    assert share("private", label="Customers") == (303, "private", "Customers")
    # A form from the time when the account had no labels does not lift the limit.
    assert share("shared") == (303, "shared", "Customers")
    assert share("shared", label="") == (303, "shared", "")


@pytest.mark.parametrize("fields", [{}, {"sharing": "everybody"}, {"sharing": ""}, {"sharing": "group:sales"}])
def test_share_without_a_choice(stage: Stage, alice: Browser, fields: dict[str, str]) -> None:
    assert alice.submit("/acme/share", **fields).status == 400
    assert [account.sharing for account in stage.accounts()] == [Sharing.PRIVATE]


def test_disconnect(stage: Stage, alice: Browser) -> None:
    """The grant is revoked at Google, the account has no scopes, and the page offers to reconnect."""
    (account,) = stage.accounts()
    token = stage.do(accounts.read_tokens, stage.secret_box, account.id).refresh_token
    assert not stage.disconnected
    seen = alice.submit("/acme/disconnect")
    assert stage.disconnected == [stage.clock.seconds()]
    assert (seen.status, seen.location) == (303, "/acme/")
    assert stage.world.grants.use_refresh_token(token) is None
    (account,) = stage.accounts()
    assert (account.is_connected, account.scopes, stage.changes) == (False, frozenset(), 1)
    page = alice.get("/acme/").body
    assert "Google access is revoked" in page
    for shown in (page, alice.get("/acme/account").body):
        assert "Not connected" in shown
        assert "/acme/disconnect" not in shown
        assert "Sign out" in shown
        assert "Reconnect" in shown


def test_own_trouble_comes_before_the_trouble_of_all(stage: Stage, alice: Browser) -> None:
    """A person who has to reconnect reads so first, although Google rejects the tenant's client too."""
    (account,) = stage.accounts()
    stage.do(sync_state.fail, account, "consent_revoked", stage.clock.seconds(), None)
    stage.do(tenants.raise_alarm, "acme", "client_rejected", stage.clock.seconds())
    page = alice.get("/acme/")
    said = words_on(page)
    assert said.index("Google no longer accepts the access") < said.index("Google rejects the gateway’s OAuth client")
    assert re.search(r'href="/acme/connect" data-popup>Reconnect<', page.body)


def test_disconnect_asks_first(stage: Stage, alice: Browser) -> None:
    """The page names the account; there is no such page for an account that is not connected."""
    page = alice.get("/acme/disconnect?account=1")
    assert "<h1>Disconnect alice@acme.example?</h1>" in page.body
    assert '<a class="button plain" href="/acme/account">Cancel</a>' in page.body
    assert stage.accounts()[0].is_connected
    sub = stage.accounts()[0].sub
    assert f'name="account" value="{sub}"' in page.body
    assert alice.post("/acme/disconnect", {"token": page.token, "account": sub}).location == "/acme/"
    assert not stage.accounts()[0].is_connected
    assert alice.get("/acme/disconnect").location == "/acme/"


@pytest.mark.parametrize("fault", ["broken_connection_lost", "token_error_503_html", "damaged"])
def test_disconnect_while_google_does_not_listen(stage: Stage, alice: Browser, fault: str) -> None:
    """The account is disconnected all the same, and the page names Google's page of permissions."""
    if fault == "damaged":
        with stage.database.begin() as connection:
            connection.execute(account_table.update().values(refresh_token=b"damaged"))
    else:
        stage.world.faults.inject(fault, path="/revoke")
    assert alice.submit("/acme/disconnect").status == 303
    assert [account.is_connected for account in stage.accounts()] == [False]
    page = alice.get("/acme/").body
    assert "The gateway couldn’t revoke Google access yet" in page
    assert "myaccount.google.com/permissions" in page


def test_disconnect_that_the_directory_cannot_follow(stage: Stage, alice: Browser) -> None:
    """The page answers 503, but the grant is revoked at Google and the account is disconnected."""
    token = stage.do(accounts.read_tokens, stage.secret_box, stage.accounts()[0].id).refresh_token
    stage.change_error = StoreError("the database is away")
    assert alice.submit("/acme/disconnect").status == 503
    assert stage.world.grants.use_refresh_token(token) is None
    assert [account.is_connected for account in stage.accounts()] == [False]


def test_disconnect_while_the_periodic_service_revokes_the_grant(stage: Stage, alice: Browser) -> None:
    """The page says that the grant is revoked although the service has deleted the pending revocation."""

    def revoke_pending() -> None:
        due = stage.do(revocations.read_due, stage.secret_box, stage.clock.seconds() + revocations.FIRST_WAIT)
        assert [pending.sub for pending in due] == [account.sub]
        stage.world.revoke(ALICE)
        stage.do(revocations.remove, due[0].id)

    (account,) = stage.accounts()
    stage.while_changing = revoke_pending
    alice.submit("/acme/disconnect")
    assert "Google access is revoked" in alice.get("/acme/").body


def test_an_account_that_is_connected_again_while_it_is_disconnected(stage: Stage, alice: Browser) -> None:
    """The page does not say that the access is revoked, and the new grant stays."""

    def connect_again() -> None:
        stage.while_changing = lambda: None
        stage.browser(alice).consent("/acme/connect", account=ALICE)

    stage.while_changing = connect_again
    alice.submit("/acme/disconnect")
    said = words_on(alice.get("/acme/"))
    assert "Google access is revoked" not in said
    assert "Google access isn’t revoked, because this gateway still needs the access" in said
    [account] = stage.accounts()
    token = stage.do(accounts.read_tokens, stage.secret_box, account.id).refresh_token
    assert (account.is_connected, stage.world.grants.use_refresh_token(token) is None) == (True, False)


def test_disconnect_of_a_grant_that_is_gone_already(stage: Stage, alice: Browser) -> None:
    stage.world.revoke(ALICE)
    alice.submit("/acme/disconnect")
    assert "Google access is revoked" in alice.get("/acme/").body


@pytest.mark.parametrize("form", ["sync", "accept-shrink", "disconnect"])
def test_a_form_of_a_page_that_is_out_of_date(stage: Stage, alice: Browser, form: str) -> None:
    """The form leads back to the present page, and changes nothing for an account that is not connected."""
    token = alice.get("/acme/").token
    alice.post("/acme/disconnect", {"token": token})
    revoked = stage.world.calls["/revoke"]
    seen = alice.post(f"/acme/{form}", {"token": token})
    assert (seen.status, seen.location) == (303, "/acme/")
    assert stage.world.calls["/revoke"] == revoked
    assert [account.requested_sync for account in stage.accounts()] == [None]


def test_sign_out(stage: Stage, alice: Browser) -> None:
    """The session ends on the server, so a copied cookie is worth nothing."""
    thief = stage.browser(alice)
    assert "Sign out" in thief.get("/acme/").body
    seen = alice.submit("/acme/signout")
    assert (seen.status, seen.location) == (303, "/acme/")
    assert "Max-Age=0" in seen.cookie("__Host-ldapgw.acme")
    assert "You’re signed out." in alice.get("/acme/").body
    assert "Sign out" not in thief.get("/acme/").body
    assert [account.is_connected for account in stage.accounts()] == [True]


# --- forms of other origins -----------------------------------------------------------------------------------------


def unchanged(stage: Stage, before: Any) -> bool:
    return (stage.accounts(), stage.changes, stage.world.calls["/revoke"]) == (before, 0, 0)


@pytest.mark.parametrize(
    ("token", "headers"),
    [
        *((token, {}) for token in (None, "", "0" * 64, "ümlaut")),
        ("good", {"Origin": URL.replace("https", "http")}),
        ("good", {"Origin": f"{URL}.evil.example"}),
        ("good", {"Origin": f"{URL}:8443"}),
        ("good", {"Origin": "null", "Sec-Fetch-Site": "cross-site"}),
        ("good", {"Sec-Fetch-Site": "same-site"}),
    ],
)
def test_a_foreign_form_is_refused(stage: Stage, alice: Browser, token: str | None, headers: dict[str, str]) -> None:
    """Without the token, or from another origin, a form does nothing; `tests.web.test_guarding` asks each form."""
    before = stage.accounts()
    given = alice.get("/acme/").token if token == "good" else token
    fields = {"sharing": "shared"} | ({} if given is None else {"token": given})
    assert alice.post("/acme/share", fields, headers).status == 403
    assert unchanged(stage, before)
    assert "Sign out" in alice.get("/acme/").body


@pytest.mark.parametrize(
    "headers",
    [{}, {"Origin": URL}, {"Origin": "null"}, {"Origin": "null", "Sec-Fetch-Site": "same-origin"}],
    ids=["nothing said", "our origin", "origin hidden by our own policy", "and the browser says more"],
)
def test_our_own_form_is_accepted(alice: Browser, headers: dict[str, str]) -> None:
    fields = {"sharing": "shared", "token": alice.get("/acme/").token}
    assert alice.post("/acme/share", fields, headers).status == 303


@pytest.mark.parametrize(
    ("query", "kind"),
    [("?token={token}", "application/x-www-form-urlencoded"), ("", "text/plain")],
    ids=["in the address", "of another encoding"],
)
def test_a_token_that_is_in_no_form(stage: Stage, alice: Browser, query: str, kind: str) -> None:
    """The gateway reads a token only in a form of its own pages."""
    token = alice.get("/acme/").token
    body = b"" if query else f"token={token}".encode()
    seen = alice.send(f"/acme/disconnect{query.format(token=token)}", body, {"Content-Type": kind})
    assert (seen.status, [account.is_connected for account in stage.accounts()]) == (403, [True])


def test_a_token_belongs_to_its_session(stage: Stage, alice: Browser) -> None:
    """The gateway refuses another person's token, and the token of an earlier session."""
    bob = stage.visitor(account=BOB)
    old = alice.get("/acme/").token
    alice.consent("/acme/signin")
    for token in (bob.get("/acme/").token, old):
        assert alice.post("/acme/disconnect", {"token": token}).status == 403


# --- accounts of other people ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["sync", "accept-shrink", "share", "source", "disconnect"])
def test_a_person_touches_their_own_account_alone(stage: Stage, alice: Browser, form: str) -> None:
    bob = stage.visitor(account=BOB)
    stage.changes = 0
    before = stage.accounts()
    theirs = next(account for account in before if account.address == ALICE)
    for key in (theirs.sub, ALICE, str(theirs.id), "2", "", "../alice"):
        assert bob.submit(f"/acme/{form}", sharing="shared", account=key).status == 404
    assert unchanged(stage, before)
    other = {"sub": theirs.sub, "id": str(theirs.id), "account_id": str(theirs.id)}
    assert bob.submit(f"/acme/{form}", sharing="shared", **other).status == 303
    assert next(account for account in stage.accounts() if account.address == ALICE) == theirs


def test_a_session_is_one_in_its_tenant_alone() -> None:
    """Another tenant does not accept the cookie of the session."""
    stage = Stage(tenants=(ACME, GLOBEX))
    alice = stage.visitor()
    token = alice.get("/acme/").token
    for cookie in ({}, {"Cookie": f"__Host-ldapgw.globex={alice.cookies()['__Host-ldapgw.acme']}"}):
        assert "Sign out" not in alice.get("/globex/", cookie).body
        assert alice.get("/globex/status.json", cookie).status == 401
        assert alice.post("/globex/disconnect", {"token": token}, cookie).status == 403
    assert [account.is_connected for account in stage.accounts()] == [True]


def test_sessions_of_two_tenants_live_side_by_side() -> None:
    """A browser can be signed in to two tenants; signing in or out of one leaves the other's session alone."""
    stage = Stage(tenants=(ACME, GLOBEX))
    browser = stage.visitor()
    token = browser.get("/acme/").token
    browser.consent("/globex/connect", account=BOB)
    for tenant, address in (("acme", ALICE), ("globex", BOB)):
        found = json.loads(browser.get(f"/{tenant}/status.json").body)["accounts"]
        assert [one["account"] for one in found] == [address]
    assert browser.post("/globex/sync", {"token": token}).status == 403
    browser.submit("/globex/signout")
    assert "__Host-ldapgw.globex" not in browser.cookies()
    assert browser.get("/globex/status.json").status == 401
    assert browser.post("/acme/sync", {"token": token}).status == 303


def test_status_of_ones_own_account(stage: Stage, alice: Browser) -> None:
    """A user sees only the own account, with the members of the contract."""
    stage.browser().consent(account=BOB)
    document = json.loads(alice.get("/acme/status.json").body)
    assert (document["tenant"], [one["account"] for one in document["accounts"]]) == ("acme", [ALICE])
    assert set(document["accounts"][0]) == {
        *("account", "tenant", "state", "sharing", "shared_label", "contacts", "numbers", "last_sync", "next_sync"),
        *("delegated", "error", "warnings", "skipped", "sources"),
    }


def test_a_certificate_that_ends_is_a_warning(stage: Stage, alice: Browser) -> None:
    stage.certificate_ends = stage.clock.seconds() + 60
    (warning,) = json.loads(alice.get("/acme/status.json").body)["accounts"][0]["warnings"]
    assert warning["code"] == "certificate_expiry"
    when = '<time datetime="2026-09-21T14:14:20Z" data-as="moment">21 Sept 2026, 14:14 UTC</time>'
    said = warning["message"].replace("2026-09-21 14:14 UTC", when)
    assert said in html.unescape(alice.get("/acme/").body)


def test_a_database_that_takes_nothing_is_told(stage: Stage, alice: Browser) -> None:
    """The object, the page and the administration say that the gateway cannot use its database."""
    root = stage.admin()
    stage.database_fails_since = stage.clock.seconds() - 60
    stage.clock.advance(3600)  # the gateway would note a visit after this time

    def full(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.split()[0] in ("INSERT", "UPDATE", "DELETE"):
            raise OperationalError(statement, {}, sqlite3.OperationalError("database or disk is full"))

    event.listen(stage.database.engine, "before_cursor_execute", full)
    for browser in (alice, root):
        [shown] = json.loads(browser.get("/acme/status.json").body)["accounts"]
        assert (shown["state"], shown["error"]["code"]) == ("attention", "internal")
        assert shown["error"]["since"] == timestamp(stage.database_fails_since)
        assert "can’t use its database" in shown["error"]["message"]
    assert shown["error"]["message"] in html.unescape(alice.get("/acme/").body)
    assert "The gateway can’t use its database" in root.get("/acme/admin").body
    assert "Das Gateway kann seine Datenbank nicht benutzen" in alice.get("/acme/?language=de").body


def test_a_database_that_cannot_be_read_is_told(stage: Stage, alice: Browser) -> None:
    with stage.database.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE account RENAME TO gone")
    seen = alice.get("/acme/status.json")
    assert (seen.status, seen.headers["content-type"]) == (503, ["application/json"])
    assert "database" in json.loads(seen.body)["error"]
    assert alice.get("/acme/").status == 503


def test_status_for_an_administrator() -> None:
    """An administrator sees all accounts of the tenant and no others; a thread describes the accounts."""
    thread = Recorder()
    stage = Stage(tenants=(ACME, GLOBEX), run_off_thread=thread)
    for account in (ALICE, BOB):
        stage.browser().consent(account=account)
    stage.browser().consent("/globex/connect", account=ALICE)
    root = stage.admin()
    accounts_shown = json.loads(root.get("/acme/status.json").body)["accounts"]
    assert [(one["tenant"], one["account"]) for one in accounts_shown] == [("acme", ALICE), ("acme", BOB)]
    assert len(thread.results) == 1
    root.consent("/globex/signin", account="root@acme.example")
    assert json.loads(root.get("/globex/status.json").body)["accounts"] == []


def test_status_while_signed_out(stage: Stage, browser: Browser) -> None:
    """A visitor without a sign-in is told nothing, but learns that the database fails."""
    seen = browser.get("/acme/status.json")
    assert (seen.status, json.loads(seen.body)) == (401, {"error": "sign in first"})
    stage.database_fails_since = stage.clock.seconds()
    assert browser.get("/acme/status.json").status == 503


@pytest.mark.parametrize(
    ("rules", "signed_in"),
    [(("@acme.example",), True), (("*",), True), ((ALICE,), True), ((), False), (("@other.example", BOB), False)],
    ids=["domain", "anyone", "address", "nobody", "others"],
)
def test_who_may_not_come_any_more_is_signed_out(stage: Stage, rules: tuple[str, ...], signed_in: bool) -> None:
    """The next request of such a person is signed out, and no form of the session works any more."""
    before = stage.visitor()
    token = before.get("/acme/").token
    after = revisited(stage, before, replace(ACME, allowed_users=rules))
    assert ("Sign out" in after.get("/acme/").body) is signed_in
    assert after.post("/acme/share", {"token": token, "sharing": "shared"}).status == (303 if signed_in else 403)
    assert (stage.accounts()[0].sharing is Sharing.SHARED) is signed_in


@pytest.mark.parametrize(
    ("silence", "times", "signed_in"),
    [
        (IDLE_SECONDS - 60, 1, True),
        (IDLE_SECONDS + 60, 1, False),
        (IDLE_SECONDS - 60, ABSOLUTE_SECONDS // (IDLE_SECONDS - 60) + 1, False),
    ],
    ids=["short", "idle", "a week"],
)
def test_a_session_ends_by_itself(stage: Stage, alice: Browser, silence: int, times: int, signed_in: bool) -> None:
    """A session ends after a time without requests, and after a week in any case."""
    for _ in range(times):
        stage.clock.advance(silence)
        page = alice.get("/acme/").body
    assert ("Sign out" in page) is signed_in


@pytest.mark.parametrize("cookie", ["", "x", "A" * 43, "A" * 4000, "../../etc/passwd", "a=b"])
def test_a_cookie_that_nobody_gave_out(browser: Browser, cookie: str) -> None:
    seen = browser.get("/acme/", {"Cookie": f"__Host-ldapgw.acme={cookie}"})
    assert (seen.status, "Sign out" in seen.body) == (200, False)


def test_the_session_is_stored_as_a_digest(stage: Stage, alice: Browser) -> None:
    """A copy of the database opens no session."""
    with stage.database.begin() as connection:
        driver: Any = connection.connection.driver_connection
        dump = "\n".join(driver.iterdump())
    secrets = [*alice.cookies().values()]
    (account,) = stage.accounts()
    held = stage.do(accounts.read_tokens, stage.secret_box, account.id)
    for secret in (*secrets, held.refresh_token, held.access_token):
        assert secret not in dump


def test_copies_of_private_contacts(stage: Stage, alice: Browser) -> None:
    """The page names each replica that may hold private books, with its address, and no other replica."""
    login = PhoneLogin("vault", "acme", None, NumberMode.VALUES, "ssha256$00$00", 1.0, replica=ReplicaBooks.PRIVATE)
    stage.do(phones.add, replace(login, name="branch1", replica=ReplicaBooks.SHARED))
    stage.do(phones.add, replace(login, name="away", tenant="globex"))
    assert "copy of all contacts" not in alice.get("/acme/account").body
    stage.do(phones.add, login)
    assert (
        "is allowed to fetch a copy of all contacts, including private ones: vault." in alice.get("/acme/account").body
    )
    bind = LastBind(2.0, "192.0.2.7", login.password)
    stage.do(phones.store_last_binds, {"vault": bind})
    body = alice.get("/acme/account").body
    assert "has a copy of all contacts, including private ones: vault, last seen at 192.0.2.7." in body
    assert "branch1" not in body
    # A replica has no page of a phone.
    assert [alice.get(page).status for page in ("/acme/phones/vault", "/acme/phones/branch1")] == [404, 404]
