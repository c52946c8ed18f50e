# SPDX-License-Identifier: MIT
"""Weighs the pages of a real gateway, and prints the table."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from bench.directory.report import machine
from bench.pages import __doc__ as purpose
from bench.pages.visitor import Visitor, Weight
from bench.report import command_line, end_on_sigterm, put, say, simple_table
from ldapgw.google.sandbox.tenant import ALICE
from tests.support.browser import read_forms
from tests.support.site.running import Site, wait_until

SCRIPT = "scripts/bench pages"
TIMES = 20

# The pages by their paths below the tenant's; those of `OUTSIDE` for somebody who is not signed in, with their status.
OUTSIDE = {"front page": ("", 200), "an error (not found)": ("nothing", 404)}
INSIDE = {
    "my page": "",
    "a phone's settings": "phones/desk1",
    "why not found": "explain?phone=desk1",
    "administration": "admin",
    "500 phones, a page of them": "admin/phones",
    "500 phones, filtered and sorted": "admin/phones?show=unused&sort=-name&page=5",
}
# Somebody with a large book, and the pages of the list of contacts.
CROWDED, CONTACTS = "greta@acme.example", 5000
LISTS = {f"{CONTACTS:,} contacts, page 1": "contacts", f"{CONTACTS:,} contacts, letter N": "contacts?letter=n"}
# Phones of nobody, which the administration lists.
PHONES = 500

EXPLANATION = """\
HTML is in octets, without headers; so are the other files that the page needs: style sheet, script and icon, which
browsers keep from one page to the next.  "gzip" is what is sent to a browser that takes it.  The first octet is the
median of 20 requests on one connection, one after the other, on loopback.  The person is the sandbox's Alice, an
administrator, with 331 contacts and a phone; the gateway has 500 phones more, and lists of 5,000 contacts are somebody
else's.
"""


def table(weights: Mapping[str, Weight]) -> list[str]:
    """The lines of a table in reStructuredText."""
    head = ("Page", "HTML", "gzip", "Other files", "First octet")
    return simple_table([head, *((name, *_cells(one)) for name, one in weights.items())])


def _cells(one: Weight) -> tuple[str, str, str, str]:
    packed = "not packed" if one.sent == one.html else f"{one.sent:,}"
    besides = f"{len(one.besides)} with {sum(one.besides.values()):,}"
    return f"{one.html:,}", packed, besides, f"{one.first:.1f} ms"


def measure(folder: Path) -> dict[str, Weight]:
    """All pages of a gateway that is started for it."""
    site = Site(
        folder, more=f'admins = ["{ALICE}"]\n', people={ALICE: (), CROWDED: [_person(at) for at in range(CONTACTS)]}
    )
    try:
        site.start_sandbox()
        with site.running():
            say("connecting")
            person = Visitor()
            person.connect(site.page, ALICE)
            site.synced()
            _, html = person.open(site.page + "phones")
            [token] = {one.value for form in read_forms(html) for one in form.controls if one.name == "token"}
            person.open(site.page + "phones", [("token", token), ("name", "desk1"), ("model", "yealink")])
            _add_phones(site, folder)
            found = {name: Visitor().weigh(site.page + path, TIMES, status) for name, (path, status) in OUTSIDE.items()}
            found |= {name: person.weigh(site.page + path, TIMES) for name, path in INSIDE.items()}
            return found | _lists(site)
    finally:
        site.end_sandbox()


def _lists(site: Site) -> dict[str, Weight]:
    """The list of a large book, and the page of a contact in it."""
    say("connecting a large book")
    person = Visitor()
    person.connect(site.page, CROWDED)
    # With the company's directory there are some more.
    listed = f"{CONTACTS // 1000},[0-9]{{3}} contacts"
    wait_until(lambda: re.search(listed, person.open(site.page + "contacts")[1]), "all contacts are listed", 120)
    [contact, *_] = re.findall(r'contacts/[^"/?]+', person.open(site.page + "contacts")[1])
    pages = {**LISTS, "a contact": contact}
    return {name: person.weigh(site.page + path, TIMES) for name, path in pages.items()}


def _person(at: int) -> dict[str, object]:
    """A person of the People API, whose number in the list has nothing to do with the order of names."""
    given, family = f"{chr(65 + at % 26)}nna", f"Beispiel {at * 7919 % CONTACTS}"
    numbers = [f"+4917604{at:06}", f"+49301{at:06}"]
    return {
        "names": [{"givenName": given, "familyName": family, "displayName": f"{given} {family}"}],
        "phoneNumbers": [
            {"value": value, "canonicalForm": value, "type": kind}
            for value, kind in zip(numbers, ("mobile", "work"), strict=True)
        ],
    }


def _add_phones(site: Site, folder: Path) -> None:
    """Add `PHONES` phones of nobody."""
    desks = folder / "desks.csv"
    desks.write_text("name,model\n" + "".join(f"desk{number + 100},yealink\n" for number in range(PHONES)))
    added = site.ldapgw("phones", "import", str(desks), "--zip", str(folder / "desks.zip"), "--yes")
    if added.returncode:
        raise SystemExit(added.stderr)


def main() -> int:
    """The exit status."""
    parser = command_line("scripts/bench pages", purpose, EXPLANATION)
    parser.add_argument("--docs", action="store_true", help="write the table into docs/explanation/performance.rst")
    given = parser.parse_args()
    end_on_sigterm()
    with tempfile.TemporaryDirectory(prefix="bench-pages-") as name:
        lines = table(measure(Path(name)))
    if given.docs:
        put(SCRIPT, "\n".join(("", f"Measured with {machine()}.", "", *lines, "", "")))
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
