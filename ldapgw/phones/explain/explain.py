# SPDX-License-Identifier: MIT
"""An explanation of a phone's query: matches, near misses, notes on the query and the syncs, and the index plan.

The plan names the index terms (`ldapgw.directory.index_terms`) that the search reads, each with its number of
candidates.  The search tests the candidates one by one.  For an AND, the search reads only the rarest term, which is
the first term of the plan.  The notes name terms of the filter that can never be true, and syncs that have not fetched
all contacts.

An explanation searches the directory dozens of times, which takes too long for the thread that serves phones.  So
`PhoneExplainer` makes the explanations for pages on another thread, in the directory that phones search at present.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from heapq import nsmallest
from itertools import islice
from typing import Any

from sqlalchemy import Connection

from ldapgw.directory import name_folding
from ldapgw.directory.access import TenantViewer
from ldapgw.directory.assertion import NUMBER_END, asserted_number
from ldapgw.directory.book import Book
from ldapgw.directory.catalog import Snapshot
from ldapgw.directory.dn import Dn
from ldapgw.directory.entry import Entry
from ldapgw.directory.filter import And, Approximate, Equality, Extensible, Filter, Or, Substrings, to_string
from ldapgw.directory.filter_matcher import prepare
from ldapgw.directory.index_terms import NAME_BITS
from ldapgw.directory.naming_context import NamingContext
from ldapgw.directory.query_plan import (
    AndQuery,
    CommonPrefixQuery,
    ExactKey,
    NameRange,
    OrQuery,
    PrefixQuery,
    Query,
    TermRange,
    ValueRange,
)
from ldapgw.directory.schema import Family
from ldapgw.directory.segment import Segment
from ldapgw.numbers import dial_string, phone_number
from ldapgw.phones.explain.misses import MissFinder
from ldapgw.phones.explain.model import (
    TEXTS,
    BookSyncState,
    Explanation,
    ExplanationNote,
    ExplanationReader,
    MatchedEntry,
    NumberReading,
    NumberVariant,
    SearchedBook,
    notes_on,
)
from ldapgw.phones.explain.query import (
    PERSON,
    PhoneQuery,
    QueryKind,
    SubjectKind,
    filter_items,
    is_blank,
    is_placeholder,
    is_withheld,
    octets,
    parse_query,
    subject_of,
    typeahead_filter,
)
from ldapgw.phones.explain.terms import (
    FilterItem,
    FilterTerm,
    filter_terms,
    is_keypad_term,
    matched_terms,
    number_readings,
    several_keypad_words,
    several_words,
    text_variants,
)
from ldapgw.phones.explain.view import PhoneSearchResult, PhoneView, book_of, name_of
from ldapgw.phones.provisioning.settings import MAX_HITS
from ldapgw.phones.provisioning.vendors import vendors_of
from ldapgw.phrase import Phrase, Translatable
from ldapgw.store import contacts
from ldapgw.store.account_status import error_message, state
from ldapgw.store.accounts import Account
from ldapgw.store.phones import PhoneLogin

# The maximum number of matches, and the maximum number of near misses, that an explanation lists.  Further matches and
# near misses are only counted.
MAX_MATCHES = 50
MAX_MISSES = 10

_INDEX_FIELDS = {"N": "names", "M": "mail addresses", "O": "other words"}
# The maximum number of texts in one line of the plan.  Three keypad digits alone can make 64 texts.
_MAX_TEXTS = 4


def explain(
    query: PhoneQuery,
    view: PhoneView,
    *,
    private: Iterable[Book] = (),
    states: Iterable[BookSyncState] = (),
    size_limit: int,
    base: str = "",
    reader: ExplanationReader,
    model: str = "",
) -> Explanation:
    """Explain which contacts a phone finds and which contacts the phone misses.

    :param private: the tenant's books that the phone does not see; the function iterates over the books only once.
    :param base: the search base; empty for the tenant's base.
    :param model: the phone's model, a key of `ldapgw.phones.description.MODELS`; empty if unknown.
    :raises DirectoryError: if the base is no DN, or the phone sees no such entry.
    """
    context = view.context
    base = base or str(context.base)
    result = view.search(query.filter, base, size_limit)
    terms = tuple(filter_terms(query.filter))
    misses = [*MissFinder(query.filter, view, result, base, reader).find(private)]
    if result.entries:
        misses = [ranked for ranked in misses if ranked.has_query]
    nearest = nsmallest(MAX_MISSES, misses)
    own_notes = () if result.entries else (*_word_notes(terms, view, base), *_number_notes(query, terms, view, base))
    return Explanation(
        query=query,
        filter=to_string(query.filter),
        base=base,
        lenient=context.lenient,
        name_variants=tuple(dict.fromkeys(variant for term in terms for variant in text_variants(term, context))),
        keypad=any(is_keypad_term(term, context) for term in terms),
        numbers=_distinct_numbers(variant for term in terms for variant in _number_variants(term, context)),
        books=tuple(SearchedBook(book.name, access) for book, access in view.books()),
        matches=tuple(_match(entry, terms, view) for entry in result.entries[:MAX_MATCHES]),
        entry_count=len(result.entries),
        complete=result.complete,
        misses=tuple(ranked.miss for ranked in nearest),
        more_misses=len(misses) - len(nearest),
        plan=describe_plan(prepare(query.filter, context).query, tuple(view.segments())),
        notes=(*own_notes, *_list_notes(query.filter, result, model), *query_notes(query, terms, context, states)),
    )


def _match(entry: Entry, terms: Iterable[FilterTerm], view: PhoneView) -> MatchedEntry:
    context = view.context
    return MatchedEntry(
        name_of(entry),
        entry.dn,
        book_of(entry, context),
        matched_terms(entry, terms, context),
        entry.dn == str(context.base),
        view.flags(entry),
    )


def _number_variants(term: FilterTerm, context: NamingContext) -> Iterator[NumberVariant]:
    """Yield the ways in which the number in a term can be read."""
    if term.family is not Family.NUMBER or not context.lenient:
        return
    readings = number_readings(term.text, context)
    for number in readings:
        if number.digits == readings[0].digits:
            reading = NumberReading.TYPED if number.e164 == readings[0].e164 else NumberReading.WITH_PLUS
        elif not number.typed:  # the reading includes the service code, or leaves out the area code
            has_code = len(number.digits) > len(readings[0].digits)
            reading = NumberReading.TYPED if has_code else NumberReading.WITHOUT_AREA_CODE
        elif len(number.digits) > len(readings[0].digits):
            reading = NumberReading.WITH_AREA_CODE
        else:
            reading = NumberReading.WITHOUT_OUTSIDE_LINE
        yield NumberVariant(number.e164 or number.digits, reading)


def _distinct_numbers(variants: Iterable[NumberVariant]) -> tuple[NumberVariant, ...]:
    """Return the first variant of each number."""
    distinct: dict[str, NumberVariant] = {}
    for variant in variants:
        distinct.setdefault(variant.number, variant)
    return tuple(distinct.values())


def _word_notes(terms: Iterable[FilterTerm], view: PhoneView, base: str) -> Iterator[ExplanationNote]:
    """If several words were typed, yield a note for each word that no contact has in the attributes of the filter.

    Digits get no note if the filter also looks for the digits in numbers, because the digits are probably a number.
    """
    terms, items = tuple(terms), dict[str, list[Filter]]()
    has_numbers = any(term.family is Family.NUMBER for term in terms)
    for term in terms:
        keypad_words = () if has_numbers else several_keypad_words(term, view.context)
        for word in keypad_words or several_words(term, view.context):
            items.setdefault(word, []).append(_with_text(term.item, word))
    for word, alternatives in islice(items.items(), name_folding.MAX_WORDS):
        if not view.search(And((PERSON, Or(tuple(alternatives)))), base, 1).entries:
            is_beginning = isinstance(alternatives[0], Substrings)
            message = TEXTS.no_such_beginning if is_beginning else TEXTS.no_such_word
            yield ExplanationNote("no_such_word", Phrase(message, {"word": word}))


def _number_notes(
    query: PhoneQuery, terms: Iterable[FilterTerm], view: PhoneView, base: str
) -> Iterator[ExplanationNote]:
    """Yield a note if a caller's number was withheld, or if the filter has a star behind the number of a contact."""
    text = query.text.strip()
    if query.kind is not QueryKind.FILTER and text and is_withheld(text):
        yield ExplanationNote("empty_number", Phrase(TEXTS.empty_number, {"term": text}))
    for term in islice(terms, MAX_MATCHES):
        match term.item:
            case Substrings(attribute=attribute, initial=bytes(number), any=(), final=None):
                is_number = term.family is Family.NUMBER and dial_string.plain(term.text) is not None
                if is_number and view.search(Equality(attribute, number), base, 1).entries:
                    yield ExplanationNote("star", Phrase(TEXTS.star, {"number": term.text}))
                    return


def _list_notes(search_filter: Filter, result: PhoneSearchResult, model: str) -> Iterator[ExplanationNote]:
    """Yield notes on the search that phones send before anything is typed.

    The notes say which contacts come, and which setting of the phone decides whether the phone lists everybody.
    """
    # A filter with a NOT does not ask for everybody, because the NOT excludes somebody.
    has_not = [*filter_items(search_filter)] != [*filter_items(search_filter, negated=False)]
    if has_not or subject_of(search_filter).kind is not SubjectKind.EVERYBODY:
        return
    vendors, count = vendors_of(model), len(result.entries)
    if count:
        message = TEXTS.everybody if result.complete else TEXTS.everybody_first
        yield ExplanationNote("everybody", Phrase(message, {"count": count}))
    if count > MAX_HITS and vendors[0].max_hits:
        yield ExplanationNote("max_hits", Phrase(TEXTS.max_hits, {"count": MAX_HITS}))
    settings = [{"vendor": vendor.title, "setting": vendor.list_setting} for vendor in vendors if vendor.list_setting]
    for setting in settings:
        yield ExplanationNote("list_setting", Phrase(TEXTS.list_setting, setting))
    if not settings or not count:
        everybody = {"filter": to_string(typeahead_filter(""))}
        yield ExplanationNote("list_filter", Phrase(TEXTS.list_filter, everybody))


def _with_text(item: FilterItem, word: str) -> Filter:
    """Return a term for one word.  If `item` has substrings, the term finds words that begin with the word."""
    if isinstance(item, Substrings):
        return Substrings(item.attribute, octets(word), (), None)
    return Approximate(item.attribute or "", octets(word))


def query_notes(
    query: PhoneQuery, terms: Iterable[FilterTerm], context: NamingContext, states: Iterable[BookSyncState]
) -> tuple[ExplanationNote, ...]:
    """Return the notes on a query and on the syncs, each message once."""
    notes = (
        [ExplanationNote("ringing", Phrase(TEXTS.ringing, {"filter": to_string(query.caller_filter)}))]
        if query.caller_filter
        else []
    )
    notes += [note for term in terms for note in _term_notes(term, context)]
    affix = "" if query.kind is QueryKind.FILTER else dial_string.affix_of(asserted_number(query.text, context))
    if affix:
        notes.append(ExplanationNote("affix", Phrase(TEXTS.affix, {"affix": affix})))
    notes += [note for state in states for note in _book_notes(state)]
    return tuple({str(note.message): note for note in notes}.values())


def _term_notes(term: FilterTerm, context: NamingContext) -> Iterator[ExplanationNote]:
    term_text = to_string(term.item)
    if term.attribute_type is None and not isinstance(term.item, Extensible):
        yield ExplanationNote("unknown_attribute", Phrase(TEXTS.unknown_attribute, {"term": term_text}))
    if is_placeholder(term.text.strip()):
        yield ExplanationNote("placeholder", Phrase(TEXTS.placeholder, {"term": term_text}))
    if term.text.strip() and is_blank(term.text):
        yield ExplanationNote("typed_star", Phrase(TEXTS.typed_star, {"term": term_text}))
    if term.family is not Family.NUMBER or not context.lenient or not isinstance(term.item, Equality | Approximate):
        return
    if not term.text.strip():
        yield ExplanationNote("empty_number", Phrase(TEXTS.empty_number, {"term": term_text}))
        return
    number, readings = asserted_number(term.text, context), number_readings(term.text, context)
    if context.strip and number != dial_string.unwrapped(dial_string.clean(term.text)):
        yield ExplanationNote("stripped", Phrase(TEXTS.stripped, {"asked": term.text, "number": number}))
    if not readings:
        yield ExplanationNote("no_number", Phrase(TEXTS.no_number, {"term": term_text}))
    elif readings[0].e164 and phone_number.has_assumed_region(readings[0], context.region):
        facts = {"number": readings[0].typed, "region": context.region, "read": readings[0].e164}
        yield ExplanationNote("region", Phrase(TEXTS.region, facts))


def _book_notes(book: BookSyncState) -> Iterator[ExplanationNote]:
    if book.state in TEXTS.states:
        yield ExplanationNote(book.state, Phrase(TEXTS.states[book.state], {"book": book.name}))
    if book.error:
        yield ExplanationNote("trouble", Phrase(TEXTS.trouble, {"book": book.name, "trouble": book.error}))
    for reason, count in book.skipped.items():
        if reason in TEXTS.skipped:
            yield ExplanationNote("left_out", Phrase(TEXTS.skipped[reason], {"book": book.name, "count": count}))


def describe_plan(plan: Query, segments: Sequence[Segment]) -> str:
    """Describe in words the index terms that lead to the candidates of a search, and the number of candidates."""
    if not isinstance(plan, AndQuery):
        return f"{_describe(plan)} ({_count(plan, segments)})"
    counted = sorted((_count(query, segments), _describe(query)) for query in plan.queries)
    return "the smallest set of: " + "; ".join(f"{text} ({count})" for count, text in counted)


def _count(plan: Query, segments: Iterable[Segment]) -> int:
    return sum(len(segment.find_documents(plan)) for segment in segments)


def _describe(plan: Query) -> str:
    match plan:
        case None:
            return "every entry, because no index fits this filter"
        case AndQuery(queries):
            return f"the smallest set of ({'; '.join(map(_describe, queries))})"
        case OrQuery(queries):
            return _join_by_kind(map(_kind_and_text, queries)) if queries else "nothing, because no entry can match"
        case _:
            return _join_by_kind([_kind_and_text(plan)])


def _join_by_kind(parts: Iterable[tuple[str, str]]) -> str:
    """Join the texts of each kind of term, as in: names that begin with "a" or "b"."""
    texts_by_kind: dict[str, list[str]] = {}
    for kind, text in sorted(parts):
        texts_by_kind.setdefault(kind, []).extend(filter(None, [text]))
    return ", or ".join(f"{kind} {_join_texts(texts)}".rstrip() for kind, texts in texts_by_kind.items())


def _join_texts(texts: Sequence[str]) -> str:
    if len(texts) > _MAX_TEXTS:
        return f"{' or '.join(texts[:_MAX_TEXTS])} or {len(texts) - _MAX_TEXTS} more"
    return " or ".join(texts)


def _kind_and_text(plan: Query) -> tuple[str, str]:
    """Return the kind of index term, and the text in the term."""
    match plan:
        case ExactKey(key=key):
            return ("numbers that end in" if key.startswith(NUMBER_END) else "the uid"), f'"{key[1:]}"'
        case PrefixQuery(prefix, attributes):
            return f"{_INDEX_FIELDS['N' if attributes & NAME_BITS else 'O']} that begin with", f'"{prefix[1:]}"'
        case CommonPrefixQuery(prefixes, attributes):
            beginnings = " and ".join([f'"{prefix[1:]}"' for prefix in prefixes])
            return f"{_INDEX_FIELDS['N' if attributes & NAME_BITS else 'O']} with the beginnings", beginnings
        case TermRange(low, _):
            return _index_term_text(low, is_prefix=True)
        case str():
            return _index_term_text(plan, is_prefix=plan[1] != "w")
        case ValueRange() | NameRange():
            return "the order of values", ""
        case None | AndQuery() | OrQuery():
            return _describe(plan), ""


def _index_term_text(term: str, *, is_prefix: bool) -> tuple[str, str]:
    field, kind, text = term[0], term[1], f'"{term[2:]}"'
    if field == "P":
        return "entries that have the attribute", ""
    if field == "C":
        return "entries with the object class", ""
    if field == "W":
        return f"{_INDEX_FIELDS[kind]} with both beginnings", ""
    if field == "K":
        found = "with" if term[2] == "t" else "that begin with"
        return f"{_INDEX_FIELDS[kind]} {found} the keys", f'"{term[2:].removeprefix("t")}"'
    field_name = _INDEX_FIELDS.get(field, "numbers")
    if kind == "t":
        return f"{field_name} with", text
    return (f"{field_name} that begin with" if is_prefix or field == "D" else field_name), text


# --- explanations for pages -------------------------------------------------------------------------------------------

# The maximum number of characters of a query that a page accepts.  A form sends a character in at most twelve octets,
# and so the query in at most 12 kB.
MAX_QUERY_LENGTH = 1000


@dataclass(frozen=True, slots=True, repr=False)
class PhoneExplainer:
    """The explainer of searches in the directory's published snapshot.

    :ivar served: returns the snapshot of the directory that phones search now.
    :ivar now: returns the seconds since the epoch.
    """

    served: Callable[[], Snapshot]
    size_limit: int
    run_off_thread: Callable[..., Awaitable[Any]]
    now: Callable[[], float]

    async def explain(
        self,
        phone: PhoneLogin,
        text: str,
        base: str,
        reader: ExplanationReader,
        accounts: Iterable[Account],
        page_name: Translatable,
    ) -> Explanation | None:
        """Explain which contacts a phone finds and why; None if the directory does not serve the phone yet.

        :param text: a name, a number or a filter.
        :param base: the phone's search base; empty for the tenant's base.
        :param accounts: the accounts for which the reader may see the state of the sync.
        :param page_name: the name of the page that shows `accounts`.
        :raises UserError: if the query is a filter that cannot be parsed.
        :raises DirectoryError: if the base is no DN, or the phone sees no such entry.
        """
        snapshot = self.served()
        login = snapshot.logins.get(phone.name.lower())
        if login is None:
            return None
        view = PhoneView(snapshot.dit, login.viewer, phone.tenant)
        viewer = view.tenant_viewer
        now = self.now()

        def make() -> Explanation:
            return explain(
                parse_query(text, view.context.strip),
                view,
                private=view.hidden_books(),
                states=[*book_sync_states(accounts, viewer, now, lambda _: page_name, commands=reader.is_admin)],
                size_limit=self.size_limit,
                base=base,
                reader=reader,
                model=phone.model,
            )

        explanation: Explanation = await self.run_off_thread(make)
        return explanation


def read_number_notes(
    connection: Connection,
    tenant: str,
    explanation: Explanation,
    known: Iterable[Account],
) -> Explanation:
    """Add to found contacts a note on each number that is not dialled as it is stored.

    :param known: the accounts whose stored contacts the reader may know.
    """
    subs = {account.address: account.sub for account in known}
    keys = {
        match.dn: (subs[match.book], Dn.parse(match.dn).rdns[0][0][1])
        for match in explanation.matches
        if match.book in subs and match.dn.startswith("uid=")
    }
    stored = contacts.read_persons(connection, tenant, keys.values()) if keys else {}
    matches = [
        replace(match, number_notes=tuple(notes_on(stored[keys[match.dn]]))) if keys.get(match.dn) in stored else match
        for match in explanation.matches
    ]
    return replace(explanation, matches=tuple(matches))


def book_sync_states(
    accounts: Iterable[Account],
    viewer: TenantViewer,
    now: float,
    page: Callable[[Account], Translatable],
    *,
    commands: bool = True,
) -> Iterator[BookSyncState]:
    """Yield the sync states of the accounts whose books the phone sees.

    :param viewer: the phone.
    :param now: seconds since the epoch.
    :param page: returns the name of the page that shows an account.
    :param commands: whether error messages may name commands.
    """
    for account in accounts:
        access = viewer.access_to(account.sub, account.sharing)
        if access.is_hidden:
            continue
        message = error_message(account.error, account, page(account), commands=commands) if account.error else ""
        yield BookSyncState(account.address, access, state(account, now), message, account.skipped)
