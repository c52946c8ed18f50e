# SPDX-License-Identifier: MIT
"""Stand-ins: replaces names, numbers and addresses in a recording so that each filter still finds the same entries.

`StandIns` replaces letter by letter, so that beginnings and parts match as before, and keeps what searches look at: the
length, the script, the case and the accents.  Each recording has its own random tables, which nobody keeps.

* Latin consonants become other consonants.  Vowels are exchanged in pairs (i and y, o and u); a, e and s stay, because
  ``ae``, ``oe``, ``ue`` and ``aa`` are spellings of umlauts, and ``ss`` is one of ß.
* Letters of other scripts become letters of the same script.
* Digits become digits; 0 stays.  Of a telephone number the country code and the trunk prefix stay too.

That hides names from whoever reads the file, but it is no encryption: whoever knows some of the names in it can work
out the others.

A number in a filter is replaced by looking for it among the numbers of the entries.  A few searches depend on more
than that: on how a name sounds in Latin letters, on the letters of a keypad.  So `with_stand_ins` replays the result:
where a search finds something else, it tries other tables and other values, and leaves the search out in the end.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache
from itertools import chain, islice, zip_longest
from random import Random, SystemRandom
from types import MappingProxyType

from ldapgw.ber import SEQUENCE, BerReader, integer, octets, tlv
from ldapgw.directory.access import NamingContext
from ldapgw.directory.dn import Dn, InvalidDn
from ldapgw.directory.filter import (
    And,
    Extensible,
    Filter,
    LessOrEqual,
    Not,
    Or,
    Present,
    SearchRequest,
    Substrings,
)
from ldapgw.directory.name_folding import collation_key, keypad_pattern, variants
from ldapgw.directory.schema import NUMBER_TYPES, AttributeType, Family, attribute_type, configure_aliases
from ldapgw.errors import ProtocolViolation
from ldapgw.ldap import controls
from ldapgw.ldap.controls import PAGED_RESULTS, SORT_REQUEST
from ldapgw.ldap.messages import (
    AbandonRequest,
    BindRequest,
    Control,
    ExtendedRequest,
    Message,
    Operation,
)
from ldapgw.ldap.request_encoder import encode_search
from ldapgw.numbers.dial_string import without_affixes
from ldapgw.numbers.numbering_plan import country_of
from ldapgw.numbers.phone_number import Number, parse
from ldapgw.phones.recording import (
    Exchange,
    RecordedEntry,
    RecordedMessage,
    Recording,
    Response,
    dn_key,
    encode_bind,
    exchanges,
    message_of,
)
from ldapgw.phones.recording_file import dump, load
from ldapgw.phones.replay import RecordedGateway, difference, replay

# For each try, how many first digits of national numbers stay: a numbering plan may know a number by these.
_KEPT_BEGINNINGS = (0, 0, 0, 4)

_CONSONANTS = "bcdfghjklmnpqrtvwxz"
_VOWELS = {"i": "y", "y": "i", "o": "u", "u": "o"}
_ALPHABETS = {"CYRILLIC": "абвгдежзиклмнопрстуфхцчшщыэюя", "GREEK": "αβγδεζηθικλμνξοπρστυφχψω"}
# Chinese characters, and what syllables of Hangul are made of: initial consonants, vowels, final consonants.
_RANGES = (range(0x4E00, 0x9FA6), range(0x1100, 0x1113), range(0x1161, 0x1176), range(0x11A8, 0x11C3))
# The hard and the soft sign have no sound of their own.
_SILENT = frozenset("ъь")

# The value of an RDN, without escapes.
_RDN_VALUE = re.compile(r'([A-Za-z][A-Za-z0-9.-]*|[0-9.]+)([ ]*=[ ]*)([^,+="\\<>;#]+)')
_DIGIT = re.compile("[0-9]")
_WORD = re.compile(r"[^\W\d_]+")
# Words of tel: and sip: addresses (RFC 3966, RFC 3261), and before extensions.
_NUMBER_WORDS = frozenset(("tel", "sip", "sips", "callto", "phone", "context", "user", "ext", "x"))
# The end of all names, as phones put it into a filter for a range.
_LAST = re.compile(b"[zZ~]+")
# Names that the gateway itself gives.
_FIXED_NAMES = frozenset(("phones", "directory", "favourites"))
# Values of these attributes and families say nothing about a person.
_KEPT_FAMILIES = frozenset((Family.OID, Family.TIME, Family.BOOLEAN, Family.INTEGER, Family.DEFINITION))
_KEPT_ATTRIBUTES = frozenset(("c",))

# Values that are tried in one search.
_MAX_OTHER_VALUES = 64
# The keys of a telephone (ITU-T E.161).
_KEYS = str.maketrans("abcdefghijklmnopqrstuvwxyz ", "222333444555666777788899990")


class StandIns:
    """The tables of one recording.

    Mutable: the tables, which are filled when a letter is first met.

    :param entries: whose numbers the filters may ask for.
    :param kept_beginning: digits of a national number that stay.
    """

    def __init__(
        self, entries: Iterable[RecordedEntry], context: NamingContext, random: Random, kept_beginning: int = 0
    ) -> None:
        self._context = context
        self._random = random
        self._kept_beginning = kept_beginning
        self._letters = {**_VOWELS, **dict(zip(_CONSONANTS, _deranged(_CONSONANTS, random), strict=True))}
        self._others: dict[str, dict[str, str]] = {}
        digits = [*"123456789"]
        random.shuffle(digits)
        self._digits = dict(zip("0123456789", ["0", *digits], strict=True))
        self._characters: dict[str, str] = {}
        numbers = (number for entry in entries for values in entry.numbers.values() for number in values)
        self._forms = tuple(dict.fromkeys(form for number in numbers for form in self._forms_of(number)))

    # --- texts ------------------------------------------------------------------------------------------------------

    def text(self, text: str) -> str:
        """Replace the letters and digits of a text."""
        known = self._characters
        return "".join([known.get(char) or known.setdefault(char, self._character(char)) for char in text])

    def _character(self, char: str) -> str:
        if char.isdecimal():
            digit = unicodedata.decimal(char)
            return chr(ord(char) - digit + int(self._digits[str(digit)]))
        letters = [char] if _is_alone(char) else [*unicodedata.normalize("NFD", char)]
        return unicodedata.normalize("NFC", "".join(map(self._letter, letters)))

    def _letter(self, char: str) -> str:
        """Replace a letter without accents; another character stays."""
        if unicodedata.category(char)[0] != "L":
            return char
        if not unicodedata.name(char, "").startswith("LATIN"):
            return self._other_letter(char)
        latin = char.lower() if char.isascii() else collation_key(char)  # of ł it is l
        other = self._letters.get(latin, char if not char.isascii() else latin)  # æ and ß stay
        return other.upper() if char.isupper() else other

    def _other_letter(self, char: str) -> str:
        """Replace a letter that is not Latin."""
        lower = char.casefold()
        if len(lower) != 1 or lower in _SILENT:
            return char
        alphabet = _alphabet(lower)
        table = self._others.get(alphabet)
        if table is None:
            others = [*alphabet]
            self._random.shuffle(others)
            table = self._others[alphabet] = dict(zip(alphabet, others, strict=True))
        other = table.get(lower, lower)
        return other.upper() if char != lower and len(other.upper()) == 1 else other

    # --- numbers ----------------------------------------------------------------------------------------------------

    def number(self, text: str, *, begins: bool = False, ends: bool = False) -> str:
        """Replace the digits and letters of a telephone number, or of a part of one.

        :param begins: the part stands at the beginning of a number.
        :param ends: the part stands at its end.
        """
        core = without_affixes(text, self._context.strip)
        if core != text and core in text:
            before, _, after = text.partition(core)
            return before + self.number(core, begins=begins, ends=ends) + after
        pieces = _DIGIT.split(text)
        digits = "".join(_DIGIT.findall(text))
        replaced = self._number_digits(digits, has_plus="+" in text, begins=begins, ends=ends)
        words = (_WORD.sub(lambda word: self._number_word(word[0]), piece) for piece in pieces)
        return "".join(chain.from_iterable(zip_longest(words, replaced, fillvalue="")))

    def _number_word(self, word: str) -> str:
        return word if word.lower() in _NUMBER_WORDS else self.text(word)

    def of_number(self, number: Number) -> Number:
        """Replace a telephone number in all its forms."""
        subscriber = self._subscriber(number)
        return Number(
            self._aligned(number.typed, subscriber),
            self._aligned(number.e164, subscriber),
            self._aligned(number.national, subscriber),
            self._aligned(number.digits, subscriber),
            self._permuted(number.extension),
        )

    def _number_digits(self, digits: str, *, has_plus: bool, begins: bool, ends: bool) -> str:
        """The digits that stand for those of a number, or of a part of one."""
        for prefix in self._prefixes(digits):
            rest = digits[len(prefix) :]
            is_abroad = prefix.endswith("00") or prefix == "011"
            found = self._known_digits(rest, has_plus=has_plus or is_abroad, begins=begins or bool(prefix), ends=ends)
            if found is not None and (not prefix or self._begins_a_number(rest)):
                return prefix + found
        number = parse(("+" if has_plus else "") + digits, self._context.region)
        if number is not None and number.e164:
            return self._aligned(digits, self._subscriber(number))
        return self._permuted(digits)

    def _prefixes(self, digits: str) -> Iterator[str]:
        """What may have been dialled before a number: nothing, the outside line, the international prefix, or both."""
        outside = self._context.outside_line
        for prefix in ("", outside, "00", "011", outside + "00", outside + "011"):
            if digits.startswith(prefix) and (len(digits) > len(prefix) or not prefix):
                yield prefix

    def _begins_a_number(self, digits: str) -> bool:
        return any(form.startswith(digits) for form, _, _ in self._forms)

    def _known_digits(self, digits: str, *, has_plus: bool, begins: bool, ends: bool) -> str | None:
        """The stand-in of digits that stand in a number of the entries; None: they stand in none."""
        if not digits:
            return ""
        size = len(digits)
        forms = [form for form in self._forms if form[2] == has_plus] + [
            form for form in self._forms if form[2] != has_plus
        ]
        for form, stand_in, _ in forms:
            if form == digits:
                return stand_in
        if begins or not ends:
            for form, stand_in, _ in forms:
                if form.startswith(digits):
                    return stand_in[:size]
        for form, stand_in, _ in forms:
            if form.endswith(digits):
                return stand_in[-size:]
        for form, stand_in, _ in forms:
            at = form.find(digits)
            if at >= 0:
                return stand_in[at : at + size]
        return None

    def _forms_of(self, number: Number) -> Iterator[tuple[str, str, bool]]:
        """The digits of a number's forms, with their stand-ins, and whether a plus stands before them."""
        subscriber = self._subscriber(number)
        for form in (number.national, number.e164, number.digits):
            digits = form.removeprefix("+")
            if digits:
                yield digits, self._aligned(digits, subscriber), form.startswith("+")

    def _subscriber(self, number: Number) -> str:
        """The national significant number; empty: the country is unknown."""
        country = country_of(number.e164[1:]) if number.e164 else None
        return number.e164[1 + len(country[0]) :] if country is not None else ""

    def _aligned(self, form: str, subscriber: str) -> str:
        """Replace what a form of a number has of the national significant number; what stands before that stays."""
        replaced = subscriber[: self._kept_beginning] + self._permuted(subscriber[self._kept_beginning :])
        if subscriber and form.endswith(subscriber):
            return form[: -len(subscriber)] + replaced
        if form and subscriber.endswith(form):
            return replaced[-len(form) :]
        return self._permuted(form)

    def _permuted(self, digits: str) -> str:
        return "".join([self._digits.get(char, char) for char in digits])

    # --- DNs and attributes -----------------------------------------------------------------------------------------

    def dn(self, text: str) -> str:
        """Replace the values of a DN; its types and its spelling stay."""
        if not re.search(r'["\\]', text):
            return _RDN_VALUE.sub(lambda rdn: rdn[1] + rdn[2] + self._rdn_value(rdn[1], rdn[3]), text)
        try:
            rdns = Dn.parse(text).rdns
        except InvalidDn:
            return self.text(text)
        return str(Dn(tuple(tuple((kind, self._rdn_value(kind, value)) for kind, value in rdn) for rdn in rdns)))

    def _rdn_value(self, kind: str, value: str) -> str:
        return value if value.strip().lower() in _FIXED_NAMES else self.value(kind, value)

    def value(self, attribute: str, text: str) -> str:
        """Replace the value of an attribute."""
        kind = attribute_type(attribute)
        if _is_kept(kind):
            return text
        if kind in NUMBER_TYPES:
            return self.number(text)
        return self.dn(text) if kind is not None and kind.comparison.family is Family.DN else self.text(text)

    def octets(self, attribute: str, value: bytes, *, begins: bool = False, ends: bool = False) -> bytes:
        """Replace an assertion value, or a part of one, in the encoding in which it was sent.

        :param begins: see `number`.
        """
        try:
            text, encoding = value.decode(), "utf-8"
        except UnicodeDecodeError:
            text, encoding = value.decode("latin-1"), "latin-1"
        kind = attribute_type(attribute)
        is_number = kind in NUMBER_TYPES
        replaced = self.number(text, begins=begins, ends=ends) if is_number else self.value(attribute, text)
        try:
            return replaced.encode(encoding)
        except UnicodeEncodeError:
            return replaced.encode()

    def filter(self, term: Filter, instead: Mapping[bytes, bytes] = MappingProxyType({})) -> Filter:
        """Replace the values of a filter.

        :param instead: values of attributes other than numbers, with what to put in their place.
        """

        def value(attribute: str, octets: bytes, *, begins: bool = False, ends: bool = False) -> bytes:
            if octets in instead and attribute_type(attribute) not in NUMBER_TYPES:
                return instead[octets]
            return self.octets(attribute, octets, begins=begins, ends=ends)

        match term:
            case And(terms) | Or(terms):
                return type(term)(tuple(self.filter(one, instead) for one in terms))
            case Not(inner):
                return Not(self.filter(inner, instead))
            case Present():
                return term
            case Substrings(attribute, initial, between, final):
                return Substrings(
                    attribute,
                    None if initial is None else value(attribute, initial, begins=True),
                    tuple(value(attribute, part) for part in between),
                    None if final is None else value(attribute, final, ends=True),
                )
            case Extensible(attribute=attribute, value=octets):
                return replace(term, value=value(attribute or "", octets))
            case LessOrEqual(value=octets) if _LAST.fullmatch(octets):
                return term
            case _:
                return replace(term, value=value(term.attribute, term.value))

    # --- messages ---------------------------------------------------------------------------------------------------

    def context(self) -> NamingContext:
        """Replace the tenant's names."""
        context = self._context
        return replace(
            context,
            title=self.text(context.title),
            base=Dn.parse(self.dn(str(context.base))),
            book_order=tuple(name if name == "own" else self.text(name) for name in context.book_order),
        )

    def entry(self, entry: RecordedEntry) -> RecordedEntry:
        """Replace the values of an entry."""
        return RecordedEntry(
            self.dn(entry.dn),
            {name: tuple(self.value(name, value) for value in values) for name, values in entry.attributes.items()},
            {name: tuple(map(self.of_number, numbers)) for name, numbers in entry.numbers.items()},
            tuple(map(self.text, entry.aliases)),
        )

    def message(
        self, message: RecordedMessage, instead: Mapping[bytes, bytes] = MappingProxyType({})
    ) -> RecordedMessage | None:
        """Replace what a message holds; None: the message has to be left out.

        :param instead: see `filter`.
        """
        octets = self._request(message, instead) if message.from_phone else self._response(message.octets)
        return None if octets is None else replace(message, octets=octets)

    def _request(self, recorded: RecordedMessage, instead: Mapping[bytes, bytes]) -> bytes | None:
        message = message_of(recorded)
        if message is None:
            return None
        match message.request:
            case SearchRequest() as search:
                changed = replace(search, base=self.dn(search.base), filter=self.filter(search.filter, instead))
                return _encode_request(message, changed)
            case BindRequest(version, name, authentication):
                login = self.dn(name) if "=" in name else self.text(name)
                return encode_bind(message.message_id, BindRequest(version, login, authentication))
            case AbandonRequest() | ExtendedRequest():
                return None if message.controls else recorded.octets
            case _:
                return recorded.octets if message.operation is Operation.UNBIND and not message.controls else None

    def _response(self, octets: bytes) -> bytes:
        response = Response.read(octets)
        attributes = tuple(
            (name, tuple(self.value(name, value.decode("utf-8", "replace")).encode() for value in values))
            for name, values in response.attributes
        )
        return replace(response, dn=self.dn(response.dn), attributes=attributes).encode()


def _is_kept(kind: AttributeType | None) -> bool:
    return kind is not None and (kind.name in _KEPT_ATTRIBUTES or kind.comparison.family in _KEPT_FAMILIES)


def _deranged(letters: str, random: Random) -> Sequence[str]:
    """The letters in an order in which each stands in another place (Sattolo's algorithm)."""
    order = [*letters]
    for last in range(len(order) - 1, 0, -1):
        other = random.randrange(last)
        order[last], order[other] = order[other], order[last]
    return order


@cache
def _alphabet(char: str) -> str:
    """The letters among which a letter is replaced: those of its script in the neighbourhood of its code point."""
    script = unicodedata.name(char, "").partition(" ")[0]
    if script in _ALPHABETS:
        return _ALPHABETS[script]
    code = ord(char)
    block = range(code & ~0x7F, (code | 0x7F) + 1)
    neighbours = next((one for one in _RANGES if code in one), block)
    letters = (chr(other) for other in neighbours)
    return "".join(one for one in letters if _is_alike(one, script, unicodedata.category(char)))


def _is_alike(char: str, script: str, category: str) -> bool:
    is_whole = _is_alone(char) and unicodedata.normalize("NFKC", char) == char == char.casefold()
    return unicodedata.category(char) == category and unicodedata.name(char, "").startswith(script) and is_whole


def _is_alone(char: str) -> bool:
    """Whether a character has no accents, and is no syllable of Hangul; voiced kana are letters of their own."""
    marks = unicodedata.normalize("NFD", char)[1:]
    return not any(unicodedata.category(mark)[0] == "L" or unicodedata.combining(mark) >= 10 for mark in marks)


def _encode_request(message: Message, search: SearchRequest) -> bytes:
    """The LDAPMessage of a search with the controls of another one, without values that a person may stand in."""
    kept = tuple(map(_without_value, message.controls))
    whole = encode_search(search, message.message_id)
    if not kept:
        return whole
    content = BerReader.over(whole).enter(SEQUENCE, "message").rest()
    return tlv(SEQUENCE, content + controls.write(kept))


def _without_value(control: Control) -> Control:
    """A control without its value; a sort control names attributes alone, and of a page the size stays."""
    if control.type == SORT_REQUEST:
        return control
    if control.type == PAGED_RESULTS:
        with suppress(ProtocolViolation):
            page = controls.read_page(control)
            return replace(control, value=tlv(SEQUENCE, integer(page.size) + octets(b"")))
    return replace(control, value=None)


# --- a whole recording ------------------------------------------------------------------------------------------------


def with_stand_ins(recording: Recording, random: Random) -> Recording:
    """The recording with stand-ins; a search that finds something else with them is left out.

    :param random: gives the tables; must not be predictable.
    """
    probe = StandIns((), recording.context, random)
    messages = tuple(message for message in recording.messages if probe.message(message) is not None)
    plain = replace(recording, messages=messages, left_out=recording.left_out + len(recording.messages) - len(messages))
    # These tell something about the gateway, or a contact has changed meanwhile: no other tables help them.
    different_anyway = {one.exchange.position for one in replay(plain, RecordedGateway(plain).connect)}
    attempts = []
    for kept_beginning in _KEPT_BEGINNINGS:
        attempt = _Attempt(plain, StandIns(plain.entries, plain.context, random, kept_beginning))
        attempt.repair(different_anyway)
        attempts.append(attempt)
        if not attempt.different:
            break
    return min(attempts, key=lambda attempt: len(attempt.different)).without_different()


def stand_in_text(text: str) -> str:
    """The file of a plain recording with stand-ins; for a process of its own, which gets the recording's aliases.

    :raises UserError: when the text is no recording.
    """
    recording = load(text)
    configure_aliases(recording.attribute_aliases)
    return dump(with_stand_ins(recording, SystemRandom()))


class _Attempt:
    """A recording with the stand-ins of one set of tables.

    Mutable: the recording, while it is repaired.

    :ivar recording: with stand-ins.
    :ivar different: the searches that find something else than before.
    """

    def __init__(self, plain: Recording, stand_ins: StandIns) -> None:
        self._plain = plain
        self._stand_ins = stand_ins
        self._entries = {dn_key(entry.dn): stand_ins.entry(entry) for entry in plain.entries}
        self.different: dict[int, Exchange] = {}
        self.recording = replace(
            plain,
            context=stand_ins.context(),
            login=stand_ins.dn(plain.login),
            own_book=stand_ins.text(plain.own_book),
            entries=tuple(self._entries.values()),
            messages=tuple(one for message in plain.messages if (one := stand_ins.message(message))),
            is_plain=False,
        )

    def repair(self, different_anyway: Collection[int]) -> None:
        """Find the searches that find something else, and try other values in them.

        :param different_anyway: positions of searches that do so with real names too.
        """
        gateway = RecordedGateway(self.recording)
        before = {exchange.position: exchange for exchange in exchanges(self._plain)}
        messages = [*self.recording.messages]
        for different in replay(self.recording, gateway.connect):
            exchange = different.exchange
            if exchange.position in different_anyway:
                continue
            repaired = self._repaired(before[exchange.position], exchange, gateway)
            if repaired is not None:
                messages[exchange.position] = repaired
            else:
                self.different[exchange.position] = exchange
        self.recording = replace(self.recording, messages=tuple(messages))

    def without_different(self) -> Recording:
        """The recording without the searches that find something else."""
        gone = {position for exchange in self.different.values() for position in exchange.positions}
        kept = tuple(message for position, message in enumerate(self.recording.messages) if position not in gone)
        return replace(self.recording, messages=kept, searches_left_out=len(self.different))

    def _repaired(self, plain: Exchange, exchange: Exchange, gateway: RecordedGateway) -> RecordedMessage | None:
        """The request with another value, with which it finds what it found before; None: there is no such value."""
        found = [self._entries[key] for key in plain.found if key in self._entries]
        connection = gateway.connect()
        if exchange.is_bound:
            connection.bind()
        for instead in islice(_other_values(plain, found), _MAX_OTHER_VALUES):
            message = self._stand_ins.message(plain.message, instead)
            request = message_of(message) if message is not None else None
            if message is None or request is None:
                continue
            if difference(replace(exchange, message=message, request=request), connection) is None:
                return message
        return None


def _other_values(plain: Exchange, found: Sequence[RecordedEntry]) -> Iterator[Mapping[bytes, bytes]]:
    """What may stand for the values of a filter: the beginnings of names that the search has to find.

    They are of the same length, and digits if the value is made of the digits of a keypad.

    :param found: with stand-ins.
    """
    search = plain.search
    values = dict.fromkeys(_texts(search.filter)) if search is not None else {}
    names = [
        value for entry in found for name in ("cn", "sn", "givenName", "o") for value in entry.attributes.get(name, ())
    ]
    forms = dict.fromkeys(form for name in names for form in variants(name))
    for value in values:
        text = value.decode("utf-8", "replace")
        size, is_keys = len(text), keypad_pattern(text) is not None
        beginnings = (form[at : at + size] for form in forms for at in range(len(form)) if f" {form}"[at] == " ")
        for beginning in dict.fromkeys(beginnings):
            other = beginning.translate(_KEYS) if is_keys else beginning
            if len(other) == size and (not is_keys or other.isdigit()):
                yield {value: other.encode()}


def _texts(term: Filter) -> Iterator[bytes]:
    """The assertion values of a filter, but those of numbers."""
    match term:
        case And(terms) | Or(terms):
            yield from chain.from_iterable(map(_texts, terms))
        case Not(inner):
            yield from _texts(inner)
        case Present():
            pass
        case Substrings(attribute, initial, between, final):
            if attribute_type(attribute) not in NUMBER_TYPES:
                yield from filter(None, (initial, *between, final))
        case _:
            if attribute_type(term.attribute or "") not in NUMBER_TYPES:
                yield term.value
