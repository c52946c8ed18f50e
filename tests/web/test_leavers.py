# SPDX-License-Identifier: MIT
"""The administration's pages show people who leave, and people who are not connected yet."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from sqlalchemy import update

from ldapgw.contact import Contact, Source
from ldapgw.store import accounts, activity, leavers, sync_state, tenants
from ldapgw.store.accounts import SourceState
from ldapgw.store.activity import Act
from ldapgw.store.leavers import Leaver, LeaverReason
from ldapgw.store.tables import account, contact
from ldapgw.store.tenants import DelegatedUser
from ldapgw.web import admin_people
from ldapgw.web.admin_people import MAX_APPROVED, MAX_LINK, mail_links
from tests.support.stage.web import (
    ACME,
    ALICE,
    BOB,
    GLOBEX,
    NOW,
    Browser,
    Seen,
    Stage,
    about,
    act,
    by_link,
    connect,
    store_contacts,
    words_on,
)

DAY = 86400.0
PAGE = "/acme/admin/people"
COMPANY = replace(ACME, sources=(Source.CONTACTS, Source.DIRECTORY), remove_leavers=14 * DAY)


@pytest.fixture
def stage() -> Stage:
    return Stage(tenants=(COMPANY, GLOBEX))


def leave(stage: Stage, *ids: int, reason: LeaverReason = LeaverReason.MISSING, ago: float = 0.0) -> None:
    stage.do(leavers.mark, ids, dict.fromkeys(ids, reason), NOW - ago)


def marks(stage: Stage) -> dict[int, Leaver]:
    found: dict[int, Leaver] = stage.do(leavers.read, "acme")
    return found


def logged(stage: Stage) -> list[tuple[str, str]]:
    entries = stage.do(activity.read_page, "acme").entries[::-1]
    return [(one.act, one.subject) for one in entries if one.act not in (Act.ADMIN_LINK_USED, Act.LEAVER_FOUND)]


def rows(seen: Seen) -> list[str]:
    """Return the state in each row of the table."""
    return [" ".join(re.sub("<[^>]*>", " ", row).split()) for row in re.findall(r'data-label="State">(.*)', seen.body)]


@pytest.mark.parametrize(
    ("reason", "why"),
    [
        (LeaverReason.MISSING, "Google has ended this person’s access, and the company directory no longer lists"),
        (LeaverReason.SUSPENDED, "This person’s Google account is suspended"),
        (LeaverReason.DELETED, "This person’s Google account was deleted"),
        (LeaverReason.MOVED, "The company’s service account no longer covers this person"),
    ],
)
def test_a_leaver_is_seen_and_kept(stage: Stage, admin: Browser, reason: LeaverReason, why: str) -> None:
    """The pages show the date on which the person leaves, and an administrator can keep the person."""
    alice, bob = connect(stage, ALICE, code="consent_revoked"), connect(stage, BOB)
    leave(stage, alice, reason=reason, ago=4 * DAY)
    leaves = "leaves on 1 October 2026"
    assert rows(admin.get(PAGE)) == [f"! Needs attention {leaves}", "✓ Connected"]
    assert rows(admin.get(f"{PAGE}?show=leaving")) == [f"! Needs attention {leaves}"]
    assert "No people found." in admin.get(f"{PAGE}?show=action").body
    told = words_on(admin.get(f"{PAGE}/{alice}"))
    assert (leaves in told, why in told, "needs to reconnect" in told) == (True, True, False)
    assert why not in words_on(admin.get(f"{PAGE}/{bob}"))
    assert "Waiting for these people" not in admin.get("/acme/admin").body

    assert act(admin, "people keep", [alice, bob]).location == PAGE
    assert act(admin, "people keep", [bob]).location == PAGE
    assert "this applies only to people who have left" in admin.get(PAGE).body
    assert marks(stage) == {alice: Leaver(alice, reason, NOW - 4 * DAY, kept=True)}
    assert "has left, but is kept" in rows(admin.get(PAGE))[0]
    assert rows(admin.get(f"{PAGE}?show=leaving")) == []
    act(admin, "people unkeep", [alice])
    assert leaves in rows(admin.get(PAGE))[0]
    assert logged(stage) == [("leaver_kept", ALICE), ("leaver_not_kept", ALICE)]


def test_a_leaver_who_was_disconnected_has_no_access_that_google_ended(stage: Stage, admin: Browser) -> None:
    alice = connect(stage, ALICE, code="consent_revoked")
    leave(stage, alice)
    stage.do(accounts.disconnect, alice)
    told = words_on(admin.get(f"{PAGE}/{alice}"))
    assert "○ Not connected" in told
    assert "The company directory no longer lists this person." in told
    assert "Google has ended this person’s access" not in told


def test_a_suspended_user_is_neither_connected_nor_synced(stage: Stage, admin: Browser) -> None:
    def users(*present: DelegatedUser, **gone: LeaverReason) -> None:
        more = {"scopes": frozenset[str](), "sharing": ACME.sharing, "shared_label": "", "now": NOW}
        stage.do(tenants.apply_users, "acme", present, gone, (), **more)

    users(DelegatedUser("a1", ALICE), DelegatedUser("b1", BOB))
    alice, bob = stage.accounts()
    for account_id in (alice.id, bob.id):
        stage.do(sync_state.end, stage.do(sync_state.begin, account_id), NOW, NOW + 600)
    assert rows(admin.get(PAGE)) == ["✓ Connected", "✓ Connected"]
    users(DelegatedUser("b1", BOB), a1=LeaverReason.SUSPENDED)
    assert rows(admin.get(PAGE))[0] == "! Needs attention leaves on 5 October 2026"
    told = admin.get(f"{PAGE}/{alice.id}")
    assert "Next sync –" in words_on(told)
    assert 'value="sync"' not in told.body
    assert 'value="sync"' in admin.get(f"{PAGE}/{bob.id}").body
    act(admin, "people sync", [alice.id])
    assert stage.do(accounts.read, alice.id).requested_sync is None


def test_nobody_leaves_on_a_date_unless_the_tenant_says_so(stage: Stage) -> None:
    """Without the setting the page says only that the person has left."""
    stage.tenants = (replace(COMPANY, remove_leavers=0.0),)
    leave(stage, connect(stage, ALICE), reason=LeaverReason.DELETED)
    assert rows(by_link(stage).get(PAGE)) == ["✓ Connected has left"]


def hold(stage: Stage, count: int) -> list[int]:
    """Let the removal of so many accounts wait for an administrator."""
    ids = [connect(stage, f"user{number}@acme.example") for number in range(count)]
    leave(stage, *ids, ago=15 * DAY)
    stage.do(leavers.hold, "acme", count, NOW)
    return ids


def test_many_leavers_are_approved(stage: Stage, admin: Browser) -> None:
    """Only people who are due and not kept are approved, and only after a page has named them."""
    soon = connect(stage, "soon@acme.example")
    leave(stage, soon)
    kept, *ids = hold(stage, 5)
    act(admin, "people keep", [kept])
    assert "5 people have left and wait for your approval" in words_on(admin.get("/acme/admin"))
    page = admin.get(PAGE)
    assert "4 people have left and are about to be removed." in words_on(page)
    assert words_on(page).count("leaves when you approve it") == 4
    assert "leaves when you approve it" in words_on(admin.get(f"{PAGE}/{ids[0]}"))
    form = page.body.partition('id="held"')[2].partition("</form>")[0]
    assert [int(key) for key in re.findall(r'name="row-(\d+)"', form)] == ids

    asked = act(admin, "people approve", ids)
    assert "4 selected: user1@acme.example, user2@acme.example" in words_on(asked)
    # One of them has come back meanwhile, so another page has to ask.
    stage.do(leavers.mark, [ids[0]], {}, NOW)
    assert act(admin, "people approve", ids, confirmed="1", about=about(asked)).location == PAGE
    assert not any(mark.approved for mark in marks(stage).values())
    act(admin, "people approve", ids[1:], confirmed="1")
    assert {key for key, mark in marks(stage).items() if mark.approved} == {*ids[1:]}
    assert stage.do(leavers.read_held, "acme") is None
    page = admin.get(PAGE)
    assert ('id="held"' in page.body, words_on(page).count("leaves within the next hour")) == (False, 3)
    acts = [("leaver_approved", f"user{number}@acme.example") for number in (2, 3, 4)]
    assert logged(stage) == [("leaver_kept", "user0@acme.example"), ("leaver_back", "user1@acme.example"), *acts]


def fields(form: str) -> dict[str, str]:
    """Return the hidden fields of a form."""
    return dict(re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', form.partition("</form>")[0]))


def test_very_many_leavers_are_approved_in_parts(stage: Stage, admin: Browser) -> None:
    """A form has at most as many people as the gateway can read from a form."""
    hold(stage, MAX_APPROVED + 5)
    page = admin.get(PAGE)
    assert f"{MAX_APPROVED} people have left and are about to be removed." in words_on(page)
    asked = admin.post(f"{PAGE}/act", {**fields(page.body.partition('id="held"')[2]), "act": "approve"})
    assert f"{MAX_APPROVED} selected: user0@acme.example" in words_on(asked)
    done = admin.post(f"{PAGE}/act", fields(asked.body.partition('class="card ending"')[2]))
    assert (done.status, sum(mark.approved for mark in marks(stage).values())) == (303, MAX_APPROVED)


# --- people without an account --------------------------------------------------------------------------------------


def list_people(stage: Stage, holder: int, people: Mapping[str, Iterable[str]]) -> None:
    """Store a directory: e-mail addresses by name, which is also Google's key of the person."""
    stage.do(sync_state.write_source_states, holder, {Source.DIRECTORY: SourceState.ON})
    listed = [Contact(f"c{n}", Source.DIRECTORY, key, key, emails=tuple(people[key])) for n, key in enumerate(people)]
    store_contacts(stage, holder, listed, Source.DIRECTORY)
    with stage.database.begin() as connection:
        connection.execute(update(account).where(account.c.id == holder).values(hd="acme.example"))


# The tests' accounts have their address as their sub.
PEOPLE = {
    BOB: ["b@acme.example"],
    "Alice": ["Alice@ACME.example"],
    "Zoe": ["zoe@home.example", "Zoe@acme.example"],
    "Anna & Co": ["anna+phone@acme.example"],
    "Partner": ["partner@elsewhere.example"],
    "Nobody": [],
}


def listed(seen: Seen) -> list[str]:
    """Return the addresses that the section lists."""
    section = seen.body.partition('id="unconnected"')[2].partition("</details>")[0]
    return [html.unescape(words) for words in re.findall(r"<li><span>([^<]*)</span>", section)]


def test_people_of_the_directory_who_are_not_connected(stage: Stage, admin: Browser) -> None:
    """The section lists people whom the tenant admits and who have no account; one link writes to all of them."""
    alice = connect(stage, ALICE)
    connect(stage, BOB)
    assert "In the directory, not connected" not in admin.get(PAGE).body
    list_people(stage, alice, PEOPLE)
    page = admin.get(PAGE)
    assert listed(page) == ["anna+phone@acme.example", "Zoe@acme.example"]
    assert "In the directory, not connected (2)" in words_on(page)
    (link,) = [html.unescape(url) for url in re.findall(r'href="(mailto:[^"]*)"', page.body)]
    values = {name: value for name, (value,) in parse_qs(urlsplit(link).query).items()}
    assert values["bcc"] == "anna+phone@acme.example,Zoe@acme.example"
    assert "https://phonebook.example.com/acme/" in values["body"]
    assert re.search(
        r'<pre id="unconnected-addresses"[^>]*>anna\+phone@acme.example, Zoe@acme.example</pre>', page.body
    )
    # A damaged directory shows nobody until it is repaired.
    with stage.database.begin() as connection:
        connection.execute(update(contact).values(content=b"{"))
    assert "In the directory, not connected" not in admin.get(PAGE).body


def test_external_contacts_are_not_invited_when_everybody_may_connect(stage: Stage) -> None:
    stage.tenants = (replace(COMPANY, allowed_users=("*",)),)
    list_people(stage, connect(stage, ALICE), PEOPLE)
    assert listed(by_link(stage).get(PAGE)) == ["anna+phone@acme.example", "b@acme.example", "Zoe@acme.example"]


def test_a_large_directory(stage: Stage, admin: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page names some people and the number of all; each link writes to some of them."""
    list_people(stage, connect(stage, ALICE), {f"P{n}": [f"p{n:03}@acme.example"] for n in range(130)})
    page = admin.get(PAGE)
    assert len(listed(page)) == 50
    told = words_on(page)
    assert ("not connected (130)" in told, "And 80 more." in told) == (True, True)
    links = [html.unescape(url) for url in re.findall(r'href="(mailto:[^"]*)"', page.body)]
    written = [address for link in links for address in parse_qs(urlsplit(link).query)["bcc"][0].split(",")]
    assert len(links) > 1
    assert max(map(len, links)) <= MAX_LINK
    assert written == sorted(written)
    assert len(set(written)) == 130
    monkeypatch.setattr(admin_people, "MAX_INVITED", 3)
    monkeypatch.setattr(admin_people, "MAX_COLLEAGUES", 100)
    told = words_on(admin.get(PAGE))
    assert ("not connected (100)" in told, "The first 3 addresses." in told) == (True, True)


def test_a_link_is_no_longer_than_mail_programs_take() -> None:
    """Each address is in one link, in order; a single address that is too long has a link of its own."""
    addresses = [f"{'x' * number}@acme.example" for number in (5, 400, 900, 1990, 7)]
    links = mail_links(addresses, "Subject & more", "Text: 100 %")
    assert [(link.first, link.last) for link in links] == [(1, 3), (4, 4), (5, 5)]
    assert links[2].url == "mailto:?bcc=xxxxxxx@acme.example&subject=Subject%20%26%20more&body=Text%3A%20100%20%25"
    assert unquote(links[0].url).startswith(f"mailto:?bcc={','.join(addresses[:3])}&subject=Subject & more")
    assert mail_links([], "", "") == ()
