# SPDX-License-Identifier: MIT
"""Pictures for documents, and pages to which no journey goes: axe and an HTML validator find nothing on them.

``scripts/pictures`` keeps the pictures that documents show in ``docs/images``, or all in another folder, to look at,
with those of the journeys' stops (``walk.py``).  They depend on the machine's fonts, so the tests keep none.
"""

from __future__ import annotations

import json
import os
import shutil
from base64 import b64decode
from collections.abc import Callable, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw, ImageFont

from ldapgw.phones.provisioning.settings import name_filter, number_filter
from ldapgw.phones.provisioning.vendors import all_vendors
from ldapgw.web.phone_pages import qr_code
from tests.browser import axe
from tests.browser.axe import NODE
from tests.browser.drawing import Shown, page
from tests.browser.looks import DOCUMENTS, IMAGES, LOOKS, SCHEMES, SIZES, fits
from tests.browser.window import OpenWindow, Window, add, person
from tests.support import rst, vendor_screens
from tests.support.site.running import Site, wait_until

Visit = Callable[[Window], Any]

XML_VIEW = {"width": 900, "height": 600}
# A picture with so many colours has a third of its size, and looks the same.
COLOURS = 200
# A time as a page writes it, for scripts.
MOMENT = r"/[0-9]+ \w+ 20[0-9]{2}, [0-9:]+ UTC/"

pytestmark = pytest.mark.skipif(
    "CI" not in os.environ and (shutil.which("node") is None or not (NODE / "node_modules" / "axe-core").exists()),
    reason="needs axe and html-validate: scripts/setup",
)


def front(here: Window) -> None:
    here.page.goto(here.site.page.removesuffix("acme/"))


def welcome(here: Window) -> None:
    here.open()


def first_sync(here: Window) -> None:
    """Of the first of two sources; a sync after another consent is as complete as the first one."""
    account = "uwe@acme.example"
    here.connect(account)
    here.switch_on("My other contacts", account)
    here.site.turn("inject-fault", name="broken_silence", path="/v1/otherContacts", account=account)
    here.page.goto(f"{here.site.page}connect")
    for box in here.page.get_by_role("checkbox").all():
        box.check()
    here.consent(here.page, account)
    here.page.get_by_role("progressbar").wait_for()
    here.page.reload()
    here.site.turn("clear-faults")


def in_testing(here: Window) -> None:
    here.site.turn("client", audience="testing")
    try:
        here.connect("vera@acme.example")
    finally:
        here.site.turn("client", audience="external")
    here.page.reload()


def shrink(here: Window) -> None:
    """More than half of the contacts are gone at Google, in a listing of all."""
    account = "yvonne@acme.example"
    add = partial(here.site.turn, "add-person", account=account)
    added = [add(person=person("Tim", f"Beispiel {at}", f"+4930556{at:03}"))["resourceName"] for at in range(30)]
    here.connect(account)
    for name in added:
        here.site.turn("delete-person", account=account, resourceName=name)
    here.site.turn("expire-sync-tokens", account=account)
    here.press("Sync now")
    here.page.get_by_role("link", name=here.say("Remove contacts")).wait_for()
    assert here.page.locator(".note.good").count() == 0


def never_connected(here: Window) -> None:
    here.open()
    here.consent(here.popup("Sign in"), "tina@acme.example")
    here.waits_for(here.say("Not connected"))


def several(here: Window) -> None:
    """The added one has one source, and others that can be switched on."""
    here.connect("carol.private@gmail.example")
    here.press("Account and sharing")
    here.consent(here.popup("Add another Google account"), "xaver@acme.example")
    here.page.get_by_role("link", name="xaver@acme.example").click()
    here.page.locator("#google .tag.quiet").first.wait_for()


def unticked(here: Window) -> None:
    """Of somebody who connects again, and has two sources."""
    here.expected = ("403",)
    account = "ivo@acme.example"
    here.connect(account)
    here.switch_on("My other contacts", account)
    here.page.goto(f"{here.site.page}connect")
    here.consent(here.page, account)
    here.waits_for(here.say("A checkbox wasn’t checked"))


def done(here: Window) -> None:
    here.context.add_init_script("window.close = () => {}")
    here.open("done")


def _add_phone(here: Window, name: str, model: str) -> None:
    """A new phone, on its page."""
    here.connect("alice@acme.example")
    add(here, name, model)


def phone(here: Window) -> None:
    """With what somebody sees who sets it up: a search that is off, and one that finds."""
    name = "desk-en"
    _add_phone(here, name, "yealink")
    here.site.phones[name] = here.page.locator("#the-password").inner_text()
    wait_until(lambda: here.site.ldapsearch("(telephoneNumber=+4930999*)", "cn", phone=name)[0] == 0, "the phone")
    here.site.ldapsearch("-z", "50", "(|(cn=m*)(sn=m*)(o=m*))", "cn", "sn", "telephoneNumber", "mobile", phone=name)
    here.page.locator("#state h1").filter(has_text=here.say("Works")).wait_for()
    _settle(here)


def explain(here: Window) -> None:
    """A direct-dial number that nobody has, of a company that somebody has."""
    _add_phone(here, "desk-why-en", "snom")
    here.page.goto(f"{here.site.page}explain?phone=desk-why-en")
    here.page.get_by_label(here.say("Number or name")).fill("030 23125-107")
    here.press("Explain")
    here.page.locator("#answer").wait_for()


def administration(here: Window) -> None:
    """As somebody with a link from the terminal, with people and a phone that works."""
    _add_phone(here, "lobby", "yealink")
    here.site.phones["lobby"] = here.page.locator("#the-password").inner_text()
    here.site.ldapsearch("(|(cn=m*)(sn=m*))", "cn", phone="lobby")
    listed = partial(here.site.ldapgw, "phones", "list", "--json")
    wait_until(
        lambda: any(one["name"] == "lobby" and one["worked"] for one in json.loads(listed().stdout)), "its search"
    )
    here.open_admin_link("acme")
    here.page.locator("main button").click()
    here.page.wait_for_url("**/acme/admin")
    here.page.locator("main h1").first.wait_for()
    here.page.evaluate(_USUAL_PATHS)


# The configuration file is in another folder in each picture.
_USUAL_PATHS = """() => {
  const walker = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
  while (walker.nextNode())
    walker.currentNode.data = walker.currentNode.data.replace(/\\/\\S+\\/ldapgw[.]toml/, "/etc/ldapgw/ldapgw.toml");
}"""


def _settle(here: Window) -> None:
    """Replace the values that differ in each picture of a phone: password, port, times, duration of a search."""
    text = f"server: 127.0.0.1\nport: 38900\nbase: dc=acme,dc=example\nuser: desk-en\npassword: {PASSWORD}"
    titles = here.page.locator(".qr title").all_text_contents()
    here.page.evaluate(_NOTHING_RANDOM, [PASSWORD, str(qr_code(text, titles[0])) if titles else ""])
    if titles:
        _is_whole(here)


def _is_whole(here: Window) -> None:
    """The code's squares fill its frame but for the quiet zone of four on each side, which cameras need."""
    assert here.page.locator(".qr").evaluate(_QUIET) == [4, 4, 4, 4]


# The code has so many free squares on the left, above, on the right and below.
_QUIET = """(code) => {
  const { width, height } = code.viewBox.baseVal;
  const box = code.querySelector("path[stroke]").getBBox();
  return [box.x, box.y - 0.5, width - box.x - box.width, height - box.y - box.height - 0.5];
}"""
PASSWORD = "7h3kq0m2xv9r5tzc8wne"
_NOTHING_RANDOM = """([shown, drawn]) => {
  const password = document.getElementById("the-password").textContent;
  // Where it is not tried on one machine, phones reach the gateway by its name.
  for (const note of document.querySelectorAll(".note")) if (note.textContent.includes("public_url")) note.remove();
  const walker = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode;
    text.data = text.data.replaceAll(password, shown).replace(/(port = )[0-9]+/, "$1389");
    text.data = text.data.replace(MOMENT, "20 Mar 2026, 09:30 UTC");
    text.data = text.data.replace(/(host = )127[.]0[.]0[.]1/, "$1phonebook.example.com");
    if (/^field-/.test(text.parentNode.id)) text.data = text.data.replace("127.0.0.1", "phonebook.example.com");
    if (text.parentNode.id === "field-3") text.data = "389";
    text.data = text.data.replace(/[0-9.,]+ ms/, "0.4 ms");
  }
  // All of it: a text of another length has another number of squares.
  for (const code of document.querySelectorAll(".qr")) code.outerHTML = drawn;
}""".replace("MOMENT", MOMENT)


PAGES: dict[str, Visit] = {
    "front": front,
    "welcome": welcome,
    "several-accounts": several,
    "first-sync": first_sync,
    "testing": in_testing,
    "shrink": shrink,
    "never-connected": never_connected,
    "phone": phone,
    "explain": explain,
    "administration": administration,
    "box-not-ticked": unticked,
    "done": done,
}

# Times and the day of the consent would differ in each picture.
_AT_REST = """() => {
  const forms = { moment: "20 Mar 2026, 09:30", day: "20 March 2026", clock: "09:30:00", next: "in 6 minutes" };
  for (const time of document.querySelectorAll("time")) time.textContent = forms[time.dataset.as] ?? "4 minutes ago";
  for (const day of document.querySelectorAll("#access dd"))
    day.textContent = day.textContent.replace(/[0-9]+ \\w+ 20[0-9]{2}/, "20 March 2026");
  for (const note of document.querySelectorAll("#standing .note"))
    note.textContent = note.textContent.replace(MOMENT, "20 Mar 2026, 09:30 UTC");
  document.activeElement.blur();
}""".replace("MOMENT", MOMENT)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_for_everybody(window: OpenWindow, tmp_path: Path, name: str) -> None:
    """Axe finds nothing in either scheme and size, nothing has to be scrolled sideways, and the HTML is valid."""
    here = window()
    PAGES[name](here)
    assert axe.invalid({name: here.documents[here.page].text()}, tmp_path) == ""
    violations = {}
    for size, viewport in SIZES.items():
        here.page.set_viewport_size(viewport)
        here.page.emulate_media(color_scheme=LOOKS[size])
        violations[size] = axe.violations(here.page)
        fits(here.page)
        for scheme in SCHEMES:
            if _is_wanted(picture := f"{name}-{size}-{scheme}.png"):
                here.page.emulate_media(color_scheme=scheme)
                _picture(here.page, picture)
    assert {key: found for key, found in violations.items() if found} == {}


# Phones read these without LDAP: a search's contacts, with flags where the vendor has them, and a menu.
XML_BOOKS = {
    "book-yealink": ("yealink.xml?q=mul", "Müller"),
    "book-snom": ("snom.xml?q=mul", "<last_name>Müller</last_name>"),
    "book-cisco": ("cisco.xml", "<Name>All contacts</Name>"),
}


def test_xml_phone_books_are_shown_by_a_browser(window: OpenWindow, site: Site) -> None:
    """As a tree, for whoever wants to see what a phone gets; with the phone's login, as phones send it."""
    window().connect("alice@acme.example")
    site.add_phone("desk-xml", "--tenant", "acme", "--account", "alice@acme.example")
    login = {"username": "desk-xml", "password": site.phones["desk-xml"]}
    # Our policy (CSP) would keep the browser from folding its own tree.
    here = window(http_credentials=login, viewport=XML_VIEW, bypass_csp=True)
    here.expected = ("404",)  # the icon of a site
    for name, (path, shown) in XML_BOOKS.items():
        here.open(f"book/{path}")
        tree = here.page.locator(".pretty-print")
        assert shown in tree.inner_text()
        here.page.evaluate(_NO_PORT)
        _keep(here.page.screenshot(), f"{name}.png")


# The port is another one in each picture.
_NO_PORT = """() => {
  const walker = document.createTreeWalker(document.querySelector(".pretty-print"), NodeFilter.SHOW_TEXT);
  while (walker.nextNode())
    walker.currentNode.data = walker.currentNode.data.replaceAll(location.origin, "https://phonebook.example.com");
}"""


def _found(site: Site, phone: str, filter_text: str) -> list[tuple[str, str]]:
    """Names and first numbers, as the gateway gives them to a phone."""
    _, text = site.ldapsearch("-z", "8", filter_text, "cn", "telephoneNumber", "mobile", "homePhone", phone=phone)
    found = []
    for entry in text.split("\n\n"):
        values = [line.partition(": ")[::2] for line in entry.splitlines() if not line.startswith(("#", "dn:"))]
        read = [(key.rstrip(":"), b64decode(value).decode() if key.endswith(":") else value) for key, value in values]
        names = [value for key, value in read if key == "cn"]
        numbers = [value for key, value in read if key in ("telephoneNumber", "mobile", "homePhone")]
        if names:
            found.append((names[0], numbers[0] if numbers else ""))
    return found


def test_what_a_phone_shows_is_drawn(window: OpenWindow, site: Site) -> None:
    """While somebody types, and when somebody calls: each screen has what the gateway answers to that search."""
    here = window()
    here.connect("alice@acme.example")
    site.add_phone("desk-drawn", "--tenant", "acme", "--account", "alice@acme.example")
    wait_until(lambda: _found(site, "desk-drawn", "(cn=*)"), "the contacts")
    typed = {letters: _found(site, "desk-drawn", name_filter("%").replace("%", f"{letters}*")) for letters in LETTERS}
    caller = _found(site, "desk-drawn", number_filter("%").replace("%", CALLER))
    assert [name for name, _ in caller] == ["Jörg Müller"]
    assert len(typed["mu"]) > len(typed["mul"]) > 0

    sheet = here.context.new_page()

    def draw(shown: Shown) -> Image.Image:
        sheet.set_content(page(shown))
        return Image.open(BytesIO(sheet.locator("body").screenshot())).convert("RGB")

    screens = [Shown("Acme GmbH", keys=("Back", "", "Search")), *(Shown("Acme GmbH", *one) for one in typed.items())]
    rings = (Shown("Incoming call", rows=[row], keys=("Reject", "", "Answer"), is_call=True) for row in caller)
    _keep_moving([(draw(shown), 1400) for shown in (*screens, *rings)], "phone-search.gif")


def test_the_vendors_drawings_show_what_their_filters_find(window: OpenWindow, site: Site) -> None:
    """The people and numbers of ``docs/images/screen-*.svg`` are the gateway's answer to each vendor's own filter."""
    window().connect("alice@acme.example")
    site.add_phone("desk-vendors", "--tenant", "acme", "--account", "alice@acme.example")
    wait_until(lambda: _found(site, "desk-vendors", "(cn=*)"), "the contacts")
    drawn = [(f"{given} {family}", number) for given, family, number in vendor_screens.PEOPLE]
    filters = {vendor.name_filter for vendor in all_vendors().values()}
    asked = {vendor_screens.PLACEHOLDER.sub(f"{vendor_screens.TYPED}*", one) for one in filters} - filters
    assert len(asked) > 3
    # Cisco's has the attribute's name in front.
    found = {one: _found(site, "desk-vendors", one[one.index("(") :])[: len(drawn)] for one in asked}
    assert {one: people for one, people in found.items() if people != drawn} == {}


LETTERS = ("mu", "mul")
CALLER = "+493023125100"


def test_the_way_to_the_first_phone_is_filmed(window: OpenWindow) -> None:
    """From the front page over Google's consent to a phone that finds somebody."""
    size = {"width": 860, "height": 560}
    here = window(viewport=size)
    frames = []

    def film(caption: str, page: Any = here.page, scroll: str = "") -> None:
        if page is here.page:
            page.evaluate(_AT_REST)
        page.evaluate("scrollTo(0, 0)")
        if scroll:
            page.locator(scroll).first.evaluate("one => one.scrollIntoView({ block: 'center' })")
        frames.append((_captioned(page.screenshot(animations="disabled", caret="hide"), caption), 2600))

    here.open()
    film("Open the gateway's page")
    google = here.popup()
    google.get_by_role("radio", name="alice@acme.example").check()
    google.set_viewport_size(size)
    film("Allow it to read your contacts", google, "button:has-text('Continue')")
    google.get_by_role("button", name="Continue").click()
    here.arrives()
    here.page.get_by_text("Up to date").first.wait_for()
    film("Your contacts are there")
    here.press("Phones")
    here.page.get_by_label(here.say("Label"), exact=True).fill("reception")
    here.page.get_by_label(here.say("Model")).select_option("yealink")
    film("Add a phone", scroll="select")
    here.press("Add phone")
    here.page.locator("#the-password").wait_for()
    here.site.phones["reception"] = here.page.locator("#the-password").inner_text()
    _settle(here)
    film("Put its settings into the phone", scroll=".ways")
    here.site.ldapsearch("(|(cn=m*)(sn=m*))", "cn", "sn", "telephoneNumber", "mobile", "homePhone", phone="reception")
    here.page.locator("#state h1").filter(has_text=here.say("Works")).wait_for()
    _settle(here)
    film("Search on the phone: it works")
    _keep_moving(frames, "first-phone.gif")


def _captioned(screenshot: bytes, caption: str) -> Image.Image:
    """A picture with words below it."""
    taken = Image.open(BytesIO(screenshot)).convert("RGB")
    whole = Image.new("RGB", (taken.width, taken.height + 44), "#12457f")
    whole.paste(taken)
    font = ImageFont.load_default(20)
    ImageDraw.Draw(whole).text((taken.width / 2, taken.height + 22), caption, "#ffffff", font, anchor="mm")
    return whole


def _keep_moving(frames: Sequence[tuple[Image.Image, int]], name: str) -> None:
    """Keep frames, each with its milliseconds, as one picture that moves, of at most 600 kB."""
    joined = Image.new("RGB", (frames[0][0].width, sum(frame.height for frame, _ in frames)))
    for at, (frame, _) in enumerate(frames):
        joined.paste(frame, (0, at * frame.height))
    palette = _palette(joined)
    pictures = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame, _ in frames]
    octets = BytesIO()
    durations = [duration for _, duration in frames]
    pictures[0].save(octets, "GIF", save_all=True, append_images=pictures[1:], duration=durations, loop=0)
    assert len(octets.getvalue()) < 600_000
    _write(octets.getvalue(), name)


def _is_wanted(name: str) -> bool:
    """Return True if a picture is kept: in the documents' folder only if the documents show it."""
    if IMAGES is None or IMAGES.resolve() != DOCUMENTS:
        return IMAGES is not None
    return DOCUMENTS / name in {picture for path in rst.documents() for picture in rst.pictures(path)}


def _picture(page: Any, name: str) -> None:
    """Take a picture of a page whose times are at rest."""
    page.evaluate(_AT_REST)
    _keep(page.screenshot(full_page=True, animations="disabled", caret="hide"), name)


def _keep(screenshot: bytes, name: str) -> None:
    """Keep a picture where it is asked for, and only if it is another one."""
    _keep_still(Image.open(BytesIO(screenshot)).convert("RGB"), name)


def _keep_still(taken: Image.Image, name: str) -> None:
    octets = BytesIO()
    taken.quantize(palette=_palette(taken), dither=Image.Dither.NONE).save(octets, "PNG", optimize=True)
    _write(octets.getvalue(), name)


def _palette(taken: Image.Image) -> Image.Image:
    """The colours that are there most often, as they are: others are shades at the edges of letters."""
    often = sorted(taken.getcolors(taken.width * taken.height), reverse=True)[:COLOURS]
    palette = Image.new("P", (1, 1))
    palette.putpalette([part for _, colour in often for part in colour])
    return palette


def _write(octets: bytes, name: str) -> None:
    if not _is_wanted(name):
        return
    path = IMAGES / name
    if not path.exists() or path.read_bytes() != octets:
        path.write_bytes(octets)
