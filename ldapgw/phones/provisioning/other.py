# SPDX-License-Identifier: MIT
"""Settings as fields to enter by hand: for phones with undocumented files, and for any other phone.

Any other phone also has them as JSON for the reader's own template.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from ldapgw.phones.provisioning.filters import (
    NAME_ATTRIBUTES,
    NUMBER_ATTRIBUTES,
    name_filter,
    number_attributes,
    number_filter,
)
from ldapgw.phones.provisioning.settings import (
    MAX_HITS,
    NO_PLACEHOLDER,
    PLACEHOLDERS,
    LdapEndpoint,
    PhoneSettings,
    Security,
)
from ldapgw.phones.provisioning.sheet import JSON, Advice, Document, Field, Vendor
from ldapgw.phrase import gettext_noop

_LABELS = {
    "server": gettext_noop("Server"),
    "port": gettext_noop("Port"),
    "security": gettext_noop("Encryption"),
    "url": gettext_noop("LDAP URL"),
    "base": gettext_noop("Search base"),
    "scope": gettext_noop("Search scope"),
    "user": gettext_noop("User name"),
    "user_dn": gettext_noop("User name as a DN"),
    "password": gettext_noop("Password"),
    "version": gettext_noop("LDAP version"),
    "name_filter": gettext_noop("Name filter"),
    "number_filter": gettext_noop("Number filter"),
    "name_attributes": gettext_noop("Name attributes"),
    "number_attributes": gettext_noop("Number attributes"),
    "display_name": gettext_noop("Display name"),
    "max_hits": gettext_noop("Maximum number of hits"),
}


# For a phone that builds its filters itself, and adds this one.
_ANYBODY = "(objectClass=person)"


def filters_for(placeholder: str) -> tuple[str, str]:
    """Return the name filter and the number filter for a phone of no known model.

    :param placeholder: one of `ldapgw.phones.provisioning.settings.PLACEHOLDERS`; empty: not known.
    """
    if placeholder == NO_PLACEHOLDER:
        return _ANYBODY, _ANYBODY
    text = placeholder or PLACEHOLDERS[0]
    # The name filter has the star if the phone does not add it; two stars do no harm.  In a number filter, the star
    # would make everybody of a caller without a number.
    name = text if text.startswith("%") and text != "%s" else f"{text}*"
    return name_filter(name), number_filter(text.removesuffix("*"))


_SECURITY = {Security.LDAPS: "LDAPS", Security.STARTTLS: "StartTLS", Security.PLAIN: gettext_noop("None")}


def _fields(settings: PhoneSettings, link: LdapEndpoint) -> Iterable[Field]:
    for key, value in _values(settings, link).items():
        if key == "security":
            yield Field(_LABELS[key], _SECURITY[link.security], is_choice=True)
            continue
        yield Field(_LABELS[key], " ".join(value) if isinstance(value, tuple) else str(value))


def _write(settings: PhoneSettings, link: LdapEndpoint) -> str:
    return json.dumps(_values(settings, link), ensure_ascii=False, indent=2) + "\n"


def _values(settings: PhoneSettings, link: LdapEndpoint) -> dict[str, str | int | tuple[str, ...]]:
    by_name, by_number = filters_for(settings.placeholder)
    return {
        "server": link.host,
        "port": link.port,
        "security": link.security.value,
        "url": link.url,
        "base": settings.base_dn,
        "scope": "subtree",
        "user": settings.login,
        "user_dn": settings.bind_dn,
        "password": settings.password,
        "version": 3,
        "name_filter": by_name,
        "number_filter": by_number,
        "name_attributes": NAME_ATTRIBUTES,
        "number_attributes": number_attributes(per_number=settings.per_number),
        "display_name": "%cn",
        "max_hits": MAX_HITS,
    }


# Where most phones have it.
_OTHER_STEPS = (
    gettext_noop("Find the phone’s IP address: usually in its menu under Status, Information or Network."),
    gettext_noop(
        "Open http:// followed by that address in a browser on the same network, and sign in as administrator."
    ),
    gettext_noop("Look for LDAP, often under Directory, Phonebook or Contacts, enter the values below, and save."),
    gettext_noop("On the phone, open the directory, and search for someone."),
)

OTHER = Vendor(
    key="other",
    title="Any other",
    series="",
    makes=(),
    supported_security=(Security.LDAPS, Security.STARTTLS, Security.PLAIN),
    name_filter=name_filter("%*"),
    file="ldap.json",
    media_type=JSON,
    write=_write,
    fields=_fields,
    steps=_OTHER_STEPS,
    plain_steps=(1, 2, 3, 4),
)


# --- Escene: "LDAP" page of the ES220, ES310, ES410 and 6xx manuals, whose examples have %s


def _escene(settings: PhoneSettings, link: LdapEndpoint) -> Iterable[Field]:
    yield Field("LDAP Name Filter", name_filter("%s"))
    yield Field("LDAP Number Filter", number_filter("%s"))
    yield Field("Server Address", link.host)
    yield Field("Port", str(link.port))
    yield Field("Base", settings.base_dn)
    yield Field("User Name", settings.login)
    yield Field("Password", settings.password)
    yield Field("Max.Hits", str(MAX_HITS))
    yield Field("LDAP Name Attributes", " ".join(NAME_ATTRIBUTES))
    yield Field("LDAP Number Attributes", " ".join(number_attributes(per_number=settings.per_number)))
    yield Field("LDAP Display Name", "%cn")
    yield Field("Protocol", "Version 3")


_ESCENE_STEPS = (
    gettext_noop("On the phone, open Menu > Status to see its IP address."),
    gettext_noop("Open http:// followed by that address in a browser on the same network, and sign in as admin."),
    gettext_noop("Go to Phone Book > LDAP, enter the values below, and save."),
    gettext_noop("On the phone, open Contacts, choose LDAP, and search for someone."),
)

ESCENE = Vendor(
    key="escene",
    title="Escene",
    series="ES2xx – ES6xx, CC800",
    makes=("escene",),
    supported_security=(Security.PLAIN,),
    name_filter=name_filter("%s"),
    number_filter=number_filter("%s"),
    fields=_escene,
    advice=(Advice.FIELDS_ALONE,),
    steps=_ESCENE_STEPS,
    documents=(
        Document(
            "CC800 user manual (a copy), p. 65",
            "https://manualshive.com/en/manual/escene/sayhi-cc800/2425807?page=65",
            ("the fields",),
        ),
    ),
)


# --- ALE: "Contact Manager → LDAP" of the H3P manual, p. 40; the phone builds its filters from the attributes


def _ale(settings: PhoneSettings, link: LdapEndpoint) -> Iterable[Field]:
    yield Field("LDAP Server Address", link.host)
    yield Field("LDAP Server Port", str(link.port))
    yield Field("LDAP Base", settings.base_dn)
    yield Field("LDAP User Name", settings.bind_dn)
    yield Field("LDAP Password", settings.password)
    yield Field("LDAP First Name", "givenName")
    yield Field("LDAP Last Name", "sn")
    for position, name in enumerate(number_attributes(per_number=settings.per_number), 1):
        yield Field(f"LDAP Phone Number {position}", name)
    yield Field("LDAP Max Hits(1-1000)", str(MAX_HITS))
    yield Field("LDAP Call Query Enable", "on")


_ALE_STEPS = (
    gettext_noop("On the phone, open Menu > Status to see its IP address."),
    gettext_noop("Open http:// followed by that address in a browser on the same network, and sign in as admin."),
    gettext_noop("Go to Contact Manager > LDAP, enter the values below, and save."),
    gettext_noop("On the phone, open the contacts, choose LDAP, and search for someone."),
)

ALE = Vendor(
    key="ale",
    title="Alcatel-Lucent Enterprise",
    series="Halo H3P, H3G, H6; Myriad M3, M5, M7, M8",
    makes=("ale",),
    supported_security=(Security.PLAIN,),
    name_filter="(|(givenName=%*)(sn=%*))",
    number_filter="(|(telephoneNumber=%*)(mobile=%*)(homePhone=%*)(givenName=%*)(sn=%*))",
    fields=_ale,
    advice=(Advice.FIELDS_ALONE,),
    steps=_ALE_STEPS,
    documents=(
        Document(
            "Halo H3P administrator manual (a copy), p. 41",
            "https://www.easymanua.ls/alcatel-lucent/halo-h3p/manual?p=41",
            ("Contact Manager > LDAP",),
            (3,),
        ),
    ),
)


# --- Bria: "Preferences – Directory" of its administrator guides; the search expression has no placeholder


def _bria(settings: PhoneSettings, link: LdapEndpoint) -> Iterable[Field]:
    work, mobile, home = NUMBER_ATTRIBUTES
    yield Field("Server", link.authority)
    yield Field("Use TLS", "off" if link.security is Security.PLAIN else "on")
    yield Field("Authentication method", "Simple")
    yield Field("Username", settings.bind_dn)
    yield Field("Password", settings.password)
    yield Field("Root DN", settings.base_dn)
    yield Field("Search expression", "(objectClass=person)")
    yield Field("Display name", "cn")
    yield Field("First name", "givenName")
    yield Field("Last name", "sn")
    yield Field("Work phone", work)
    yield Field("Mobile phone", mobile)
    yield Field("Home phone", home)


_BRIA_STEPS = (
    gettext_noop("In Bria, open Preferences > Directory."),
    gettext_noop("Choose LDAP as the type of the directory, enter the values below, and click OK."),
    gettext_noop("Open the directory tab, and search for someone."),
)

BRIA = Vendor(
    key="bria",
    title="Bria",
    series="Bria 4 and newer, Bria Enterprise",
    makes=("bria",),
    supported_security=(Security.LDAPS, Security.PLAIN),
    name_filter="(objectClass=person)",
    number_filter="(objectClass=person)",
    max_hits=False,
    fields=_bria,
    advice=(Advice.FIELDS_ALONE, Advice.SEARCH_ON_DEMAND, Advice.NO_CALLER_LOOKUP),
    steps=_BRIA_STEPS,
    documents=(
        Document(
            "Bria for Linux administrator guide (a copy), p. 28",
            "https://azmanual.top/manuals/557058/counterpath-bria-for-linux-administrator-guide.html?page=28",
            ("Preferences > Directory", "LDAP as the type", "the fields", "the directory tab"),
            (1, 2, 3),
        ),
    ),
)
