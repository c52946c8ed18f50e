# SPDX-License-Identifier: MIT
"""The tests show who may open the administration, what its pages say, and how an OAuth client is entered there."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from sqlalchemy import Connection, update

from ldapgw.directory.access import LeftOut
from ldapgw.directory.passwords import UNKNOWN_LOGIN_HASH
from ldapgw.google.endpoints import Client
from ldapgw.ldap.connection import PLAIN_ON_TLS_PORT
from ldapgw.phones.hints import Hint
from ldapgw.store import activity, phones, sign_ins, tenants
from ldapgw.store.accounts import SyncRequest
from ldapgw.store.phones import LastBind, LastSearch, Refusal
from ldapgw.store.sign_ins import BY_LINK_SECONDS, IDLE_SECONDS, LINK_SECONDS
from ldapgw.store.tables import account as account_table
from ldapgw.store.tenants import EnteredClient
from ldapgw.web import rendering
from ldapgw.web.admin_overview import AdminOverview
from ldapgw.web.admin_people import AdminPeople
from ldapgw.web.admin_phones import AdminPasswords, AdminPhones
from ldapgw.web.app import routes
from ldapgw.web.consent import CONNECT
from ldapgw.web.dependencies import GATEWAYS_TOPIC, person_topic
from ldapgw.web.layout import Layout, RequiredRole
from ldapgw.web.phone_pages import PhonePages
from ldapgw.web.provisioning_pages import ProvisioningWindows
from tests.support.results import result_of
from tests.support.stage.web import (
    ACME,
    ADMIN_KEY,
    ALICE,
    BOB,
    CLIENT,
    DESK1,
    GLOBEX,
    NOW,
    ROOT,
    URL,
    Browser,
    Seen,
    Stage,
    add_phone,
    by_link,
    connect,
    visit_by,
    words_on,
)

OTHER = Client("999-another.apps.googleusercontent.com", "GOCSPX-ANOTHER")
REDIRECT_URI = f"{URL}/oauth/callback"


@pytest.fixture
def stage() -> Stage:
    """Acme has no client in the configuration; Globex has one."""
    return Stage(tenants=(replace(ACME, client=None), GLOBEX))


def enter(stage: Stage, client: Client = CLIENT) -> None:
    """Enter a client as an administrator would do."""
    stage.do(tenants.enter_client, stage.secret_box, EnteredClient("acme", client.client_id, client.client_secret, NOW))
    result_of(stage.clients.refresh())


def signed_in(stage: Stage, account: str = ROOT) -> Browser:
    """Return the browser of a person who has signed in with Google."""
    browser = stage.browser()
    enter(stage)
    browser.consent("/acme/signin", account=account)
    return browser


@pytest.mark.parametrize(("url", "told"), [("https://phonebook.lan", True), ("https://phonebook.example", False)])
def test_a_redirect_uri_that_google_refuses_is_told(url: str, told: bool) -> None:
    """The page warns the administrator before Google refuses the address."""
    page = signed_in(Stage(url=url)).get("/acme/admin/google")
    assert ("Google doesn’t accept redirect URIs with private names" in words_on(page)) is told


@pytest.mark.parametrize("may_be_new", [True, False])
def test_a_store_that_is_new_by_accident_is_told(stage: Stage, may_be_new: bool) -> None:
    """The administration says that the database is new until the first account has connected."""
    stage.may_be_new_store = may_be_new
    browser = by_link(stage)
    assert ("The gateway’s database is new" in words_on(browser.get("/acme/admin"))) is may_be_new
    enter(stage)
    stage.browser().consent()
    assert "database is new" not in words_on(browser.get("/acme/admin"))


def submit_client(browser: Browser, client: Client = CLIENT, **fields: str) -> Seen:
    given = {"client_id": client.client_id, "client_secret": client.client_secret}
    return browser.submit("/acme/admin/client", **given, **fields)


def upload(browser: Browser, octets: bytes, **fields: str) -> Seen:
    """Send the form with a file."""
    return browser.send_file("/acme/admin/client", octets, **{"client_id": "", "client_secret": "", **fields})


def file_of(client: Client = CLIENT, *uris: str, kind: str = "web") -> bytes:
    found = {"client_id": client.client_id, "client_secret": client.client_secret, "redirect_uris": list(uris)}
    return json.dumps({kind: found}).encode()


def stored(stage: Stage) -> list[tuple[str, str, str]]:
    return [
        (one.tenant, one.client_id, one.client_secret) for one in stage.do(tenants.read_clients, stage.secret_box)[0]
    ]


ENTERED = [("acme", CLIENT.client_id, CLIENT.client_secret)]


# --- the way in -----------------------------------------------------------------------------------------------------


def test_a_link_opens_the_administration_once(stage: Stage, admin: Browser) -> None:
    """The link signs in its bearer; another browser, and later the same browser, read that the link is used up."""
    page = admin.get("/acme/admin")
    assert page.status == 200
    assert "Administrator, by link" in page.body
    (entry,) = stage.do(activity.read_page, "acme").entries
    assert (entry.actor, entry.act) == (activity.ADMIN_LINK, "admin_link_used")
    for other in (stage.browser(), admin):
        seen = other.post("/acme/link", {"key": ADMIN_KEY})
        assert (seen.status, "set-cookie" in seen.headers) == (403, False)
        assert "This link is no longer valid" in seen.body
    assert admin.get("/acme/admin").status == 200


@pytest.mark.parametrize(
    ("tenant", "key", "headers"),
    [
        *(("acme", key, {}) for key in ("", "B" * 43, "A" * 42, "\0", "' or 1 --")),
        ("globex", ADMIN_KEY, {}),
        ("acme", ADMIN_KEY, {"Origin": "https://evil.example"}),
    ],
    ids=["no key", "another", "short", "zero", "SQL", "another tenant's", "another site's form"],
)
def test_what_opens_no_link(stage: Stage, tenant: str, key: str, headers: dict[str, str]) -> None:
    """Another key, tenant or site opens nothing, and the right link stays good for an hour."""
    stage.do(sign_ins.make_admin_link, ADMIN_KEY, "acme", NOW)
    seen = stage.browser().post(f"/{tenant}/link", {"key": key}, headers)
    assert (seen.status, "set-cookie" in seen.headers) == (403, False)
    stage.clock.advance(LINK_SECONDS - 1)
    assert stage.browser().post("/acme/link", {"key": ADMIN_KEY}).status == 303


def test_a_link_that_is_too_old(stage: Stage) -> None:
    """A link ends after an hour, which is enough time to get from the terminal to the browser."""
    stage.do(sign_ins.make_admin_link, ADMIN_KEY, "acme", NOW)
    stage.clock.advance(LINK_SECONDS + 1)
    assert stage.browser().post("/acme/link", {"key": ADMIN_KEY}).status == 403


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_whoever_only_looks_at_a_link_uses_nothing_up(stage: Stage, method: str) -> None:
    """Programs that preview or scan mails open links; they get a button, no session, and nothing that a cache keeps."""
    stage.do(sign_ins.make_admin_link, ADMIN_KEY, "acme", NOW)
    browser = stage.browser()
    for _ in range(3):
        seen = browser.get(f"/acme/link?key={ADMIN_KEY}", method=method)
        assert (seen.status, "set-cookie" in seen.headers) == (200, False)
        assert (seen.headers["cache-control"], seen.headers["referrer-policy"]) == (["no-store"], ["no-referrer"])
        assert ("Open administration" in seen.body) is (method == "GET")
    assert browser.post("/acme/link", {"key": ADMIN_KEY}).location == "/acme/admin"


def test_a_link_is_for_one_tenant_and_one_day(stage: Stage, admin: Browser) -> None:
    """A session by link opens no page of another tenant, and ends after a day, however busy the administrator is."""
    assert admin.get("/globex/admin").status == 403
    for _ in range(int(BY_LINK_SECONDS // (IDLE_SECONDS - 60))):
        stage.clock.advance(IDLE_SECONDS - 60)
        assert admin.get("/acme/admin").status == 200
    stage.clock.advance(IDLE_SECONDS - 60)
    assert admin.get("/acme/admin").status == 403


def test_a_link_ends_the_session_before(stage: Stage) -> None:
    """The link makes a new cookie, and ends the session of the old cookie (session fixation)."""
    alice = signed_in(stage, ALICE)
    before = stage.browser(alice)
    stage.do(sign_ins.make_admin_link, ADMIN_KEY, "acme", NOW)
    alice.post("/acme/link", {"key": ADMIN_KEY})
    assert alice.get("/acme/admin").status == 200
    assert "Sign out" not in before.get("/acme/").body


def test_who_came_by_link_can_connect_and_is_themselves_then(stage: Stage, admin: Browser) -> None:
    """The administration offers to connect an account.

    The person is then signed in with this account, and is no administrator.
    """
    assert 'href="/acme/connect"' not in admin.get("/acme/admin").body
    submit_client(admin)
    assert 'href="/acme/connect"' in admin.get("/acme/admin").body
    assert admin.consent(f"/acme/{CONNECT}", account=BOB).status == 200
    (bob,) = stage.accounts()
    assert (bob.address, bob.owner, bob.is_connected) == (BOB, None, True)
    assert admin.get("/acme/admin").status == 403


def test_who_came_by_link_sees_the_administration_alone(stage: Stage, admin: Browser) -> None:
    """Pages for a person's own contacts and phones refuse a session by link, because these would have no owner."""
    add_phone(stage, "hall")
    assert admin.get("/acme/").location == "/acme/admin"
    personal = [route for route in routes(Layout.of(stage.gate)) if route.required_role is RequiredRole.PERSON]
    assert {"/<tenant>/phones", "/<tenant>/contacts", "/<tenant>/account", "/<tenant>/troubleshoot"} <= {
        route.path for route in personal
    }
    for route in personal:
        path = route.path.replace("<tenant>", "acme").replace("<contact>", "c1")
        seen = admin.get(path) if route.method == "GET" else admin.submit(path, name="x", model="other")
        assert (seen.status, "This page needs an account" in seen.body) == (403, True)
    assert stage.do(phones.read_by_name, "x") is None
    for path in ("admin", "phones/hall", "explain?phone=hall", "privacy"):
        seen = admin.get(f"/acme/{path}")
        navigation = re.findall(r'<a href="/acme/(\w*)"', seen.body.partition("<nav")[2].partition("</nav")[0])
        assert (seen.status, navigation) == (200, ["admin"])


def test_an_administrator_without_a_client_is_led_to_its_page(stage: Stage) -> None:
    """The administrator gets a link to the page of the client; other people are told to tell their administrator."""
    for browser, told in ((by_link(stage), 'href="/acme/admin/google"'), (stage.browser(), "Tell your administrator.")):
        for path in ("connect", "connect?popup", "signin"):
            seen = browser.get(f"/acme/{path}")
            assert (seen.status, "Not set up yet" in seen.body, told in seen.body) == (503, True, True)


@pytest.mark.parametrize(("account", "status"), [(ROOT, 200), (ALICE, 403)])
def test_admins_sign_in_with_google(stage: Stage, account: str, status: int) -> None:
    """The configuration names the administrators; other people see neither the page nor a link to the page."""
    browser = signed_in(stage, account)
    assert browser.get("/acme/admin").status == status
    assert ('href="/acme/admin"' in browser.get("/acme/").body) is (status == 200)


@pytest.mark.parametrize("path", ["/acme/admin", "/acme/phones/nobodys"])
def test_a_page_that_refuses_lets_one_sign_out(stage: Stage, path: str) -> None:
    """A person who is signed in can sign out there and has links to other pages; a stranger has neither."""
    body = signed_in(stage, ALICE).get(path).body
    assert 'action="/acme/signout"' in body
    assert 'href="/acme/troubleshoot"' in body
    assert "signout" not in stage.browser().get(path).body


# --- the client -----------------------------------------------------------------------------------------------------


def test_the_first_visit(stage: Stage, admin: Browser) -> None:
    """Without a client the page shows the guide and the addresses to register.

    The administrator then enters the client.
    """
    assert 'href="/acme/admin/google"' in admin.get("/acme/admin").body
    page = admin.get("/acme/admin/google")
    words = words_on(page)
    assert "There’s no client yet, so no one can connect." in words
    assert REDIRECT_URI in words
    assert "https://www.googleapis.com/auth/contacts.readonly" in words
    assert "contacts.other.readonly" not in words
    assert f"add the domain of {urlsplit(URL).hostname} to the authorized domains" in words
    assert page.body.index('id="guide"') < page.body.index(REDIRECT_URI) < page.body.index('name="client_secret"')
    assert "so no one can connect" in stage.browser().get("/acme/").body
    seen = admin.submit("/acme/admin/client", client_id=f" {CLIENT.client_id} ", client_secret=CLIENT.client_secret)
    assert (seen.status, seen.location) == (303, "/acme/admin/google")
    assert stored(stage) == ENTERED
    assert stage.changes == 1
    page = admin.get("/acme/admin/google")
    assert "Saved and recognized by Google." in page.body
    assert '<a class="button" href="/acme/connect" data-popup>Connect your own Google account</a>' in page.body
    assert CLIENT.client_id in page.body
    assert CLIENT.client_secret not in page.body
    assert stage.browser().consent().status == 200


def test_the_guide_is_folded_once_the_client_works(stage: Stage) -> None:
    """Each of the guide's eight steps then has a tick; before, only four steps have a tick."""
    browser = signed_in(stage)
    body = browser.get("/acme/admin/google").body
    assert ('<details class="card" id="guide">' in body, body.count('<li class="done">')) == (False, 4)
    connect(stage, ALICE)
    body = browser.get("/acme/admin/google").body
    assert ('<details class="card" id="guide">' in body, body.count('<li class="done">')) == (True, 8)


FIELDS = {"client_id": CLIENT.client_id, "client_secret": CLIENT.client_secret}
SAVED, UNREGISTERED = "Saved and recognized by Google.", "the redirect URI below isn’t registered with it"
NO_FILE, UNKNOWN = "This isn’t a client file.", "Google doesn’t recognize this client"
HALF = "Choose the JSON file, or enter both the client ID and the client secret."
AWAY = "The gateway couldn’t reach Google to check this client"
# Each row has a file, the fields, a fault at Google, the words on the page, and whether the client is stored.
CLIENTS = {
    "file without URIs": (file_of(), {}, "", SAVED, True),
    "our URI among others": (file_of(CLIENT, REDIRECT_URI, "https://other.example/"), {}, "", SAVED, True),
    "other URIs": (file_of(CLIENT, "https://other.example/"), {}, "", UNREGISTERED, True),
    "file and other fields": (file_of(), {"client_id": "other", "client_secret": "other"}, "", SAVED, True),
    "URI unknown to Google": (b"", FIELDS, "token_error_redirect_uri_mismatch", UNREGISTERED, True),
    "desktop": (file_of(kind="installed"), {}, "", "“Desktop app” client", False),
    "not a client": (b"{}", {}, "", NO_FILE, False),
    "binary": (b"\xff\xfe", {}, "", NO_FILE, False),
    "blanks in the file": (file_of(Client("with blanks", "x")), {}, "", NO_FILE, False),
    "unknown": (file_of(OTHER), {}, "", UNKNOWN, False),
    "wrong secret": (file_of(replace(CLIENT, client_secret="another")), {}, "", UNKNOWN, False),
    "nothing": (b"", {}, "", HALF, False),
    "only an ID": (b"", {"client_id": CLIENT.client_id}, "", HALF, False),
    "only a secret": (b"", {"client_secret": "x"}, "", HALF, False),
    "blanks in the ID": (b"", {"client_id": "ä b"}, "", HALF, False),
    "connection lost": (b"", FIELDS, "broken_connection_lost", AWAY, False),
    "Google is busy": (b"", FIELDS, "token_error_503_html", AWAY, False),
}


@pytest.mark.parametrize(("file", "fields", "fault", "said", "is_stored"), CLIENTS.values(), ids=CLIENTS)
def test_entering_a_client(
    stage: Stage, admin: Browser, file: bytes, fields: dict[str, str], fault: str, said: str, is_stored: bool
) -> None:
    """The gateway asks Google first, and prefers the file to the fields.

    A refusal says why, and the form keeps the ID but no secret.
    """
    if fault:
        stage.world.faults.inject(fault, path="/token", times=10)
    seen = upload(admin, file, **fields)
    page = admin.get(seen.location) if is_stored else seen
    assert (seen.status, said in words_on(page), "GOCSPX" in page.body) == (303 if is_stored else 400, True, False)
    assert (stored(stage), stage.changes) == ((ENTERED, 1) if is_stored else ([], 0))
    if not is_stored:
        assert f'value="{fields.get("client_id", "")}"' in seen.body


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("", "Google recognizes this client."),
        ("token_error_invalid_client_unknown", "Google doesn’t recognize this client, or the secret is wrong."),
        ("token_error_redirect_uri_mismatch", "the redirect URI below isn’t registered with it"),
        ("token_error_503_html", "Google couldn’t be reached."),
    ],
)
def test_trying_the_client_that_there_is(stage: Stage, fault: str, said: str) -> None:
    """The page says what Google answers, and the stored client stays the same."""
    browser = signed_in(stage)
    if fault:
        stage.world.faults.inject(fault, path="/token", times=5)
    seen = browser.submit("/acme/admin/client/try")
    assert (seen.status, seen.location) == (303, "/acme/admin/google")
    assert said in words_on(browser.get("/acme/admin"))
    assert stored(stage) == ENTERED


def test_trying_no_client(admin: Browser) -> None:
    """The page has no button for the trial, and a form that is sent all the same is refused."""
    assert "admin/client/try" not in admin.get("/acme/admin/google").body
    assert admin.submit("/acme/admin/client/try").status == 400


def test_a_client_of_the_configuration_is_changed_there() -> None:
    """The page names the configuration file, has no form for another client, and takes no other client."""
    stage = Stage()
    browser = by_link(stage)
    page = browser.get("/acme/admin/google")
    assert "the configuration file" in page.body
    assert 'action="/acme/admin/client"' not in page.body
    assert submit_client(browser).status == 400
    assert stored(stage) == []


def test_a_new_secret_of_the_same_client_is_tried_by_one_account(stage: Stage) -> None:
    """The gateway syncs only one connected account to try the new secret."""
    browser = signed_in(stage)
    revoked = connect(stage, "aaron@acme.example", code="consent_revoked")
    first, second = connect(stage, ALICE), connect(stage, BOB)
    submit_client(browser)
    found = {one.id: one.requested_sync for one in stage.accounts()}
    assert found == {revoked: None, first: SyncRequest.INCREMENTAL, second: None}


def test_another_client_asks_everybody_to_connect_again(stage: Stage) -> None:
    """Consents that the former client got are of no use for another client, and the former client's alarm ends."""
    browser = signed_in(stage)
    connect(stage, ALICE)
    other = connect(stage, BOB, tenant="globex")
    stage.do(tenants.raise_alarm, "acme", "client_rejected", NOW)
    enter(stage, OTHER)
    submit_client(browser, replace="1")
    troubles = {one.tenant: one.error.code if one.error else "" for one in stage.accounts()}
    assert troubles == {"acme": "consent_revoked", "globex": ""}
    assert stage.do(tenants.read_alarm, "acme") is None
    assert other
    assert "needs to reconnect" in words_on(browser.get("/acme/admin"))


def test_a_client_is_of_no_account_that_a_service_account_reads(stage: Stage) -> None:
    """An account that a service account reads tries no new secret, and goes on with another client."""
    browser = signed_in(stage)
    delegated, consented = connect(stage, ALICE), connect(stage, BOB)
    stage.do(
        lambda connection: connection.execute(
            update(account_table)
            .where(account_table.c.id == delegated)
            .values(delegated=True, refresh_token=None, client_id=None)
        )
    )
    submit_client(browser)
    requested = {one.id: one.requested_sync for one in stage.accounts()}
    assert requested == {delegated: None, consented: SyncRequest.INCREMENTAL}
    enter(stage, OTHER)
    result_of(stage.clients.refresh())
    submit_client(browser, replace="1")
    troubles = {one.id: one.error and one.error.code for one in stage.accounts()}
    assert troubles == {delegated: None, consented: "consent_revoked"}


def test_another_client_asks_first(stage: Stage) -> None:
    """The form says that everyone has to reconnect; without the tick, the gateway stores no other client."""
    stage.certificate_ends = NOW + 90 * 86400
    browser = by_link(stage)
    assert 'name="replace"' not in browser.get("/acme/admin/google").body
    enter(stage, OTHER)
    connect(stage, ALICE)
    page = browser.get("/acme/admin/google")
    assert "Replace the client ID. Everyone has to reconnect;" in words_on(page)
    for seen in (submit_client(browser), upload(browser, file_of())):
        assert seen.status == 400
        assert "This is a different client, so it wasn’t saved." in words_on(seen)
        assert CLIENT.client_secret not in seen.body
    assert stored(stage) == [("acme", OTHER.client_id, OTHER.client_secret)]
    assert stage.accounts()[0].error is None
    assert upload(browser, file_of(), replace="1").status == 303
    assert stored(stage) == ENTERED


def test_the_log_says_who_entered_a_client_and_no_secret(caplog_twisted: list[str], admin: Browser) -> None:
    """The log has the trial of a client, also a failed one, and the way by which the administrator came."""
    submit_client(admin, OTHER)
    submit_client(admin)
    said = "\n".join(caplog_twisted)
    assert "web: somebody opened a link to the administration of tenant acme (good), from " in said
    assert "web: the trial of the OAuth client of tenant acme failed: client_rejected invalid_client" in said
    assert "web: the OAuth client of tenant acme was entered by link, from " in said
    assert not any(secret in said for secret in (ADMIN_KEY, CLIENT.client_secret, OTHER.client_secret))


# --- content --------------------------------------------------------------------------------------------------------


def test_figures_and_people_to_remind(stage: Stage) -> None:
    """The page counts all people and phones of the tenant, and has a text to send to the people who have to act."""
    browser = signed_in(stage)
    connect(stage, "zoe@acme.example", code="consent_revoked")
    alice = connect(stage, ALICE)
    connect(stage, "tim@acme.example", ends=NOW + 86400)
    connect(stage, "eve@elsewhere.example", tenant="globex", code="consent_revoked")
    for name, tenant, owner in (("desk1", "acme", alice), ("hall", "acme", None), ("theirs", "globex", None)):
        add_phone(stage, name, owner, tenant)
    stage.do(phones.store_last_searches, {"desk1": LastSearch(NOW, "", NOW)})
    words = words_on(browser.get("/acme/admin"))
    assert "People connected 2 of 3 2 need action Phones working 1 of 2 Contacts 0" in words
    assert "2 people need to do something." in words
    assert "zoe@acme.example needs to reconnect" in words
    assert "tim@acme.example needs to reconnect before" in words
    assert "tim@acme.example, zoe@acme.example" in words
    assert f"open {URL}/acme/, sign in" in words
    assert "eve@" not in words


@pytest.mark.parametrize(
    ("path", "pages"),
    [
        ("", {"how-to/google-console", "how-to/certificates", "how-to/vendors"}),
        ("/google", {"how-to/google-console", "how-to/workspace"}),
        ("/phones/window", {"how-to/provisioning"}),
    ],
)
def test_links_to_the_documentation(
    stage: Stage, admin: Browser, path: str, pages: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each item links to its page if the address of the documentation is known; the footer links to the index."""
    before = admin.get(f"/acme/admin{path}").body
    monkeypatch.setattr(rendering, "SITE", "https://docs.example")
    body = admin.get(f"/acme/admin{path}").body
    links = re.findall(r'<a href="https://docs.example/([\w/-]+).html[^"]*" rel="noreferrer"', body)
    assert "https://docs.example" not in before
    assert (set(links), body.count("https://docs.example")) == (pages | {"index"}, len(links))
    assert "docs.example" not in signed_in(stage, BOB).get("/acme/").body


def test_everything_works(stage: Stage) -> None:
    """The page says so only when all is well, and then has no checklist.

    The title has a sign or the number of problems.
    """
    stage.certificate_ends, stage.is_certificate_near_its_end = NOW + 90 * 86400, False
    browser = signed_in(stage)
    page = browser.get("/acme/admin")
    assert [mark in page.body for mark in ("Everything is working.", 'id="checklist"')] == [False, True]
    stage.certificate_ends = None
    assert words_on(browser.get("/acme/admin")).count("in the configuration file, /etc/ldapgw/ldapgw.toml.") == 1
    stage.certificate_ends = NOW + 90 * 86400
    alice = connect(stage, ALICE)
    add_phone(stage, "desk1", alice)
    stage.do(phones.store_last_searches, {"desk1": LastSearch(NOW, "", NOW)})
    page = browser.get("/acme/admin")
    assert [mark in page.body for mark in ("Everything is working.", 'id="checklist"')] == [True, False]
    assert "<title>✓ Administration" in page.body
    connect(stage, "zoe@acme.example", code="consent_revoked")
    page = browser.get("/acme/admin")
    assert "Everything is working." not in page.body
    assert "<title>! 1 problem · Administration" in page.body


def test_the_step_of_the_first_phone_says_what_has_to_be_done(stage: Stage, admin: Browser) -> None:

    def step() -> tuple[str, str]:
        page = admin.get("/acme/admin")
        link = re.search(r'<strong><a href="([^"]*)">First phone works', page.body)
        assert link is not None
        return link[1], words_on(page).partition("First phone works ")[2]

    assert step()[1].startswith("Add a phone, enter its settings in the phone")
    add_phone(stage, "new")
    path, hint = step()
    assert (path, hint.startswith("Enter the settings in the phone")) == ("/acme/admin/phones", True)
    add_phone(stage, "hall")
    stage.do(phones.store_last_searches, {"hall": LastSearch(NOW, Hint.NUMBER_ALONE.value)})
    path, hint = step()
    assert (path, hint.startswith("A phone has settings to fix.")) == ("/acme/admin/phones?show=settings", True)
    add_phone(stage, "desk")
    stage.do(phones.store_refusals, {"desk": (Refusal(NOW, "192.0.2.7", 3), UNKNOWN_LOGIN_HASH)})
    path, hint = step()
    assert (path, hint.startswith("A phone uses a wrong password.")) == ("/acme/admin/phones?show=refused", True)
    stage.do(phones.store_last_searches, {"new": LastSearch(NOW, "", NOW)})
    assert "<strong>First phone works</strong>" in admin.get("/acme/admin").body


def test_phones_that_do_not_work_are_problems(stage: Stage) -> None:
    """Phones with a wrong password or with settings to fix are problems with links; an unused phone is no problem."""
    stage.certificate_ends, stage.is_certificate_near_its_end = NOW + 90 * 86400, False
    browser = signed_in(stage)
    alice = connect(stage, ALICE)
    for name in ("desk1", "desk2", "hall", "lobby", "new"):
        add_phone(stage, name, alice)
    add_phone(stage, "theirs", None, "globex")
    hint = Hint.NUMBER_ALONE.value
    searches = {"desk1": LastSearch(NOW, "", NOW), "hall": LastSearch(NOW, hint, NOW), "theirs": LastSearch(NOW, hint)}
    stage.do(phones.store_last_searches, searches)
    seen = words_on(browser.get("/acme/admin"))
    assert "1 phone has settings to fix." in seen
    stage.do(phones.store_last_searches, {"lobby": LastSearch(NOW, hint, NOW)})
    stage.do(phones.store_refusals, {"desk2": (Refusal(NOW, "192.0.2.7", 3), UNKNOWN_LOGIN_HASH)})
    page = browser.get("/acme/admin")
    words = words_on(page)
    assert "<title>! 2 problems · Administration" in page.body
    assert "1 phone uses a wrong password. Show phones with a wrong password" in words
    assert "2 phones have settings to fix. Show phones with settings to fix" in words
    assert "Phones working 1 of 5" in words
    assert "Everything is working." not in words
    for show, names in (("refused", ["desk2"]), ("settings", ["hall", "lobby"])):
        assert f'href="/acme/admin/phones?show={show}"' in page.body
        assert re.findall('name="row-(.*?)"', browser.get(f"/acme/admin/phones?show={show}").body) == names
    searches = {name: LastSearch(NOW + 1, "", NOW + 1) for name in ("hall", "lobby")}
    stage.do(phones.store_last_searches, searches)
    stage.do(phones.remove, "desk2")
    page = browser.get("/acme/admin")
    assert "<title>✓ Administration" in page.body
    assert "You don’t need to do anything." in words_on(page)
    assert "Everything is working." not in page.body


def test_clients_at_a_site_are_told_to_the_tenant_whose_phones_are_there(stage: Stage) -> None:
    """Another tenant is not told; the stored address of a phone's last login counts for a day, even after a restart."""
    add_phone(stage, "desk1")
    add_phone(stage, "theirs", None, "globex")
    add_phone(stage, "former", None, "globex")
    binds = (
        ("desk1", "203.0.113.5", NOW - 86399),
        ("theirs", "198.51.100.5", NOW),
        ("former", "203.0.113.6", NOW - 86400),
    )
    for name, address, when in binds:
        login = stage.do(phones.read_by_name, name)
        stage.do(phones.store_last_binds, {name: LastBind(when, address, login.password)})
    stage.refused_logins.note_unfit_client(PLAIN_ON_TLS_PORT, "203.0.113.17")
    stage.refused_logins.note("hall", "203.0.113.18")
    result_of(stage.refused_logins.judge())
    administrations = {"acme": by_link(stage)}
    administrations["globex"] = stage.browser()
    stage.do(sign_ins.make_admin_link, ADMIN_KEY, "globex", NOW)
    assert administrations["globex"].post("/globex/link", {"key": ADMIN_KEY}).location == "/globex/admin"
    told = {
        tenant: [address in browser.get(f"/{tenant}/admin").body for address in ("203.0.113.17", "203.0.113.18")]
        for tenant, browser in administrations.items()
    }
    assert told == {"acme": [True, True], "globex": [False, False]}


def test_a_client_in_testing_is_told_here(stage: Stage) -> None:
    """The page says once that the client is in testing, before and after the consents end, and says what to do."""
    browser = signed_in(stage)
    connect(stage, ALICE, ends=NOW + 7 * 86400)
    connect(stage, BOB, ends=NOW + 7 * 86400)
    page = browser.get("/acme/admin")
    assert page.body.count("Your Google client is in “Testing”.") == 1
    assert "people affected: 2; the next access ends on" in words_on(page)
    assert 'href="https://console.cloud.google.com/auth/audience"' in page.body
    stage.clock.advance(8 * 86400)
    stage.do(sign_ins.make_admin_link, ADMIN_KEY, "acme", stage.clock.seconds())
    browser.post("/acme/link", {"key": ADMIN_KEY})
    assert "7 days after they connect (people affected: 2)" in words_on(browser.get("/acme/admin"))


def test_what_the_open_page_listens_to(stage: Stage) -> None:
    """The page listens to the accounts and phones that it shows of this tenant.

    Other people's pages do not listen to them.
    """
    page = signed_in(stage).get("/acme/admin")
    assert 'data-events="/acme/events?admin=1"' in page.body
    connect(stage, ALICE)
    for name, tenant in (("desk1", "acme"), ("theirs", "globex")):
        add_phone(stage, name, tenant=tenant)

    def topics(address: str, **query: str) -> list[str]:
        visit = visit_by(stage, address, **query)
        return list(result_of(AdminOverview(visit.layout).topics(visit)))

    shown = {"admin": "1", "phones": "1"}
    assert topics(ROOT, **shown) == [GATEWAYS_TOPIC, person_topic("acme", ALICE), DESK1]
    assert topics(ROOT) == []
    assert topics(BOB, **shown) == []


def test_what_an_open_table_listens_to(stage: Stage) -> None:
    """The page listens to the people or phones in its rows.

    A search has no address, so its rows are not kept up to date.
    """
    admin = signed_in(stage)
    for address in (ALICE, BOB):
        connect(stage, address)
    add_phone(stage, "desk1")

    def topics(address: str, **query: str) -> list[str]:
        visit = visit_by(stage, address, **query)
        pages = PhonePages(visit.layout)
        passwords = AdminPasswords(visit.layout, pages)
        windows = ProvisioningWindows(visit.layout)
        admins = AdminPeople(visit.layout, pages, passwords), AdminPhones(visit.layout, pages, passwords, windows)
        tables = (admin.table for admin in admins)
        return [topic for table in tables for topic in result_of(table.topics(visit))]

    assert topics(ROOT, table="people") == [person_topic("acme", ALICE), person_topic("acme", BOB)]
    assert topics(ROOT, table="phones", show="unused") == [DESK1]
    assert topics(ROOT, table="phones", show="works") == []
    assert topics(BOB, table="people") == topics(BOB, table="phones") == topics(ROOT) == []
    for name in ("people", "phones"):
        assert f'data-events="/acme/events?table={name}&amp;' in admin.get(f"/acme/admin/{name}?sort=state").body
        assert '<tbody id="rows" data-live>' in admin.get(f"/acme/admin/{name}").body
        assert '<tbody id="rows">' in admin.submit(f"/acme/admin/{name}", find="e").body


@pytest.mark.parametrize(
    ("code", "link", "said"),
    [
        ("client_rejected", "", "Google rejects your OAuth client"),
        ("api_disabled", "https://console.example/enable", "The People API is turned off"),
    ],
)
def test_an_alarm(stage: Stage, code: str, link: str, said: str) -> None:
    """The page shows an alarm of the tenant, with Google's link if there is one; no person has to be reminded."""
    browser = signed_in(stage)
    connect(stage, ALICE)
    assert said not in browser.get("/acme/admin").body
    stage.do(tenants.raise_alarm, "acme", code, NOW, link)
    page = browser.get("/acme/admin")
    assert said in words_on(page)
    assert (f'href="{link}"' in page.body) is bool(link)
    assert 'id="remind"' not in page.body


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        (None, "There’s no certificate, so phones connect without encryption."),
        (NOW - 1, "It expired on"),
        (NOW + 86400, "It expires on"),
    ],
)
def test_the_certificate(stage: Stage, ends: float | None, said: str) -> None:
    stage.certificate_ends = ends
    assert said in words_on(by_link(stage).get("/acme/admin"))


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        (120, "gateway makes 0.2 calls to Google per minute (2 accounts × 1 every 10 minutes). Google allows 120."),
        (
            1,
            "gateway would make 1.2 calls to Google per minute (12 accounts × 1 every 10 minutes). "
            "Google allows only 1, so syncs are delayed. "
            "An interval of 12 minutes would fit.",
        ),
    ],
)
def test_the_calls_to_google(limit: int, said: str) -> None:
    """The page shows how many calls the accounts make, and which interval would fit.

    Without a limit the page says nothing.
    """
    stage = Stage(calls_per_minute=limit)
    for number in range(12 if limit == 1 else 2):
        connect(stage, f"user{number:03}@acme.example")
    browser = by_link(stage)
    assert f"When nothing changes, the {said}" in words_on(browser.get("/acme/admin"))
    stage.calls_per_minute = None
    assert "Calls to Google" not in words_on(stage.browser(browser).get("/acme/admin"))


@pytest.mark.parametrize(
    ("address", "hd", "named"),
    [
        ("alice@acme.example", "acme.example", False),
        ("alice@acme.example", None, False),
        ("alice@acme.example", "", True),
        ("eve@elsewhere.example", None, True),
        ("root@acme.example", "acme.example", False),
    ],
)
def test_who_was_taken_out_of_allowed_users_is_named(stage: Stage, address: str, hd: str | None, named: bool) -> None:
    """The gateway goes on syncing the account of such a person until somebody ends this."""
    account_id = connect(stage, address)
    stage.do(set_hd, account_id, hd)
    told = "This person is no longer in allowed_users, but is still synced."
    assert (told in words_on(by_link(stage).get("/acme/admin/people"))) is named


def set_hd(connection: Connection, account_id: int, hd: str | None) -> None:
    connection.execute(update(account_table).where(account_table.c.id == account_id).values(hd=hd))


def test_who_asks_for_too_many_unknown_numbers_is_told(stage: Stage) -> None:
    """The page shows the login, the address and the number of searches, of the administrator's own tenant alone."""
    login = "cn=desk1,ou=phones,dc=acme,dc=example"
    browser = by_link(stage)
    assert "Too many unknown numbers" not in words_on(browser.get("/acme/admin"))
    stage.left_out = [
        LeftOut("", ("acme", "globex"), "192.0.2.8", 1, NOW),
        LeftOut(login, ("acme",), "192.0.2.7", 4711, NOW),
        LeftOut("cn=other,dc=globex", ("globex",), "192.0.2.9", 5, NOW),
    ]
    words = words_on(browser.get("/acme/admin"))
    assert "not signed in From 192.0.2.8 Searches 1 desk1 From 192.0.2.7 Searches 4,711" in words
    assert "192.0.2.9" not in words
    assert "Everything is working" not in words
