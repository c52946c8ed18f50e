# SPDX-License-Identifier: MIT
"""The fast path: answers a phone's search in one step, if possible.

A phone's search nearly always has no controls, and the answer nearly always fits into one write.  The searches of a
phone differ only in the name or number.  So the fast path stores templates of earlier requests: a `_RequestTemplate`
for the part of the request around the filter, and a `FilterTemplate` for the filter without its value.  With templates,
the fast path only has to prepare the value, search, and join the encoded entries.  A repeated search for a name gets
the messages of the former answer.  The slow path (`ldapgw.ldap.session`) would send the same octets, and takes errors
and unusual requests.
"""

from __future__ import annotations

from typing import Final, TypeVar

from ldapgw.ber import INTEGER, LONGEST_INTEGER, SEQUENCE, BerReader, integer, tlv
from ldapgw.directory.access import Viewer
from ldapgw.directory.caller_id import CallerIdBudget
from ldapgw.directory.dit import Directory, Dit, search_scopes
from ldapgw.directory.entry import PLACEHOLDER_ID, Selection, select
from ldapgw.directory.filter import Filter, Scope, SearchKind, SearchRequest, estimated_cost, filter_kind
from ldapgw.directory.filter_matcher import SLOW, FilterTemplate, PreparedFilter, prepare, replace_value
from ldapgw.directory.naming_context import NamingContext
from ldapgw.directory.search import SearchCursor, first_matches, needs_cursor
from ldapgw.directory.segment import ResultBatch, SearchScope, set_message_id
from ldapgw.errors import DirectoryError, ProtocolViolation, ResultCode
from ldapgw.ldap.admission import SearchBudget
from ldapgw.ldap.decoder import decode, decode_filter, message_ends
from ldapgw.ldap.encoder import encode
from ldapgw.ldap.limits import JOINED
from ldapgw.ldap.messages import Operation, Reply, Result

# The maximum number of entries of an answer.  More entries rarely fit into one write (`JOINED`), so the slow path sends
# longer answers.
_MAX_ENTRIES: Final = 256
# The maximum number of entries of an answer if entries take long to encode (`Selection.is_slow`).  Encoding 16 entries
# with two numbers each takes two milliseconds.
_MAX_SLOW_ENTRIES: Final = 16
# The maximum number of entries that are encoded in one step, which takes a millisecond.
_MAX_ENCODED: Final = 64
# The maximum number of rows of each table of templates or prepared filters.
_MAX_STORED: Final = 512
# The maximum number of octets of a message that may become a template.
_MAX_OCTETS: Final = 1024
# The maximum number of octets of messages that are stored for a repeated search: 50 entries usually take 10,000.
_MAX_REPEATED: Final = 16 << 10
# The highest cost of a filter that the fast path prepares, in units of `estimated_cost`.  The filters of all known
# phones cost less.  The slow path prepares costlier filters in slices.
_MAX_COST: Final = 50

_SEARCH = 0x63
_AND, _OR, _EQUALITY, _SUBSTRINGS, _PRESENT = 0xA0, 0xA1, 0xA3, 0xA4, 0x87
# An assertion about this attribute is a part of the template, because a phone always sends the same object class.
_OBJECT_CLASS: Final = b"objectclass"

Key = TypeVar("Key")
Value = TypeVar("Value")


class _RequestTemplate:
    """A viewer's request without its filter.  A template is never changed after it was made.

    :ivar directory: the directory that the scope is in, or None if the slow path has to answer.
    :ivar wanted: the number of matches to search for: one more than the answer may have, so that too many matches are
        noticed.
    :ivar segment: the only segment of the scope, or None if the scope has several segments.
    :ivar index: the index of `segment`, or None if `segment` is None.
    """

    __slots__ = ("directory", "index", "limit", "scope", "segment", "selection", "wanted")

    def __init__(
        self, directory: Directory | None, limit: int, selection: Selection, scope: SearchScope | None
    ) -> None:
        self.directory = directory
        self.limit = limit
        self.wanted = min(limit, _MAX_SLOW_ENTRIES if selection.is_slow else _MAX_ENTRIES) + 1
        self.selection = selection
        self.scope = scope
        self.segment = scope.only_segment if scope else None
        self.index = self.segment.index if self.segment is not None else None


class FastAnswer:
    """An answer, which is never changed after it was made.

    This class is no named tuple, because creating an object of a compiled class takes less time.

    :ivar search: the message that is answered, if the message is a search; else empty.
    """

    __slots__ = ("code", "entries", "kind", "octets", "search")

    def __init__(
        self,
        octets: bytes,
        search: bytes = b"",
        entries: int = 0,
        code: ResultCode = ResultCode.SUCCESS,
        kind: SearchKind = SearchKind.OTHER,
    ) -> None:
        self.octets = octets
        self.search = search
        self.entries = entries
        self.code = code
        self.kind = kind


# The entries that a search found, as four values.  The first value is the joined messages of the entries, with
# `PLACEHOLDER_ID`.  The second value is the number of the entries.  The third value is true if the search has found
# more entries than the answer may have.  The fourth value is true if all messages are plain (`is_plain` in
# `set_message_id`).
_Found = tuple[bytes, int, bool, bool]
# The value that is returned in place of a result if the slow path has to answer.
_NOTHING: Final[_Found] = (b"", -1, False, False)


class _RepeatedSearch:
    """The messages of the last search by a filter.  The object never changes.

    Another search finds the same messages if the search has the same filter, segment, attributes, limit and naming
    context.  The naming context counts because it has the area code of the phone's site, and the area code decides what
    a part of a number means.
    """

    __slots__ = ("_context", "_limit", "_segment", "_selection", "found")

    def __init__(self, template: _RequestTemplate, context: NamingContext, found: _Found) -> None:
        self._context = context
        self._segment = template.segment
        self._selection = template.selection
        self._limit = template.limit
        self.found = found

    def answers(self, template: _RequestTemplate, context: NamingContext) -> bool:
        """Return whether another search by the same filter finds the same messages.

        :param template: the template of the other search.
        :param context: the naming context of the other search.
        """
        return (
            self._context is context
            and self._segment is template.segment
            and self._selection is template.selection
            and self._limit == template.limit
        )


class FastPath:
    """The fast path, which answers searches at once.

    With the fast path, a gateway answers 385 % more searches by name a second.  The table of prepared filters
    adds 30 %, and the messages that are stored for repeated searches add 41 % (``scripts/bench parts``).

    Mutable: the templates of former requests, and the messages of former answers.

    :param size_limit: the maximum number of entries of an answer.
    """

    def __init__(self, size_limit: int) -> None:
        self._size_limit = size_limit
        self._directories: tuple[Directory, ...] = ()
        self._requests: dict[tuple[Viewer, bytes, bytes], _RequestTemplate] = {}
        self._filters: dict[tuple[bytes, ...], tuple[FilterTemplate, SearchKind]] = {}
        self._prepared: dict[bytes, tuple[NamingContext, PreparedFilter, SearchKind]] = {}
        self._repeated: dict[bytes, _RepeatedSearch] = {}

    def forget_old(self, dit: Dit) -> None:
        """Drop all references to directories that are not served any more, so that the memory can be freed."""
        self._directories = dit.directories
        served = {id(directory) for directory in dit.directories}
        self._requests = {key: request for key, request in self._requests.items() if id(request.directory) in served}
        self._repeated.clear()

    def answer(
        self, dit: Dit, viewer: Viewer, octets: bytes, budget: CallerIdBudget | None = None
    ) -> FastAnswer | None:
        """Return the whole answer to received octets, or None if the slow path has to answer.

        :param octets: the received octets: one LDAPMessage, or anything else.
        :param budget: the client's budget for caller-ID books, or None if there is no limit.
        """
        try:
            message_id, start, middle, end = _split(octets)
            if not message_id:
                return None
            if dit.directories is not self._directories:
                self.forget_old(dit)
            key = viewer, octets[start:middle], octets[end:]
            template = self._requests.get(key)
            if template is None:
                template = self._learn_request(key, dit, viewer, octets)
            scope = template.scope if template else None
            if template is None or scope is None:
                return None
            encoded_filter = octets[middle:end]
            search = self._prepare(encoded_filter, scope.context)
        except (IndexError, ProtocolViolation, DirectoryError):
            return None
        if search is None:
            return None
        _, prepared, kind = search
        spent: SearchBudget | None = None
        if budget is not None and scope.callers and prepared.numbers:
            spent = SearchBudget(budget, is_trial=True)
        messages, entries, has_more, is_plain = self._find(template, scope, encoded_filter, prepared, spent)
        if entries < 0 or (spent is not None and spent.is_refused):
            if spent is not None and spent.count:  # the slow path searches again, and spends the budget again
                spent.give_back(spent.count)
            return None
        code, first, last = _MORE if has_more else _DONE
        if len(message_id) == 3:
            messages = set_message_id(messages, message_id[2:], is_plain=is_plain)
            answer = b"".join((messages, first, message_id, last))
        else:
            answer = _with_long_id(b"".join((messages, first, PLACEHOLDER_ID[:3], last)), message_id)
        return FastAnswer(answer, octets, entries, code, kind)

    def _find(
        self,
        template: _RequestTemplate,
        scope: SearchScope,
        encoded_filter: bytes,
        prepared: PreparedFilter,
        budget: CallerIdBudget | None,
    ) -> _Found:
        """Find the messages of an answer; return `_NOTHING` if the slow path has to answer."""
        segment, selection, limit = template.segment, template.selection, template.limit
        # The answer to a search for a complete number is not stored, because a phone searches for most numbers only
        # once.
        is_repeatable = segment is not None and not prepared.numbers
        if segment is None or needs_cursor(scope, prepared):
            batches = _first_slice(scope, prepared, template.wanted, limit, selection, budget)
            if batches is None:
                return _NOTHING
            messages, is_plain = _messages(batches, selection)
            is_repeatable = False
        else:
            repeated = self._repeated.get(encoded_filter) if is_repeatable else None
            if repeated is not None and repeated.answers(template, scope.context):
                return repeated.found
            documents = first_matches(segment, template.index, prepared, template.wanted)
            if documents is None or len(documents) == template.wanted <= limit:  # the search takes several slices
                return _NOTHING
            if len(documents) > _MAX_ENCODED and not segment.is_kept(documents, selection):
                return _NOTHING
            messages, is_plain = segment.messages(documents, selection)
        has_more = len(messages) > limit
        del messages[limit:]
        joined = b"".join(messages)
        if len(joined) > JOINED:  # the slow path writes such an answer in parts
            return _NOTHING
        found = joined, len(messages), has_more, is_plain
        if is_repeatable and len(joined) <= _MAX_REPEATED:
            _store(self._repeated, encoded_filter, _RepeatedSearch(template, scope.context, found))
        return found

    def _prepare(
        self, encoded_filter: bytes, context: NamingContext
    ) -> tuple[NamingContext, PreparedFilter, SearchKind] | None:
        """Prepare a filter for a naming context, and return the context, the prepared filter and the filter's kind.

        Return None if the filter is wrong or too costly for the fast path.
        """
        stored = self._prepared.get(encoded_filter)
        if stored is not None and stored[0] is context:
            return stored
        value = _find_value(encoded_filter)
        pieces = tuple(encoded_filter.split(value)) if value else ()
        known = self._filters.get(pieces)
        if known is not None and known[0].context is context:
            template, kind = known
            prepared = template.prepare(value)
            # A filter with a number is not stored, because a phone searches for most numbers only once, but for the
            # same letters again and again.
            if prepared.numbers:
                return context, prepared, kind
        else:
            search_filter = _read_filter(encoded_filter)
            if search_filter is None or estimated_cost(search_filter) > _MAX_COST:
                return None
            prepared, kind = prepare(search_filter, context), filter_kind(search_filter)
            if value:
                other = bytes([octet ^ 0x15 for octet in value])
                # The octets of the value may also occur outside the filter's values, such as in the name of an
                # attribute.  A filter with such octets gets no template.
                if _read_filter(other.join(pieces)) == replace_value(search_filter, value, other):
                    made = FilterTemplate.of(search_filter, value, context)
                    if made is not None:
                        _store(self._filters, pieces, (made, kind))
        # A slow filter is not stored, because the prepared filter refers to the last tested entry.  If the filter were
        # stored, this entry would keep an old directory in memory.
        if prepared.cost >= SLOW:
            return context, prepared, kind
        return _store(self._prepared, encoded_filter, (context, prepared, kind))

    def _learn_request(
        self, key: tuple[Viewer, bytes, bytes], dit: Dit, viewer: Viewer, octets: bytes
    ) -> _RequestTemplate | None:
        """Make and store the template of a request; return None if the slow path has to answer the request."""
        request = _read(octets)
        if request is None:
            return None
        limit = min(request.size_limit or self._size_limit, self._size_limit)
        scopes = search_scopes(dit, viewer, request.base, request.scope)
        directory = dit.directory(scopes[0].context.name) if len(scopes) == 1 else None
        scope = scopes[0] if directory else None
        selection = select(request.attributes, viewer.number_formatter)
        return _store(self._requests, key, _RequestTemplate(directory, limit, selection, scope))


def _first_slice(
    scope: SearchScope,
    prepared: PreparedFilter,
    wanted: int,
    limit: int,
    selection: Selection,
    budget: CallerIdBudget | None,
) -> list[ResultBatch] | None:
    """Return the matches of a cursor's first slice of work.

    Return None if the search needs further slices, or if the matches would take too long to encode.  A search that has
    found more than `limit` matches needs no further slices.
    """
    cursor = SearchCursor((scope,), (prepared,), b"", budget)
    batches = cursor.next(wanted)
    count = sum([len(batch) for batch in batches])
    if count <= limit and not cursor.finished:
        return None
    if count > _MAX_ENCODED and not all([batch.segment.is_kept(batch.documents, selection) for batch in batches]):  # noqa: C419
        return None
    return batches


def _messages(batches: list[ResultBatch], selection: Selection) -> tuple[list[bytes], bool]:
    """Return the encoded messages of the entries of all batches, and the argument `is_plain` for `set_message_id`."""
    messages: list[bytes] = []
    is_plain = True
    for batch in batches:
        found, batch_is_plain = batch.segment.messages(batch.documents, selection)
        messages += found
        is_plain = is_plain and batch_is_plain
    return messages, is_plain


def _store(table: dict[Key, Value], key: Key, value: Value) -> Value:
    """Store a value in a table, and return the value; a full table is cleared first."""
    if len(table) >= _MAX_STORED:
        table.clear()
    table[key] = value
    return value


def _find_value(octets: bytes) -> bytes:
    """Return the value of a filter's first assertion that is not about objectClass.

    The result is empty if there is no such assertion.

    :param octets: the BER of a filter (RFC 4511 4.5.1.7).  If the octets are malformed or long, the result may be
        wrong.
    :raises IndexError: if the octets are cut off.
    """
    at, end = 0, len(octets)
    while at < end:
        tag, length, start = octets[at], octets[at + 1], at + 2
        if length >= 0x80:
            length, start = octets[start], start + 1
        if tag in (_AND, _OR):
            at = start
        elif tag == _PRESENT or (octets[start + 1] == 11 and octets[start + 2 : start + 13].lower() == _OBJECT_CLASS):
            at = start + length
        elif tag in (_EQUALITY, _SUBSTRINGS):
            value = start + 3 + octets[start + 1] + (2 if tag == _SUBSTRINGS else 0)
            return octets[value + 1 : value + 1 + octets[value]] if octets[value] < 0x80 else b""
        else:
            return b""
    return b""


def _split(octets: bytes) -> tuple[bytes, int, int, int]:
    """Split octets that may be a search request into the filter and the parts around it (RFC 4511 4.1.1, 4.5.1).

    The function checks only the lengths of the parts, because the octets of a malformed request match no template.

    :returns: the messageID, and the offsets of the base, of the filter, and of the part behind the filter.  The
        messageID is empty if the octets are not a search request, or are encoded in an unusual way.
    :raises IndexError: if the octets are cut off.
    """
    if len(octets) > _MAX_OCTETS:
        return _NO_SEARCH
    size, start = octets[1], 2
    if size == 0x81:  # nearly every search request has its length in this form
        size, start = octets[2], 3
    elif size >= 0x80:
        size, start = _long_length(octets, 1)
    if octets[0] != SEQUENCE or octets[start] != INTEGER or start + size != len(octets):
        return _NO_SEARCH
    if octets[start + 1] == 1:
        message_id, start = octets[start : start + 3], start + 3
        is_id = 0 < message_id[2] < 0x80
    else:
        after = start + 2 + octets[start + 1]
        message_id, start = octets[start:after], after
        is_id = _is_long_id(message_id)
    if not is_id or octets[start] != _SEARCH:
        return _NO_SEARCH
    size, start = octets[start + 1], start + 2
    if size == 0x81:
        size, start = octets[start], start + 1
    elif size >= 0x80:
        size, start = _long_length(octets, start - 1)
    if start + size != len(octets) or octets[start + 1] >= 0x80:
        return _NO_SEARCH
    middle = start + 8 + octets[start + 1]  # skip baseObject, scope and derefAliases
    middle += 2 + octets[middle + 1]  # skip sizeLimit
    middle += 5 + octets[middle + 1]  # skip timeLimit and typesOnly
    size, end = octets[middle + 1], middle + 2
    if size >= 0x80:
        size, end = _long_length(octets, middle + 1)
    return message_id, start, middle, end + size


def _is_long_id(message_id: bytes) -> bool:
    """Return whether an INTEGER is a positive messageID of several octets in its shortest form (RFC 4511 4.1.1)."""
    value = int.from_bytes(message_id[2:], "big")
    return value > 0x7F and len(message_id) <= 2 + LONGEST_INTEGER and integer(value) == message_id


def _with_long_id(messages: bytes, message_id: bytes) -> bytes:
    """Put a messageID of several octets in place of the placeholder in messages; each message becomes longer.

    A client that keeps its connection sends such a messageID from its 128th message on.
    """
    made, start = [], 0
    for end in message_ends(messages):
        length = messages[start + 1]
        behind = start + 5 + (length & 0x7F if length >= 0x80 else 0)
        made.append(tlv(SEQUENCE, message_id + messages[behind:end]))
        start = end
    return b"".join(made)


def _long_length(octets: bytes, at: int) -> tuple[int, int]:
    """Decode a length in the long form (X.690 8.1.3.5); return the length and the offset of the content.

    :raises ProtocolViolation: if the length has neither one nor two octets, so that the slow path takes the request.
    """
    form = octets[at]
    if form == 0x81:
        return octets[at + 1], at + 2
    if form == 0x82:
        return octets[at + 1] << 8 | octets[at + 2], at + 3
    raise ProtocolViolation("length: neither one nor two octets")


def _read_filter(octets: bytes) -> Filter | None:
    """Decode a filter strictly; return None if the filter is wrong."""
    try:
        return decode_filter(BerReader.over(octets))
    except (ProtocolViolation, DirectoryError):
        return None


def _read(octets: bytes) -> SearchRequest | None:
    """Decode a search request strictly; return None if the slow path has to answer the request."""
    message = decode(octets)
    request = message.request
    if message.controls or not isinstance(request, SearchRequest) or request.types_only:
        return None
    return None if request.scope is Scope.BASE_OBJECT else request


def _around(result: Result) -> tuple[ResultCode, bytes, bytes]:
    """Encode a SearchResultDone; return its code, and the octets before and behind its messageID."""
    whole = encode(Reply(1, Operation.SEARCH, result))
    return result.code, whole[:2], whole[5:]


_NO_SEARCH: Final = (b"", 0, 0, 0)
_DONE: Final = _around(Result())
_MORE: Final = _around(Result(ResultCode.SIZE_LIMIT_EXCEEDED, "there are more entries"))
