# SPDX-License-Identifier: MIT
"""Pseudonyms replace names, numbers and addresses in a recording; the recorded filters still find the same entries.

Each distinct word becomes a random word of random length.  Two pseudonyms have a beginning or a part in common only if
a filter of the recording asks for the beginning or the part.  For example, a filter for ``mü*`` becomes a filter for
two random letters, and the pseudonym of each word that begins with ``mü`` begins with the two letters.

A random permutation of the ten digits replaces each digit of a number.  The digits in front of the digit decide which
permutation is used, as in Crypto-PAn.  So if two numbers have their first n digits in common, the pseudonyms have their
first n digits in common too.  The permutations are independent of each other, so a reader who finds out one permutation
learns nothing about any other permutation.  The permutations for all numbers of a kind are a *tree*: there are trees
for national numbers, foreign numbers and local numbers.  If a filter asks for last digits that several numbers have in
common, a fourth tree replaces the last digits.  Two things stay unchanged: the country code of the tenant's own region,
and prefixes that are dialled in front of a number.

Entries in answers lose their order, which would reveal the order of the real names.  Invented entries are added, so
that a filter has to choose between entries.

The tables are random and are not kept.  A reader who knows some of the people can still recognize them by shared names
or companies, and by the texts and times of searches: the file remains personal data.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from itertools import takewhile
from random import Random

from ldapgw.directory.dn import Dn, InvalidDn
from ldapgw.directory.filter import (
    And,
    Filter,
    GreaterOrEqual,
    LessOrEqual,
    Not,
    Or,
    Present,
    Substrings,
)
from ldapgw.directory.name_folding import collation_key, query_variants
from ldapgw.directory.naming_context import NamingContext
from ldapgw.directory.schema import NUMBER_TYPES, Family, attribute_type, oid_of
from ldapgw.numbers.phone_number import NumberFormat, parse
from ldapgw.phones.explain.query import filter_items, is_range_end
from ldapgw.phones.recording import RecordedEntry, RecordedSearch, Recording
from ldapgw.phones.replay import RecordedDirectory, replay

DECOYS = 10

# Pseudonyms have no e and no two vowels in a row, because `name_folding` reads ae, oe, ue and aa as one letter each.
_CONSONANTS, _VOWELS, _DIGITS = "bcdfghjklmnpqrstvwxz", "aiou", "23456789"
_MARKED = str.maketrans(_VOWELS, "äïöü")
_VOWEL = re.compile(f"[{_VOWELS}]")
_DIGIT = re.compile(r"\d")
_SIGNS = re.compile(r"[^\w\s]*")
_WORD = r"[^\W_]+"
# The first pattern is for names: adjacent digits are a word.  The second pattern is for telephone numbers: punctuation
# marks may stand between the digits.
_WORDS = re.compile(rf"\+?\d+(?![^\W_])|{_WORD}")
_NUMBERS = re.compile(rf"\+?\d(?:[\d ()./-]*\d)?|{_WORD}")
# The words that get no pseudonym: names that the gateway itself gives, and the words of tel: and sip: addresses (RFC
# 3966, RFC 3261).
_KEPT_WORDS = (
    *("own", "phones", "directory", "favourites"),
    *("tel", "sip", "sips", "callto", "phone", "context", "user", "ext", "x"),
)
# The families of attributes whose values say nothing about a person, each with a test.  A text that passes the test
# stays unchanged.  Any other text is replaced, because a phone can put any text into a filter.
_KEPT_VALUES: Mapping[Family, Callable[[str], object]] = {
    **dict.fromkeys((Family.OID, Family.DEFINITION), oid_of),
    # A time (RFC 4517 3.3.13), or the beginning of a time.
    Family.TIME: re.compile(
        r"(?:19|20)\d\d(?:(?:0[1-9]|1[0-2])(?:(?:0[1-9]|[12]\d|3[01])(?:(?:[01]\d|2[0-3])(?:[0-5]\d){0,2})?)?)?"
        r"(?:[.,]\d{1,6})?(?:Z|[+-](?:[01]\d|2[0-3])(?:[0-5]\d)?)?"
    ).fullmatch,
    Family.BOOLEAN: re.compile("(?i:true|false)").fullmatch,
    Family.INTEGER: re.compile(r"-?\d{1,2}").fullmatch,
}
# The names of the trees of permutations (see the module's docstring).  The first three trees are for numbers in the
# tenant's country, for numbers abroad, and for numbers without an area code.  The fourth tree is for last digits for
# which a filter asks.
_HOME, _ABROAD, _LOCAL, _ENDS = "home", "abroad", "local", "ends"
_INTERNATIONAL_PREFIXES = ("00", "011")
_LONGEST_COUNTRY = len("+999")


class Pseudonyms:
    """The pseudonyms of one recording.

    Mutable: the tables, which grow when a word or a digit is first met.

    :param recording: the recording.  If a filter of the recording asks for a beginning or an end that several values
        share, the pseudonyms of these values share a beginning or an end too.
    :param random: the source of the tables, which must not be predictable.
    """

    def __init__(self, recording: Recording, random: Random) -> None:
        self._context, self._random = recording.context, random
        kept = (*_KEPT_WORDS, *recording.context.strip)
        self._words = {_key(word): _key(word) for word in kept}
        self._taken = {*self._words}
        # Filters ask for parts of words.  The table has the substitute of each letter in such a part.  The key is the
        # beginning of the part, up to and including the letter.
        self._letters: dict[str, str] = {}
        # The key is the beginning of such a part.  The value has the substitutes of the letters that follow the
        # beginning.  Different letters behind the same beginning have different substitutes.
        self._used: dict[str, set[str]] = {}
        # The permutations: ten digits that replace the digits 0 to 9.  Each key is a pair: the name of a tree (see
        # the module's docstring), and the digits in front of the digit to replace.
        self._digits: dict[tuple[str, str], str] = {}
        names = [kind.name for kind in NUMBER_TYPES]
        values = [value for entry in recording.entries for name in names for value in entry.attributes.get(name, ())]
        self._area = self._permuted(_HOME, self._context.area_code)
        self._country, self._trunk = _home_codes(values, recording.context.region)
        self._known = {self._split(*number)[1:] for value in values for number in _numbers(self._without_line(value))}
        self._begun = {(tree, digits[:end]) for tree, digits in self._known for end in range(1, len(digits))}
        parts = {part for search in recording.searches for part in _parts(search.request.filter)}
        # The last digits of numbers for which filters ask.
        asked_ends = {digits for _, text, opens_left, _ in parts if opens_left for digits, _ in _numbers(text)}
        owners = _ends_of(self._known, asked_ends)
        self._ends = _longest_first(end for end, numbers in owners.items() if len(numbers) > 1)
        self._owners = {end: numbers[0] for end, numbers in owners.items()}
        asked = {*_asked_words(parts)}
        self._beginnings = _longest_first(key for key, _, opens_right in asked if opens_right)
        self._inner = _longest_first(key for key, opens_left, opens_right in asked if opens_left and opens_right)
        self._endings = _longest_first(key for key, opens_left, opens_right in asked if opens_left and not opens_right)
        self._part_starts = {self._piece(key)[:1] for key in (*self._inner, *self._endings)}
        # Filters ask for words with these beginnings.  The beginnings get their substitutes before any random letters
        # are drawn, so that no other word begins with one of these substitutes by chance.
        for key in self._beginnings:
            self._piece(key)

    def text(
        self, text: str, *, pattern: re.Pattern[str] = _WORDS, opens_left: bool = False, opens_right: bool = False
    ) -> str:
        """Replace the words and the numbers of a text.

        :param pattern: matches the words and numbers to replace.
        :param opens_left: whether the real value may have more in front of the text, as in the filter ``*text``.
        :param opens_right: whether the real value may have more after the text, as in the filter ``text*``.
        """

        def replaced(found: re.Match[str]) -> str:
            word, (is_end, is_beginning) = found[0], _opens(found, opens_left, opens_right)
            if _is_number(word):
                return self._number(word, is_end=is_end)
            made = self._piece(_key(word)) if is_end or is_beginning else self._word(_key(word))
            if not word.isascii():
                made = _VOWEL.sub(lambda vowel: vowel[0].translate(_MARKED), made, count=1)
            return made[:1].upper() + made[1:] if word[:1].isupper() else made

        return pattern.sub(replaced, unicodedata.normalize("NFC", text))

    # --- words --------------------------------------------------------------------------------------------------------

    def _word(self, key: str) -> str:
        if key not in self._words:
            made = self._new_word(key)
            while made in self._taken:
                made = self._new_word(key)
            self._words[key] = made
            self._taken.add(made)
        return self._words[key]

    def _new_word(self, key: str = "") -> str:
        """Make a word's pseudonym from random letters, and from the substitutes for the parts for which filters ask."""
        path = next(filter(key.startswith, self._beginnings), "")
        made = self._piece(path)
        for part in self._inner:
            if part in key and self._piece(part) not in made:
                made, path = made + self._random_letters(path, 1, 3) + self._piece(part), part
        ending = next(filter(key.endswith, self._endings), "")
        return made + self._random_letters(path, 2 if made else 5, 8) + self._piece(ending)

    def _piece(self, key: str) -> str:
        """Return the letters that replace a beginning or a part of a word for which a filter asks."""
        return "".join(self._letter(key[:end]) for end in range(1, len(key) + 1))

    def _letter(self, path: str) -> str:
        if path not in self._letters:
            used = self._used.setdefault(path[:-1], set())
            self._letters[path] = self._free_letter(used, len(path) - 1)
            used.add(self._letters[path])
        return self._letters[path]

    def _random_letters(self, path: str, least: int, most: int) -> str:
        """Return random letters to follow the substitute of a part for which a filter asks.

        The letters must not match another part by chance.  So no random letter equals the first letter of the
        substitute for an inner part or an ending.

        A filter may also ask for a longer part that begins with the same part, such as ``mul`` besides ``mu``.  If
        ``mu`` becomes ``bo``, and ``mul`` becomes ``bok``, the first random letter behind ``bo`` is not ``k``.
        """
        made = ""
        for at in range(self._random.randint(least, most)):
            used = self._part_starts if at else self._part_starts | self._used.get(path, set())
            made += self._free_letter(used, len(path) + at)
        return made

    def _free_letter(self, used: Collection[str], position: int) -> str:
        kinds = (_VOWELS, _CONSONANTS, _DIGITS) if position % 2 else (_CONSONANTS, _VOWELS, _DIGITS)
        free = ([letter for letter in kind if letter not in used] for kind in kinds)
        letter: str = self._random.choice(next(filter(None, free), [*_CONSONANTS]))
        return letter

    # --- numbers ------------------------------------------------------------------------------------------------------

    def _number(self, text: str, *, is_end: bool) -> str:
        """Replace the digits of a telephone number, or of a part of a number."""
        [(digits, has_plus)] = _numbers(text)
        made = iter(self._digits_instead(digits, has_plus=has_plus, is_end=is_end))
        return _DIGIT.sub(lambda _: next(made), text)

    def _digits_instead(self, digits: str, *, has_plus: bool, is_end: bool) -> str:
        lines = {"", self._context.outside_line if digits.startswith(self._context.outside_line) else ""}
        splits = [(line, *self._split(digits.removeprefix(line), has_plus)) for line in sorted(lines)]
        for line, head, tree, rest in splits:
            if (tree, rest) in self._known:
                return line + head + self._whole(tree, rest)
        if is_end and digits in self._owners:
            return self._whole(*self._owners[digits])[-len(digits) :]
        begun = (split for split in splits if split[2:] in self._begun)
        line, head, tree, rest = next(begun, splits[0])
        return line + head + self._permuted(tree, rest)

    def _split(self, digits: str, has_plus: bool) -> tuple[str, str, str]:  # noqa: FBT001 - one of a pair
        """Split digits into a beginning and the digits to replace; find the tree whose permutations replace the digits.

        The beginning consists of prefixes, such as the country code, which stay unchanged.  If the site's area code
        follows the prefixes, the beginning also contains the substitute of the area code.  In a country with a trunk
        prefix (0 in Germany), the digits behind the site's area code get the same pseudonym as a number that is dialled
        without an area code.

        :returns: the beginning as the file holds it, the name of the tree, and the digits to replace.
        """
        head, tree, rest = self._split_prefix(digits, has_plus)
        area_code = self._context.area_code
        if tree == _HOME and area_code and rest.startswith(area_code):
            return head + self._area, _LOCAL, rest.removeprefix(area_code)
        return head, tree, rest

    def _split_prefix(self, digits: str, has_plus: bool) -> tuple[str, str, str]:  # noqa: FBT001 - one of a pair
        country, trunk = self._country, self._trunk
        head = "" if has_plus else next(filter(digits.startswith, _INTERNATIONAL_PREFIXES), "")
        rest = digits.removeprefix(head)
        if has_plus or head:
            if country.startswith(rest):
                return digits, _ABROAD, ""
            if not (country and rest.startswith(country)):
                return head, _ABROAD, rest
            head, rest = head + country, rest.removeprefix(country)
            zero = "0" if trunk == "0" and rest.startswith("0") else ""  # a number such as +49 (0)30
            return head + zero, _HOME, rest.removeprefix(zero)
        if country and digits.startswith(trunk):
            return trunk, _HOME, digits.removeprefix(trunk)
        return "", _LOCAL, digits

    def _whole(self, tree: str, digits: str) -> str:
        end = next(filter(digits.endswith, self._ends), "")
        return self._permuted(tree, digits)[: len(digits) - len(end)] + self._permuted(_ENDS, end[::-1])[::-1]

    def _permuted(self, tree: str, digits: str) -> str:
        made = ""
        for at, digit in enumerate(digits):
            node = tree, digits[:at]
            if node not in self._digits:
                # A 0 at the beginning has a meaning in the numbering plan.  So a 0 as the first digit stays 0, and no
                # other first digit becomes 0.
                fixed = "" if at or tree == _ENDS else "0"
                order = self._random.sample("0123456789"[len(fixed) :], 10 - len(fixed))
                self._digits[node] = fixed + "".join(order)
            made += self._digits[node][int(digit)]
        return made

    def _without_line(self, value: str) -> str:
        is_dialled = self._context.number_format is NumberFormat.DIAL
        return value.removeprefix(self._context.outside_line) if is_dialled else value

    # --- values of attributes -----------------------------------------------------------------------------------------

    def dn(self, text: str) -> str:
        """Replace the values of a DN; if the text is no DN, replace its words and numbers."""
        try:
            rdns = Dn.parse(text).rdns
        except InvalidDn:
            return self.text(text)
        return str(Dn(tuple(tuple((kind, self.value(kind, value)) for kind, value in rdn) for rdn in rdns)))

    def value(self, attribute: str, text: str, *, opens_left: bool = False, opens_right: bool = False) -> str:
        """Replace the value of an attribute, or a part of the value (`text`)."""
        family = _family(attribute)
        if family in _KEPT_VALUES and _KEPT_VALUES[family](text):
            return text
        if family is Family.DN:
            return self.dn(text)
        return self.text(text, pattern=_pattern(attribute), opens_left=opens_left, opens_right=opens_right)

    def filter(self, term: Filter) -> Filter:
        """Replace the values of a filter; each value keeps the encoding in which the phone sent the value."""
        match term:
            case And(terms) | Or(terms):
                return type(term)(tuple(map(self.filter, terms)))
            case Not(inner):
                return Not(self.filter(inner))
            case Present():
                return term
            case Substrings(attribute, initial, between, final):
                return Substrings(
                    attribute,
                    None if initial is None else self._octets(attribute, initial, opens_right=True),
                    tuple(self._octets(attribute, part, opens_left=True, opens_right=True) for part in between),
                    None if final is None else self._octets(attribute, final, opens_left=True),
                )
            case LessOrEqual() if is_range_end(term):
                return term
            case _:
                is_part = isinstance(term, GreaterOrEqual)
                return replace(term, value=self._octets(term.attribute or "", term.value, opens_right=is_part))

    def _octets(self, attribute: str, value: bytes, *, opens_left: bool = False, opens_right: bool = False) -> bytes:
        text, encoding = _decoded(value)
        return self.value(attribute, text, opens_left=opens_left, opens_right=opens_right).encode(encoding)

    # --- a recording --------------------------------------------------------------------------------------------------

    def context(self) -> NamingContext:
        """Replace the tenant's names."""
        context = self._context
        return replace(
            context,
            title=self.text(context.title),
            base=Dn.parse(self.dn(str(context.base))),
            area_code=self._area,
            book_order=tuple(map(self.text, context.book_order)),
        )

    def entry(self, entry: RecordedEntry) -> RecordedEntry:
        """Replace the values of an entry."""
        attributes = {
            name: tuple(self.value(name, value) for value in values) for name, values in entry.attributes.items()
        }
        switchboards = tuple(self.value("telephoneNumber", number) for number in entry.switchboards)
        return RecordedEntry(self.dn(entry.dn), attributes, switchboards=switchboards)

    def decoy(self, parent: Dn, attributes: Iterable[str], *, per_number: bool) -> RecordedEntry:
        """Invent an entry.

        :param parent: the DN of the entry's parent, with pseudonyms.
        :param per_number: whether the entry is for a single number.
        """
        uid = self._new_word() + ("-1" if per_number else "")
        values = {name: self._invented(name) for name in attributes}
        return RecordedEntry(str(parent.child("uid", uid)), {**values, "uid": (uid,)}, is_decoy=True)

    def _invented(self, attribute: str) -> tuple[str, ...]:
        if _family(attribute) is Family.NUMBER:
            return ("".join(self._random.choice(_DIGITS) for _ in range(7)),)
        words = (self._new_word().capitalize() for _ in range(2 if attribute == "cn" else 1))
        return (" ".join(words),)

    def search(self, search: RecordedSearch) -> RecordedSearch:
        """Replace the request and the result of a search, and sort the entries of the result by their pseudonyms."""
        request = replace(search.request, base=self.dn(search.request.base), filter=self.filter(search.request.filter))
        return replace(search, request=request, found=tuple(sorted(map(self.dn, search.found))))


def with_pseudonyms(recording: Recording, random: Random) -> Recording:
    """Replace the names and numbers of a recording, and note each search that finds other entries with pseudonyms.

    :param random: the source of the pseudonyms, which must not be predictable.
    """
    pseudonyms = Pseudonyms(recording, random)
    context, own_books = pseudonyms.context(), tuple(map(pseudonyms.text, recording.own_books))
    entries = [*map(pseudonyms.entry, recording.entries)]
    books = [context.base.child("ou", name) for name in own_books]
    books = books or [Dn.parse(entry.dn).parent() for entry in entries[:1]]
    names = sorted({"cn", *(name for entry in entries for name in entry.attributes)} - {"uid"})
    entries += [pseudonyms.decoy(book, names, per_number=recording.per_number) for book in books for _ in range(DECOYS)]
    changed = replace(
        recording,
        context=context,
        login=pseudonyms.dn(recording.login),
        own_books=own_books,
        binds=tuple(replace(bind, name=pseudonyms.dn(bind.name)) for bind in recording.binds),
        searches=tuple(map(pseudonyms.search, recording.searches)),
        entries=tuple(sorted(entries, key=lambda entry: entry.dn)),
        is_plain=False,
    )
    notes = dict(replay(changed, RecordedDirectory(changed).find))
    return replace(
        changed, searches=tuple(replace(search, note=notes.get(at)) for at, search in enumerate(changed.searches))
    )


# A part of a value for which a filter asks: the attribute, the text of the part, and two booleans.  The booleans say
# whether the value may have more before the part, and whether the value may have more after the part.
_Part = tuple[str, str, bool, bool]


def _parts(search_filter: Filter) -> Iterator[_Part]:
    for item in filter_items(search_filter):
        match item:
            case Substrings(attribute, initial, between, final):
                if initial is not None:
                    yield attribute, _decoded(initial)[0], False, True
                yield from ((attribute, _decoded(part)[0], True, True) for part in between)
                if final is not None:
                    yield attribute, _decoded(final)[0], True, False
            case GreaterOrEqual(attribute, value):
                yield attribute, _decoded(value)[0], False, True


def _asked_words(parts: Iterable[_Part]) -> Iterator[tuple[str, bool, bool]]:
    """Yield the key of each part of a word that a filter contains, with two booleans.

    The first boolean says whether the word may have more in front of the part, the second boolean whether the word may
    have more behind the part.
    """
    for attribute, text, opens_left, opens_right in parts:
        for found in _pattern(attribute).finditer(text):
            is_end, is_beginning = _opens(found, opens_left, opens_right)
            if (is_end or is_beginning) and not _is_number(found[0]):
                yield _key(found[0]), is_end, is_beginning


def _ends_of(numbers: Iterable[tuple[str, str]], ends: Set[str]) -> Mapping[str, Sequence[tuple[str, str]]]:
    """Return, for each ending, the numbers with this ending.

    :param numbers: for each number, the name of a tree (see the module's docstring), and the number's digits.
    :param ends: the last digits of numbers for which filters ask.
    """
    owners: dict[str, list[tuple[str, str]]] = {}
    sizes = {len(end) for end in ends}
    for tree, digits in sorted(numbers):
        for end in {digits[-size:] for size in sizes} & ends:
            owners.setdefault(end, []).append((tree, digits))
    return owners


def _family(attribute: str) -> Family:
    kind = attribute_type(attribute)
    return kind.comparison.family if kind is not None else Family.TEXT


def _opens(found: re.Match[str], opens_left: bool, opens_right: bool) -> tuple[bool, bool]:  # noqa: FBT001 - a pair
    """Return two booleans: whether a word in a filter may lack its beginning, and whether the word may lack its end.

    The first boolean is true if the filter also finds values with more text in front (`opens_left`), and only
    punctuation marks precede the word.  The second boolean is true if the filter also finds values with more text
    behind (`opens_right`), and only punctuation marks follow the word.
    """
    before, after = found.string[: found.start()], found.string[found.end() :]
    return opens_left and _SIGNS.fullmatch(before) is not None, opens_right and _SIGNS.fullmatch(after) is not None


def _longest_first(texts: Iterable[str]) -> Sequence[str]:
    return sorted({*texts}, key=lambda text: (-len(text), text))


def _pattern(attribute: str) -> re.Pattern[str]:
    return _NUMBERS if _family(attribute) is Family.NUMBER else _WORDS


def _is_number(word: str) -> bool:
    return not any(map(str.isalpha, word))


def _numbers(text: str) -> Iterator[tuple[str, bool]]:
    """Yield the digits of each number in a text, and whether a plus precedes the digits."""
    for found in _NUMBERS.finditer(text):
        if _is_number(found[0]):
            yield "".join(str(int(digit)) for digit in _DIGIT.findall(found[0])), found[0].startswith("+")


def _home_codes(values: Iterable[str], region: str) -> tuple[str, str]:
    """Return the country code and the trunk prefix of a region's numbers; empty if no number has these codes.

    The E.164 form and the national form of a number end with the same digits.  In front of these common digits, the
    E.164 form has the country code, and the national form has the trunk prefix.  Some mobile numbers have further
    digits between a code and the common digits.  So the function returns the shortest codes that it finds.  The
    function ignores a number if the digits in front of the common digits are too many for a country code.
    """
    found: set[tuple[str, str]] = set()
    for number in filter(None, (parse(value, region) for value in values)):
        pairs = zip(reversed(number.e164), reversed(number.national), strict=False)
        size = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        if size and len(number.e164) - size <= _LONGEST_COUNTRY:
            found.add((number.e164[1:-size], number.national[:-size]))
    return min(found, key=lambda codes: (*map(len, codes), codes), default=("", ""))


def _key(word: str) -> str:
    """Return one key for all spellings of a word: Latin letters without accents, the same letter for ue and ü."""
    latin = collation_key(word) or word.casefold()
    return query_variants(latin)[-1].replace(" ", "")


def _decoded(value: bytes) -> tuple[str, str]:
    """Return an assertion value as text, and its encoding."""
    try:
        return value.decode(), "utf-8"
    except UnicodeDecodeError:
        return value.decode("latin-1"), "latin-1"
