# SPDX-License-Identifier: MIT
"""The administration has tables of people and phones, acts on one or many rows, and an import of phones."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from twisted.internet.defer import Deferred, maybeDeferred, succeed

from ldapgw.directory.passwords import UNKNOWN_LOGIN_HASH
from ldapgw.store import accounts, activity, phones, sign_ins, sync_state
from ldapgw.store.accounts import SyncRequest
from ldapgw.store.activity import Act
from ldapgw.store.phones import LastSearch, NumberMode
from ldapgw.store.tables import account as account_table
from ldapgw.store.worker import Store, on_threads
from ldapgw.web import admin_phones, admin_tables
from ldapgw.web.admin_people import MAX_REVOCATIONS
from ldapgw.web.admin_phones import PhoneRow
from ldapgw.web.admin_tables import ROWS_PER_PAGE, Table, TableQuery, select_rows
from ldapgw.web.http import HttpResponse
from ldapgw.web.one_time_passwords import PASSWORD_SECONDS
from tests.support.stage.web import (
    ACME,
    ALICE,
    BOB,
    GLOBEX,
    NOW,
    ROOT,
    Browser,
    Recorder,
    Seen,
    Stage,
    about,
    act,
    add_phone,
    by_link,
    connect,
    words_on,
)


@pytest.fixture
def stage() -> Stage:
    return Stage(tenants=(ACME, GLOBEX))


def logged(stage: Stage) -> list[tuple[str, str, str]]:
    entries = stage.do(activity.read_page, "acme").entries[::-1]
    return [(one.act, one.subject, one.detail) for one in entries if one.act != Act.ADMIN_LINK_USED]


def names(stage: Stage) -> list[str]:
    return [login.name for login in stage.do(phones.read_all)]


# --- access ---------------------------------------------------------------------------------------------------------


def test_an_administrator_of_one_tenant_does_nothing_to_another(stage: Stage, admin: Browser) -> None:
    """The pages do not find people and phones of another tenant, whatever a form says."""
    eve = connect(stage, "eve@elsewhere.example", "globex")
    add_phone(stage, "theirs", eve, "globex")
    assert admin.get(f"/acme/admin/people/{eve}").status == 404
    assert admin.get("/globex/admin/people").status == 403
    for what, key in (("people remove", eve), ("phones remove", "theirs"), ("phones password", "theirs")):
        assert act(admin, what, [key], confirmed="1").status == 303
    add_phone(stage, "hall")
    assert act(admin, "phones move", ["hall"], owner=str(eve), confirmed="1").status == 400
    assert (names(stage), len(stage.accounts())) == (["hall", "theirs"], 1)


# --- tables ---------------------------------------------------------------------------------------------------------


def shown(seen: Seen) -> list[str]:
    """Return the heads of a table's rows."""
    return re.findall(r'<th scope="row"><a [^>]*>([^<]*)</a>', seen.body)


def test_the_table_of_people(stage: Stage, admin: Browser) -> None:
    """People who need action come first; the table can be filtered, and sorted by its columns."""
    connect(stage, "zoe@acme.example", code="consent_revoked")
    alice, bob = connect(stage, ALICE), connect(stage, BOB)
    connect(stage, "eve@elsewhere.example", "globex")
    add_phone(stage, "desk1", bob)
    stage.do(accounts.disconnect, alice)
    zoe = "zoe@acme.example"
    expected = {
        "": [zoe, ALICE, BOB],
        "?show=action": [zoe],
        "?show=disconnected": [ALICE],
        "?show=nothing&sort=else&page=x": [zoe, ALICE, BOB],
        "?sort=address": [ALICE, BOB, zoe],
        "?sort=-address": [zoe, BOB, ALICE],
        "?sort=-phones": [BOB, zoe, ALICE],
    }
    assert {query: shown(admin.get(f"/acme/admin/people{query}")) for query in expected} == expected
    page = admin.get("/acme/admin/people?sort=-phones")
    assert 'aria-sort="descending"><a href="/acme/admin/people?sort=phones"' in page.body


def chips(seen: Seen) -> list[tuple[str, str]]:
    """Return the filters with the number of their rows; a filter that is a button has no address."""
    nav = seen.body.partition('id="filters"')[2].partition("</nav>")[0]
    found = re.findall(r'<li><(?:a href="/acme/admin/people\?([^"]*)"|button)[^>]*>([^<]+) <b>(\d+)</b>', nav)
    return [(f"{words} {count}", address) for address, words, count in found]


def test_filters_are_links_with_the_number_of_rows(stage: Stage, admin: Browser) -> None:
    """A filter without rows is left out; the filters of a search are buttons of a form."""
    connect(stage, "zoe@acme.example", code="consent_revoked")
    stage.do(accounts.disconnect, connect(stage, ALICE))
    connect(stage, BOB)
    everyone = [
        ("All 3", "sort=address"),
        ("Needs action 1", "show=action&amp;sort=address"),
        ("Connected 1", "show=connected&amp;sort=address"),
        ("Not connected 1", "show=disconnected&amp;sort=address"),
    ]
    page = admin.get("/acme/admin/people?show=connected&sort=address")
    assert chips(page) == everyone
    assert '&amp;sort=address" aria-current="true">Connected <b>1</b>' in page.body
    found = admin.submit("/acme/admin/people", find="bob", show="action")
    assert chips(found) == [("All 1", ""), ("Needs action 0", ""), ("Connected 1", "")]
    assert shown(admin.submit("/acme/admin/people", find="bob", show="connected")) == [BOB]


def test_all_rows_of_a_table_are_selected_at_once(
    stage: Stage, admin: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The act applies to the rows of all pages that the search and the filter find.

    The question sends the same fields again.
    """
    keys = {address: connect(stage, address) for address in (ALICE, BOB, "zoe@acme.example")}
    assert 'name="all"' not in admin.get("/acme/admin/people").body
    monkeypatch.setattr(admin_tables, "ROWS_PER_PAGE", 1)
    page = admin.submit("/acme/admin/people", find="acme", show="connected")
    for field in ('name="all" value="1"> Select all 3', 'name="find" value="acme"', 'name="show" value="connected"'):
        assert field in page.body.partition('<div class="actions bar">')[2]
    form = {"act": "disconnect", "all": "1", "find": "o", "show": "connected", f"row-{keys[ALICE]}": "1"}
    asked = admin.submit("/acme/admin/people/act", **form)
    assert f"2 selected: {BOB}, zoe@acme.example" in words_on(asked)
    sent = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', asked.body.partition("ending")[2]))
    kept = {name: form[name] for name in ("act", "all", "find", "show")}
    assert sent == {"token": asked.token, **kept, "confirmed": "1", "about": about(asked)}
    assert admin.submit("/acme/admin/people/act", **sent).status == 303
    assert {one.address for one in stage.accounts() if one.is_connected} == {ALICE}
    monkeypatch.setattr(admin_tables, "MAX_SELECTED", 2)
    assert 'name="all"' not in admin.get("/acme/admin/people").body
    assert admin.submit("/acme/admin/people/act", act="sync", all="1").status == 400


@pytest.mark.parametrize("left", [[], [BOB]], ids=["all accounts are removed", "one account is left"])
def test_no_sync_is_requested_of_accounts_that_are_removed_in_the_same_moment(
    stage: Stage, admin: Browser, monkeypatch: pytest.MonkeyPatch, left: list[str]
) -> None:
    """The page says that something has changed if no account is left; the activity log has the other accounts only."""
    ids = {address: connect(stage, address) for address in (ALICE, BOB)}
    run = stage.store.run

    def run_after_the_removals(function: Any, *args: Any, **kw: Any) -> Any:
        if function.__name__ == "_request_syncs":
            for address in ids.keys() - {*left}:
                run(accounts.remove, ids[address], with_phones=True)
        return run(function, *args, **kw)

    before = logged(stage)
    monkeypatch.setattr(stage.store, "run", run_after_the_removals)
    seen = act(admin, "people sync", [str(key) for key in ids.values()])
    message = "Sync started." if left else "Something changed since you opened this page"
    assert message in words_on(admin.get(seen.location))
    assert logged(stage)[len(before) :] == [("sync_requested", address, "") for address in left]


@pytest.mark.parametrize(
    ("page", "pages", "linked"),
    [
        (1, 1, [1]),
        (3, 7, [1, 2, 3, 4, 5, 6, 7]),
        (1, 200, [1, 2, 3, 4, 5, 200]),
        (100, 200, [1, *range(96, 105), 200]),
        (200, 200, [1, *range(196, 201)]),
    ],
)
def test_a_long_table_links_to_the_ends_and_the_pages_near(page: int, pages: int, linked: list[int]) -> None:
    assert Table((), TableQuery(page=page), pages, found=0, total=0, counts={}).numbers == linked


def test_what_is_sought_stands_in_no_address(stage: Stage, admin: Browser) -> None:
    """The text may be a person's address, so forms send the search, the sorting and the page."""
    alice = connect(stage, ALICE)
    connect(stage, BOB)
    add_phone(stage, "desk1", alice)
    add_phone(stage, "hall")
    assert shown(admin.get("/acme/admin/people?find=BO")) == shown(admin.get("/acme/admin/people"))
    for path, find, rows in (("people", "BO", [BOB]), ("people", "nobody", []), ("phones", "alice", ["desk1"])):
        found = admin.submit(f"/acme/admin/{path}", find=find)
        assert (found.status, shown(found)) == (200, rows)
        assert f"find={find}" not in found.body
        assert f'<input type="hidden" name="find" value="{find}">' in found.body
    turned = admin.submit("/acme/admin/people", find="acme", sort="-address")
    assert 'aria-sort="descending"><button form="sort" name="sort" value="address">' in turned.body
    for number in range(ROWS_PER_PAGE):
        add_phone(stage, f"desk-{number}")
    second = admin.submit("/acme/admin/phones", find="desk", page="2")
    assert '<button class="quiet" name="page" value="2" aria-current="page">2</button>' in second.body
    assert len(shown(second)) == 1


def test_the_table_of_phones(stage: Stage, admin: Browser) -> None:
    """The table can be filtered and sorted; unknown values come last, whichever way the table is sorted."""
    alice = connect(stage, ALICE)
    add_phone(stage, "desk1", alice, model="snom")
    add_phone(stage, "desk2", model="poly")
    add_phone(stage, "hall")
    stage.do(phones.store_last_searches, {"desk1": LastSearch(NOW, "", NOW), "desk2": LastSearch(NOW - 60, "")})
    expected = {
        "": ["desk1", "desk2", "hall"],
        "?show=works": ["desk1"],
        "?show=problems": ["desk2"],
        "?show=unused": ["hall"],
        "?show=nobody": ["desk2", "hall"],
        "?sort=model": ["desk2", "desk1", "hall"],
        "?sort=-search": ["desk1", "desk2", "hall"],
    }
    assert {query: shown(admin.get(f"/acme/admin/phones{query}")) for query in expected} == expected


@pytest.mark.parametrize(
    ("find", "found"),
    [("001565AABB", ["desk1"]), ("00:15:65:aa", ["desk1"]), ("aa:bb:cc", ["desk1", "desk2"]), ("aabbdd", [])],
)
def test_a_phone_is_found_by_its_mac_address(stage: Stage, admin: Browser, find: str, found: list[str]) -> None:
    """The search takes addresses with and without colons; the table shows the address with colons."""
    add_phone(stage, "desk1", mac="001565aabbcc")
    add_phone(stage, "desk2", mac="000413aabbcc")
    add_phone(stage, "hall")
    seen = admin.submit("/acme/admin/phones", find=find)
    assert shown(seen) == found
    assert ("00:15:65:aa:bb:cc" in words_on(seen)) is ("desk1" in found)


def test_a_phone_is_found_by_its_label(stage: Stage, admin: Browser) -> None:
    """The label of a new phone makes its name; the table shows the label beside the name."""
    new = {"name": "", "label": "Büro von Alice", "owner": "nobody", "model": "snom"}
    assert admin.submit("/acme/admin/phones/new", **new).location == "/acme/phones/buero-von-alice"
    wrong = admin.submit("/acme/admin/phones/new", **{**new, "name": "Büro 2"})
    assert (wrong.status, "for example buero-2." in wrong.body, 'value="Büro 2"' in wrong.body) == (400, True, True)
    add_phone(stage, "hall")
    seen = admin.submit("/acme/admin/phones", find="büro")
    assert shown(seen) == ["buero-von-alice"]
    assert "buero-von-alice Büro von Alice" in words_on(seen)


def test_a_table_of_many_is_cut_into_pages() -> None:
    """A page number beyond the last page means the last page; the filter stays in the links."""
    rows = [f"desk{number:03}" for number in range(2 * ROWS_PER_PAGE + 1)]

    def page(query: TableQuery) -> Any:
        return select_rows(rows, query, text=str, filters={}, columns={"name": str})

    table = page(TableQuery(page=99))
    assert (table.rows, table.query.page, table.pages, table.found) == (("desk100",), 3, 3, 101)
    assert page(TableQuery(sort="-name")).rows[0] == "desk100"
    assert TableQuery(find="a b", show="works").to_page(2) == "show=works&page=2"


# --- acts on people -------------------------------------------------------------------------------------------------


def test_people_are_synced_and_reminded(stage: Stage, admin: Browser) -> None:
    """Only people with a good consent are synced; the text to send names the people who have to reconnect."""
    alice, bob = connect(stage, ALICE), connect(stage, BOB, code="consent_revoked")
    act(admin, "people sync", [alice, bob])
    assert {one.address: one.requested_sync for one in stage.accounts()} == {ALICE: SyncRequest.INCREMENTAL, BOB: None}
    told = words_on(act(admin, "people remind", [alice, bob]))
    assert f"Of the selected people, 1 has to reconnect: {BOB} Hi, your desk phone" in told
    assert ALICE not in told
    assert act(admin, "people remind", [alice]).location == "/acme/admin/people"
    assert "None of these people has to reconnect" in admin.get("/acme/admin/people").body
    assert act(admin, "people sync", []).location == "/acme/admin/people"
    assert "Select at least one row first." in admin.get("/acme/admin/people").body
    assert logged(stage) == [("sync_requested", ALICE, "")]


@pytest.mark.parametrize(("fields", "left"), [({}, ["desk1", "hall"]), ({"with_phones": "1"}, ["hall"])])
def test_people_are_removed_once_that_is_confirmed(
    stage: Stage, admin: Browser, fields: dict[str, str], left: list[str]
) -> None:
    """The question names the people; then the account is gone, also from copies, with its phones if that was chosen."""
    alice, bob = connect(stage, ALICE), connect(stage, BOB)
    identity = next(one.identity for one in stage.accounts() if one.id == alice)
    add_phone(stage, "desk1", alice)
    add_phone(stage, "hall")
    asked = act(admin, "people remove", [alice])
    assert (asked.status, f"1 selected: {ALICE}" in words_on(asked), len(stage.accounts())) == (200, True, 2)
    assert act(admin, "people remove", [alice], confirmed="1", **fields).location == "/acme/admin/people"
    assert [one.id for one in stage.accounts()] == [bob]
    assert names(stage) == left
    acts = [("account_removed", ALICE, ""), *([("phone_removed", "desk1", "")] if fields else [])]
    assert logged(stage) == acts
    assert (stage.disconnected, stage.removed) == ([], [identity])


def test_people_are_disconnected_and_shared(stage: Stage, admin: Browser) -> None:
    alice, bob = connect(stage, ALICE), connect(stage, BOB)
    act(admin, "people share", [alice, bob], sharing="shared", confirmed="1")
    act(admin, "people disconnect", [alice], confirmed="1")
    assert [(one.address, one.sharing.value, one.is_connected) for one in stage.accounts()] == [
        (ALICE, "shared", False),
        (BOB, "shared", True),
    ]
    assert act(admin, "people share", [bob], sharing="nobody", confirmed="1").status == 400
    assert act(admin, "people explode", [bob], confirmed="1").status == 400


def test_some_grants_are_revoked_at_a_time(stage: Stage, admin: Browser) -> None:
    """Only some revocations run at a time; the accounts are disconnected although Google does not answer."""
    ids = [connect(stage, f"user{number}@acme.example") for number in range(MAX_REVOCATIONS + 2)]
    stage.world.faults.inject("broken_silence", path="/revoke")
    fields = {f"row-{key}": "1" for key in ids} | {"act": "disconnect"}
    fields |= {"confirmed": "1", "about": about(admin.submit("/acme/admin/people/act", **fields))}
    with pytest.raises(AssertionError, match="still waiting"):
        admin.submit("/acme/admin/people/act", **fields)
    assert stage.world.calls["/revoke"] == MAX_REVOCATIONS
    assert [one.is_connected for one in stage.accounts()] == [False] * MAX_REVOCATIONS + [True, True]
    stage.clock.pump([10] * 30)
    assert stage.world.calls["/revoke"] >= MAX_REVOCATIONS + 2
    assert {one.is_connected for one in stage.accounts()} == {False}


@pytest.mark.parametrize("fault", ["Google does not answer", "the token cannot be decrypted"])
def test_who_is_not_revoked_is_told_apart(stage: Stage, admin: Browser, fault: str) -> None:
    """The page says that the access could not be revoked yet, and does not promise further attempts."""
    alice, bob = connect(stage, ALICE), connect(stage, BOB)
    if fault == "Google does not answer":
        stage.world.faults.inject("broken_connection_lost", times=1, path="/revoke")
    else:
        with stage.database.begin() as connection:
            damaged = account_table.update().where(account_table.c.id == alice).values(refresh_token=b"damaged")
            connection.execute(damaged)
    seen = act(admin, "people disconnect", [alice, bob], confirmed="1")
    told = words_on(seen)
    assert (seen.status, told.count("Contacts deleted, Google access revoked.")) == (200, 1)
    assert told.count("The gateway couldn’t revoke Google access yet.") == 1
    assert "keeps trying" not in told
    assert [one.is_connected for one in stage.accounts()] == [False, False]


def test_who_connects_again_while_being_disconnected_is_told_apart(stage: Stage, admin: Browser) -> None:
    """The administrator reads that the access is not revoked."""

    def connect_again() -> None:
        stage.while_changing = lambda: None
        stage.visitor(account=BOB)

    stage.visitor(account=BOB)
    stage.while_changing = connect_again
    told = words_on(act(admin, "people disconnect", [stage.account(BOB).id], confirmed="1"))
    assert "Google access isn’t revoked, because this gateway still needs the access" in told
    assert [one.is_connected for one in stage.accounts()] == [True]


@pytest.mark.parametrize("when", ["before the removal", "after the removal"])
def test_the_grant_of_who_connects_again_while_being_removed(
    stage: Stage, admin: Browser, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """A grant is revoked if its account is removed; a later grant belongs to a new account, as the page says."""
    run, tokens = stage.store.run, list[str]()

    def connect_again() -> None:
        stage.while_changing = lambda: None
        monkeypatch.setattr(stage.store, "run", run)
        stage.visitor(account=BOB)
        tokens.append(stage.do(accounts.read_tokens, stage.secret_box, stage.account(BOB).id).refresh_token)

    def run_after_the_consent(function: Any, *args: Any, **kw: Any) -> Any:
        if function is not sign_ins.extend_sign_in:
            connect_again()
        return run(function, *args, **kw)

    stage.visitor(account=BOB)
    known = stage.account(BOB)
    if when == "before the removal":
        stage.do(accounts.disconnect, known.id)
    fields = {"confirmed": "1", "about": about(act(admin, "people remove", [known.id]))}
    if when == "before the removal":
        monkeypatch.setattr(stage.store, "run", run_after_the_consent)
    else:
        stage.while_changing = connect_again
    seen = act(admin, "people remove", [known.id], **fields)
    left = [(one.id == known.id, one.is_connected) for one in stage.accounts()]
    [is_valid] = [stage.world.grants.use_refresh_token(token) is not None for token in tokens]
    if when == "before the removal":
        assert (seen.location, left, is_valid) == ("/acme/admin/people", [], False)
    else:
        assert "Google access isn’t revoked, because this gateway still needs the access" in words_on(seen)
        assert (left, is_valid) == ([(False, True)], True)


@pytest.mark.parametrize(("failures", "shown_state"), [(2, "✓ Connected"), (3, "! Syncs fail")])
def test_several_failed_syncs_are_a_warning(stage: Stage, admin: Browser, failures: int, shown_state: str) -> None:
    """The person's page and the table show the warning, although nobody has to act.

    The filter still counts a connected account.
    """
    alice = connect(stage, ALICE)
    for _ in range(failures):
        account = stage.do(sync_state.begin, alice)
        stage.do(sync_state.fail, account, "network", NOW, NOW + 60)
    for path in ("people", f"people/{alice}"):
        assert shown_state in words_on(admin.get(f"/acme/admin/{path}"))
    assert "Last success" in words_on(admin.get(f"/acme/admin/people/{alice}"))
    assert chips(admin.get("/acme/admin/people"))[1:] == [("Connected 1", "show=connected")]


def test_a_persons_page(stage: Stage, admin: Browser) -> None:
    """The page links to the person's phones, and the form for a new phone proposes this person as the owner."""
    alice = connect(stage, ALICE)
    add_phone(stage, "desk1", alice)
    page = admin.get(f"/acme/admin/people/{alice}")
    assert 'href="/acme/phones/desk1"' in page.body
    form = admin.get(f"/acme/admin/phones/new?account={alice}")
    assert f'<option value="{alice}" selected>{ALICE}</option>' in form.body
    assert admin.get("/acme/admin/people/99").status == 404


# --- acts on phones -------------------------------------------------------------------------------------------------


def test_a_phone_is_added_for_anybody(stage: Stage, admin: Browser) -> None:
    """The administrator chooses the owner, or nobody; the phone's page follows."""
    alice = connect(stage, ALICE)
    for name, fields in (
        ("desk1", {"owner": str(alice), "model": "cisco", "mac": "00-04-13-AA-BB-CC"}),
        ("desk2", {"owner": "nobody", "model": "other", "placeholder": "none", "mac": ""}),
    ):
        assert admin.submit("/acme/admin/phones/new", name=name, **fields).location == f"/acme/phones/{name}"
    desk1, desk2 = stage.do(phones.read_all)
    assert (desk1.account_id, desk1.model, desk1.numbers) == (alice, "cisco", NumberMode.ENTRIES)
    assert (desk2.account_id, desk2.model, desk2.placeholder) == (None, "", "none")
    assert (desk1.mac, desk2.mac) == ("000413aabbcc", "")


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"name": "HALL"}, "There’s already a phone with this name."),
        ({"name": "de sk"}, "Use 1 to 64 letters"),
        ({"model": ""}, "Choose a model."),
        ({"owner": ""}, "Choose an owner, or “Nobody”."),
        ({"owner": None}, "Choose an owner, or “Nobody”."),
        ({"mac": "0015.65aa.bbcc"}, '<p id="mac-hint" class="wrong">hall has this MAC address already.'),
        ({"mac": "00:04"}, '<p id="mac-hint" class="wrong">“00:04” isn’t a MAC address.'),
        # No page offers these values.
        ({"owner": "99"}, ""),
        ({"model": "other", "placeholder": "?"}, ""),
    ],
    ids=str,
)
def test_a_phone_that_cannot_be_added(stage: Stage, admin: Browser, fields: dict[str, str | None], told: str) -> None:
    """An error says why, and the form keeps what was typed; nothing is stored."""
    add_phone(stage, "hall", mac="001565aabbcc")
    given = {"name": "desk1", "owner": "nobody", "model": "snom", "mac": "", **fields}
    sent = {name: value for name, value in given.items() if value is not None}
    seen = admin.submit("/acme/admin/phones/new", **sent)
    assert (seen.status, told in seen.body, names(stage)) == (400, True, ["hall"])
    for name in ("name", "mac") if told else ():
        assert f'name="{name}" value="{sent[name]}"' in seen.body


def test_phones_are_moved_changed_and_removed(stage: Stage, admin: Browser) -> None:
    alice = connect(stage, ALICE)
    for name in ("desk1", "desk2", "desk3"):
        add_phone(stage, name)
    act(admin, "phones move", ["desk1", "desk2"], owner=str(alice), confirmed="1")
    act(admin, "phones model", ["desk1"], model="other", placeholder="none", confirmed="1")
    assert stage.do(phones.read_by_name, "desk1").placeholder == "none"
    act(admin, "phones model", ["desk1"], model="cisco", confirmed="1")
    assert stage.do(phones.read_by_name, "desk1").placeholder == ""
    asked = act(admin, "phones remove", ["desk2", "desk3"])
    assert f"2 selected: desk2 ({ALICE}), desk3" in words_on(asked)
    assert len(names(stage)) == 3
    act(admin, "phones remove", ["desk2", "desk3"], confirmed="1")
    found = [(one.name, one.account_id, one.model, one.numbers) for one in stage.do(phones.read_all)]
    assert found == [("desk1", alice, "cisco", NumberMode.ENTRIES)]
    assert logged(stage)[:3] == [
        ("phone_moved", "desk1", ALICE),
        ("phone_moved", "desk2", ALICE),
        ("phone_model", "desk1", "other"),
    ]


PAGES = (
    *(
        "/",
        "/acme/",
        "/acme/privacy",
        "/acme/account",
        "/acme/phones",
        "/acme/phones/desk1",
        "/acme/phones/desk1/sheet",
    ),
    *("/acme/contacts", "/acme/explain", "/acme/troubleshoot", "/acme/disconnect", "/acme/admin", "/acme/admin/people"),
    *("/acme/admin/people/1", "/acme/admin/phones", "/acme/admin/phones/new", "/acme/admin/phones/import"),
    *("/acme/admin/phones/window", "/acme/admin/phones/steps", "/acme/admin/activity", "/acme/admin/google"),
)


@pytest.mark.parametrize("path", PAGES)
def test_pages_are_rendered_off_the_thread(path: str) -> None:
    """A table or a long list takes tens of milliseconds, and phones do not wait for the page."""
    thread = Recorder()
    stage = Stage(tenants=(ACME, GLOBEX), render_off_thread=thread)
    root = stage.visitor(account=ROOT)
    add_phone(stage, "desk1", stage.account(ROOT).id)
    thread.results.clear()
    page = root.get(path)
    *_, rendered = thread.results
    assert isinstance(rendered, HttpResponse)
    assert (page.status, rendered.body.decode()) == (200, page.body)


def test_the_states_of_the_phones_of_a_page_are_made_off_the_thread() -> None:
    """The page makes the states of its own rows only."""
    thread = Recorder()
    stage = Stage(tenants=(ACME, GLOBEX), render_off_thread=thread)
    for number in range(ROWS_PER_PAGE + 10):
        add_phone(stage, f"desk{number:02}")
    admin = by_link(stage)
    thread.results.clear()
    admin.get("/acme/admin/phones?page=2")
    states, _page = thread.results
    assert isinstance(states, dict)
    assert [*states] == [f"desk{number}" for number in range(50, 60)]


def test_the_values_of_a_phones_page_are_made_off_the_thread() -> None:
    """A phone's page has the settings of its model, and tells the phone's last searches with advice."""
    thread = Recorder()
    stage = Stage(tenants=(ACME, GLOBEX), render_off_thread=thread)
    add_phone(stage, "desk1")
    admin = by_link(stage)
    thread.results.clear()
    admin.get("/acme/phones/desk1")
    sheet, searches, _page = thread.results
    assert isinstance(sheet, dict)
    assert isinstance(searches, dict)
    assert ("sheet" in sheet, [*searches]) == (True, ["state", "lines", "hints"])


def test_the_database_thread_returns_only_the_rows_of_a_form() -> None:
    """Acts and new passwords concern few rows, and the reactor's thread does not search a table of thousands."""
    read: list[object] = []

    def record(function: Callable[..., object], *args: object, **kw: object) -> Deferred[object]:
        read.append(function(*args, **kw))
        return succeed(read[-1])

    stage = Stage(tenants=(ACME, GLOBEX))
    stage.store = Store(on_threads(stage.database, maybeDeferred, record))
    for number in range(10):
        add_phone(stage, f"desk{number}")
    admin = by_link(stage)
    stage.clock.advance(1)
    made = act(admin, "phones password", ["desk1", "desk2"], confirmed="1")
    admin.get(made.location)
    tables = [rows for rows in read if isinstance(rows, (list, tuple)) and rows and isinstance(rows[0], PhoneRow)]
    assert [[row.login.name for row in rows] for rows in tables] == [["desk1", "desk2"]] * 3


# --- thirty desks ---------------------------------------------------------------------------------------------------


def add_desks(browser: Browser, text: str) -> Seen:
    return browser.submit("/acme/admin/phones/import/add", text=text)


DESKS = "name;account;model;mac\n" + "".join(
    f"desk{number};{ALICE};yealink;0015650000{number:02}\n" for number in range(30)
)


def test_a_preview_stores_nothing(stage: Stage, admin: Browser) -> None:
    """The gateway reads the encodings that Excel writes.

    If a line is bad, the preview shows its error and has no button.
    """
    connect(stage, ALICE)
    seen = admin.send_file("/acme/admin/phones/import", (DESKS + "hall;;snom;\n").encode("utf-16"))
    assert (seen.status, "Add 31 phones" in seen.body, names(stage)) == (200, True, [])
    assert "1 phone will have no owner, and find only shared contacts" in words_on(seen)
    assert "Yealink 00:15:65:00:00:29" in words_on(seen)
    seen = admin.send_file("/acme/admin/phones/import", (DESKS + "desk0;zoë@acme.example;nokia;\n").encode("cp1252"))
    assert (seen.status, "phones/import/add" in seen.body) == (400, False)
    assert "✗ Line 2 has the same name." in words_on(seen)
    assert "1 line has an error." in words_on(seen)
    add_phone(stage, "lobby", mac="001565000003")
    add_phone(stage, "theirs", tenant="globex", mac="001565000004")
    seen = admin.send_file("/acme/admin/phones/import", DESKS.encode())
    assert "✗ lobby has this MAC address already." in words_on(seen)
    assert "1 line has an error." in words_on(seen)
    assert "Choose a CSV file first." in admin.send_file("/acme/admin/phones/import", b"").body
    assert "This isn’t a CSV file" in admin.send_file("/acme/admin/phones/import", b"PK\0\3").body


def test_a_preview_of_a_large_file_can_be_confirmed(stage: Stage, admin: Browser) -> None:
    """The form has about the size of the file; percent-encoded, the text would be up to three times as long."""
    lines = "".join(f"desk{number};;yealink;{number:012};Приёмная на этаже {number}\n" for number in range(500))
    seen = admin.send_file("/acme/admin/phones/import", f"name;account;model;mac;label\n{lines}".encode())
    form, _, rest = seen.body.partition('action="/acme/admin/phones/import/add"')[2].partition(">")
    assert 'enctype="multipart/form-data"' in form
    text = rest.partition('name="text" value="')[2].partition('"')[0]
    assert admin.send_file("/acme/admin/phones/import/add", b"", text=text).status == 303
    assert len(names(stage)) == 500


def test_thirty_desks_become_a_zip(stage: Stage, admin: Browser) -> None:
    """The next page lists the phones, and hands out a ZIP file.

    Each phone has a settings file there, named by its MAC address.
    """
    alice = connect(stage, ALICE)
    done = add_desks(admin, DESKS)
    assert (done.status, names(stage)) == (303, sorted(f"desk{number}" for number in range(30)))
    page = admin.get(done.location)
    assert f'<meta http-equiv="refresh" content="0; url={done.location}/zip">' in page.body
    told = words_on(page)
    assert "30 phones added Keep the ZIP file: it has the only copy of their passwords." in told
    assert "sheets.html : 30 pages to print" in told
    assert "30 settings files, to load in the phones" in told
    assert shown(admin.get(f"/acme/admin/phones?show=zip-{done.location.rpartition('/')[2]}")) == names(stage)
    seen = admin.get(f"{done.location}/zip")
    assert (seen.status, seen.headers["content-type"]) == (200, ["application/zip"])
    made = datetime.fromtimestamp(NOW, UTC).astimezone()
    file = f"acme-phones-{made:%Y-%m-%d-%H%M%S}.zip"
    assert seen.headers["content-disposition"] == [f'attachment; filename="{file}"']
    assert seen.headers["cache-control"] == ["no-store"]
    assert [f"0015650000{number:02}.cfg" in seen.body for number in (0, 29)] == [True, True]
    assert "sheets.html" in seen.body
    assert {(one.account_id, one.model) for one in stage.do(phones.read_all)} == {(alice, "yealink")}
    assert logged(stage) == [("phones_imported", "", "30")]
    again = admin.get(done.location)
    assert ("http-equiv" in again.body, "Download again" in again.body) == (False, True)


def test_new_passwords_are_in_files_of_the_same_names(stage: Stage, admin: Browser) -> None:
    """The new files have the names of the import's files, also for another administrator and later."""
    connect(stage, ALICE)
    add_desks(admin, DESKS)
    stage.clock.advance(PASSWORD_SECONDS)
    another = by_link(stage)
    done = act(another, "phones password", ["desk3", "desk4"], confirmed="1")
    seen = another.get(f"{done.location}/zip")
    assert sorted(set(re.findall(r"[\w.-]+[.]cfg", seen.body))) == ["001565000003.cfg", "001565000004.cfg"]


def test_what_is_sent_twice_is_done_once(stage: Stage, admin: Browser) -> None:
    """A repeated form leads to the page of the first form; a form that asks for something else does not."""
    connect(stage, ALICE)
    done = add_desks(admin, DESKS)
    assert add_desks(admin, DESKS).location == done.location
    before = stage.do(phones.read_all)
    other = add_desks(admin, DESKS.replace("desk29", "desk30"))
    assert (other.status, "There’s already a phone with this name." in other.body) == (400, True)
    rows = [f"desk{number}" for number in range(3)]
    for what, fields in (("phones password", {}), ("phones move", {"owner": "nobody", "new_passwords": "1"})):
        stage.clock.advance(60)
        form = about(act(admin, what, rows))
        done = act(admin, what, rows, confirmed="1", about=form, **fields)
        after = stage.do(phones.read_all)
        assert {old.name for old, new in zip(before, after, strict=True) if old.password != new.password} == {*rows}
        assert done.location.startswith("/acme/admin/phones/passwords/")
        assert act(admin, what, rows, confirmed="1", about=form, **fields).location == done.location
        assert stage.do(phones.read_all) == after
        assert "3 phones have new passwords" in words_on(admin.get(done.location))
        before = after
    # Another browser of the administrators has not made the passwords.
    stale = act(stage.admin(), "phones password", rows, confirmed="1", about=form)
    assert (stale.location, stage.do(phones.read_all)) == ("/acme/admin/phones", before)


def test_of_two_forms_under_way_one_gives_passwords(stage: Stage) -> None:
    """Both forms have read the same phones; the second form finds other passwords, and stores nothing."""
    add_phone(stage, "desk1")
    read = stage.do(phones.read_all)
    first, second = ({"desk1": f"sha256${number}$"} for number in "12")
    assert stage.do(admin_phones._give, read, first, NOW, [], None)
    after = stage.do(phones.read_all)
    moves: list[object] = []
    assert not stage.do(admin_phones._give, read, second, NOW, [], moves.append)
    assert (stage.do(phones.read_all), moves) == (after, [])


def test_passwords_are_handed_out_for_ten_minutes_to_whom_made_them(stage: Stage, admin: Browser) -> None:
    """The passwords are handed out only as long as they are the phones' passwords."""
    add_phone(stage, "desk1", model="snom")
    add_phone(stage, "desk2", model="yealink")
    assert "Give these phones new passwords?" in act(admin, "phones password", ["desk1"]).body
    assert stage.do(phones.read_by_name, "desk1").password == UNKNOWN_LOGIN_HASH
    page = act(admin, "phones password", ["desk1", "desk2"], confirmed="1").location
    assert stage.do(phones.read_by_name, "desk1").password != UNKNOWN_LOGIN_HASH
    seen = admin.get(f"{page}/zip").body
    assert ("desk1.xml" in seen, "desk2.cfg" in seen) == (True, True)
    other = stage.admin()
    gone = "The passwords can no longer be downloaded."
    assert gone in words_on(other.get(page))
    assert other.get(f"{page}/zip").location == page
    stage.do(phones.set_password, "desk2", UNKNOWN_LOGIN_HASH, NOW)
    seen = admin.get(f"{page}/zip").body
    assert ("desk1.xml" in seen, "desk2.cfg" in seen) == (True, False)
    stage.clock.advance(PASSWORD_SECONDS)
    assert gone in words_on(admin.get(page))
    assert admin.get(f"{page}/zip").location == page
    stage.do(phones.remove, "desk1")
    stage.do(phones.remove, "desk2")
    assert admin.get(page).status == 404


def test_phones_of_people_who_leave_get_new_passwords(stage: Stage, admin: Browser) -> None:
    """The page hands out the passwords, or links to them if Google could not be asked."""
    for address, works in ((ALICE, True), (BOB, False)):
        key = connect(stage, address)
        add_phone(stage, f"{address[:3]}-1", key)
        if not works:
            stage.clock.advance(1)
            stage.world.faults.inject("broken_connection_lost", times=1, path="/revoke")
        done = act(admin, "people remove", [key], confirmed="1", new_passwords="1")
        where = done.location if works else re.findall(r'href="([^"]*/passwords/\d+)"', done.body)[0]
        assert "1 phone has a new password" in words_on(admin.get(where))
    found = {(one.account_id, one.password == UNKNOWN_LOGIN_HASH) for one in stage.do(phones.read_all)}
    assert found == {(None, False)}
