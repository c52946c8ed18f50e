# SPDX-License-Identifier: MIT
"""Settings for Htek and Sangoma phones, as XML with P-codes."""

from __future__ import annotations

from ldapgw.phones.provisioning.filters import NAME_ATTRIBUTES, name_filter, number_attributes, number_filter
from ldapgw.phones.provisioning.lines import element, nested_element, xml_document
from ldapgw.phones.provisioning.settings import MAX_HITS, LdapEndpoint, PhoneSettings, Security
from ldapgw.phones.provisioning.sheet import XML, Document, Vendor
from ldapgw.phrase import gettext_noop

_VERSION_3 = "1"
_UNVERIFIED = ("P5441, whose value 1 is assumed to mean LDAP version 3",)


def _write(settings: PhoneSettings, link: LdapEndpoint) -> str:
    values = (
        ("P5430", "LDAP.NameFilter", name_filter("%")),
        ("P5431", "LDAP.NumberFilter", number_filter("%")),
        ("P5432", "LDAP.ServerAddress", link.host),
        ("P5433", "LDAP.Port", str(link.port)),
        ("P5434", "LDAP.Base", settings.base_dn),
        ("P5435", "LDAP.UserName", settings.login),
        ("P5436", "LDAP.Password", settings.password),
        ("P5437", "LDAP.Max.Hits", str(MAX_HITS)),
        ("P23136", "LDAP.NameAttributes", " ".join(NAME_ATTRIBUTES)),
        ("P23137", "LDAP.NumberAttributes", " ".join(number_attributes(per_number=settings.per_number))),
        ("P5440", "LDAP.DisplayName", "cn"),
        ("P5441", "LDAP.Protocol", _VERSION_3),
        ("P5442", "LDAP.SearchDelay", "300"),
        ("P5443", "LDAP.LookupForIncomingCall", "1"),
        ("P5444", "LDAP.SortingResults", "1"),
    )
    elements = (element(code, value, para=name) for code, name, value in values)
    return xml_document(
        nested_element("hl_provision", [nested_element("config", elements, version="1")], version="1"), _UNVERIFIED
    )


_STEPS = (
    gettext_noop("On the phone, press OK (or Menu > Status) to see its IP address."),
    gettext_noop("Open http:// followed by that address in a browser on the same network, and sign in as admin."),
    gettext_noop(
        "Go to Management > Configuration, and upload the downloaded file. Or enter the values under Directory > LDAP."
    ),
    gettext_noop("On the phone, press Directory, open LDAP, and search for someone."),
)

HTEK = Vendor(
    key="htek",
    title="Htek",
    series="UC9xx; Sangoma S, P",
    makes=("htek", "sangoma"),
    supported_security=(Security.PLAIN,),
    file="htek-ldap.xml",
    media_type=XML,
    write=_write,
    unverified=_UNVERIFIED,
    steps=_STEPS,
    documents=(
        Document(
            "UC900 series provisioning",
            "https://htekdesk.atlassian.net/wiki/spaces/PHONES/pages/25660908/UC900+Series+IP+Phones+Provisioning",
            ("cfg<MAC>.xml, in lower case", "Management > Configuration"),
        ),
    ),
)
