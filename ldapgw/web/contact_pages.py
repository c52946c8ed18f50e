# SPDX-License-Identifier: MIT
"""The list of the contacts that a person's phones find, the search in this list, a contact's page and photo, and calls.

Access rights, order and the treatment of duplicates are the same as for phones (`ldapgw.phones.contact_browser`).
Browser histories and proxy logs store the addresses of pages, so no address may contain a name or a telephone number.
The addresses contain only ids of contacts, letters and page numbers, and the search is a form (POST).  Only the owner
of a contact sees the numbers that Google has and phones do not get.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from math import ceil
from zlib import crc32

from ldapgw.contact import Contact, Kind, LeftOutReason
from ldapgw.directory.book import DIRECTORY
from ldapgw.directory.clients import TokenBuckets
from ldapgw.directory.inet_org_person import write_number
from ldapgw.directory.naming_context import NamingContext
from ldapgw.google.endpoints import contact_page
from ldapgw.numbers import Number
from ldapgw.numbers.dial_string import dial_text
from ldapgw.numbers.phone_number import NumberFormat, parse, readable, typed_digits
from ldapgw.phones.book_reader import initials
from ldapgw.phones.contact_browser import (
    DIGITS,
    LETTERS,
    OTHER,
    SECTIONS,
    STARRED,
    BrowsedContact,
    ContactPage,
    numbers_of,
)
from ldapgw.phones.explain.model import note_on, number_text
from ldapgw.phones.explain.view import text_of, texts_of
from ldapgw.phrase import Texts, Translatable, read_texts
from ldapgw.store import contacts, phones
from ldapgw.store.accounts import Account
from ldapgw.store.phones import NumberMode, PhoneLogin
from ldapgw.web import error_pages
from ldapgw.web.dependencies import WebTenant
from ldapgw.web.error_pages import PageError
from ldapgw.web.http import HttpResponse, read_number, redirect
from ldapgw.web.layout import Layout, RequiredRole, Route, TenantVisit, Visit, get, post
from ldapgw.web.sessions import Visitor

# The text of a search is cut to this length; names and numbers are shorter.
MAX_QUERY_LENGTH = 100
# The number of searches that a session may make at once, which is enough for fast typing.
SEARCH_BURST = 30
SEARCH_INTERVAL_SECONDS = 0.2
# A person may begin `DIAL_BURST` calls through the telephone system at once, and then one call after each interval.
DIAL_BURST = 5
DIAL_INTERVAL_SECONDS = 10.0

# The number of colours for pictures with initials (style.css).
_COLOURS = 6
# Seconds for which a browser caches a photo.
_PHOTO_SECONDS = 3600


class _ContactTexts(Texts, frozen=True):
    """The texts on a contact's numbers.

    :ivar same_written: the reason why phones do not get a number that differs from another number only by its
        extension.
    :ivar kinds: the texts by purpose; a number without a known purpose has no text.
    """

    same_written: str
    kinds: Mapping[Kind, str]
    left_out: Mapping[LeftOutReason, str]


_TEXTS = read_texts("web/texts/contacts", _ContactTexts)

# If the stored contact is unknown, the LDAP attribute shows the kind of a number.
_KINDS_BY_ATTRIBUTE = {
    "telephoneNumber": "",
    "mobile": _TEXTS.kinds[Kind.MOBILE],
    "homePhone": _TEXTS.kinds[Kind.HOME],
    "facsimileTelephoneNumber": _TEXTS.kinds[Kind.FAX],
    "pager": _TEXTS.kinds[Kind.PAGER],
}
_SECTION_TITLES = {STARRED: "★", DIGITS: "0–9", OTHER: "#", **{letter: letter.upper() for letter in LETTERS}}
# The bar of letters shows these sections even if they have no contacts.
_STANDING_SECTIONS = frozenset(LETTERS)


@dataclass(frozen=True, slots=True, repr=False)
class NumberText:
    """A telephone number on a page.

    :ivar text: the number as people read it.
    :ivar dialled: the number for links and for copying, in E.164 if its country is known.
    :ivar kind: a text to translate; empty if the number has no kind.
    :ivar label: the contact's own label for the number at Google, shown in place of the kind.
    :ivar note: the stored number, and why another number is dialled; empty if there is nothing to explain.
    :ivar for_pbx: the number in the form that a telephone system expects: in the tenant's format, without spaces; empty
        if this form is unknown.
    """

    text: str
    dialled: str
    kind: str
    label: str = ""
    note: Translatable = ""
    for_pbx: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class ContactRow:
    """A contact in a list.

    :ivar id: the contact's id on the pages; empty for a contact without a page.
    :ivar book: the name of the contact's book; empty if the book is the reader's own.
    :ivar colour: the number of the colour of the picture with initials.
    """

    id: str
    name: str
    company: str
    numbers: tuple[NumberText, ...]
    mail: str
    book: str
    initials: str
    colour: int
    has_photo: bool


class ContactPages:
    """The list of contacts, the results of its search, the page of a contact, calls to a contact, and photos.

    page.js fetches the results while a person types.

    Mutable: the rate limiters.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._rate_limiter = TokenBuckets(SEARCH_BURST, SEARCH_INTERVAL_SECONDS, layout.dependencies.seconds)
        self._dial_limiter = TokenBuckets(DIAL_BURST, DIAL_INTERVAL_SECONDS, layout.dependencies.seconds)
        self._browser = layout.dependencies.contacts
        self._store = layout.dependencies.store

    def routes(self) -> tuple[Route, ...]:
        person = RequiredRole.PERSON
        return (
            get("/<tenant>/contacts", self.list, person),
            get("/<tenant>/contacts/<contact>", self.contact, person),
            get("/<tenant>/contacts/<contact>/photo", self.photo, person),
            get("/<tenant>/contacts/<contact>/dial", self.redirect_to_contact, person),
            post("/<tenant>/contacts/<contact>/dial", self.dial, person),
            get("/<tenant>/search", self.redirect_to_contacts, RequiredRole.TENANT),
            post("/<tenant>/search", self.search, person, is_unlimited=True),
        )

    async def list(self, visit: Visit) -> HttpResponse:
        """``/{tenant}/contacts``: show the contacts that the phones of an account find, in pages and by letter.

        The query has the account's number (``account``), the ``letter`` and the number of the ``page``.
        """
        accounts = [account for account in visit.visitor.accounts if account.is_connected]
        chosen = visit.visitor.account_by_number(visit.query.get("account", ""))
        account = chosen if chosen in accounts else next(iter(accounts), None)
        section = visit.query.get("letter", "")
        section = section if section in SECTIONS else ""
        number = read_number(visit.query.get("page", ""), 1, digits=7) or 1
        found = await self._browser.page(
            visit.tenant.name, [account.sub for account in accounts], account.sub if account else "", section, number
        )
        address = _Address(visit.home, visit.visitor, account, section)
        if number > found.page_count:
            return redirect(address.page(found.page_count))
        stored = await self._stored(visit.tenant, found.contacts)
        # Preparing fifty contacts takes several milliseconds, and phones should not wait for the reactor that long.
        run_off_thread = self._layout.dependencies.book_clients.run_off_thread
        groups = await run_off_thread(_groups, visit.tenant, found.contacts, stored)
        return await visit.page(
            "contacts.html",
            accounts=accounts,
            account=account,
            page_number=number,
            found=found,
            sizes=self._browser.sizes(visit.tenant.name, account.sub if account else ""),
            groups=groups,
            letters=_letters(found),
            section=section,
            section_title=_SECTION_TITLES.get(section, ""),
            address=address,
        )

    async def redirect_to_contacts(self, visit: TenantVisit) -> HttpResponse:
        """``/{tenant}/search``: redirect a GET of the search's address to the list of contacts."""
        return visit.redirect(path="contacts")

    async def search(self, visit: Visit) -> HttpResponse:
        """``POST /{tenant}/search``: show the contacts that the visitor's phones find for ``sought``."""
        if self._rate_limiter.take(visit.visitor.token):
            raise PageError(error_pages.PAGES.too_many, visit.tenant, headers=(("Retry-After", "1"),))
        query = visit.form.get("sought", "")[:MAX_QUERY_LENGTH]
        books = [account.sub for account in visit.visitor.accounts if account.is_connected]
        result = await self._browser.find(visit.tenant.name, books, query)
        stored = await self._stored(visit.tenant, [contact for contact in result.contacts if contact.id])
        rows = [_row(visit.tenant, contact, stored) for contact in result.contacts]
        return await visit.page("search.html", query=query, rows=rows, is_complete=result.complete)

    async def contact(self, visit: Visit, contact: str) -> HttpResponse:
        """``/{tenant}/contacts/{contact}``: show what phones get of a contact, and where the contact comes from."""
        found = self._find(visit, contact)
        stored = (await self._stored(visit.tenant, [found])).get(found.id)
        owner = visit.visitor.account_by_sub(found.book)
        own_phones = await self._own_phones(visit)
        per_number = [phone.name for phone in own_phones if phone.numbers is NumberMode.ENTRIES]
        context = found.context
        numbers, shown = _numbers(found, stored), _shown_numbers(found, stored)
        return await visit.page(
            "contact.html",
            contact=found,
            row=_row(visit.tenant, found, {found.id: stored} if stored else {}),
            numbers=numbers if owner is not None else [replace(number, note="") for number in numbers],
            mails=texts_of(found.entry, "mail"),
            title=text_of(found.entry, "title"),
            contact_name=found.name,
            shown=shown,
            callers=visit.tenant.dial.callers(own_phones) if visit.tenant.dial is not None else {},
            # Phones with one entry per number show the kind of the number behind the name.  If the stored contact is
            # unknown, the kind is unknown too.
            per_number=per_number if stored else [],
            per_number_lines=[f"{found.name} ({kind})" for _, kind in shown],
            left_out=list(_left_out(stored, context)) if owner is not None and stored else [],
            google=contact_page(found.entry.uid.decode(), owner.address) if owner is not None else "",
            is_directory=found.book == DIRECTORY,
            address=_Address(visit.home, visit.visitor, owner, found.section),
        )

    async def redirect_to_contact(self, visit: Visit, contact: str) -> HttpResponse:
        """``/{tenant}/contacts/{contact}/dial``: redirect a GET of the form's address to the contact."""
        return visit.redirect(path=f"contacts/{self._find(visit, contact).id}")

    async def dial(self, visit: Visit, contact: str) -> HttpResponse:
        """``POST /{tenant}/contacts/{contact}/dial``: have the telephone system call ``number`` from ``phone``.

        The contact's page must show the number, and the phone must be the visitor's own.
        """
        found, address = self._find(visit, contact), visit.tenant.dial
        if address is None or not address.is_called_by_gateway:
            raise PageError(error_pages.PAGES.not_found, visit.tenant)
        stored = (await self._stored(visit.tenant, [found])).get(found.id)
        numbers = {number.dialled: number.for_pbx for number in _numbers(found, stored)}
        number, phone = numbers.get(visit.form.get("number", ""), ""), visit.form.get("phone", "")
        path = f"contacts/{found.id}"
        if not number or phone not in address.callers(await self._own_phones(visit)):
            return visit.redirect("not-accepted", path)
        seconds = self._dial_limiter.take(f"{visit.tenant.name} {visit.visitor.person.address}")
        if seconds:
            headers = (("Retry-After", str(ceil(seconds))),)
            raise PageError(error_pages.PAGES.too_many, visit.tenant, headers=headers)
        result = await self._layout.dependencies.dial(visit.tenant.name, address.url(phone, number))
        return visit.redirect(result.value, path)

    async def photo(self, visit: Visit, contact: str) -> HttpResponse:
        """``/{tenant}/contacts/{contact}/photo``: send a contact's photo, which the reader's browser may cache."""
        jpeg = _photo(visit.tenant, self._find(visit, contact))
        if not jpeg:
            raise PageError(error_pages.PAGES.not_found, visit.tenant)
        etag = f'"{hashlib.sha256(jpeg).hexdigest()[:20]}"'
        headers = (("Cache-Control", f"private, max-age={_PHOTO_SECONDS}"), ("Vary", "Cookie"), ("ETag", etag))
        if visit.request.has_current(etag):
            return HttpResponse(304, b"", headers=headers)
        return HttpResponse(200, jpeg, "image/jpeg", headers)

    async def _own_phones(self, visit: Visit) -> tuple[PhoneLogin, ...]:
        account_ids = [account.id for account in visit.visitor.accounts]
        return await self._store.read(phones.read_by_accounts, account_ids)

    def _find(self, visit: Visit, contact: str) -> BrowsedContact:
        books = [account.sub for account in visit.visitor.accounts if account.is_connected]
        found = self._browser.contact(visit.tenant.name, books, contact)
        if found is None:
            raise PageError(error_pages.PAGES.not_found, visit.tenant)
        return found

    async def _stored(self, tenant: WebTenant, found: Collection[BrowsedContact]) -> Mapping[str, Contact]:
        """Return the stored contacts by their ids on the pages; contacts may be missing just after a sync."""
        keys = {
            contact.id: ("" if contact.book == DIRECTORY else contact.book, contact.entry.uid.decode())
            for contact in found
        }
        own = {key for key in keys.values() if key[0]}
        in_directory = {uid for sub, uid in keys.values() if not sub}
        read = await self._store.read(contacts.read_persons, tenant.name, own, in_directory)
        return {name: read[key] for name, key in keys.items() if key in read}


@dataclass(frozen=True, slots=True)
class _Address:
    """The addresses of the list's pages.

    :ivar home: the path of the tenant's page.
    :ivar account: the account whose phones find the listed contacts, or None for the first account.
    """

    home: str
    visitor: Visitor
    account: Account | None
    section: str

    def page(self, number: int = 1, section: str | None = None) -> str:
        """Return the address of a page of the list, in another section if `section` is given."""
        section = self.section if section is None else section
        index = self.visitor.accounts.index(self.account) if self.account is not None else 0
        values = {"account": index and index + 1, "letter": section, "page": number > 1 and number}
        query = "&".join(f"{name}={value}" for name, value in values.items() if value)
        return f"{self.home}contacts{'?' if query else ''}{query}"

    @property
    def query(self) -> str:
        """Return the query of the first page, for links to the page in another language."""
        return self.page().partition("?")[2]


def _letters(found: ContactPage) -> list[tuple[str, str, bool]]:
    """Return the bar of letters: section, title, and whether the section has contacts."""
    return [
        (section, _SECTION_TITLES[section], section in found.sections)
        for section in SECTIONS
        if section in found.sections or section in _STANDING_SECTIONS
    ]


def _groups(
    tenant: WebTenant, found: Collection[BrowsedContact], stored: Mapping[str, Contact]
) -> Sequence[tuple[str, str, Sequence[ContactRow]]]:
    """Return the sections of a page: name, title and contacts of each section."""
    return [
        (name, _SECTION_TITLES[name], [_row(tenant, contact, stored) for contact in run])
        for name, run in groupby(found, lambda contact: contact.section)
    ]


def _row(tenant: WebTenant, found: BrowsedContact, stored: Mapping[str, Contact]) -> ContactRow:
    entry, name = found.entry, found.name
    company = text_of(entry, "o")
    numbers = _numbers(found, stored.get(found.id))
    # A contact without a name has its best number as a name.
    is_number = name in texts_of(entry, "telephoneNumber")
    return ContactRow(
        id=found.id,
        name=readable(next(iter(numbers_of(entry, found.context)))) if is_number else name,
        company="" if company == name else company,
        numbers=numbers,
        mail=text_of(entry, "mail"),
        book="" if found.is_own else found.book_name,
        initials=initials(name),
        colour=crc32(name.encode()) % _COLOURS,
        has_photo=bool(_photo(tenant, found)),
    )


def _photo(tenant: WebTenant, found: BrowsedContact) -> bytes:
    return next(iter(found.entry.attribute("jpegPhoto")), b"") if tenant.photos else b""


def _numbers(found: BrowsedContact, stored: Contact | None) -> tuple[NumberText, ...]:
    """Return a contact's numbers, each number only once."""
    if stored is None:
        known, for_pbx_by_number = numbers_of(found.entry, found.context), _entry_numbers_for_pbx(found)
        return tuple(
            NumberText(
                readable(number),
                number,
                _KINDS_BY_ATTRIBUTE[attribute],
                for_pbx=for_pbx_by_number.get(number, ""),
            )
            for number, attribute in known.items()
        )
    numbers: dict[str, NumberText] = {}
    for phone in stored.phones:
        number = phone.number
        dialled = _dialled(number)
        kind, for_pbx = _TEXTS.kinds.get(phone.kind, ""), _number_for_pbx(number, found.context)
        shown = NumberText(number_text(number), dialled, kind, phone.label, note_on(phone), for_pbx)
        numbers.setdefault(dialled, shown)
    return tuple(numbers.values())


def _dialled(number: Number) -> str:
    return number.code + (number.e164 or typed_digits(number))


def _entry_numbers_for_pbx(found: BrowsedContact) -> dict[str, str]:
    """Return a contact's numbers in the form that a telephone system expects, if the contact is not in the database.

    The keys are the numbers for links (`NumberText.dialled`).
    """
    context = found.context
    number_format = None if context.number_format is NumberFormat.TYPED else NumberFormat.E164
    numbers = (parse(text, context.region) for text in numbers_of(found.entry, context, number_format))
    return {_dialled(number): _number_for_pbx(number, context) for number in numbers if number is not None}


def _number_for_pbx(number: Number, context: NamingContext) -> str:
    is_typed = context.number_format is NumberFormat.TYPED
    return typed_digits(number) if is_typed else dial_text(write_number(number, context))


def _shown_numbers(found: BrowsedContact, stored: Contact | None) -> list[tuple[str, str]]:
    """Return the numbers as phones get them, each with its label, which is empty if the stored contact is unknown.

    Phones that get an entry for each number show the label behind the name.
    """
    if stored is None:
        return [(number, "") for number in numbers_of(found.entry, found.context, None)]
    shown: dict[str, str] = {}
    for phone in stored.phones:
        shown.setdefault(write_number(phone.number, found.context), phone.label or phone.kind.value)
    return [*shown.items()]


def _left_out(stored: Contact, context: NamingContext) -> Iterator[tuple[str, str]]:
    """Yield each number that Google has and phones do not get, with the reason."""
    seen: set[str] = set()
    for phone in stored.phones:
        written = write_number(phone.number, context)
        if written in seen:
            yield phone.number.typed, _TEXTS.same_written
        seen.add(written)
    for number in stored.left_out:
        yield number.text, _TEXTS.left_out[number.reason]
