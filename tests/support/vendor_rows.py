# SPDX-License-Identifier: MIT
"""The tests have a row for each vendor's phones.

A row says how the phone's file is read, what its most important keys are called, and what the phone sends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from ldapgw.phones.provisioning.sheet import Sheet
from tests.support import keypad, readers
from tests.support.golden import CA_URL
from tests.support.keypad import Keypad
from tests.support.readers import Values


@dataclass(frozen=True)
class Row:
    """The phones of one vendor.

    :ivar parse: reads the file as the phone does; None: there is no file.
    :ivar base: the key of the search base.
    :ivar security: the key of the connection's protection, or several keys with blanks between them, and their values
        for each protection that the phone has.
    :ivar keypad: what the phone sends.
    :ivar title: the key of the directory's name; empty: the phone has its own name for the directory.
    :ivar older: what a phone with older firmware sends.
    :ivar opens: whether the phone has a way to open the directory, by a key or a handset's choice; True: always.
    :ivar looks_up: whether the phone looks callers up.
    :ivar unknown: the keys that older firmware does not know.
    :ivar authority: the keys of a private authority's certificate, and their values; empty: the file has none.
    """

    parse: Callable[[str], Values] | None
    base: str
    security: tuple[str, Mapping[str, str]]
    keypad: Keypad
    title: str = ""
    older: Keypad | None = None
    opens: Callable[[Values], bool] = lambda _values: True
    looks_up: Callable[[Values], bool] = lambda _values: True
    unknown: frozenset[str] = frozenset()
    authority: Mapping[str, str] = field(default_factory=dict)


def having(**wanted: str) -> Callable[[Values], bool]:
    """Return a predicate that keys have these values; two underscores stand for a dot."""
    return lambda values: all(values.get(key.replace("__", ".")) == value for key, value in wanted.items())


def choosing(key: str, named: str) -> Callable[[Values], bool]:
    """Return a predicate that a key names the directory as another key does."""
    return lambda values: values.get(key) == values[named]


_SPA_GUIDE = "SPA300/500 administration guide, p. 268"
_MPP_GUIDE = "Cisco 8800 MPP administration guide, Parameters for LDAP Directory and Enable Reverse Name Lookup"
_LINPHONE = "{http://www.linphone.org/xsds/lpconfig.xsd}"
# Two series of these vendors differ only in what their rows replace.
_FANVIL_ROW = Row(
    readers.leaves("phone/ldap/*"), base="Base", title="Title",
    security=("UseSSL", {"ldaps": "1", "starttls": "2", "plain": "0"}),
    keypad=keypad.template("fusionpbx templates for Fanvil, shipped defaults", "NameFilter", "NumberFilter",
        "NameAttr", "TelAttr", "MobileAttr", "OtherAttr", limit="MaxHits"),
)  # fmt: skip
_GRANDSTREAM_ROW = Row(
    readers.leaves("config/*"), base="P8022", security=("P8037", {"ldaps": "1", "plain": "0"}),
    keypad=keypad.template("GRP26xx administration guide, p. 86", "P8026", "P8025", "P8028", "P8029", limit="P8031"),
    looks_up=having(P8035="1"),
)  # fmt: skip
_GIGASET_ROW = Row(
    None, base="LDAP search base (BaseDN)", title="Directory name",
    security=("Secure LDAP", {"ldaps": "SSL/TLS", "plain": "off"}),
    keypad=keypad.template("teamwork.gigaset.com, pages 665193859 and 674202159", "Name filter", "Number filter",
        "First name", "Surname", "Phone (home)", "Phone (office)", "Phone (mobile)"),
    opens=choosing("Directory key, Automatic look-up", "Directory name"),
    looks_up=choosing("Directory key, Automatic look-up", "Directory name"),
)  # fmt: skip

ROWS: Mapping[str, Row] = {
    "yealink": Row(
        readers.yealink, base="ldap.base", title="ldap.customize_label",
        security=("ldap.tls_mode", {"ldaps": "2", "starttls": "1", "plain": "0"}),
        keypad=keypad.template("T4x manual, p. 277", "ldap.name_filter", "ldap.number_filter", "ldap.name_attr",
            "ldap.numb_attr", limit="ldap.max_hits"),
        opens=having(ldap__enable="1", directory_setting__ldap__enable="1"), looks_up=having(ldap__call_in_lookup="1"),
        unknown=frozenset(("ldap.tls_mode", "ldap.call_out_lookup", "ldap.incoming_call_special_search.enable")),
        authority={f"{static}{key}": value for static in ("static.", "") for key, value in (
            ("trusted_certificates.url", CA_URL), ("security.trust_certificates", "1"))},
    ),
    "snom": Row(
        readers.snom, base="ldap_base", authority={"certificate": CA_URL[:-3] + "der"},
        security=("ldap_over_tls", {"ldaps": "on", "plain": "off"}),
        # New firmware adds no star; old firmware does.
        keypad=keypad.template("service.snom.com, LDAP Directory", "ldap_search_filter", "ldap_number_filter",
            "ldap_name_attributes", "ldap_number_attributes", caller="ldap_number_filter_during_call", star="",
            limit="ldap_max_hits"),
        older=keypad.template("service.snom.com, LDAP Directory, before 10.1.27", "ldap_search_filter",
            "ldap_number_filter", "ldap_name_attributes", "ldap_number_attributes"),
        opens=having(dkey_directory="keyevent F_DIRECTORY_SEARCH"),
    ),
    "grandstream": _GRANDSTREAM_ROW,
    "grandstream-names": Row(
        readers.leaves("config/item", "name"), base="ldap.base",
        security=("ldap.protocol", {"ldaps": "LDAPS", "plain": "LDAP"}),
        keypad=keypad.template("fusionpbx templates for GRP261x, GXV3370 and WP8x6", "ldap.ldapNameFilter",
            "ldap.ldapNumberFilter", "ldap.ldapNameAttributes", "ldap.ldapNumberAttributes", limit="ldap.maxHits"),
        looks_up=having(ldap__ldapLookup="Yes"),
    ),
    "grandstream-dp": replace(_GRANDSTREAM_ROW, opens=having(P27002="1")),
    "poly": Row(
        readers.poly, base="dir.corp.baseDN", security=("dir.corp.transport", {"ldaps": "TLS", "plain": "TCP"}),
        keypad=Keypad("glauth issue 441, logged from a VVX 450", keypad.poly),
        opens=having(feature__corporateDirectory__enabled="1", softkey__feature__directories="1"),
    ),
    "cisco-mpp": Row(
        readers.leaves("*"), base="LDAP_Search_Base", title="LDAP_Corp_Dir_Name",
        security=("LDAP_Server LDAP_StartTLS_Enable", {"ldaps": "ldaps://phonebook.example.com:636 No",
            "starttls": "ldap://phonebook.example.com:389 Yes", "plain": "ldap://phonebook.example.com:389 No"}),
        keypad=Keypad(_MPP_GUIDE, keypad.cisco_field("LDAP_Last_Name_Filter"),
            keypad.cisco_field("LDAP_Item_3_Filter")),
        opens=having(LDAP_Dir_Enable="Yes", LDAP_Unified_Search_Enable="Yes"),
        looks_up=having(Reverse_Phone_Lookup_Serv="Yes"), authority={"Custom_CA_Rule": CA_URL},
    ),
    "cisco-spa": Row(
        readers.leaves("*"), base="LDAP_Search_Base", title="LDAP_Corp_Dir_Name",
        security=("LDAP_Server", {"plain": "phonebook.example.com:389"}),
        keypad=Keypad(_SPA_GUIDE, keypad.cisco_field("LDAP_Last_Name_Filter"),
            digits=keypad.cisco_field("LDAP_Item_4_Filter")),
    ),
    "fanvil": _FANVIL_ROW,
    "fanvil-text": replace(_FANVIL_ROW, parse=readers.fanvil_lines),
    "gigaset": _GIGASET_ROW,
    "gigaset-n510": replace(_GIGASET_ROW, security=("Secure LDAP", {"plain": "off"})),
    "gigaset-maxwell": Row(
        readers.maxwell, base="NetDir.LDAP.0.BaseDN", title="NetDir.LDAP.0.DirectoryName",
        security=("NetDir.LDAP.0.Security", {"ldaps": "2", "starttls": "1", "plain": "0"}),
        keypad=keypad.template("tancredi template for the Maxwell", *(f"NetDir.LDAP.0.{key}" for key in ("NameFilter",
            "NumberFilter", "FirstName", "Surname", "PhoneHome", "PhoneOffice", "PhoneMobile"))),
    ),
    "mitel": Row(
        readers.mitel, base="ldap base dn",
        security=("ldap server", {"plain": "desk1:0123456789abcdefghjk@phonebook.example.com:389"}),
        keypad=Keypad("6800i administrator guide, A-113", keypad.mitel),
    ),
    "panasonic": Row(
        readers.panasonic, base="LDAP_BASEDN",
        security=("LDAP_SERVER", {"ldaps": "ldaps://phonebook.example.com", "plain": "ldap://phonebook.example.com"}),
        keypad=keypad.template("SARK template for KX-HDV", "LDAP_NAME_FILTER", "LDAP_NUMB_FILTER",
            "LDAP_NAME_ATTRIBUTE", "LDAP_NUMB_ATTRIBUTE", limit="LDAP_MAXRECORD"),
        authority={"LDAP_ROOT_CERT_PATH": CA_URL},
    ),
    "htek": Row(
        readers.leaves("config/*"), base="P5434", security=("P5433", {"plain": "389"}),
        keypad=keypad.template("fusionpbx templates for Htek", "P5430", "P5431", "P23136", "P23137", limit="P5437"),
    ),
    "avaya-j100": Row(
        readers.avaya, base="DIRTOPDN", security=("DIRSECURE", {"ldaps": "2", "starttls": "1"}),
        keypad=Keypad("J100 4.1, DIRSEARCH_FIELDS", keypad.avaya),
    ),
    "avaya-b179": Row(
        None, base="Search base", security=("Server URL", {"ldaps": "ldaps://phonebook.example.com:636",
            "plain": "ldap://phonebook.example.com:389"}),
        keypad=Keypad("B179 installation guide, p. 29", keypad.template("", "Name filter", "", "Display name",
            "Number attributes", star="").name),
    ),
    "ale": Row(
        None, base="LDAP Base", security=("LDAP Server Port", {"plain": "389"}),
        keypad=Keypad("Halo H3P manual, p. 41", keypad.ale,
            lambda values, calls: keypad.ale(values, calls) if calls else None, keypad.ale),
    ),
    "akuvox": Row(
        lambda text: readers.ini(text, "="), base="Config.Ldap.LDAP.Root",
        security=("Config.Ldap.LDAP.Port", {"ldaps": "636", "plain": "389"}),
        keypad=keypad.template("tancredi template for Akuvox", *(f"Config.Ldap.LDAP.{key}" for key in ("NameFilter",
            "NumberFilter", "NameAttr", "NumberAttr")), sign="#", limit="Config.Ldap.LDAP.MaxHits"),
    ),
    "escene": Row(
        None, base="Base", security=("Port", {"plain": "389"}),
        keypad=keypad.template("ES220 manual, p. 49", "LDAP Name Filter", "LDAP Number Filter", "LDAP Name Attributes",
            "LDAP Number Attributes", sign="%s", limit="Max.Hits"),
    ),
    "vtech": Row(
        lambda text: readers.ini(text, "="), base="remoteDir.ldap_base", title="remoteDir.ldap_directory_name",
        security=("remoteDir.ldap_port", {"plain": "389"}),
        keypad=Keypad("VSP735 administrator manual, p. 65", keypad.vtech, keypad.vtech_caller),
    ),
    "linphone": Row(
        readers.leaves(f"{_LINPHONE}section[@name='ldap_0']/{_LINPHONE}entry", "name"), base="base_object",
        security=("use_tls", {"ldaps": "0", "starttls": "1", "plain": "0"}),
        keypad=Keypad("liblinphone, src/ldap/ldap-contact-search.cpp", keypad.linphone, keypad.linphone_caller),
    ),
    "bria": Row(
        None, base="Root DN", security=("Use TLS", {"ldaps": "on", "plain": "off"}),
        keypad=Keypad("Bria 4 configuration guide, 2.12", keypad.bria),
    ),
    "other": Row(
        readers.read_json, base="base",
        security=("security", {"ldaps": "ldaps", "starttls": "starttls", "plain": "plain"}),
        # The star for names is in the filter; a phone that adds one too, for names and for digits, is `older`.
        keypad=Keypad("a phone that sends what is typed", keypad.template("", "name_filter", "number_filter",
            "name_attributes", "number_attributes", star="").name, keypad.template("", "name_filter", "number_filter",
            "name_attributes", "number_attributes").caller),
        older=keypad.template("what most phones do", "name_filter", "number_filter", "name_attributes",
            "number_attributes"),
    ),
}  # fmt: skip


def read(sheet: Sheet) -> Values:
    """Return the values that a phone reads of its sheet, or that somebody enters if there is no file."""
    parse = ROWS[sheet.vendor.key].parse
    return parse(sheet.text) if parse else {field.label: field.value for field in sheet.fields}
