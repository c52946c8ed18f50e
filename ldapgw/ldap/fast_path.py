# SPDX-License-Identifier: MIT
"""A filter as a phone has it in its settings: "(|(telephoneNumber=%)(mobile=%))", with a value to be filled in.

Once a filter with one value is known, one with another value of the same length is made ready without being read: cut
where the value stands, both leave the same octets, so all but the value is the same.

The shortcut: a phone's search answered in one go, where that can be.

Nearly all that phones send is a search without controls, on a session that does nothing else, and what it finds fits
into one answer.  All of it but the name or number that is looked for was in the one before.  So what was read is kept
by its octets, within bounds, and what is left to be done is to look up, to check and to join.  The answer is that of
the long way, octet for octet; whatever is not plain takes the long way, and so does every error.
"""

from __future__ import annotations

from typing import Final, TypeVar

from ldapgw.directory.access import NamingContext, Viewer
from ldapgw.directory.dit import Directory, Dit
from ldapgw.directory.entry import Selection, select
from ldapgw.directory.filter import Equality, Filter, Or, Scope, SearchRequest, Substrings
from ldapgw.directory.filter_matcher import Alike, Matcher, prepare, with_value
from ldapgw.directory.search import Glance, regions
from ldapgw.errors import DirectoryError, ProtocolViolation, ResultCode
from ldapgw.ldap.decoder import decode
from ldapgw.ldap.encoder import HEADS, encode
from ldapgw.ldap.filter_decoder import read_common
from ldapgw.ldap.limits import JOINED
from ldapgw.ldap.messages import Operation, Reply, Result

# The value of the first term, and the octets around the values.
Cut = tuple[bytes, tuple[bytes, ...]]

_OR, _EQUALITY, _SUBSTRINGS = 0xA1, 0xA3, 0xA4


class Pattern:
    """A filter without its value; never changed once it is made.

    :ivar context: where it is asked.
    """

    __slots__ = ("_alike", "context")

    def __init__(self, alike: Alike, context: NamingContext) -> None:
        self._alike = alike
        self.context = context

    @staticmethod
    def cut(sought: bytes) -> Cut | None:
        """Take the value out of a filter; None where it is none that a pattern could have.

        :param sought: its BER, or anything.
        :raises IndexError: when it is cut off.
        """
        at = 0
        if sought[0] == _OR:
            at = 2 if sought[1] < 0x80 else 3
        if sought[at] == _EQUALITY:
            value = at + 5 + sought[at + 3]
        elif sought[at] == _SUBSTRINGS:
            value = at + 7 + sought[at + 3]
        else:
            return None
        octets = sought[value + 1 : value + 1 + sought[value]]
        return (octets, tuple(sought.split(octets))) if octets else None

    @classmethod
    def of(cls, cut: Cut, sought: Filter, context: NamingContext) -> Pattern | None:
        """The pattern of a filter; None if there is more in it than one value.

        :param sought: what the octets that were cut say.
        """
        terms = sought.terms if isinstance(sought, Or) else (sought,)
        alike = Alike.of(terms, context)
        if alike is None:
            return None
        # What was cut out may stand elsewhere too, in the name of an attribute: with another value in its place, all
        # else has to be the same.
        value, between = cut
        other = bytes(octet ^ 0x15 for octet in value)
        again = read_common(other.join(between), 0, len(other.join(between)))
        expected = tuple(with_value(term, other) for term in terms if isinstance(term, Equality | Substrings))
        return cls(alike, context) if again == (Or(expected) if isinstance(sought, Or) else expected[0]) else None

    def matcher(self, value: bytes) -> Matcher:
        """The filter with a value, made ready."""
        return self._alike.asking(value)


# Phones whose requests are kept, and filters; none has more than 258 octets (`_cut`).
_MOST: Final = 512

_INTEGER, _SEQUENCE, _SEARCH = 0x02, 0x30, 0x63

Key = TypeVar("Key")
Value = TypeVar("Value")


class _View:
    """A request without its filter, as it is to be answered to somebody; never changed once it is made.

    :ivar directory: the one that all of it is in; None where there is no glance.
    :ivar glance: over what it covers; None: that is not of one piece.
    """

    __slots__ = ("directory", "glance", "limit", "selection")

    def __init__(self, directory: Directory | None, limit: int, selection: Selection, glance: Glance | None) -> None:
        self.directory = directory
        self.limit = limit
        self.selection = selection
        self.glance = glance


class FastAnswer:
    """An answer; never changed once it is made (compiled, a named tuple takes longer to make).

    :ivar octets: all of it.
    :ivar search: the message that is answered, if it is a search.
    :ivar entries: how many are in it.
    :ivar code: how it ended.
    """

    __slots__ = ("code", "entries", "octets", "search")

    def __init__(
        self, octets: bytes, search: bytes = b"", entries: int = 0, code: ResultCode = ResultCode.SUCCESS
    ) -> None:
        self.octets = octets
        self.search = search
        self.entries = entries
        self.code = code


class FastPath:
    """Answers searches at once.

    Mutable: what it keeps of former requests.

    :param size_limit: most entries of an answer.
    """

    def __init__(self, size_limit: int) -> None:
        self._size_limit = size_limit
        self._directories: tuple[Directory, ...] = ()
        self._views: dict[tuple[Viewer, bytes, bytes], _View] = {}
        self._selections: dict[bytes, Selection] = {}
        self._matchers: dict[bytes, tuple[NamingContext, Matcher]] = {}
        self._patterns: dict[tuple[bytes, ...], Pattern] = {}
        self._once: set[int] = set()

    def forget_old(self, dit: Dit) -> None:
        """Forget what was kept of directories that are not served any more, so that their memory can be freed."""
        self._directories = dit.directories
        served = {id(directory) for directory in dit.directories}
        self._views = {key: view for key, view in self._views.items() if id(view.directory) in served}

    def answer(self, dit: Dit, viewer: Viewer, octets: bytes) -> FastAnswer | None:
        """The whole answer to what came in; None: it has to take the long way.

        :param octets: all that came; perhaps one LDAPMessage, perhaps something else.
        """
        try:
            return self._answer(dit, viewer, octets)
        except (IndexError, ProtocolViolation, DirectoryError):  # an entry may be too long for `HEADS`
            return None

    def _answer(self, dit: Dit, viewer: Viewer, octets: bytes) -> FastAnswer | None:
        cut = _cut(octets)
        if cut is None:
            return None
        message_id, start, middle, behind = cut
        if dit.directories is not self._directories:
            self.forget_old(dit)
        key = viewer, octets[start:middle], octets[behind:]
        view = self._views.get(key)
        if view is None:
            view = self._viewed(key, dit, viewer, octets)
        glance = view.glance if view else None
        if view is None or glance is None:
            return None
        matcher = self._matcher(octets[middle:behind], glance.context)
        seen = glance.look(matcher, view.limit) if matcher else None
        if seen is None:
            return None
        selection = view.selection
        pieces: list[bytes] = []
        size = 0
        for shelf, positions in seen.rows:
            for one in shelf.encode(positions, selection):
                length = len(one)
                size += length
                pieces.append(HEADS[length + 3])
                pieces.append(message_id)
                pieces.append(one)
            if size > JOINED:  # that is written in parts
                return None
        code, first, last = _MORE if seen.more else _DONE
        entries = len(pieces) // 3
        pieces += (first, message_id, last)
        return FastAnswer(b"".join(pieces), octets, entries, code)

    def _matcher(self, sought: bytes, context: NamingContext) -> Matcher | None:
        """What a filter asks for, made ready; None where it is not as phones write it."""
        kept = self._matchers.get(sought)
        if kept is not None and kept[0] is context:
            return kept[1]
        cut = Pattern.cut(sought)
        pattern = self._patterns.get(cut[1]) if cut else None
        if cut and pattern is not None and pattern.context is context:
            matcher = pattern.matcher(cut[0])
            if matcher.calls:  # most numbers are asked for once, letters again and again
                return matcher
        else:
            filter_ = read_common(sought, 0, len(sought))
            if filter_ is None:
                return None
            matcher = prepare(filter_, context)
            if cut:
                self._learn(cut, filter_, context)
        sign = hash(sought)
        if sign in self._once:
            _keep(self._matchers, sought, (context, matcher))
        else:
            if len(self._once) >= _MOST:
                self._once.clear()
            self._once.add(sign)
        return matcher

    def _learn(self, cut: tuple[bytes, tuple[bytes, ...]], sought: Filter, context: NamingContext) -> None:
        pattern = Pattern.of(cut, sought, context)
        if pattern is not None:
            _keep(self._patterns, cut[1], pattern)

    def _viewed(self, key: tuple[Viewer, bytes, bytes], dit: Dit, viewer: Viewer, octets: bytes) -> _View | None:
        """Read a request for what is around its filter; None where the long way has more to say."""
        request = _read(octets)
        if request is None:
            return None
        limit = min(request.size_limit or self._size_limit, self._size_limit)
        covered = regions(dit, viewer, request.base, request.scope)
        selection = _keep(self._selections, key[2], self._selections.get(key[2]) or select(request.attributes))
        directory = dit.directory(covered[0].context.name) if len(covered) == 1 else None
        glance = Glance(covered[0]) if directory else None
        return _keep(self._views, key, _View(directory, limit, selection, glance))


def _keep(kept: dict[Key, Value], key: Key, value: Value) -> Value:
    """Keep something while there is room."""
    if len(kept) >= _MOST:
        kept.clear()
    kept[key] = value
    return value


def _cut(octets: bytes) -> tuple[bytes, int, int, int] | None:
    """The message id of what may be a search, and where its base, its filter, and what is behind that begin.

    Nothing is checked but what tells the parts (RFC 4511 4.1.1, 4.5.1): what comes for the first time is read strictly.

    :raises IndexError: when it is cut off.
    """
    size, start = octets[1], 2
    if size >= 0x80:
        if size != 0x81:
            return None
        size, start = octets[2], 3
    if octets[0] != _SEQUENCE or octets[start] != _INTEGER or octets[start + 1] != 1 or start + size != len(octets):
        return None
    message_id = octets[start : start + 3]
    start += 3
    if octets[start] != _SEARCH or not 0 < message_id[2] < 0x80:
        return None
    size, start = octets[start + 1], start + 2
    if size >= 0x80:
        if size != 0x81:
            return None
        size, start = octets[start], start + 1
    if start + size != len(octets) or octets[start + 1] >= 0x80:
        return None
    middle = start + 8 + octets[start + 1]  # the base, and two ENUMERATED
    middle += 2 + octets[middle + 1]
    middle += 5 + octets[middle + 1]  # an INTEGER, and a BOOLEAN
    size = octets[middle + 1]
    if size > 0x81:
        return None
    behind = middle + 2 + size if size < 0x80 else middle + 3 + octets[middle + 2]
    return message_id, start, middle, behind


def _read(octets: bytes) -> SearchRequest | None:
    """The request, read strictly; None where the long way has more to say."""
    message = decode(octets)
    request = message.request
    if message.controls or not isinstance(request, SearchRequest) or request.types_only:
        return None
    return None if request.scope is Scope.BASE_OBJECT else request


def _around(result: Result) -> tuple[ResultCode, bytes, bytes]:
    """A SearchResultDone: its code, and what stands before and behind its message id."""
    whole = encode(Reply(1, Operation.SEARCH, result))
    return result.code, whole[:2], whole[5:]


_DONE: Final = _around(Result())
_MORE: Final = _around(Result(ResultCode.SIZE_LIMIT_EXCEEDED, "there are more entries"))
