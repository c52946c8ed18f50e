# SPDX-License-Identifier: MIT
"""In a provisioning window phones fetch their settings by their MAC addresses; every other request finds nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from ldapgw.directory.passwords import UNKNOWN_LOGIN_HASH, verify_password
from ldapgw.ldap.admission import FIRST_DELAY, MAX_DELAY
from ldapgw.phones.description import show_mac
from ldapgw.phones.provisioning.vendors import all_vendors
from ldapgw.phones.provisioning.window import REASONS, dhcp_settings, window_rows
from ldapgw.store import activity, phones, provisioning
from ldapgw.store.activity import Act
from ldapgw.store.phones import LastBind, NumberMode, PhoneLogin, Refusal
from ldapgw.store.provisioning import Reason
from ldapgw.web.provisioning_pages import MAX_SHOWN
from tests.support.readers import yealink
from tests.support.stage.web import ACME, GLOBEX, NOW, URL, Browser, Seen, Stage, act, by_link, owner, words_on
from tests.support.vendor_rows import ROWS
from tests.web.boot import BOOTS, Boot

OFFICE, ELSEWHERE, PROXY = "192.0.2.7", "198.51.100.9", "127.0.0.1"
MAC = "001565aabbcc"
SHOWN = "00:15:65:aa:bb:cc"
FILE = f"{MAC}.cfg"
PAGE = "/acme/admin/phones/window"
TOKEN = "0123456789abcdefghjk"


def in_office(address: str) -> bool:
    return address.startswith("192.0.2.")


@pytest.fixture
def stage() -> Stage:
    """Acme's phones may fetch their files from the office; a proxy gives the address and the scheme of each request."""
    acme = replace(ACME, has_provisioning_networks=True, may_provision=in_office)
    return Stage(tenants=(acme, GLOBEX), trusts=lambda address: address == PROXY)


def add(stage: Stage, name: str = "desk1", mac: str = MAC, model: str = "yealink", tenant: str = "acme") -> None:
    login = PhoneLogin(name, tenant, None, NumberMode.VALUES, UNKNOWN_LOGIN_HASH, NOW, model, mac=mac)
    assert stage.do(phones.add, login)


def opened(stage: Stage, *names: str, plain_http: bool = False, minutes: int = 60) -> None:
    now = stage.clock.seconds()
    stage.do(
        provisioning.open_window,
        *("acme", stage.secret_box, TOKEN, now, minutes * 60.0, names),
        chosen=bool(names),
        plain_http=plain_http,
    )


def fetch(
    stage: Stage,
    file: str = FILE,
    address: str = OFFICE,
    *,
    token: str = TOKEN,
    tenant: str = "acme",
    scheme: str = "https",
    method: str = "GET",
    user_agent: str = "",
) -> Seen:
    browser = stage.browser()
    browser.patience = MAX_DELAY  # a guess is answered later
    headers = {"X-Forwarded-For": address, "X-Forwarded-Proto": scheme, "User-Agent": user_agent}
    return browser.get(f"/{tenant}/provision/{token}/{file}", headers, method)


def refusals(stage: Stage) -> Mapping[tuple[Reason, str], int]:
    return {(one.reason, one.mac): one.count for one in stage.do(provisioning.read_refusals, "acme")}


def test_a_phone_fetches_its_settings_once(stage: Stage) -> None:
    """The phone gets a next password beside the present one.

    The fetch is logged and shown, and a second fetch finds nothing.
    """
    add(stage)
    opened(stage)
    answer = fetch(stage)
    assert (answer.status, answer.headers["cache-control"]) == (200, ["no-store"])
    read = yealink(answer.body)
    login = stage.do(phones.read_by_name, "desk1")
    assert read["ldap.user"] == "desk1"
    assert verify_password(read["ldap.password"].encode(), login.next_password)
    assert login.password == UNKNOWN_LOGIN_HASH
    assert stage.changes == 1  # the directory knows the password before the phone does
    (entry,) = stage.do(activity.read_page, "acme").entries
    assert (entry.act, entry.subject, entry.detail, entry.address) == (Act.PROVISIONING_FETCHED, "desk1", FILE, OFFICE)
    assert fetch(stage).status == 404
    assert stage.do(phones.read_by_name, "desk1") == login
    assert refusals(stage) == {(Reason.FETCHED, MAC): 1}
    shown = words_on(by_link(stage).get(PAGE))
    assert f"desk1 {SHOWN} Fetched from {OFFICE}" in shown
    on_phone = words_on(by_link(stage).get("/acme/phones/desk1"))
    assert "In the provisioning window, this phone fetched its settings with a new password on" in on_phone
    assert "The old password works until the phone uses the new one." in on_phone
    assert "Settings fetched, not used yet The settings were fetched. Now search for a contact" in on_phone
    assert f"{SHOWN} ( desk1 ) The phone has fetched its settings already." in shown


def test_the_page_of_very_many_phones_stays_small(stage: Stage) -> None:
    """Each list has the first phones, and the number of the others."""
    for number in range(MAX_SHOWN + 3):
        add(stage, f"fit{number:03}", f"0015650000{number:02x}")
        add(stage, f"unfit{number:03}", "")
    page = by_link(stage).get(PAGE)
    names = re.findall(r'href="/acme/phones/((?:un)?fit\d+)"', page.body)
    assert names == [f"{kind}{number:03}" for kind in ("fit", "unfit") for number in range(MAX_SHOWN)]
    assert words_on(page).count("And 3 more.") == 2


@pytest.mark.parametrize("boot", BOOTS, ids=lambda boot: f"{boot.vendor}-{boot.source}")
def test_phones_find_their_settings_when_they_start(stage: Stage, boot: Boot) -> None:
    """Each make of phone finds its file from its own address, and none of its other requests counts as a guess."""
    for number, other in enumerate(BOOTS):
        add(stage, f"desk{number}", other.mac, other.make)
    opened(stage)
    logins = stage.do(phones.read_by_tenant, "acme")
    rows = window_rows([login for login in logins if login.mac == boot.mac], None, {}, NOW)
    [setting] = dhcp_settings((row.vendor for row in rows), f"{URL}/acme/provision/{TOKEN}/")
    headers = {"X-Forwarded-For": f"192.0.2.{100 + BOOTS.index(boot)}", "User-Agent": boot.user_agent}

    def get(url: str) -> tuple[int, str]:
        answer = stage.browser().get(url.removeprefix(URL), headers)
        return answer.status, answer.body

    texts = [*boot.start(setting.value, get)]
    parse = ROWS[boot.vendor].parse
    assert parse is not None
    assert ROWS[boot.vendor].base in parse(texts[-1])
    (login,) = [login for login in stage.do(phones.read_all) if login.next_password]
    assert login.mac == boot.mac
    passwords = re.findall(r"[0-9a-hjkmnp-tv-z]{20}", texts[-1])
    assert any(verify_password(password.encode(), login.next_password) for password in passwords)
    assert stage.do(provisioning.read_window_fetch, login.name).address == headers["X-Forwarded-For"]
    assert refusals(stage) == {}


def test_each_vendor_with_a_file_starts() -> None:
    """The boots cover each vendor with files by MAC address, except for a base whose file has no login."""
    asking = {vendor.key for vendor in all_vendors().values() if vendor.mac_files}
    assert {boot.vendor for boot in BOOTS} | {"gigaset-n510"} == asking


def let_it_work(stage: Stage) -> None:
    bind = LastBind(stage.clock.seconds(), OFFICE, UNKNOWN_LOGIN_HASH)
    stage.do(phones.store_last_binds, {"desk1": bind})


def open_for_another(stage: Stage) -> None:
    add(stage, "desk2", "001565000002")
    opened(stage, "desk2")


def move_to_another_tenant(stage: Stage) -> None:
    stage.do(phones.remove, "desk1")
    add(stage, "desk9", tenant="globex")


def set_model(model: str) -> Callable[[Stage], None]:
    return lambda stage: stage.do(phones.set_model, "desk1", model, NumberMode.VALUES)


# The events happen after the window was opened; a request finds nothing after any of them but "nothing".
AFTERWARDS: Mapping[str, Callable[[Stage], None]] = {
    "nothing": lambda _: None,
    "the window is closed": lambda stage: stage.do(provisioning.close_window, "acme", stage.clock.seconds()),
    "the window ends": lambda stage: stage.clock.advance(3600.0),
    "another phone is chosen": open_for_another,
    "the phone works": let_it_work,
    "the phone is another tenant's": move_to_another_tenant,
    "another model": set_model("snom"),
    "a model without a file": set_model("ale"),
    "no model": set_model(""),
}


@pytest.mark.parametrize(
    ("event", "asked", "reason"),
    [
        ("the window is closed", {}, Reason.CLOSED),
        ("the window ends", {}, Reason.CLOSED),
        ("nothing", {"address": ELSEWHERE}, Reason.NETWORK),
        ("nothing", {"scheme": "http"}, Reason.PLAIN_HTTP),
        ("nothing", {"file": "001565000001.cfg"}, Reason.UNKNOWN_MAC),
        ("the phone is another tenant's", {}, Reason.UNKNOWN_MAC),
        ("another phone is chosen", {}, Reason.NOT_CHOSEN),
        ("the phone works", {}, Reason.HAS_LOGIN),
        ("nothing", {"file": f"cfg{MAC}.xml"}, Reason.NO_FILE),
        ("another model", {}, Reason.NO_FILE),
        ("a model without a file", {}, Reason.NO_FILE),
        ("no model", {}, Reason.NO_FILE),
    ],
)
def test_every_other_request_finds_nothing(stage: Stage, event: str, asked: Mapping[str, str], reason: Reason) -> None:
    """The answer says that there is no such file.

    The request counts as a guess, and the administrator sees the reason.
    """
    add(stage)
    opened(stage)
    AFTERWARDS[event](stage)
    began = stage.clock.seconds()
    answer = fetch(stage, **asked)  # type: ignore[arg-type]
    assert (answer.status, answer.body) == (404, "There is no such file.\n")
    assert stage.clock.seconds() - began >= FIRST_DELAY
    (refused,) = stage.do(provisioning.read_refusals, "acme")
    mac = re.sub("cfg|[.].*", "", asked.get("file", FILE))
    assert (refused.reason, refused.mac, refused.count) == (reason, mac, 1)
    assert refused.address == asked.get("address", OFFICE)
    assert not any(login.next_password for login in stage.do(phones.read_all))
    assert REASONS[reason] in words_on(by_link(stage).get(PAGE)).partition(show_mac(mac))[2]


def test_a_wrong_token_is_a_guess(stage: Stage) -> None:
    """A wrong token, or the token of another tenant, is answered late, and nothing of the request is stored."""
    add(stage)
    opened(stage)
    for token, tenant in (("0123456789abcdefghjx", "acme"), (TOKEN, "globex"), ("x", "acme"), ("é", "acme")):
        began = stage.clock.seconds()
        assert fetch(stage, token=token, tenant=tenant).status == 404
        assert stage.clock.seconds() - began >= FIRST_DELAY
    assert refusals(stage) == {}
    assert fetch(stage).status == 200


def test_files_of_a_whole_model_are_no_guesses(stage: Stage) -> None:
    """A phone that starts asks for these files first, and must not be delayed."""
    add(stage)
    opened(stage)
    of_model = ("y000000000000.boot", "y000000000108.cfg", "cfg.xml", "cfggxp2170.xml")
    for file in (*of_model, "000000000000.cfg-x", "001565ffffff.boot", f"{MAC}.boot"):
        answer = stage.browser().get(f"/acme/provision/{TOKEN}/{file}", {"X-Forwarded-For": OFFICE})
        assert answer.status == 404
    assert refusals(stage) == {}
    assert fetch(stage).status == 200


def test_head_takes_nothing_away(stage: Stage) -> None:
    add(stage)
    opened(stage)
    for _ in range(2):
        assert (fetch(stage, method="HEAD").status, fetch(stage, method="HEAD").body) == (200, "")
    assert stage.do(phones.read_by_name, "desk1").next_password == ""
    assert fetch(stage).status == 200
    # A HEAD for a phone that may not fetch its file is a guess like any other request.
    began = stage.clock.seconds()
    assert fetch(stage, method="HEAD").status == 404
    assert stage.clock.seconds() - began >= FIRST_DELAY
    assert refusals(stage) == {(Reason.FETCHED, MAC): 1}


def test_the_office_chooses_the_phones(stage: Stage) -> None:
    """A chosen phone gets a file although its login works; a phone that was not chosen gets none."""
    add(stage)
    let_it_work(stage)
    add(stage, "desk2", "001565000002")
    opened(stage, "desk1")
    assert fetch(stage).status == 200
    assert fetch(stage, "001565000002.cfg").status == 404


def test_a_phone_with_a_wrong_password_needs_a_login(stage: Stage, admin: Browser) -> None:
    """A phone whose password was refused only after the opening gets no file until the window is opened again."""
    add(stage)
    let_it_work(stage)
    admin.submit(PAGE, minutes="15")
    token = stage.do(provisioning.read_window, "acme", stage.secret_box).token
    stage.clock.advance(1.0)
    refused = Refusal(stage.clock.seconds(), OFFICE, 3)
    stage.do(phones.store_refusals, {"desk1": (refused, UNKNOWN_LOGIN_HASH)})
    assert fetch(stage, token=token).status == 404
    admin.submit(PAGE, minutes="15")
    assert f"desk1 {SHOWN} Waiting" in words_on(admin.get(PAGE))
    assert fetch(stage, token=token).status == 200


def test_a_replaced_password_is_no_sign_in(stage: Stage) -> None:
    """If an administrator replaces the password after a fetch, the page does not show a sign-in."""
    add(stage)
    opened(stage)
    fetch(stage)
    stage.do(phones.set_password, "desk1", UNKNOWN_LOGIN_HASH, stage.clock.seconds() + 60)
    shown = words_on(by_link(stage).get(PAGE))
    assert f"desk1 {SHOWN} Password replaced from {OFFICE}" in shown
    assert "Signed in" not in shown.replace("Administrator, by link", "")


def test_only_a_chosen_phone_fetches_again(stage: Stage) -> None:
    """The next window for all phones leaves a phone the password that it has not used yet.

    In a window for chosen phones the address stays the same, the former next password ends, and former refusals are
    forgotten.
    """
    add(stage)
    opened(stage)
    first = yealink(fetch(stage).body)["ldap.password"]
    login = stage.do(phones.read_by_name, "desk1")
    opened(stage)
    assert fetch(stage).status == 404
    assert stage.do(phones.read_by_name, "desk1") == login
    opened(stage, "desk1")
    assert refusals(stage) == {}
    second = yealink(fetch(stage).body)["ldap.password"]
    login = stage.do(phones.read_by_name, "desk1")
    assert [verify_password(one.encode(), login.next_password) for one in (first, second)] == [False, True]


@pytest.mark.parametrize("event", ["the window is closed", "another phone is chosen", "the phone works"])
def test_a_file_that_takes_settings_away_is_for_the_phones_of_the_window(stage: Stage, event: str) -> None:
    """Another Poly would lose the telephone system's settings, so only phones of the window get the file."""
    add(stage, mac="64167faabb07", model="poly")
    opened(stage)
    agent = "FileTransport PolycomVVX-VVX_500-UA/5.9.7 Type/Application"
    assert fetch(stage, "64167faabb07.cfg", user_agent=agent).status == 200
    assert fetch(stage, "000000000000.cfg", user_agent=agent).status == 404
    AFTERWARDS[event](stage)
    assert fetch(stage, "64167faabb07.cfg", user_agent=agent).status == 404


def test_plain_http_where_the_window_says_so(stage: Stage) -> None:
    """The page has both addresses; a file that names a further address keeps the scheme of the request."""
    add(stage)
    add(stage, "desk2", "0080f0aabb14", "panasonic")
    opened(stage, plain_http=True)
    agent = "Panasonic_KX-HDV130/01.133 (0080f0aabb14)"
    for scheme in ("https", "http"):
        named = fetch(stage, "KX-HDV130.cfg", scheme=scheme, user_agent=agent).body
        assert f'"{scheme}://phonebook.example.com/acme/provision/{TOKEN}/Config{{mac}}.cfg"' in named
    page = by_link(stage).get(PAGE)
    for scheme in ("https", "http"):
        assert f"{scheme}://phonebook.example.com/acme/provision/{TOKEN}/" in page.body
    assert "anyone on the way between a phone and the gateway can read the phone’s password" in words_on(page)
    assert fetch(stage, scheme="http").status == 200


def test_a_flood_fills_nothing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many requests by a client with the token, only some are stored."""
    monkeypatch.setattr("ldapgw.web.provisioning_pages._SECONDS_A_REFUSAL", 1e9)
    opened(stage)
    browser = stage.browser()
    browser.patience = MAX_DELAY
    for number in range(40):
        browser.get(f"/acme/provision/{TOKEN}/0015650{number:05}.cfg", {"X-Forwarded-For": OFFICE})
    assert sum(refusals(stage).values()) == 30


def test_the_page_opens_and_closes_the_window(stage: Stage, admin: Browser) -> None:
    """The window is for phones without a working login; the page says which phones cannot fetch a file, and why."""
    closed = "The provisioning window is closed"
    unfit = (
        ("desk2", "", "yealink", "The MAC address isn’t known."),
        ("desk3", "001565000003", "ale", "Phones of this model ask for no settings file by the MAC address."),
        ("desk4", "001565000004", "", "The model isn’t known."),
    )
    add(stage)
    for name, mac, model, _ in unfit:
        add(stage, name, mac, model)
    assert closed in words_on(admin.get(PAGE))
    assert admin.submit(PAGE, minutes="60").location == PAGE
    page = admin.get(PAGE)
    [address] = re.findall(r'<code id="window-address-1">([^<]+)</code>', page.body)
    assert f"dhcp-option=66,&#34;{address}&#34;" in page.body
    words = words_on(page)
    assert "each phone without a working login can fetch its settings once" in words
    assert f"desk1 {SHOWN} Waiting {FILE}" in words
    for name, _, _, why in unfit:
        assert f"{name} {why}" in words
    path = address.removeprefix(URL)
    token = path.split("/")[3]
    assert fetch(stage, token=token).status == 200
    password = stage.do(phones.read_by_name, "desk1").next_password
    stage.do(phones.store_last_binds, {"desk1": LastBind(stage.clock.seconds(), OFFICE, password)})
    assert f"desk1 {SHOWN} Signed in" in words_on(admin.get(PAGE))
    assert admin.submit(f"{PAGE}/close").location == PAGE
    assert closed in words_on(admin.get(PAGE))
    admin.submit(PAGE, minutes="15")
    assert path in admin.get(PAGE).body
    admin.submit(f"{PAGE}/address")
    admin.submit(PAGE, minutes="15")
    assert path not in admin.get(PAGE).body
    acts = [entry.act for entry in stage.do(activity.read_page, "acme").entries]
    assert (acts.count(Act.WINDOW_OPENED), acts.count(Act.WINDOW_CLOSED)) == (3, 2)


def test_the_table_of_phones_opens_the_window_for_some(stage: Stage) -> None:
    add(stage)
    add(stage, "desk2", "001565000002")
    assert act(by_link(stage), "phones window", ["desk2"], confirmed="1", minutes="240").location == PAGE
    window = stage.do(provisioning.read_window, "acme", stage.secret_box)
    assert (window.chosen, window.until - window.opened_at) == (True, 240 * 60.0)
    assert [*stage.do(provisioning.read_window_phones, "acme")] == ["desk2"]


def test_a_closed_window_lists_its_own_phones(stage: Stage, admin: Browser) -> None:
    """The page lists only the phones of the closed window, and a phone without a fetch is no problem."""
    for name, mac, model in (("desk1", MAC, "yealink"), ("desk2", "001565000002", "yealink"), ("desk3", "", "")):
        add(stage, name, mac, model)
    opened(stage, "desk1")

    def listed() -> str:
        return admin.get(PAGE).body.partition('id="window-phones"')[2]

    assert '<span class="tag warn">Waiting</span>' in listed()
    stage.do(provisioning.close_window, "acme", stage.clock.seconds())
    assert '<span class="tag quiet">Not fetched</span>' in listed()
    assert "Chosen phones" in listed()
    assert [name in listed() for name in ("desk1", "desk2", "desk3")] == [True, False, False]
    opened(stage)
    stage.do(provisioning.close_window, "acme", stage.clock.seconds())
    assert "Phones without a working login" in listed()
    assert [name in listed() for name in ("desk1", "desk2", "desk3")] == [True, True, True]


@pytest.mark.parametrize("minutes", ["", "0", "61", "-15", "9999", "15x"])
def test_no_other_duration(stage: Stage, admin: Browser, minutes: str) -> None:
    assert admin.submit(PAGE, minutes=minutes).status == 400
    assert stage.do(provisioning.read_window, "acme", stage.secret_box) is None


def test_without_networks_no_window() -> None:
    """Without the networks there is no window, and the page names the missing setting."""
    admin = by_link(Stage())
    assert "provisioning_networks" in words_on(admin.get(PAGE))
    assert admin.submit(PAGE, minutes="60").status == 400


def test_only_administrators_see_the_window(stage: Stage) -> None:
    """The phone's page shows the address for the DHCP server to administrators, and not to the phone's owner."""
    alice = owner(stage, model="snom", mac=SHOWN)
    page = "/acme/phones/desk1"
    assert "provisioning window" not in by_link(stage).get(page).body
    opened(stage)
    shown = by_link(stage).get(page)
    assert f"{URL}/acme/provision/{TOKEN}/{{mac}}.xml" in shown.body
    assert "The DHCP server tells the phone this address in option 66:" in words_on(shown)
    assert (alice.get(page).status, TOKEN in alice.get(page).body) == (200, False)
    assert TOKEN not in repr(stage.do(provisioning.read_window, "acme", stage.secret_box))
    assert TOKEN not in repr(stage.do(lambda found: found.exec_driver_sql("select * from provisioning_window").all()))
