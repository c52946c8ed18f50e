# SPDX-License-Identifier: MIT
"""A table of searches as phones send them shows the hints for each search."""

from __future__ import annotations

from dataclasses import dataclass, replace
from string import Formatter

import pytest

from ldapgw.directory.filter import Scope, SearchRequest
from ldapgw.errors import ResultCode
from ldapgw.phones.hints import (
    _TEXTS,
    HARMLESS,
    DecodedSearch,
    Hint,
    PhoneProfile,
    find_hints,
    hint_text,
)
from ldapgw.phones.logged_search import LoggedSearch
from ldapgw.phones.provisioning.sheet import make_sheet
from ldapgw.phones.provisioning.vendors import all_vendors
from ldapgw.store.phones import NumberMode, PhoneLogin
from tests.support.filter_text import read_filter
from tests.support.golden import SETTINGS
from tests.support.keypad import Sent
from tests.support.phonebook import CASES
from tests.support.vendor_rows import ROWS, read

BASE = "dc=acme,dc=example"
HABITS = PhoneProfile(BASE)
SORT, VIEW, PAGES = "1.2.840.113556.1.4.473", "2.16.840.1.113730.3.4.9", "1.2.840.113556.1.4.319"
ALL = ("cn", "sn", "telephoneNumber", "mobile", "homePhone")
LIMIT, NO_OBJECT = ResultCode.SIZE_LIMIT_EXCEEDED, ResultCode.NO_SUCH_OBJECT


@dataclass(frozen=True)
class Case:
    """A case gives the values that differ from an ordinary search."""

    filter: str = "(|(cn=mue*)(sn=mue*))"
    entries: int = 3
    code: ResultCode = ResultCode.SUCCESS
    attributes: tuple[str, ...] = ALL
    size: int = 50
    scope: Scope = Scope.WHOLE_SUBTREE
    base: str = BASE
    login: str = "cn=desk1"
    controls: tuple[str, ...] = ()

    @property
    def seen(self) -> DecodedSearch:
        search = LoggedSearch(self.login, "192.0.2.1", b"message", self.entries, self.code, 0.001, 0.0)
        request = SearchRequest(self.base, self.scope, read_filter(self.filter), self.size, 0, False, self.attributes)
        return DecodedSearch(search, request, self.controls)


NUMBERS = "(|(telephoneNumber={0})(mobile={0})(homePhone={0}))"
CASES_OF_HINTS: dict[str, tuple[Case, tuple[Hint, ...]]] = {
    "all is well": (Case(), ()),
    "a caller": (Case(NUMBERS.format("0301234567"), 1, attributes=("cn",)), ()),
    "nobody": (Case(entries=0), (Hint.NOTHING,)),
    "detail read": (Case("(objectClass=*)", 1, attributes=(), size=0, scope=Scope.BASE_OBJECT), ()),
    "anonymous": (Case(entries=0, code=ResultCode.INSUFFICIENT_ACCESS_RIGHTS, login=""), (Hint.ANONYMOUS,)),
    "base": (Case(entries=0, code=NO_OBJECT, base="dc=example"), (Hint.NO_SUCH_BASE,)),
    "base no DN": (Case(entries=0, code=ResultCode.INVALID_DN_SYNTAX, base="0"), (Hint.NO_SUCH_BASE,)),
    "one level": (Case(entries=0, scope=Scope.SINGLE_LEVEL), (Hint.SCOPE,)),
    "one level that finds": (Case(scope=Scope.SINGLE_LEVEL), ()),
    "percent": (Case("(|(cn=%)(sn=%))", 0), (Hint.PLACEHOLDER,)),
    "percent, star": (Case("(|(cn=%*)(sn=%*))", 0), (Hint.PLACEHOLDER,)),
    "percent s": (Case("(cn=*%s*)", 0), (Hint.PLACEHOLDER,)),
    "dollar": (Case("(cn=*$VALUE*)", 0), (Hint.PLACEHOLDER,)),
    "search": (Case("(cn=$SEARCH)", 0), (Hint.PLACEHOLDER,)),
    "braces": (Case("(cn={q}*)", 0), (Hint.PLACEHOLDER,)),
    "sharp": (Case("(telephoneNumber=####)", 0), (Hint.PLACEHOLDER,)),
    "Mozilla": (Case("(cn=%v1*%v2-*)", 0), (Hint.PLACEHOLDER,)),
    "a percentage": (Case("(cn=100%*)", 0), (Hint.NOTHING,)),
    "UCM": (Case("(|(CallerIDName=web*)(AccountNumber=web*))", 2, attributes=()), ()),
    "unknown": (Case("(|(fileAs=web*)(IMHandle=web*))", 0, attributes=()), (Hint.UNKNOWN_ATTRIBUTES,)),
    "one unknown of Active Directory": (
        Case("(&(objectCategory=person)(|(cn=web*)(sn=web*)))", 0), (Hint.UNKNOWN_ATTRIBUTES,)
    ),
    "unknown in each condition": (Case("(|(&(cn=web*)(IMHandle=*))(&(sn=web*)(IMHandle=*)))", 0),
                                  (Hint.UNKNOWN_ATTRIBUTES,)),
    "unknown and excluded": (Case("(&(cn=web*)(!(msExchHideFromAddressLists=TRUE)))", 0), (Hint.UNKNOWN_ATTRIBUTES,)),
    "unknown and absent": (Case("(&(cn=web*)(!(msExchHideFromAddressLists=*)))", 0), (Hint.NOTHING,)),
    "no attribute": (Case("(:caseIgnoreMatch:=web)", 0), (Hint.NOTHING,)),
    "one unknown": (Case("(|(cn=web*)(IMHandle=web*))"), ()),
    "user": (Case("(&(objectClass=user)(cn=mue*))", 0), (Hint.OBJECT_CLASS,)),
    "person": (Case("(&(objectclass=PERSON)(cn=xyz*))", 0), (Hint.NOTHING,)),
    "any class": (Case("(|(objectClass=user)(cn=mue*))"), ()),
    "everything": (Case("(objectClass=*)"), (Hint.NO_CLASS,)),
    "everything twice": (Case("(&(objectclass=*)(objectClass=top))"), (Hint.NO_CLASS,)),
    "everything in vain": (Case("(objectClass=*)", 0), (Hint.NOTHING,)),
    "any name": (Case("(cn=*)"), ()),
    "any class of a name": (Case("(&(objectClass=*)(sn=mue*))"), ()),
    "telephoneNumber": (Case("(telephoneNumber=0301234567)", 0), (Hint.NOTHING,)),
    "its beginning": (Case("(telephoneNumber=030123*)", 0), (Hint.NUMBER_ALONE,)),
    "Snom": (Case("(&(telephoneNumber=0301234*)(sn=*))", 4), (Hint.NUMBER_ALONE,)),
    "nickname": (Case("(|(phone=030123*)(telephoneNumber=030123*))", 0), (Hint.NUMBER_ALONE,)),
    "presence": (Case("(&(telephoneNumber=*)(sn=mue*))"), ()),
    "whole with star": (Case(NUMBERS.format("*0301234567*"), 0), (Hint.WILDCARD,)),
    "beginning": (Case(NUMBERS.format("030*"), 0), (Hint.NOTHING,)),
    "whole with star that finds": (Case(NUMBERS.format("*0301234567"), 1), ()),
    "letters": (Case(NUMBERS.format("anna*"), 0), (Hint.LETTERS,)),
    "letters besides": (Case("(|(cn=xyz*)(telephoneNumber=xyz*))", 0), (Hint.NOTHING,)),
    "no name": (Case(attributes=("telephoneNumber", "mobile")), (Hint.NO_NAME,)),
    "no number": (Case(attributes=("cn", "sn")), (Hint.NO_NUMBER,)),
    "one number": (Case(attributes=("cn", "telephoneNumber")), (Hint.ONE_NUMBER,)),
    "glued": (Case(attributes=("cn sn", "telephoneNumber mobile homePhone")), ()),
    "all attributes": (Case(attributes=("*",)), ()),
    "few": (Case(entries=6, size=6, code=LIMIT), (Hint.SMALL_LIMIT,)),
    "enough": (Case(entries=50, size=50, code=LIMIT), ()),
    "no limit": (Case(entries=800, size=0), (Hint.NO_LIMIT,)),
    "no limit needed": (Case(entries=8, size=0), ()),
    "in pages": (Case(entries=800, size=0, controls=(PAGES,)), ()),
    "in a virtual list view": (Case(entries=80, size=0, controls=(SORT, VIEW)), ()),
    "slow": (Case(entries=5, code=ResultCode.TIME_LIMIT_EXCEEDED), (Hint.TIME_LIMIT,)),
    "withheld": (Case("(|(telephoneNumber=)(mobile=))", 0), (Hint.WITHHELD,)),
    "trunk": (Case(NUMBERS.format("L0#0301234567"), 0), (Hint.AFFIX,)),
    "trunk, known": (Case(NUMBERS.format("L0#0301234567"), 1), ()),
    "withheld, anonymous": (Case(NUMBERS.format("anonymous"), 0), (Hint.WITHHELD,)),
    "withheld, by SIP": (Case(NUMBERS.format("sip:anonymous@anonymous.invalid"), 0), (Hint.WITHHELD,)),
    "withheld, with a domain": (Case(NUMBERS.format("Anonymous@192.0.2.1"), 0), (Hint.WITHHELD,)),
    "an address at a domain": (Case(NUMBERS.format("private@bank.example"), 0), (Hint.NOTHING,)),
    "a name at a domain": (Case(NUMBERS.format("anna@192.0.2.1"), 0), (Hint.NOTHING,)),
    "withheld, unknown": (Case(NUMBERS.format("Unknown*"), 0), (Hint.WITHHELD,)),
    "withheld, by Asterisk": (Case(NUMBERS.format("sip:asterisk@pbx.example"), 0), (Hint.WITHHELD,)),
    "withheld, in German": (Case(NUMBERS.format("Unbekannt"), 0), (Hint.WITHHELD,)),
    "withheld, restricted": (Case("(telephoneNumber=restricted)", 0), (Hint.WITHHELD,)),
    "no attributes": (Case(attributes=("1.1",)), (Hint.NO_NAME, Hint.NO_NUMBER)),
    "several": (Case("(telephoneNumber=%)", 0, attributes=("telephoneNumber",)),
                (Hint.PLACEHOLDER, Hint.NO_NAME)),
    "negated": (Case("(!(sn=%))", 0), (Hint.PLACEHOLDER,)),
}  # fmt: skip


@pytest.mark.parametrize(("case", "expected"), CASES_OF_HINTS.values(), ids=CASES_OF_HINTS)
def test_hints(case: Case, expected: tuple[Hint, ...]) -> None:
    """The gravest hint comes first, and a good search gets no hint."""
    assert find_hints(case.seen, HABITS) == expected


def test_every_hint_is_in_the_table() -> None:
    """The table covers every hint except for the unreadable message, which has a separate test."""
    given = {hint for _, expected in CASES_OF_HINTS.values() for hint in expected}
    assert given == set(Hint) - {Hint.UNREADABLE}


def test_what_cannot_be_read() -> None:
    """A hint says that a message is unreadable. A message that was too long to keep gets no hint."""
    search = LoggedSearch("cn=desk1", "192.0.2.1", b"?", 0, ResultCode.PROTOCOL_ERROR, 0.0, 0.0)
    assert find_hints(DecodedSearch(search), HABITS) == (Hint.UNREADABLE,)
    assert find_hints(DecodedSearch(replace(search, message=b"")), HABITS) == ()


@pytest.mark.parametrize("name", ["telephoneNumber", "one number"])
def test_a_phone_that_gets_an_entry_for_each_number(name: str) -> None:
    """Such a phone gets no hint about missing number attributes."""
    case, _ = CASES_OF_HINTS[name]
    assert set(find_hints(case.seen, replace(HABITS, wants_all_numbers=False))) <= {Hint.NOTHING}


def sent_by(key: str) -> list[Sent]:
    """Return the searches of a vendor's phones with our settings: a name, typed digits, and a caller's number."""
    values = read(make_sheet(all_vendors()[key], SETTINGS))
    sent: list[Sent] = []
    for keypad in filter(None, (ROWS[key].keypad, ROWS[key].older)):
        sent += [keypad.name(values, "mue"), keypad.name(values, "0301234567")]
        if keypad.caller:
            # People also type into the field for numbers, and then some phones add a star.
            caller = keypad.caller(values, "0301234567")
            sent += [caller, replace(caller, filter=caller.filter.replace("0301234567)", "0301234567*)"))]
    if "LDAP_Display_Attrs" in values:
        filters = [value.partition(":")[2] for name, value in values.items() if name.endswith("_Filter")]
        sent += [Sent(one.replace("$VALUE", "0301234567"), ("cn", "telephoneNumber"), 0) for one in filters]
    if "ldap_number_filter" in values:
        sent.append(Sent(values["ldap_number_filter"].replace("%", "0301234567"), ("cn",)))
    return sent


@pytest.mark.parametrize("entries", [0, 1, 60])
@pytest.mark.parametrize("key", all_vendors())
def test_our_own_settings_are_never_found_fault_with(key: str, entries: int) -> None:
    """The printed settings of a vendor lead to no hint that asks for a change."""
    for make in all_vendors()[key].makes or ("",):
        habits = PhoneProfile.for_model(BASE, make, per_number=False)
        for one in sent_by(key):
            code = LIMIT if entries > one.size_limit > 0 else ResultCode.SUCCESS
            seen = Case(one.filter, entries, code, attributes=one.attributes, size=one.size_limit).seen
            assert set(find_hints(seen, habits)) <= HARMLESS, one


@pytest.mark.parametrize(
    ("model", "filter_", "expected"),
    [
        ("avaya", "(telephoneNumber=0301234567*)", Hint.NUMBER_ALONE),
        ("snom", "(telephoneNumber=0301234567*)", Hint.NUMBER_ALONE),
        ("snom", NUMBERS.format("*0301234567*"), Hint.WILDCARD),
        ("cisco", NUMBERS.format("*0301234567*"), Hint.WILDCARD),
    ],
)
def test_another_filter_than_the_models_own(model: str, filter_: str, expected: Hint) -> None:
    """A filter that differs from the model's printed filter gets the usual hint."""
    assert find_hints(Case(filter_, 0).seen, PhoneProfile.for_model(BASE, model, per_number=False))[0] is expected


def test_what_a_pbx_adds_is_named() -> None:
    """The hint quotes the added text only while the search is known, because the store keeps no part of a search."""
    profile = PhoneProfile(BASE)
    seen = Case(NUMBERS.format("L0#0301234567"), 0).seen
    assert str(hint_text(Hint.AFFIX, profile, seen)).startswith("“L0#” doesn’t seem to belong to the number.")
    assert str(hint_text(Hint.AFFIX, profile)).startswith("“…” doesn’t seem to belong to the number.")


def test_the_phones_of_the_world() -> None:
    """The hints accept every known request of a phone, and some of these phones get no hint."""
    scopes = {"base": Scope.BASE_OBJECT, "one": Scope.SINGLE_LEVEL, "sub": Scope.WHOLE_SUBTREE}
    told = {}
    for case in CASES:
        sent = {"size": case["sizelimit"], "scope": scopes[case["scope"]], "attributes": tuple(case["attributes"])}
        told[case["id"]] = find_hints(Case(case["filter"], len(case["must_find"]), **sent).seen, HABITS)
    for fine in ("grandstream-ucm-attrs", "yealink-name-mueller", "gigaset-detail-base"):
        assert told[fine] == ()


def test_words_say_what_to_enter() -> None:
    """The hint gives the model's own filter or the base, but no part of the searched text."""
    habits = PhoneProfile(BASE, "(cn=#)", "(mobile=#)")
    assert str(hint_text(Hint.NUMBER_ALONE, habits)) == (
        "The number filter only checks telephoneNumber, so a search for part of a number doesn’t find mobile and home "
        "numbers. Use (mobile=#)"
    )
    assert str(hint_text(Hint.NO_SUCH_BASE, habits)) == "The phone’s search base doesn’t exist. Use dc=acme,dc=example"
    poly = PhoneProfile.for_model(BASE, "poly", per_number=False)
    assert str(hint_text(Hint.NO_NUMBER, poly)) == (
        "The phone doesn’t ask for numbers. Set dir.corp.attribute.N.name to telephoneNumber mobile homePhone, one "
        "setting for each."
    )
    assert _TEXTS.hints.keys() == set(Hint)


@pytest.mark.parametrize("model", ["", "poly"])
@pytest.mark.parametrize("hint", Hint)
def test_words_are_whole(hint: Hint, model: str) -> None:
    """No sentence keeps an unfilled placeholder."""
    said = str(hint_text(hint, PhoneProfile.for_model(BASE, model, per_number=False)))
    assert "%(" not in said
    assert not [name for _, name, _, _ in Formatter().parse(said) if name]


def test_what_works() -> None:
    """A search works if an answer has contacts. The root DSE and the entries above the contacts do not count."""
    assert Case().seen.has_contacts
    assert not Case(entries=0).seen.has_contacts
    assert not Case("(objectClass=*)", 1, scope=Scope.BASE_OBJECT, base="").seen.has_contacts
    assert not Case("(objectClass=*)", 1).seen.has_contacts
    assert not Case("(|(objectClass=*)(objectClass=top))", 2).seen.has_contacts
    assert Case("(objectClass=person)", 1).seen.has_contacts


def test_the_filter_is_shown_as_text() -> None:
    """The text is empty for an unreadable message."""
    assert Case().seen.filter == "(|(cn=mue*)(sn=mue*))"
    assert DecodedSearch(Case().seen.search).filter == ""


@pytest.mark.parametrize(
    ("model", "per_number", "expected"),
    [
        ("snom", False, PhoneProfile(BASE, "(&(objectClass=person)(|(cn=%*)(sn=%*)(o=%*)))")),
        ("yealink", True, replace(HABITS, wants_all_numbers=False)),
        (
            "cisco",
            False,
            PhoneProfile(
                BASE,
                "sn:(sn=$VALUE*)",
                "telephoneNumber:(telephoneNumber=$VALUE)",
                wants_all_numbers=False,
                has_limit=False,
                number_filter_shapes=frozenset(
                    (frozenset((("telephoneNumber", False),)), frozenset((("telephoneNumber", True),)))
                ),
            ),
        ),
        ("sangoma", False, HABITS),
        (
            "bria",
            False,
            PhoneProfile(
                BASE,
                "(objectClass=person)",
                "(objectClass=person)",
                has_limit=False,
                number_filter_shapes=frozenset((frozenset(),)),
            ),
        ),
        ("", False, replace(HABITS, name_filter="(&(objectClass=person)(|(cn=%*)(sn=%*)(o=%*)))")),
    ],
)
def test_the_habits_of_models(model: str, per_number: bool, expected: PhoneProfile) -> None:
    """An unknown model has the usual habits, but its filters keep the star."""
    assert PhoneProfile.for_model(BASE, model, per_number=per_number) == expected


@pytest.mark.parametrize(
    ("placeholder", "name_filter", "number_filter"),
    [
        ("$VALUE", "(&(objectClass=person)(|(cn=$VALUE*)(sn=$VALUE*)(o=$VALUE*)))", NUMBERS.format("$VALUE")),
        ("#", "(&(objectClass=person)(|(cn=#*)(sn=#*)(o=#*)))", NUMBERS.format("#")),
        ("none", "(objectClass=person)", "(objectClass=person)"),
    ],
)
def test_another_phone_has_its_own_placeholder(placeholder: str, name_filter: str, number_filter: str) -> None:
    """The hints print the filters with the login's placeholder. A known model gets the filters of its vendor."""
    login = PhoneLogin("desk1", "acme", None, NumberMode.VALUES, "", 0.0, placeholder=placeholder)
    profile = PhoneProfile.for_login(BASE, login)
    assert (profile.name_filter, profile.number_filter) == (name_filter, number_filter)
    assert str(hint_text(Hint.NUMBER_ALONE, profile)).endswith(f"Use {number_filter}")
    known = PhoneProfile.for_login(BASE, replace(login, model="yealink"))
    assert known == PhoneProfile.for_model(BASE, "yealink", per_number=False)


@pytest.mark.parametrize("name", ["whole with star", "its beginning"])
def test_a_phone_that_builds_its_filters_takes_no_better_one(name: str) -> None:
    case, (hint,) = CASES_OF_HINTS[name]
    assert find_hints(case.seen, HABITS) == (hint,)
    builds = PhoneProfile.for_model(BASE, "", per_number=False, placeholder="none")
    assert find_hints(case.seen, builds) == (Hint.NOTHING,)
