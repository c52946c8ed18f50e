# SPDX-License-Identifier: MIT
"""The pages about the vendors' phones with their drawings, written from the same data as the gateway's pages and files.

``scripts/vendor-pages`` writes them into ``docs/how-to/vendors`` and ``docs/images``; a test compares.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from textwrap import fill

from ldapgw.phones.description import MODELS, OTHER_MODEL
from ldapgw.phones.provisioning.settings import Security
from ldapgw.phones.provisioning.sheet import Sheet, make_sheet
from ldapgw.phones.provisioning.vendors import CONFIRMED_MARK, Advice, Vendor, all_vendors
from ldapgw.phrase import with_names
from ldapgw.web.phone_texts import ADVICE
from tests.support import golden, vendor_screens
from tests.support.checkout import ROOT
from tests.support.rst import with_passage

FOLDER = ROOT / "docs" / "how-to" / "vendors"
IMAGES = ROOT / "docs" / "images"
INDEX = ROOT / "docs" / "how-to" / "vendors.rst"
REFERENCE = ROOT / "docs" / "reference" / "phones.rst"
COMMAND = ROOT / "docs" / "reference" / "commands" / "phones.rst"
_BEGIN = ".. The table of models begins here; scripts/vendor-pages writes it"
_END = ".. The table of models ends here"

_SECURITY_NAMES = {Security.LDAPS: "LDAPS", Security.STARTTLS: "StartTLS", Security.PLAIN: "unencrypted"}
_SECURITY = {Security.LDAPS: "by LDAPS", Security.STARTTLS: "by StartTLS", Security.PLAIN: "without encryption"}
# The MAC address of a phone that asks for its file.
_MAC = "001122aabbcc"
# The directory's name on the phones.
TITLE = "Acme GmbH"
NOT_TESTED = "Not tested on a real phone."
# A page for everybody leaves out advice that depends on a gateway's address and on a phone's name.
_LEFT_OUT = {Advice.LOOPBACK, Advice.GUESSED_PORT, Advice.HOST_NAME, Advice.CERTIFICATE, Advice.FIELDS_ALONE}


def pages() -> Mapping[Path, str]:
    """All pages with their texts: one for each vendor, their list, and references; and a drawing for each vendor."""
    texts = {FOLDER / f"{vendor.key}.rst": _text(_page(vendor)) for vendor in all_vendors().values()}
    references = {REFERENCE: _reference(REFERENCE.read_text()), COMMAND: _command(COMMAND.read_text())}
    return {INDEX: _text(_index()), **references, **texts, **drawings()}


def drawings() -> Mapping[Path, str]:
    """Return a screen of a phone of each vendor, in SVG."""
    return {
        IMAGES / f"screen-{key}.svg": vendor_screens.draw(vendor, place(vendor))
        for key, vendor in all_vendors().items()
    }


def _title(text: str) -> Iterator[str]:
    line = "=" * len(text)
    yield from (line, text, line, "")


def _section(text: str) -> Iterator[str]:
    yield from ("", text, "=" * len(text), "")


def _text(lines: Iterator[str]) -> str:
    return "\n".join((*lines, ""))


def _index() -> Iterator[str]:
    yield ".. Written by scripts/vendor-pages."
    yield ""
    yield from _title("Set up a phone")
    yield "Each page describes the phone's menus, shows an example of the settings, and lists known limitations."
    yield "The settings for your own phone, with its password, are on the phone's page on the gateway."
    yield ""
    for vendor in all_vendors().values():
        link = f"* `{vendor.title} <vendors/{vendor.key}.rst>`__"
        yield f"{link}: {_plain(vendor.series)}" if vendor.series else link
    yield ""
    yield "A table in the reference compares the vendors: `Phones <../reference/phones.rst#models>`__."
    yield "Phones that can't search LDAP can load an `XML phone book <../reference/phones.rst#phones-without-ldap>`__."
    yield "Programs and phones that know CardDAV can keep a copy of the contacts (`CardDAV <carddav.rst>`__)."


def _reference(document: str) -> str:
    """The reference of phones with the table of models in its place."""
    return with_passage(document, _BEGIN, _text(_table_lines()), _END)


def _command(document: str) -> str:
    """The reference of ``phones add`` with the values of its option ``--model``."""
    per_number = (f"``entries`` for ``{key}``, because {one.reason}; " for key, one in MODELS.items() if one.per_number)
    sentences = (
        f"The phone's vendor: {_or([f'``{key}``' for key in MODELS])}.",
        f"The default is ``{OTHER_MODEL}``, for phones of any other vendor.",
        f"The model also sets the default of ``--numbers``: {''.join(per_number)}``values`` for all other models.",
    )
    cell = "".join(f"{fill(one, 120, initial_indent='       ', subsequent_indent='       ')}\n" for one in sentences)
    before, _, rest = document.partition("     - The phone's vendor: ")
    return f"{before}     - {cell.lstrip()}{rest[rest.index('   * - ') :]}"


def _table_lines() -> Iterator[str]:
    yield from (".. list-table::", "   :header-rows: 1", "   :widths: 14 30 22 17 17", "")
    yield from _table_row("Vendor", "Phones", "File", "Connects by", "Not verified")
    for vendor in all_vendors().values():
        if vendor.key != OTHER_MODEL:
            yield from _table_row(
                vendor.title,
                vendor.series,
                f"``{vendor.file}``" if vendor.file else "fields to enter",
                ", ".join(_SECURITY_NAMES[one] for one in vendor.supported_security),
                "; ".join(map(_with_literals, vendor.unverified)) or "–",
            )


def _with_literals(text: str) -> str:
    """A key, or words of which some are keys, with the keys as literals."""
    return re.sub(r"\w*_\w*", r"``\g<0>``", text) if " " in text else f"``{text}``"


def _table_row(first: str, *others: str) -> Iterator[str]:
    yield f"   * - {first}"
    yield from (f"     - {other}" for other in others)


def _page(vendor: Vendor) -> Iterator[str]:
    yield ".. Written by scripts/vendor-pages."
    yield ""
    yield from _title(vendor.title)
    if vendor.series:
        yield f"For {_plain(vendor.series)}."
    yield f"The phone can connect {_or([_SECURITY[one] for one in vendor.supported_security])}."
    if vendor.file:
        yield f"The gateway writes the settings into a file, ``{vendor.file}``."
    if vendor.key != OTHER_MODEL:
        yield f"Tested with {_plain(vendor.tested)}." if vendor.tested else NOT_TESTED
    yield ""
    yield "First `add the phone <../../tutorials/first-phone.rst>`__ on the gateway."
    yield "The phone's page on the gateway then shows the settings, with the password filled in."
    yield from _section("Steps")
    if vendor.steps_note:
        yield from (vendor.steps_note, "")
    for step in vendor.setup_steps:
        mark = f" {CONFIRMED_MARK}" if step.is_confirmed else ""
        yield f"{step.number}. {_with_menus(step.message)}{mark}"
    if vendor.steps_note:
        yield from ("", "`Tell us how it went <../tell-us.rst>`__.")
    yield from _window(vendor)
    yield from _screen(vendor)
    yield from _notes(vendor)
    yield from _example(vendor)
    yield from _sources(vendor)
    yield from _section("If it doesn't work")
    yield "* Look at the last searches on the phone's page: if a setting is wrong, there is a hint next to the search."
    yield "* `Troubleshooting <../troubleshooting.rst>`__ starts from what you see on the phone."
    yield "* For problems of this and other vendors' phones, and their fixes, see"
    yield "  `Known problems by vendor <../messages.rst#known-problems-by-vendor>`__."


def _window(vendor: Vendor) -> Iterator[str]:
    """Yield the section about phones that find their settings by themselves."""
    if not vendor.mac_files or Advice.LOGIN_BY_HAND in vendor.advice:
        return
    yield from _section("Without a web page")
    files = _or([f"``{file_name.replace('MODEL', 'D785')}``" for file_name in _names(vendor)])
    yield "In a `provisioning window <../provisioning.rst>`__, the phone fetches the file from the gateway by itself."
    yield f"A phone with the MAC address ``{_MAC}`` asks for {files}."
    yield f"The phone takes the address of the window from DHCP option {vendor.dhcp_option}."
    if vendor.dhcp_file:
        yield f"In this option, ``{vendor.dhcp_file}`` has to follow the address."
    if vendor.replaces_settings:
        yield "Don't use the window if a telephone system provides the other settings: the phone would lose them."


def _names(vendor: Vendor) -> list[str]:
    return [name.format(mac=_MAC, MAC=_MAC.upper()) for name in vendor.mac_files]


def _screen(vendor: Vendor) -> Iterator[str]:
    yield from ("", f".. image:: ../../images/screen-{vendor.key}.svg")
    yield f"   :alt: {vendor_screens.alternative(vendor, place(vendor))}"
    yield from ("", "This is a drawing of the result. Your phone's screen may look different.")


def place(vendor: Vendor) -> str:
    """Return the head of the screen of a vendor's phone."""
    return vendor_screens.heading(vendor, _example_sheet(vendor), TITLE)


def _or(words: list[str]) -> str:
    """Words as a list: a, b or c."""
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _plain(text: str) -> str:
    """A text in reStructuredText, in which nothing is markup, nor a link."""
    for mark in ("\\", "*", "`", "_", "|", "://"):
        text = text.replace(mark, f"\\{mark}")
    return text


def _with_menus(sentence: str) -> str:
    """A sentence about a phone in reStructuredText, with the names of menus in bold."""
    return with_names(sentence, lambda name: f"**{_plain(name)}**", _plain)


def _notes(vendor: Vendor) -> Iterator[str]:
    advice = [_plain(ADVICE[one]) for one in vendor.advice if one not in _LEFT_OUT]
    if vendor.supported_security == (Security.PLAIN,):
        advice.append(_plain(ADVICE[Advice.PLAIN_ONLY]))
    if vendor.one_number:
        advice.append("Choose *one entry per number* when you add the phone: it can dial only one number per entry.")
    if vendor.trust:
        advice.append(f"If the gateway's certificate comes from an authority of your own: {_with_menus(vendor.trust)}")
    if vendor.unverified:
        details = _plain("; ".join(vendor.unverified))
        advice.append(
            f"No vendor's document and no test with a real phone confirms this detail of the settings: {details}."
        )
    if advice:
        yield from _section("Good to know")
        yield from (f"* {line}" for line in advice)


def _sources(vendor: Vendor) -> Iterator[str]:
    if vendor.key == OTHER_MODEL:
        return
    yield from _section("Sources")
    if not vendor.sources:
        yield "We have found no document that names these menus."
        return
    if any(step.is_confirmed for step in vendor.setup_steps):
        yield f"A step with {CONFIRMED_MARK} is in one of these documents."
    yield f"We last compared this page with them in {_month(vendor.sources_checked)}."
    yield ""
    for source in vendor.sources:
        title = _plain(source.title)
        link = f"`{title} <{source.url}>`__" if source.url else title
        confirms = f": confirms {_plain(' and '.join(source.confirms))}" if source.confirms else ""
        if source.steps:
            numbers = " and ".join(str(number) for number in source.steps)
            confirms += f" (step{'s' if len(source.steps) > 1 else ''} {numbers})"
        yield f"* {link}{confirms}"


def _month(text: str) -> str:
    """The month of ``YYYY-MM`` in words."""
    return datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC).strftime("%B %Y")


def _example_sheet(vendor: Vendor) -> Sheet:
    settings = replace(golden.SETTINGS, password="PASSWORD", title=TITLE, per_number=vendor.one_number)
    return make_sheet(vendor, settings)


def _example(vendor: Vendor) -> Iterator[str]:
    sheet = _example_sheet(vendor)
    yield from _section("Example")
    if sheet.text:
        yield "For the phone ``desk1`` of a gateway at ``phonebook.example.com``::"
        yield ""
        yield from (f"    {line}".rstrip() for line in sheet.text.splitlines())
        return
    yield "For the phone ``desk1`` of a gateway at ``phonebook.example.com``:"
    yield ""
    yield from (".. list-table::", "   :header-rows: 1", "   :widths: 40 60", "")
    yield from ("   * - Field", "     - Value")
    for field in sheet.fields:
        yield f"   * - {_plain(field.label)}"
        yield f"     - ``{field.value}``" if field.value.strip() else "     - (empty)"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for path, text in pages().items():
        path.write_text(text)
