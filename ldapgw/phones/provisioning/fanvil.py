# SPDX-License-Identifier: MIT
"""Settings for Fanvil phones, as XML, and for older firmware as lines of a name, a colon and a value."""

from __future__ import annotations

from functools import partial

from ldapgw.phones.provisioning.filters import NAME_ATTRIBUTES, NUMBER_ATTRIBUTES, name_filter, number_filter
from ldapgw.phones.provisioning.lines import element, label, nested_element, one_line, xml_document
from ldapgw.phones.provisioning.settings import MAX_HITS, LdapEndpoint, PhoneSettings, Security
from ldapgw.phones.provisioning.sheet import XML, Document, Vendor
from ldapgw.phrase import gettext_noop

_USE_SSL = {Security.PLAIN: "0", Security.LDAPS: "1", Security.STARTTLS: "2"}
_VERSION = "2.0000000000"
_SIMPLE = "3"


def _values(settings: PhoneSettings, link: LdapEndpoint) -> dict[str, str]:
    """Return the values by the name in a line; an XML element has the same name without blanks."""
    work, mobile, home = NUMBER_ATTRIBUTES
    return {
        "Title": label(settings.title, 31),
        "Server": link.host,
        "port": str(link.port),
        "Base": settings.base_dn,
        "Use SSL": _USE_SSL[link.security],
        "Version": "3",
        "In Call Search": "1",
        "Out Call Search": "1",
        "Authenticate": _SIMPLE,
        "Username": settings.login,
        "Password": settings.password,
        "Tel Attr": work,
        "Mobile Attr": mobile,
        "Other Attr": home,
        "Name Attr": " ".join(NAME_ATTRIBUTES),
        "Sort Attr": "cn",
        "Displayname": "cn",
        "Number Filter": number_filter("%"),
        "Name Filter": name_filter("%"),
        "Max Hits": str(MAX_HITS),
    }


def _xml(settings: PhoneSettings, link: LdapEndpoint) -> str:
    elements = (element(name.replace(" ", ""), value) for name, value in _values(settings, link).items())
    phone = nested_element("phone", [nested_element("ldap", elements, index="1")])
    return xml_document(nested_element("sysConf", [element("Version", _VERSION), phone]))


def _lines(settings: PhoneSettings, link: LdapEndpoint) -> str:
    lines = [f"{f'LDAP1 {name}':<25}:{one_line(value)}" for name, value in _values(settings, link).items()]
    head = (f"<<VOIP CONFIG FILE>>Version:{_VERSION}", "", "<PHONE FEATURE MODULE>", "--LDAP Config--    :")
    return "\n".join((*head, *lines, "<<END OF FILE>>")) + "\n"


_fanvil = partial(Vendor, supported_security=(Security.LDAPS, Security.STARTTLS, Security.PLAIN))

_FANVIL_STEPS = (
    gettext_noop("On the phone, open Menu > Status to see its IP address."),
    gettext_noop("Open http:// followed by that address in a browser on the same network, and sign in as admin."),
    gettext_noop(
        "Go to System > Configurations and choose the downloaded file under Import Configurations. Or enter the "
        "values under Phonebook > Cloud phonebook > LDAP Settings."
    ),
    gettext_noop("On the phone, open Contacts > Cloud Contacts, choose the directory, and search for someone."),
)

FANVIL = _fanvil(
    key="fanvil",
    title="Fanvil",
    series="X, V, H series, firmware 2.2.10 or newer; Swissvoice",
    makes=("fanvil",),
    file="fanvil-ldap.xml",
    media_type=XML,
    write=_xml,
    steps=_FANVIL_STEPS,
    documents=(
        Document(
            "X3 user manual (a copy), p. 58",
            "https://manualshive.com/ru/manual/fanvil/x3/543968?page=58",
            ("System > Configurations", "Phonebook > Cloud Phonebook"),
        ),
        Document(
            "LDAP operation guide (a copy)",
            "https://vdocument.in/ldap-operation-guide-ldap-is-short-for-lightweight-directory-access-protocol.html",
            (),
        ),
    ),
)
FANVIL_TEXT = _fanvil(
    key="fanvil-text",
    title="Fanvil (text)",
    series="older firmware, which needs a text file (does not work on the first-generation X3); Nethesis NP",
    makes=("fanvil",),
    file="fanvil-ldap.txt",
    write=_lines,
    steps=_FANVIL_STEPS,
    documents=(
        Document(
            "X3 user manual (a copy), p. 58",
            "https://manualshive.com/ru/manual/fanvil/x3/543968?page=58",
            ("System > Configurations", "Phonebook > Cloud Phonebook"),
        ),
        Document(
            "LDAP operation guide (a copy)",
            "https://vdocument.in/ldap-operation-guide-ldap-is-short-for-lightweight-directory-access-protocol.html",
            (),
        ),
    ),
)
