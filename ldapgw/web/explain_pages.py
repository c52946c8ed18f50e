# SPDX-License-Identifier: MIT
"""The pages that explain why a phone did not find somebody: common problems, and explanations of a search.

The query is sent in a form (POST), so that no name and no number gets into an address.  A visitor learns nothing about
another person's book that the phone does not see.  If the query is a complete number, an administrator learns whether
such a book contains the number; the command ``ldapgw explain`` shows more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from ldapgw.contact import Sharing
from ldapgw.directory.access import BookAccess
from ldapgw.directory.clients import TokenBuckets
from ldapgw.directory.dn import Dn
from ldapgw.errors import DirectoryError, UserError
from ldapgw.google.endpoints import contact_page
from ldapgw.numbers.phone_number import readable
from ldapgw.phones.explain.explain import MAX_QUERY_LENGTH, read_number_notes
from ldapgw.phones.explain.model import (
    Explanation,
    ExplanationReader,
    MatchedEntry,
    MissedContact,
    MissReason,
    NumberReading,
    match_sentences,
)
from ldapgw.phones.explain.query import QueryKind, SubjectKind, is_withheld, subject_of
from ldapgw.phrase import Phrase, Texts, Translatable, gettext_noop, joined, read_texts
from ldapgw.store import accounts
from ldapgw.store.accounts import Account
from ldapgw.store.phones import PhoneLogin
from ldapgw.web import error_pages
from ldapgw.web.error_pages import PageError
from ldapgw.web.http import HttpResponse
from ldapgw.web.layout import Layout, RequiredRole, Route, Visit, get, post
from ldapgw.web.phone_pages import visible_phones

# An explanation runs dozens of searches.  Therefore a session may request only this many explanations at once, and then
# one explanation in each interval.
EXPLAIN_BURST = 10
EXPLAIN_INTERVAL_SECONDS = 2.0
# The maximum number of explanations of a session that run at the same time, for example after a double click.
MAX_RUNNING = 3

_NO_FILTER = gettext_noop("This filter can’t be read. Check its parentheses, or enter a name or number instead.")
_NO_BASE = gettext_noop(
    "The phone’s search base doesn’t exist, so the phone finds nobody. Correct the search base in the phone."
)
_NOT_YET = gettext_noop("The gateway hasn’t loaded this phone yet. Try again in a moment.")
_OVERVIEW_NAME = gettext_noop("the Overview page")

# The page shows at most this many books, matches and misses; the page only counts further books, matches and misses.
MAX_BOOKS = 10
MAX_MATCHES = 10
MAX_MISSES = 5


class _ExplanationTexts(Texts, frozen=True):
    """The texts of the explanation page.

    :ivar attributes: labels of attributes; any other attribute is shown by its LDAP name.
    :ivar readings: the texts on how a number was read; a number that was read as typed has no text.
    :ivar visibility: the texts on why a phone sees a book; the company directory has no text.
    """

    form: str
    favourite: str
    blocked: str
    sharing_link: str
    settings_link: str
    contact_link: str
    attributes: Mapping[str, str]
    readings: Mapping[NumberReading, str]
    visibility: Mapping[BookAccess, str]


_TEXTS = read_texts("web/texts/explain", _ExplanationTexts)

_FIXED_IN_SETTINGS = frozenset(
    {
        MissReason.OUTSIDE_BASE,
        MissReason.NUMBER_ENTRIES,
        MissReason.FILTER_TERM,
        MissReason.OTHER_ATTRIBUTE,
        MissReason.WHOLE_VALUE,
    }
)
_FIXED_AT_GOOGLE = frozenset(
    {
        MissReason.OUTSIDE_BASE,
        MissReason.NO_NUMBER,
        MissReason.FILTER_TERM,
        MissReason.SPELLING,
        MissReason.SOME_WORDS,
        MissReason.OTHER_COUNTRY,
        MissReason.LAST_DIGITS,
        MissReason.ONE_DIGIT,
        MissReason.OTHER_BEGINNING,
        MissReason.SHORT_NUMBER,
    }
)


@dataclass(frozen=True, slots=True, repr=False)
class ContactExplanation:
    """A found or missed contact, with sentences that explain the result.

    :ivar name: the contact's name; empty if the contact has only numbers, or if the name must not be shown.
    :ivar book: the owner of the contact's book; empty if the owner must not be shown.
    :ivar fixes: links to the places where the reader can fix the cause, each with its label.
    """

    name: str
    book: str
    sentences: tuple[Translatable, ...]
    advice: Translatable = ""
    fixes: tuple[tuple[str, str], ...] = ()


def explanation_values(explanation: Explanation, visit: Visit, phone: PhoneLogin) -> Mapping[str, Any]:
    """Return the template values of an explanation, besides the explanation itself."""
    numbers = [
        Phrase(_TEXTS.readings.get(number.reading, "%(number)s"), {"number": readable(number.number)})
        for number in explanation.numbers
    ]
    query = explanation.query
    subject = subject_of(query.filter) if query.kind is QueryKind.FILTER else None
    # If the caller withheld the number, no advice can help.
    hides_number = not explanation.entry_count and (
        subject.kind is SubjectKind.WITHHELD if subject else is_withheld(query.text)
    )
    # If the phone has found contacts, the page leaves out contacts that nearly match.
    misses = () if hides_number or explanation.entry_count else explanation.misses
    rows = [_miss(miss, visit, phone) for miss in misses[:MAX_MISSES]]
    return {
        "asked": subject.text if subject else query.text,
        "is_withheld": hides_number,
        "compared_forms": [*(Phrase(_TEXTS.form, {"form": form}) for form in explanation.name_variants), *numbers],
        "books": [(book.name, _TEXTS.visibility.get(book.access, "")) for book in explanation.books[:MAX_BOOKS]],
        "matches": [_match(match) for match in explanation.matches[:MAX_MATCHES]],
        # Consecutive contacts with the same advice are grouped, so that the page shows the advice once.
        "misses": [[*group] for _, group in groupby(rows, key=lambda row: str(row.advice))],
        "more_misses": explanation.more_misses + max(len(misses) - MAX_MISSES, 0),
        "names_administrator": any(note.code == "affix" for note in explanation.notes),
    }


def _match(match: MatchedEntry) -> ContactExplanation:
    sentences: list[Translatable] = [*map(_with_attribute_labels, match_sentences(match)), *match.number_notes]
    sentences += [_TEXTS.favourite] * match.flags.favourite + [_TEXTS.blocked] * match.flags.blocked
    return ContactExplanation(match.name, match.book, tuple(sentences))


def _miss(miss: MissedContact, visit: Visit, phone: PhoneLogin) -> ContactExplanation:
    name = miss.name if any(map(str.isalpha, miss.name)) else ""
    sentences, fixes = (_with_attribute_labels(miss.message),), tuple(_fixes(miss, visit, phone))
    return ContactExplanation(name, miss.book, sentences, miss.advice, fixes)


def _fixes(miss: MissedContact, visit: Visit, phone: PhoneLogin) -> Iterator[tuple[str, str]]:
    own = next((account for account in visit.visitor.accounts if account.address == miss.book), None)
    if own and own.id not in phone.account_ids and own.sharing is not Sharing.SHARED:
        yield f"{visit.home}account?account={visit.visitor.number_of(own)}#sharing", _TEXTS.sharing_link
    if miss.reason in _FIXED_IN_SETTINGS:
        yield f"{visit.home}phones/{phone.name}#settings", _TEXTS.settings_link
    uid = Dn.parse(miss.dn).rdns[0][0][1] if miss.dn else ""
    # The reader cannot change an "other contact", and cannot open another person's contact.
    if own and miss.reason in _FIXED_AT_GOOGLE and (address := contact_page(uid, own.address)):
        yield address, _TEXTS.contact_link


def _with_attribute_labels(phrase: Phrase) -> Phrase:
    """Return the phrase with labels in place of attribute names, and with numbers as people read them."""
    values = {name: _readable_value(value) for name, value in phrase.values.items()}
    if "attribute" in values:
        names = str(values["attribute"]).split(", ")
        values["attribute"] = joined([Phrase(_TEXTS.attributes.get(name, name)) for name in dict.fromkeys(names)])
    return Phrase(phrase.message, values)


def _readable_value(value: object) -> object:
    if isinstance(value, Phrase):
        return _with_attribute_labels(value)
    return readable(value) if isinstance(value, str) else value


class ExplainPages:
    """The page of common problems, and the explanation page with its form.

    Mutable: the rate limiter, and the number of running explanations by session.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._rate_limiter = TokenBuckets(EXPLAIN_BURST, EXPLAIN_INTERVAL_SECONDS, layout.dependencies.seconds)
        self._running: Counter[str] = Counter()

    def routes(self) -> tuple[Route, ...]:
        return (
            get("/<tenant>/troubleshoot", self.troubleshoot, RequiredRole.PERSON),
            get("/<tenant>/explain", self.form, RequiredRole.SIGNED_IN),
            post("/<tenant>/explain", self.explain, RequiredRole.SIGNED_IN),
        )

    async def troubleshoot(self, visit: Visit) -> HttpResponse:
        """``/{tenant}/troubleshoot``: show the empty form, and common problems with their remedies."""
        return await self._page(visit, None, {}, template="troubleshoot.html")

    async def form(self, visit: Visit) -> HttpResponse:
        """``/{tenant}/explain``: show the empty form; ``phone`` preselects a phone."""
        name = visit.query.get("phone", "")
        phone = await visit.find_phone(name) if name else None
        return await self._page(visit, phone, {})

    async def explain(self, visit: Visit) -> HttpResponse:
        """``POST /{tenant}/explain``: explain the search of ``phone`` for ``asked`` below ``base``."""
        phone = await self._asked_phone(visit)
        if phone is None:
            return await self._page(visit, None, visit.form)
        is_busy = self._running[visit.visitor.token] >= MAX_RUNNING
        if is_busy or self._rate_limiter.take(visit.visitor.token):
            raise PageError(error_pages.PAGES.too_many, visit.tenant, headers=(("Retry-After", "2"),))
        query, base = (visit.form.get(name, "").strip()[:MAX_QUERY_LENGTH] for name in ("asked", "base"))
        if not query:
            return await self._page(visit, phone, {})
        reader, known_accounts = await self._reader(visit)
        self._running[visit.visitor.token] += 1
        try:
            explanation = await self._layout.dependencies.explainer.explain(
                phone, query, base, reader, known_accounts, _OVERVIEW_NAME
            )
        except (UserError, DirectoryError) as error:
            query_error = _NO_FILTER if isinstance(error, UserError) else _NO_BASE
            return await self._page(visit, phone, visit.form, query_error)
        finally:
            self._running -= Counter((visit.visitor.token,))
        if explanation is None:
            return await self._page(visit, phone, visit.form, _NOT_YET)
        noted = await visit.store.read(read_number_notes, visit.tenant.name, explanation, visit.visitor.accounts)
        return await self._page(visit, phone, visit.form, explanation=noted)

    async def _asked_phone(self, visit: Visit) -> PhoneLogin | None:
        """Return the phone that a form names, else the visitor's first phone, or None if the visitor has no phone."""
        name = visit.form.get("phone", "")
        if name:
            return await visit.find_phone(name)
        known = await visit.store.read(visible_phones, visit)
        return known[0] if known else None

    async def _reader(self, visit: Visit) -> tuple[ExplanationReader, Sequence[Account]]:
        """Return the visitor as a reader of explanations, and the accounts whose syncs the visitor may see."""
        is_admin = visit.is_by_admin
        known_accounts = visit.visitor.accounts
        if is_admin:
            known_accounts = await visit.store.read(accounts.read_all, visit.tenant.name)
        own_books = frozenset(account.sub for account in visit.visitor.accounts)
        reader = ExplanationReader(hides_private_books=True, is_admin=is_admin, own_books=own_books)
        return reader, known_accounts

    async def _page(
        self,
        visit: Visit,
        phone: PhoneLogin | None,
        form: Mapping[str, str],
        query_error: Translatable = "",
        explanation: Explanation | None = None,
        template: str = "explain.html",
    ) -> HttpResponse:
        phones = await visit.store.read(visible_phones, visit)
        return await visit.page(
            template,
            status=400 if query_error else 200,
            phones=phones,
            phone=phone,
            query=form.get("asked", "").strip()[:MAX_QUERY_LENGTH],
            base=form.get("base", "").strip()[:MAX_QUERY_LENGTH],
            query_error=query_error,
            explanation=explanation,
            max_length=MAX_QUERY_LENGTH,
            **(explanation_values(explanation, visit, phone) if explanation is not None and phone is not None else {}),
        )
