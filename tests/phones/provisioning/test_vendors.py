# SPDX-License-Identifier: MIT
"""The files of all vendors match the known good files, parsers of the formats read them, and any value is safe."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import UndefinedError

from ldapgw.phones.description import MODELS
from ldapgw.phones.provisioning.settings import (
    MAX_HITS,
    PASSWORD_PLACEHOLDER,
    LdapEndpoint,
    Security,
    ServerAddress,
    choose_endpoint,
)
from ldapgw.phones.provisioning.sheet import fields_by_hand, make_sheet, render_value
from ldapgw.phones.provisioning.vendors import (
    FROM_OUR_NOTES,
    Advice,
    Field,
    Vendor,
    VendorDocument,
    all_vendors,
    vendors_of,
)
from ldapgw.web.i18n import languages
from tests.support.checkout import ROOT
from tests.support.golden import CA_URL, FOLDER, SERVER, SETTINGS, texts
from tests.support.vendor_rows import ROWS, read

PLAIN = replace(SETTINGS, server=ServerAddress("192.0.2.5", 389))
OFFERING = {
    "ldaps": ServerAddress("phonebook.example.com", 0, 636),
    "starttls": ServerAddress("phonebook.example.com", 389, start_tls=True, require_tls=True),
    "plain": ServerAddress("phonebook.example.com", 389),
}

every_vendor = pytest.mark.parametrize("key", all_vendors())


def test_a_vendor_is_two_files() -> None:
    """A vendor has a description, templates if the phones read files, and a position of its own."""
    vendors = all_vendors().values()
    templates = {f"{vendor.key}.j2" for vendor in vendors if vendor.file}
    templates |= {f"{vendor.key}.boot.j2" for vendor in vendors if vendor.boot_files}
    found = {path.name for path in (ROOT / "ldapgw" / "phones" / "vendors").iterdir()}
    assert found == {f"{vendor.key}.toml" for vendor in vendors} | templates
    assert len({vendor.position for vendor in vendors}) == len(vendors)


def test_a_mistyped_word_is_an_error() -> None:
    """A description refuses an unknown key, and a template refuses an unknown variable."""
    with pytest.raises(msgspec.ValidationError, match="unknown field `serie`"):
        msgspec.convert({**msgspec.to_builtins(all_vendors()["snom"]), "serie": "D7xx"}, Vendor)
    with pytest.raises(UndefinedError, match="'hots' is undefined"):
        render_value("{{ hots }}", {"host": "phonebook.example.com"})


def test_each_vendor_has_steps() -> None:
    """A vendor has three to five steps, and the last step is a search."""
    for vendor in all_vendors().values():
        assert 3 <= len(vendor.steps) <= 5, vendor.key
        assert "search for someone" in vendor.steps[-1], vendor.key


@every_vendor
def test_the_step_that_needs_the_file_is_named(key: str) -> None:
    """Pages offer the file at this step. Linphone fetches the file by itself, and values by hand need no file."""
    vendor = all_vendors()[key]
    if not vendor.file or vendor.fields or key == "linphone":
        assert vendor.file_step == 0
    else:
        assert "file" in vendor.steps[vendor.file_step - 1]
        assert not any("file" in step for step in vendor.steps[: vendor.file_step - 1])


@every_vendor
def test_a_step_is_confirmed_by_a_source_that_says_what_it_names(key: str) -> None:
    """A source has a unique title, and has words for confirmed steps. A plain step names no menus."""
    vendor = all_vendors()[key]
    numbers = set(range(1, len(vendor.steps) + 1))
    for source in vendor.sources:
        assert set(source.steps) <= numbers
        assert not source.steps or source.confirms
    assert len({source.title for source in vendor.sources}) == len(vendor.sources)
    for number in vendor.plain_steps:
        assert key == "other" or " > " not in vendor.steps[number - 1]
    assert bool(vendor.sources) == bool(vendor.sources_checked)
    assert re.fullmatch("(20[0-9]{2}-(0[1-9]|1[0-2]))?", vendor.sources_checked)


@pytest.mark.parametrize(
    ("confirmed", "plain", "unconfirmed", "note"),
    [
        ([], (), {1, 2, 3}, FROM_OUR_NOTES),
        ([(2,), (2, 3)], (), {1}, FROM_OUR_NOTES),
        ([(2,)], (1,), {3}, FROM_OUR_NOTES),
        ([(1,), (2, 3)], (), set(), ""),
        ([(3,)], (1, 2), set(), ""),
        ([], (1, 2, 3), set(), ""),
    ],
    ids=["none", "two of three", "one and a plain step", "all", "all but plain steps", "plain steps alone"],
)
def test_steps_that_no_source_confirms(
    confirmed: list[tuple[int, ...]], plain: tuple[int, ...], unconfirmed: set[int], note: str
) -> None:
    """A single line covers all unconfirmed steps. A confirmed step has a mark, and a plain step needs no source."""
    sources = tuple(VendorDocument(f"guide {at}", "", ("menus",), steps) for at, steps in enumerate(confirmed))
    texts = ("Open the menu.", "Load the file.", "Search.")
    messages = ("Open the *menu*.", *texts[1:])
    vendor = msgspec.structs.replace(all_vendors()["other"], steps=messages, plain_steps=plain, sources=sources)
    assert (vendor.unconfirmed_steps, vendor.steps_note) == (unconfirmed, note)
    marked = {step.number for step in vendor.setup_steps if step.marked_text == f"{texts[step.number - 1]} ✓"}
    assert marked == {number for steps in confirmed for number in steps}
    assert [step.text for step in vendor.setup_steps] == [*texts]


@every_vendor
def test_names_of_menus_are_marked(key: str) -> None:
    """Every language marks as many names as English, in pairs, with › between menus."""
    vendor = all_vendors()[key]
    for message in (*vendor.steps, *filter(None, [vendor.trust])):
        for language in languages().values():
            text = language.translate(message)
            names = text.split("*")[1::2]
            assert (text.count("*"), all(names)) == (message.count("*"), True), text
            assert " > " not in text
            assert text.count("›") == sum(name.count(" › ") for name in names), text
        assert message.count("*") % 2 == 0, message


# The vendors run these sites, also Htek's help desk and the Gigaset wiki.
VENDOR_SITES = {
    *("yealink.com", "snom.com", "grandstream.com", "poly.com", "polycom.com", "hp.com", "cisco.com", "webex.com"),
    *("fanvil.com", "gigaset.com", "mitel.com", "panasonic.com", "avaya.com", "konftel.com", "al-enterprise.com"),
    *("vtech.com", "vtechphones.com", "htek.com", "htekdesk.atlassian.net", "escene.cn", "akuvox.com"),
    *("counterpath.com", "linphone.org"),
}


@every_vendor
def test_links_lead_to_vendors_own_sites(key: str) -> None:
    """Sources on other sites have a title without a link."""
    links = [urlsplit(source.url) for source in all_vendors()[key].sources if source.url]
    assert {link.scheme for link in links} <= {"https"}
    foreign = [link.hostname for link in links if not _is_of_vendor(link.hostname or "")]
    assert foreign == []


def _is_of_vendor(host: str) -> bool:
    return any(host == site or host.endswith(f".{site}") for site in VENDOR_SITES)


def test_files_are_as_they_are_known_to_be_right() -> None:
    """The folder holds exactly the files that the vendors' templates make."""
    assert {file.name: file.read_text() for file in FOLDER.iterdir()} == dict(texts())


@every_vendor
def test_what_a_phone_reads(key: str) -> None:
    """The file has the settings, or a placeholder for a forgotten password.

    Every filter fits into the field of a phone.
    """
    values = read(make_sheet(all_vendors()[key], SETTINGS))
    assert values[ROWS[key].base] == SETTINGS.base_dn
    printed = "\n".join(values.values())
    assert SETTINGS.password in printed
    assert re.search(r"\bdesk1\b", printed)
    assert "phonebook.example.com" in printed
    assert all(len(value) < 99 for value in values.values() if value.startswith("("))
    forgotten = read(make_sheet(all_vendors()[key], replace(SETTINGS, password=PASSWORD_PLACEHOLDER)))
    assert any(PASSWORD_PLACEHOLDER in value for value in forgotten.values())


@pytest.mark.parametrize("model", MODELS)
def test_every_model_has_settings(model: str) -> None:
    """Each model has its own settings, because a phone would search for the placeholder of another phone literally."""
    assert all_vendors()["other"] not in vendors_of(model)


@pytest.mark.parametrize("offered", OFFERING)
@every_vendor
def test_the_safest_way_that_both_know(key: str, offered: str) -> None:
    """The file has the phone's own words for the security.

    Without a common way, the sheet prints nothing and says so.
    """
    made = make_sheet(all_vendors()[key], replace(SETTINGS, server=OFFERING[offered]))
    named, ways = ROWS[key].security
    if offered not in ways:
        assert (made.link, made.text, made.fields, made.advice) == (None, "", (), (Advice.NO_COMMON_SECURITY,))
        return
    assert made.link is not None
    assert made.link.security == offered
    values = read(made)
    assert " ".join(values[key] for key in _keys(named, values)) == ways[offered]


def _keys(named: str, values: Mapping[str, str]) -> list[str]:
    """Return a single key, which may have blanks, or several keys."""
    return [named] if named in values else named.split()


@every_vendor
def test_a_password_goes_in_clear_only_if_nothing_else_is_there(key: str) -> None:
    """Plain connections come last in the order of every vendor."""
    ways = all_vendors()[key].supported_security
    assert Security.PLAIN not in ways[:-1]


def test_ways_in_their_order() -> None:
    """The phone's preference counts. A gateway that requires TLS gets no plain connection."""
    everything = (Security.LDAPS, Security.STARTTLS, Security.PLAIN)
    start_tls = LdapEndpoint(Security.STARTTLS, "phonebook.example.com", 389)
    assert make_sheet(all_vendors()["linphone"], SETTINGS).link == start_tls
    assert choose_endpoint(SERVER, everything) == LdapEndpoint(Security.LDAPS, "phonebook.example.com", 636)
    assert choose_endpoint(replace(SERVER, tls_port=0), everything) == start_tls
    assert choose_endpoint(replace(SERVER, require_tls=True), (Security.PLAIN,)) is None
    assert choose_endpoint(ServerAddress("h", 0), everything) is None


def test_an_address_of_version_6() -> None:
    """Brackets surround an IPv6 address in front of a port."""
    server = ServerAddress("2001:db8::1", 389)
    mitel = read(make_sheet(all_vendors()["mitel"], replace(SETTINGS, server=server)))
    assert mitel["ldap server"].endswith("@[2001:db8::1]:389")
    assert (
        read(make_sheet(all_vendors()["poly"], replace(SETTINGS, server=server)))["dir.corp.address"]
        == "ldap://[2001:db8::1]"
    )


@pytest.mark.parametrize(
    ("key", "named", "values", "entries"),
    [
        ("yealink", "ldap.numb_attr", "telephoneNumber mobile homePhone", "telephoneNumber"),
        ("snom", "ldap_number_attributes", "telephoneNumber mobile homePhone", "telephoneNumber"),
        ("grandstream", "P8029", "telephoneNumber mobile homePhone", "telephoneNumber"),
        ("panasonic", "LDAP_NUMB_ATTRIBUTE", "telephoneNumber,mobile,homePhone", "telephoneNumber"),
        ("htek", "P23137", "telephoneNumber mobile homePhone", "telephoneNumber"),
        ("akuvox", "Config.Ldap.LDAP.NumberAttr", "telephoneNumber mobile homePhone", "telephoneNumber"),
        ("escene", "LDAP Number Attributes", "telephoneNumber mobile homePhone", "telephoneNumber"),
        ("vtech", "remoteDir.ldap_mobile_number_attributes", "mobile", ""),
        ("cisco-spa", "LDAP_Display_Attrs", "a=cn,n=Name;a=telephoneNumber,n=Number,t=p",
         "a=cn,n=Name;a=telephoneNumber,n=Number,t=p"),
        ("ale", "LDAP Phone Number 2", "mobile", ""),
        ("other", "number_attributes", "telephoneNumber mobile homePhone", "telephoneNumber"),
    ],
    ids=lambda value: value if value in all_vendors() else "",
)  # fmt: skip
def test_an_entry_for_each_number(key: str, named: str, values: str, entries: str) -> None:
    """An entry for a number has the number in one attribute, and the file asks only for this attribute."""
    server = replace(SETTINGS, server=ServerAddress("h", 389))
    assert read(make_sheet(all_vendors()[key], server))[named] == values
    assert read(make_sheet(all_vendors()[key], replace(server, per_number=True))).get(named, "") == entries


@pytest.mark.parametrize(
    ("key", "changed", "advice"),
    [
        ("yealink", {}, {"certificate", "old_tls"}),
        ("yealink", {"server": ServerAddress("192.0.2.5", 0, 636)}, {"certificate", "host_name", "old_tls"}),
        ("yealink", {"server": ServerAddress("192.0.2.5", 389)}, {"plain_here"}),
        ("yealink", {"server": ServerAddress("localhost", is_loopback=True)}, {"loopback", "plain_here"}),
        ("yealink", {"server": ServerAddress("h", is_port_guessed=True)}, {"guessed_port", "plain_here"}),
        ("avaya-j100", {"server": ServerAddress("localhost", is_loopback=True)}, {"loopback", "no_way"}),
        ("mitel", {}, {"plain_only", "number_fields", "no_caller_lookup"}),
        ("cisco-mpp", {}, {"certificate", "one_number", "caller_delay"}),
        ("gigaset-n510", {}, {"plain_only", "login_by_hand", "exact_number"}),
        ("grandstream-dp", {}, {"certificate"}),
        ("poly", {}, {"certificate", "no_caller_lookup", "licence"}),
        ("gigaset", {"login": "d" * 50}, {"certificate", "fields_alone", "exact_number"}),
        ("gigaset", {"login": "d" * 51}, {"certificate", "fields_alone", "exact_number", "name_length"}),
        ("cisco-spa", {}, {"plain_only", "no_caller_lookup", "one_number"}),
        ("cisco-spa", {"per_number": True}, {"plain_only", "no_caller_lookup"}),
        ("avaya-j100", {}, {"certificate", "no_caller_lookup"}),
        ("avaya-j100", {"login": "desk-1"}, {"certificate", "no_caller_lookup", "name_characters"}),
    ],
)
def test_advice(key: str, changed: dict[str, Any], advice: set[str]) -> None:
    """The advice follows from the phone and from the gateway."""
    assert {*make_sheet(all_vendors()[key], replace(SETTINGS, **changed)).advice} == advice


@every_vendor
def test_a_private_authority(key: str) -> None:
    """A private authority adds only its keys to the file. The sheet explains the trust if the connection uses TLS."""
    vendor, authority = all_vendors()[key], ROWS[key].authority
    public, private = make_sheet(vendor, SETTINGS), make_sheet(vendor, replace(SETTINGS, ca_url=CA_URL))
    assert read(private) == {**read(public), **authority}
    has_tls = vendor.supported_security != (Security.PLAIN,)
    assert (private.ca_url, bool(private.trust)) == (CA_URL if has_tls else "", has_tls)
    assert bool(authority) == vendor.trust.startswith("The settings file lets the phone load the certificate")
    assert has_tls or not vendor.trust
    for sheet in (public, make_sheet(vendor, replace(PLAIN, ca_url=CA_URL))):
        assert (sheet.ca_url, sheet.trust) == ("", "")
        assert not {*authority} & {*read(sheet)} if sheet.text else True


@every_vendor
def test_keys_that_are_not_verified_are_marked_in_the_file(key: str) -> None:
    """The file names the unverified keys in a comment."""
    vendor = all_vendors()[key]
    text = make_sheet(vendor, SETTINGS).text
    for named in vendor.unverified:
        told = f"not verified by ldapgw with such a phone:.*{re.escape(named)}"
        assert re.search(told, text, re.DOTALL)
    assert ("not verified" in text) == bool(vendor.unverified)


HOSTILE = (
    "</x>&\"'<!--",
    "a\nldap.host = evil\n",
    'a"\nSET DIRSRVR evil',
    "a\x00b\x1b[2J",
    "#a;b:c=d%e$VALUE",
    "\u202eevil",
    "",
)


@pytest.mark.parametrize("title", HOSTILE, ids=repr)
@every_vendor
def test_a_hostile_title_stays_a_value(key: str, title: str) -> None:
    """A hostile title changes no other value and adds nothing, and the file stays readable."""
    named = ROWS[key].title
    before = dict(read(make_sheet(all_vendors()[key], SETTINGS)))
    after = dict(read(make_sheet(all_vendors()[key], replace(SETTINGS, title=title))))
    shown = after[named] if named else "Contacts"
    # Handsets choose the directory by its name.
    titles = {key for key, value in before.items() if named and value == before[named]}
    assert after == before | dict.fromkeys(titles, shown)
    assert re.fullmatch(r"[^\n\x00\x1b\u202e]{1,31}", shown)


@settings(deadline=None)
@given(st.text(max_size=60))
def test_any_title_can_be_read(title: str) -> None:
    """The parser of every format reads a file with any title."""
    for vendor in all_vendors().values():
        assert read(make_sheet(vendor, replace(SETTINGS, title=title)))


@pytest.mark.parametrize("base", ['o=A\\"cme & <Co>,c=de', "o=A\\#1,c=de"], ids=["quotes", "sharp"])
@every_vendor
def test_a_base_with_awkward_signs(key: str, base: str) -> None:
    """The phone reads the same base. Formats without escapes have an apostrophe in place of a quotation mark."""
    found = read(make_sheet(all_vendors()[key], replace(SETTINGS, base_dn=base)))[ROWS[key].base]
    assert found.replace("\\'", '\\"') == base


@pytest.mark.parametrize(
    ("server", "told"),
    [
        (SERVER, "such a phone needs port 389, without TLS"),
        (OFFERING["ldaps"], "and cannot connect"),
        (OFFERING["plain"], ""),
    ],
    ids=["both ports", "TLS alone", "no TLS"],
)
def test_an_older_yealink_ignores_keys_that_its_firmware_does_not_know(server: ServerAddress, told: str) -> None:
    """Older phones connect without TLS, and the file names their port.

    The older key lets the phones look up dialled numbers.
    """
    made = make_sheet(all_vendors()["yealink"], replace(SETTINGS, server=server))
    before, _, _ = made.text.partition("ldap.tls_mode =")
    assert before.splitlines()[-1].endswith(f"{told}.") if told else "ignores" not in made.text
    known = {key: value for key, value in read(made).items() if key not in ROWS["yealink"].unknown}
    assert known["ldap.dial_lookup"] == known["ldap.call_in_lookup"] == "1"


def test_the_file_of_a_gigaset_n510_has_the_values_of_its_fields() -> None:
    """The file lacks user name and password, whose keys are unknown. Texts have quotation marks."""
    made = make_sheet(all_vendors()["gigaset-n510"], PLAIN)
    items = ElementTree.fromstring(made.text.encode()).iter("SYMB_ITEM")
    found = {item.attrib["ID"].rpartition(".")[2]: item.attrib["value"].strip('"') for item in items}
    fields = {field.label: field.value for field in made.fields}
    assert [found["aucServerURL[0]"], found["aucBaseDN[0]"], found["aucDirName[0]"]] == [
        fields[label] for label in ("Server address", "LDAP search base (BaseDN)", "Directory name")
    ]
    assert [found["NameFilter[0]"], found["NumberFilter[0]"]] == [fields["Name filter"], fields["Number filter"]]
    assert int(found["uiServerPort[0]"], 16) == int(fields["Server port"]) == 389
    assert int(found["uiMaxNrOfSearchEntries"], 16) == MAX_HITS
    keys = (
        "aucActivatedNetdirs[0]",
        *(f"aucNetdirSelFor{name}[%]" for name in ("DirectAccess", "IntKey", "AutoLookup")),
    )
    assert {found[key] for key in keys} == {"0xa"}
    assert PLAIN.password not in made.text


def test_what_is_entered_by_hand() -> None:
    """Phones without a known file get fields to enter by hand."""
    by_hand = {key for key, vendor in all_vendors().items() if not vendor.file}
    assert by_hand == {"gigaset", "avaya-b179", "ale", "escene", "bria"}
    assert Field("Max hits", str(MAX_HITS)) in make_sheet(all_vendors()["avaya-b179"], SETTINGS).fields


@every_vendor
def test_attributes_are_entered_by_hand_as_the_file_has_them(key: str) -> None:
    """Poly's file has a setting for each attribute. Avaya's file names attributes only for searches."""
    vendor = all_vendors()[key]
    entered = {field.label: field.value for field in fields_by_hand(make_sheet(vendor, SETTINGS), SETTINGS)}
    if vendor.fields or key in {"poly", "avaya-j100"}:
        assert vendor.attribute_fields == ()
        return
    printed = " ".join(read(make_sheet(vendor, SETTINGS)).values())
    labels = {"Name attributes", "Number attributes", "Display name", "Display attributes"} & {*entered}
    assert labels
    for label in labels:
        assert entered[label] in printed or all(word in printed.split() for word in entered[label].split())


def test_passwords_are_not_shown_by_accident() -> None:
    """A repr may get into a log, so the password is not in the repr."""
    assert SETTINGS.password not in repr(SETTINGS)
    assert PLAIN.password not in repr(PLAIN)
