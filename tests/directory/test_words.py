# SPDX-License-Identifier: MIT
"""Several typed words: each begins a different word of one value, in any order; digits do the same on the keys."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ldapgw.contact import Contact
from ldapgw.directory import filter_matcher, name_folding
from ldapgw.directory.entry import Entry
from ldapgw.directory.filter import Approximate, Equality, Filter, Or, Substrings
from ldapgw.directory.inet_org_person import EntryFactory, ParentEntry
from ldapgw.directory.segment import INDEXED_FROM, Segment
from tests.support import work
from tests.support.examples import examples
from tests.support.filter_text import read_filter
from tests.support.phonebook import naming_context

PARENT = ParentEntry("ou=alice,dc=acme,dc=example", "acme/alice")
CONTEXT = naming_context()
# So many that a segment has an index.
OTHERS = [Contact(f"other{at}", name=f"Zzyzx Q{at}") for at in range(INDEXED_FROM)]


def entries_of(*contacts: Contact) -> list[Entry]:
    factory = EntryFactory(CONTEXT, PARENT, per_number=False)
    return [entry for contact in contacts for entry in factory.entries_of(contact).contact]


def is_found(sought: Filter, contact: Contact) -> bool:
    """Return True if a filter finds a contact, by the index as well as by a look at the contact's entry."""
    segment = Segment.build(entries_of(contact, *OTHERS))
    prepared = filter_matcher.prepare(sought, CONTEXT)
    query, predicate = prepared.plan(segment.index, segment.entries)
    candidates = segment.find_documents(query)
    found = [*candidates] if predicate is None else predicate.matching(candidates, segment.entries)
    assert found == [at for at, entry in enumerate(segment.entries) if prepared.predicate.matches(entry)]
    return contact.uid.encode() in [segment.entries[at].uid for at in found]


def begin(typed: str, *attributes: str) -> Filter:
    """Return a phone's filter while a name is typed."""
    return Or(tuple(Substrings(name, typed.encode(), (), None) for name in attributes or ("cn", "sn")))


def person(name: str) -> Contact:
    """Somebody whose last name is the last word of the name."""
    given_name, _, family_name = name.rpartition(" ")
    return Contact("c1", name=name, given_name=given_name, family_name=family_name)


@pytest.mark.parametrize(
    ("name", "found", "not_found"),
    [
        (
            "Peter Meier",
            ["pet mei", "mei p", "p m", "meier peter", "peter  meier", "peter\tmeier ", " me pe", "pe. me,", "p -- m"],
            ["mei mei", "mei meier", "pet mei x", "eter mei", "petermei", "p m p"],
        ),
        ("Ludwig van Beethovenson", ["ludwig beet", "beethovenson, ludwig van", "van lud", "l v b"], ["lud bon"]),
        ("Joe Fred Bloggsen", ["j f bloggsen", "joe bloggsen", "fred j"], ["joe joe", "f f"]),
        (
            "Dr. Karl-Heinz Schmidtke",
            ["karl schm", "heinz k", "schmidtke dr karl-h", "karlh schm", "k-h schm", "h-k schm", "k-h & schm"],
            ["karl karl s", "k & h-x schm"],
        ),
        ("Anna Maria Anna", ["anna anna", "an ann m", "anna maria a"], ["anna anna anna", "maria m"]),
        ("Abel Anna Arno", ["ab a", "a ab a", "ab a a", "ar ab a"], ["ab ab", "ab ab a", "a a ab ar"]),
        ("Pat O'Brien-Öz", ["obri pat", "o'br p", "o b oz", "pat oez", "öz-pat"], ["brien x", "oz oez"]),
        (
            "Jörg Müller-Lüdenscheidt",
            ["mue jör", "muell joer", "lud mul jo", "mül lüd", "müll-lüd jör", "j;lüd/mue"],
            ["mul mull", "mul mue"],
        ),
        ("Zoë Brontë", ["bron zoe", "zo br", "zoë bro"], ["zoi bro", "zo zoe"]),
        (
            "Jean-Luc de La Fontaine",
            ["fon jean", "la luc", "de la jea", "j-l fon", "fontaine,jean.luc"],
            ["de de", "j-l-l-l"],
        ),
        ("José María Aznar López", ["aznar jo", "lop mar", "j m a l"], ["jo jos"]),
        ("Łukasz Żółkiewski", ["zolk luk", "żół łuk"], ["luk zulk"]),
        ("Nguyễn Thị Minh", ["minh nguy", "thị mi"], ["ngu ngu"]),
        ("Ayşe Gül Yıldırım", ["yild ays", "gül a"], ["ayse a"]),
        ("Павел Смирновский", ["смир пав", "smir pav", "Смирн П"], ["пав пав", "smir смир"]),
        ("Юлия Фёдоровна Живкович", ["живк юл", "yul zhiv", "fedor yulia"], ["юл юлия"]),
        ("Γιάννης Γεωργιάδου", ["γεωργ γιαν", "georg giann"], ["γι γιαν γι"]),
        ("أحمد المحمدي", ["المح احم", "أح ال"], ["احمد احم"]),
        ("דוד כהן", ["כה דוד", "כהן ד"], ["כה כהן"]),
        ("田中太郎", ["太郎 田中", "郎 田"], ["中田 太郎", "田 田"]),
        ("王 小明", ["小明 王", "xiao wang"], ["王 王", "小 小明"]),
        ("김민수", ["minsu kim", "민수"], ["kim kim"]),
        ("สมชาย ใจดี", ["ใจ สม"], ["สม สมชาย"]),
        ("Anna Anna Łukasz أحمد", ["a a ł أ", "أ anna l an"], ["a a a ł", "أ أ"]),
        ("Łukasz Łukasz أحمد أحمد", ["ł ł أ أ", "l أ ł أ"], ["ł ł ł أ", "أ أ أ"]),
        ("🐶 Lisa Maus", ["maus lisa", "lisa 🐶 m"], ["🐶 🐶 x"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_typed_word_begins_another_word(name: str, found: list[str], not_found: list[str]) -> None:
    contact = person(name)
    assert [typed for typed in found if not is_found(begin(typed), contact)] == []
    assert [typed for typed in not_found if is_found(begin(typed), contact)] == []


@pytest.mark.parametrize(
    ("name", "found", "not_found"),
    [
        ("Peter Meier", ["meier peter", "Peter, Meier", "PETER  MEIER"], ["peter mei", "meier meier", "peter"]),
        ("Joe Fred Bloggsen", ["bloggsen joe", "fred joe", "bloggsen-fred joe"], ["joe bloggs", "joe joe"]),
        ("Jörg Müller", ["mueller joerg", "muller jorg"], ["jorg mull", "muell joerg"]),
        ("Pat O'Brien", ["obrien pat", "o'brien pat", "o brien pat"], ["brien's pat", "pat obri"]),
        ("Anna Maria Anna", ["anna anna", "anna maria"], ["maria maria", "anna ann"]),
        ("Павел Смирновский", ["смирновский павел", "pavel smirnovskiy"], ["смирн павел"]),
        ("王小明", ["小明 王", "王小明"], ["明王", "小明"]),
        ("Hans", ["hans", "Hans!"], ["hans hans", "han"]),
    ],
)
def test_of_an_equality_each_word_is_a_whole_word(name: str, found: list[str], not_found: list[str]) -> None:
    """A single word is all of the value, as before."""
    contact = person(name)
    assert [text for text in found if not is_found(Equality("cn", text.encode()), contact)] == []
    assert [text for text in not_found if is_found(Equality("cn", text.encode()), contact)] == []


def test_about_equal_is_a_value_with_all_words() -> None:
    """A single word need not be all of the value."""
    contact = person("Peter Paul Meier")
    found = [text for text in ("meier", "meier peter", "paul", "mei", "meier meier", "42")
             if is_found(Approximate("cn", text.encode()), contact)]  # fmt: skip
    assert found == ["meier", "meier peter", "paul"]


@pytest.mark.parametrize(
    ("sought", "found"),
    [
        ("(givenName=gre jan*)", True),
        ("(givenName=jan gre*)", True),
        ("(displayName=mei jan*)", True),
        ("(o=wer süd*)", True),
        ("(o=sued werk)", True),
        ("(o=werk wer*)", False),
        ("(cn=mausi bär*)", True),
        ("(cn=bar maus*)", True),
        ("(cn=mausi mei*)", False),
        ("(sn=tana ya*)", True),
        ("(title=ein lei*)", True),
        ("(ou=sou eur*)", True),
        ("(ou=europe south)", True),
        ("(l=york new*)", False),
        ("(mail=jan mei*)", True),
        ("(mail=jan.mei*)", True),
        ("(mail=mei.jan*)", False),
        ("(cn=jan*mei*)", True),
        ("(cn=mei*jan*)", True),
        ("(cn=*eier jan*)", True),
        ("(cn=*jan mei*)", False),
        ("(cn=jan gre mei*)", True),
        ("(cn=jan*mei gre*)", False),
    ],
)
def test_one_value_has_all_words(sought: str, found: bool) -> None:
    """A name, a nickname, a phonetic name, an organization or any other text; filters with several stars as before."""
    contact = Contact(
        "c1",
        name="Jan Gregor Meier",
        given_name="Jan Gregor",
        family_name="Meier",
        also=("Mausi Bär", "ヤマダ タナカ"),
        organization="Süd-Werk AG",
        department="Europe, South",
        title="Leiter Einkauf",
        emails=("jan.meier@work.example",),
    )
    assert is_found(read_filter(sought), contact) is found


@pytest.mark.parametrize(
    ("name", "found", "not_found"),
    [
        ("Anton Testarossa", ["2083", "8302", "26866083782", "837827677", "20837", "20", "830"], ["83083", "20208"]),
        ("Peter Meier", ["6340738", "7380634", "706", "634370738370"], ["6340634", "63407380634"]),
        ("Ludwig van Beethovenson", ["58302338", "2338058308"], ["583058"]),
        ("Stéphane Quentin", ["7837426", "78307836", "7836078"], ["78307830783"]),
        ("Joe Fred Bloggsen", ["563025", "503025", "2564056"], ["5630563"]),
        ("Jörg Müller-Lüdenscheidt", ["6850567", "68305637", "5830685"], ["68505830685"]),
        ("Zoë Brontë", ["276096", "9630276"], ["9640276"]),
        ("José María Aznar López", ["2905056", "627029"], ["29029"]),
        ("Łukasz Żółkiewski", ["96550585", "5850965"], ["5850585"]),
        ("Nguyễn Thị Minh", ["64640648", "8440648"], ["6480648"]),
        ("Ayşe Gül Yıldırım", ["9453029", "485029"], ["4850485"]),
        ("Pat O'Brien", ["6270728", "728062", "27430728"], ["27430274"]),
        ("Taxi 3000", ["829403000", "3000", "8294030", "30000829", "300082"], ["3001", "829403001"]),
        ("Hotel 007", ["468350007", "00704683", "007"], ["7", "08"]),
        ("Zone 30", ["300", "30", "300966", "96630300"], ["3030", "301"]),
        ("Павел Смирновский", ["6546552", "605", "522340654", "7280764", "764766875"], ["52205220", "6540654"]),
        ("Елена Ткачук", ["34352", "3430642", "6420343", "8520353"], ["3430343"]),
        ("Олексій Їжакевич", ["5434", "4324", "54304324", "4320543"], ["77"]),
        ("Ѓорѓи Ќосев", ["35634", "3560656", "25624", "45632"], ["3560356"]),
        ("Γιάννης Γεωργιάδου", ["239724", "2420239", "2390242"], ["239023902"]),
        ("Ελένη Παπαδοπούλου", ["353640727", "72720353", "727236"], ["3530353"]),
        ("أحمد المحمدي", ["3886857", "36850388", "3880368"], ["3880388"]),
        ("فاطمة الزهراء", ["83982", "83987", "38570839"], ["8390839"]),
        ("لؤي حسين", ["837", "877", "83706477", "64770877"], ["8370877"]),
        ("דוד כהן", ["222", "2220524", "5202"], ["2220222"]),
        ("יצחק רבין", ["5868", "58680735", "73540586"], ["5860586"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_digits_stand_for_letters_on_the_keys(name: str, found: list[str], not_found: list[str]) -> None:
    """In the name's own script, and in Latin letters; a zero is the gap between two words, or stands for itself."""
    contact = person(name)
    assert [typed for typed in found if not is_found(begin(typed), contact)] == []
    assert [typed for typed in not_found if is_found(begin(typed), contact)] == []


@pytest.mark.parametrize(
    ("sought", "found"),
    [
        ("(cn=*546*)", True),
        ("(cn=*6476*)", True),
        ("(cn=*234065*)", True),
        ("(cn=*444)", True),
        ("(cn=52*65*)", True),
        ("(cn=65*44)", True),
        ("(cn=*4*4)", True),
        ("(cn=*смир*44)", True),
        ("(cn=*0546*)", False),
        ("(cn=*999*)", False),
        ("(cn=*5223*5223*)", False),
        ("(cn=52234065465526444)", True),
        ("(cn=65465526444052234)", True),
        ("(cn=6546552644052234)", False),
        ("(cn=65465526444)", False),
        ("(sn=65465526444)", True),
        ("(cn~=65465526444)", True),
        ("(title=65)", False),
    ],
)
def test_digits_in_other_filters(sought: str, found: bool) -> None:
    """Between stars, of a whole value, and in an attribute that nobody dials."""
    contact = Contact("c1", name="Павел Смирновский", given_name="Павел", family_name="Смирновский", title="Ол")
    assert is_found(read_filter(sought), contact) is found


WORDS = [
    *("Anna", "Ann", "An", "a", "Maria", "Müller", "Mueller", "Muller", "Saez", "Zoë", "van", "den", "Berg", "Straße"),
    *(
        "O'Brien",
        "Hans-Peter",
        "Łukasz",
        "İpek",
        "Иван",
        "Иванов",
        "Юлия",
        "Γιώργος",
        "أحمد",
        "כהן",
        "田中",
        "王",
        "中",
    ),
    *("김민수", "สมชาย", "R2D2", "42", "420", "Aaron", "Maaß", "aae", "oe", "Jr."),
]
names = st.lists(st.sampled_from(WORDS), min_size=1, max_size=6)


@st.composite
def typed(draw: st.DrawFn) -> tuple[list[str], list[str]]:
    """The words of a name, and beginnings of some of them in any order."""
    words = draw(names)
    chosen = draw(st.permutations(words))[: draw(st.integers(1, len(words)))]
    return words, [word[: draw(st.integers(1, len(word)))] for word in chosen]


@settings(max_examples=examples(300), deadline=None)
@given(typed(), st.sampled_from((" ", "  ", ", ", "\t")), st.sampled_from((str, str.upper)))
def test_whoever_has_the_words_is_found(asked: tuple[list[str], list[str]], between: str, spell: type[str]) -> None:
    """By the beginnings of any of the words of a name, in any order; by one word more, nobody is found."""
    words, beginnings = asked
    contact = Contact("c1", name=" ".join(words), family_name=words[-1])
    assert is_found(begin(spell(between.join(beginnings)), "cn"), contact)
    assert not is_found(begin(between.join((*beginnings, "xq")), "cn"), contact)
    if len(beginnings) == len(words) and not any(map(_is_more_than_a_word, words)):
        assert not is_found(begin(between.join((*beginnings, beginnings[0])), "cn"), contact)


def _is_more_than_a_word(word: str) -> bool:
    """Return True if a word is found as several words, or in Latin letters too."""
    return any(" " in variant for variant in name_folding.variants(word)) or not word.isascii()


@settings(max_examples=examples(200), deadline=None)
@given(st.lists(st.sampled_from(["Peter", "Meier", "Anna", "Смирнов", "Γιάννης", "כהן", "Taxi", "x"]), min_size=1,
                max_size=4), st.data())  # fmt: skip
def test_whoever_has_the_keys_is_found(words: Sequence[str], data: st.DataObject) -> None:
    """By the keys of the beginnings of words, with zeros between them."""
    chosen = data.draw(st.permutations(words))[: data.draw(st.integers(1, len(words)))]
    keys = ["".join(name_folding.on_keys(name_folding.query_variants(word)[-1])) for word in chosen]
    digits = "0".join(key[: data.draw(st.integers(1, len(key)))] for key in keys)
    assert is_found(begin(digits, "cn"), Contact("c1", name=" ".join(words), family_name=words[-1]))


@pytest.mark.parametrize("typed", ["a b c d e f g h i", "a " * 100, "ab " * 20_000, "0".join("23456789" * 4)])
def test_of_many_words_no_more_is_asked(typed: str) -> None:
    """More than eight words have to stand in a row; however many they are, little work is done."""
    contact = Contact("c1", name="i h g f e d c b a", family_name="a")
    assert not is_found(begin(typed, "cn"), contact)
    assert is_found(begin("i h g f e d c b a", "cn"), contact)
    assert is_found(begin("h g f e d c b a", "cn"), contact)
    assert is_found(begin("b d a c f e g h", "cn"), contact)
    assert work.calls(lambda: filter_matcher.prepare(begin(typed, "cn"), CONTEXT)) < 1000


def test_a_name_of_many_words_is_found_by_any_two() -> None:
    """A name of a thousand characters has no more terms than the index can have for pairs."""
    words = [f"{first}{second}" for first in "abcdefghijklm" for second in "nopqrstuvwxyz"]
    contact = Contact("c1", name=" ".join(words), family_name="x")
    assert is_found(begin("mz an", "cn"), contact)
    assert is_found(begin("an bo cp dq er fs gt", "cn"), contact)
    assert not is_found(begin("an zz", "cn"), contact)
