# SPDX-License-Identifier: MIT
"""Settings for Avaya phones: ``SET KEY value`` lines for the J100, web page fields for the B179.

A J100 logs in by SASL: PLAIN within TLS, which the gateway supports, or DIGEST-MD5, which the gateway does not support.
So a J100 needs TLS.
"""

from __future__ import annotations

from collections.abc import Iterable

from ldapgw.phones.provisioning.filters import NUMBER_ATTRIBUTES, name_filter
from ldapgw.phones.provisioning.lines import NOT_VERIFIED, quoted
from ldapgw.phones.provisioning.settings import MAX_HITS, LdapEndpoint, PhoneSettings, Security
from ldapgw.phones.provisioning.sheet import Advice, Document, Field, Vendor
from ldapgw.phrase import gettext_noop

# The chapter on the LDAP directory.
_J100_GUIDE = (
    "https://dev-docs.avaya.com/us/en/bundle/installandadminj100seriesipphoner4-1-x0/"
    "guid-c405f0a8-be68-42d9-9c10-b6d49a0f4913-en/guid-3da6d7f1-1285-48b2-85fd-e7b630baa28f-en"
)
_SECURE = {Security.STARTTLS: "1", Security.LDAPS: "2"}
_UNVERIFIED = ("DIRAUTHTYPE",)


def _j100(settings: PhoneSettings, link: LdapEndpoint) -> str:
    values = {
        "DIRENABLED_PLATFORM": "1",
        "DIRSRVR": link.host,
        "DIRSRVRPRT": str(link.port),
        "DIRTOPDN": quoted(settings.base_dn),
        "DIRSECURE": _SECURE[link.security],
        "DIRUSERNAME": settings.login,
        "DIRPASSWORD": settings.password,
        "DIRSEARCH_FIELDS": '"cn,sn,telephoneNumber"',
    }
    lines = [f"## {NOT_VERIFIED}: the value of DIRAUTHTYPE that means PLAIN; choose PLAIN on the phone's web page"]
    for key, value in values.items():
        lines += [f"## {NOT_VERIFIED}:"] if key in _UNVERIFIED else []
        lines.append(f"SET {key} {value}")
    return "\n".join(lines) + "\n"


def _b179(settings: PhoneSettings, link: LdapEndpoint) -> Iterable[Field]:
    yield Field("Name filter", name_filter("%*"))
    yield Field("Server URL", link.url)
    yield Field("Search base", settings.base_dn)
    yield Field("Username", settings.login)
    yield Field("Password", settings.password)
    yield Field("Max hits", str(MAX_HITS))
    yield Field("Display name", "%cn")
    yield Field("Sort results", "on")
    yield Field("Number attributes", " ".join(NUMBER_ATTRIBUTES))


_AVAYA_STEPS = (
    gettext_noop("Add the lines of the downloaded file to 46xxsettings.txt on your provisioning server."),
    gettext_noop(
        "On the phone, press Main menu, open Administration, enter the access code, and choose Reset or Restart "
        "phone, so that it reads the file."
    ),
    gettext_noop("On the phone, press Contacts, and search for someone."),
)

AVAYA = Vendor(
    key="avaya-j100",
    title="Avaya J100",
    series="J139, J159, J169, J179, J189",
    makes=("avaya",),
    supported_security=(Security.LDAPS, Security.STARTTLS),
    number_filter="(telephoneNumber=*%*)",
    file="avaya-j100-46xxsettings.txt",
    write=_j100,
    unverified=_UNVERIFIED,
    advice=(Advice.TRUST_LIST, Advice.NAME_CHARACTERS, Advice.NO_CALLER_LOOKUP),
    steps=_AVAYA_STEPS,
    documents=(
        Document(
            "J100 series: LDAP Directory configuration",
            f"{_J100_GUIDE}/guid-2afcfc96-465b-4916-ab88-e756121b7d77-en.html",
            ("46xxsettings.txt", "the names of the settings"),
            (1,),
        ),
        Document(
            "J100 series: LDAP Directory",
            f"{_J100_GUIDE}.html",
            ("Contacts, as the place of the search",),
            (3,),
        ),
    ),
)
# Settings > LDAP: Konftel 300IP user guide, p. 29.
_B179_STEPS = (
    gettext_noop("On the phone, press Menu and open Status > Network to see its IP address."),
    gettext_noop("Open http:// followed by that address in a browser on the same network, and sign in as Admin."),
    gettext_noop("Go to Settings > LDAP, enter the values below, and save."),
    gettext_noop("On the phone, open the external phone book, and search for someone."),
)

B179 = Vendor(
    key="avaya-b179",
    title="Avaya B179",
    series="B179; Konftel 300IP",
    makes=("avaya",),
    supported_security=(Security.LDAPS, Security.PLAIN),
    name_filter=name_filter("%*"),
    fields=_b179,
    advice=(Advice.FIELDS_ALONE, Advice.NO_CALLER_LOOKUP),
    steps=_B179_STEPS,
    documents=(
        Document(
            "B179 administration: LDAP settings",
            "https://documentation.avaya.com/en-us/home/bundle/ip-office/IPOfficeB179Admin/b179-settings-configuration/LDAPSettings.html",
            ("Settings > LDAP", "the fields"),
            (3,),
        ),
        Document(
            "B179 user guide (a copy), p. 19",
            "https://manualsdump.com/en/manuals/avaya-b179/256434/23",
            ("the external phone book",),
            (4,),
        ),
    ),
)
