# SPDX-License-Identifier: MIT
"""Drawings for the pages about vendors' phones: what a phone of the vendor shows while somebody types, and in a call.

No vendor's phone is copied: a desk phone, a handset and a softphone are our own.  The words in the head of a screen are
the vendor's, or the directory's name if the settings carry it; the people are those that the gateway finds for the
vendor's own filters (``tests/browser/test_pictures.py``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Final

from ldapgw.phones.provisioning.sheet import Sheet
from ldapgw.phones.provisioning.vendors import Advice, Vendor

TYPED: Final = "mul"
# A phone replaces the placeholder by the typed letters, with the star that some phones add.
PLACEHOLDER: Final = re.compile(r"(?:\$VALUE|%s|%|#)\*?")
# Given name, family name, number: the first three whom the demo's Alice finds.
PEOPLE: Final = (
    ("Jörg", "Müller", "+493023125100"),
    ("Matthias", "Müller", "+4917604069056"),
    ("Maximilian", "Müller", "+491713920033"),
)
# These vendors' results are "last, first".
_FAMILY_NAME_FIRST = ("poly",)
# These vendors have a name for the place of the search, if it is not LDAP.
_PLACES = {
    "grandstream": "LDAP Directory",
    "grandstream-dp": "Global phonebook",
    "poly": "Corporate Directory",
    "avaya-j100": "Contacts",
    "avaya-b179": "External phone book",
    "linphone": "Contacts",
    "bria": "Directory",
    "other": "Directory",
}
_HANDSETS = ("grandstream-dp", "gigaset", "gigaset-n510")
_SOFTPHONES = ("linphone", "bria")


@dataclass(frozen=True, slots=True)
class _Form:
    """A kind of phone, in pixels.

    :ivar frame: the width of what is around the screen.
    :ivar line: the height of a person's line; of two lines if the number stands below the name.
    """

    width: int
    height: int
    frame: int
    line: int
    color: str


_DESK = _Form(290, 152, 12, 24, "#2b3038")
_HANDSET = _Form(170, 196, 12, 40, "#2b3038")
_SOFTPHONE = _Form(250, 200, 4, 40, "#9aa5b1")
_GAP = 20
_STYLE = (
    "text{font:13px 'DejaVu Sans',Verdana,sans-serif;fill:#17202b}.head,.on{fill:#fff}"
    ".head,.typed,.name{font-weight:bold}.small{font-size:11px;fill:#4a5868}.name{font-size:17px}.small.on{fill:#fff}"
)


def heading(vendor: Vendor, sheet: Sheet, title: str) -> str:
    """Return the head of a phone's screen: the directory's name, or the place of the search.

    :param sheet: settings of a phone whose directory has this title.
    """
    return title if title in sheet.printed else _PLACES.get(vendor.key, "LDAP")


def shows_callers(vendor: Vendor) -> bool:
    """Return True if the vendor's documents say that a phone shows callers' names."""
    return Advice.NO_CALLER_LOOKUP not in vendor.advice


def alternative(vendor: Vendor, place: str) -> str:
    """The text in place of a drawing."""
    names = _names(vendor)
    caller = f" A call from {PEOPLE[0][2]} shows {names[0]}." if shows_callers(vendor) else ""
    return f"Drawing of a phone's screen, headed {place}: after {TYPED} is typed, it lists {'; '.join(names)}.{caller}"


def draw(vendor: Vendor, place: str) -> str:
    """The drawing of a vendor's phone, in SVG.

    :param place: what stands in the head of the screen (`heading`).
    """
    form = _HANDSET if vendor.key in _HANDSETS else _SOFTPHONE if vendor.key in _SOFTPHONES else _DESK
    screens = [_screen(form, 0, place, _search(vendor, form), ("Back", "Call"))]
    if shows_callers(vendor):
        left = form.width + 2 * form.frame + _GAP
        screens.append(_screen(form, left, "Incoming call", _call(vendor, form), ("Reject", "Answer")))
    width = len(screens) * (form.width + 2 * form.frame + _GAP) - _GAP
    size = f'viewBox="0 0 {width} {_outer_height(form)}" width="{width}" height="{_outer_height(form)}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size}>\n'
        f"<title>{escape(alternative(vendor, place))}</title>\n<style>{_STYLE}</style>\n{''.join(screens)}</svg>\n"
    )


def _names(vendor: Vendor) -> list[str]:
    family_first = vendor.key in _FAMILY_NAME_FIRST
    return [f"{family}, {given}" if family_first else f"{given} {family}" for given, family, _ in PEOPLE]


def _outer_height(form: _Form) -> int:
    return form.height + 2 * form.frame + (18 if form is not _SOFTPHONE else 0)


def _screen(form: _Form, left: int, head: str, body: Iterator[str], keys: tuple[str, str]) -> str:
    edge, bottom = form.frame, form.height
    below = f'y="{edge + bottom + 13}" width="40" height="7" rx="3" fill="#5b6472"'
    keys_drawn = "".join(f'<rect x="{edge + form.width * at // 6 - 20}" {below}/>' for at in (1, 3, 5))
    return (
        f'<g transform="translate({left} 0)">\n'
        f'<rect width="{form.width + 2 * edge}" height="{_outer_height(form)}" rx="12" fill="{form.color}"/>\n'
        f'<svg x="{edge}" y="{edge}" width="{form.width}" height="{bottom}">\n'
        f'<rect width="{form.width}" height="{bottom}" rx="3" fill="#f4f7fb"/>\n'
        f'<rect width="{form.width}" height="26" fill="#12457f"/>{_text(10, 18, head, "head")}\n'
        f"{''.join(body)}"
        f'<rect y="{bottom - 24}" width="{form.width}" height="24" fill="#dfe6ee"/>'
        f"{_text(10, bottom - 8, keys[0], 'small')}{_text(form.width - 10, bottom - 8, keys[1], 'small', 'end')}\n"
        f"</svg>\n{keys_drawn if form is not _SOFTPHONE else ''}</g>\n"
    )


def _search(vendor: Vendor, form: _Form) -> Iterator[str]:
    yield f'<rect y="26" width="{form.width}" height="24" fill="#fff"/>{_text(10, 43, TYPED, "typed")}\n'
    stacked = form.line > _DESK.line
    for at, (name, (_, _, number)) in enumerate(zip(_names(vendor), PEOPLE, strict=True)):
        top = 50 + at * form.line
        on = " on" if at == 0 else ""
        if on:
            yield f'<rect y="{top}" width="{form.width}" height="{form.line}" fill="#1f6fc2"/>'
        yield _text(10, top + 17, name, on.strip())
        if stacked:
            yield _text(10, top + 32, number, f"small{on}") + "\n"
        else:
            yield _text(form.width - 10, top + 16, number, f"small{on}", "end") + "\n"


def _call(vendor: Vendor, form: _Form) -> Iterator[str]:
    middle = form.height // 2
    yield _text(form.width // 2, middle, _names(vendor)[0], "name", "middle")
    yield _text(form.width // 2, middle + 22, PEOPLE[0][2], "", "middle") + "\n"


def _text(x: int, y: int, words: str, kind: str, anchor: str = "") -> str:
    named = f' class="{kind}"' if kind else ""
    anchored = f' text-anchor="{anchor}"' if anchor else ""
    return f'<text x="{x}" y="{y}"{named}{anchored}>{escape(words)}</text>'
