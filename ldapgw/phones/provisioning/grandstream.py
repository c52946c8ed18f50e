# SPDX-License-Identifier: MIT
"""Settings for Grandstream phones, as XML with P-codes; GRP phones have names for settings, but also accept P-codes.

DP bases take attributes without percent signs as the name to show (DP750 template), all others with them.
"""

from __future__ import annotations

from functools import partial

from ldapgw.phones.provisioning.filters import name_filter, number_attributes, number_filter
from ldapgw.phones.provisioning.lines import element, nested_element, xml_document
from ldapgw.phones.provisioning.settings import MAX_HITS, LdapEndpoint, PhoneSettings, Security
from ldapgw.phones.provisioning.sheet import XML, Advice, Document, Vendor
from ldapgw.phrase import gettext_noop

_UNVERIFIED = ("the P-codes of GXV, WP and GHP phones, which are assumed to equal those of GXP and GRP phones",)


def _write(settings: PhoneSettings, link: LdapEndpoint, *, shown: str, unverified: tuple[str, ...] = ()) -> str:
    values = {
        "P8037": "1" if link.security is Security.LDAPS else "0",
        "P8020": link.host,
        "P8021": str(link.port),
        "P8022": settings.base_dn,
        "P8023": settings.login,
        "P8024": settings.password,
        "P8025": number_filter("%"),
        "P8026": name_filter("%"),
        "P8027": "3",
        "P8028": "cn sn",
        "P8029": " ".join(number_attributes(per_number=settings.per_number)),
        "P8030": shown,
        "P8031": str(MAX_HITS),
        "P8032": "30",
        "P8033": "1",
        "P8034": "1",
        "P8035": "1",
        "P8036": shown,
    }
    elements = (element(key, value) for key, value in values.items())
    config = nested_element("config", elements, version="1")
    return xml_document(nested_element("gs_provision", [config], version="1"), unverified)


_grandstream = partial(
    Vendor,
    makes=("grandstream",),
    supported_security=(Security.LDAPS, Security.PLAIN),
    media_type=XML,
)

_GRANDSTREAM_STEPS = (
    gettext_noop("On the phone, open Menu > Status > Network Status to see its IP address."),
    gettext_noop("Open http:// followed by that address in a browser on the same network, and sign in as admin."),
    gettext_noop(
        "Go to Maintenance > Upgrade and Provisioning and upload the downloaded file under Upload Device "
        "Configuration. Or enter the values under Phonebook > LDAP."
    ),
    gettext_noop("On the phone, open Menu > Phonebook > LDAP Directory, and search for someone."),
)

GRANDSTREAM = _grandstream(
    key="grandstream",
    title="Grandstream",
    series="GXP, GRP, GXV, WP, GHP",
    file="grandstream-ldap.xml",
    write=partial(_write, shown="%cn", unverified=_UNVERIFIED),
    unverified=_UNVERIFIED,
    advice=(Advice.OLD_FIRMWARE,),
    steps=_GRANDSTREAM_STEPS,
    documents=(
        Document(
            "LDAP guide",
            "https://documentation.grandstream.com/knowledge-base/ldap-guide/",
            ("the settings",),
        ),
        Document(
            "SIP device provisioning guide",
            "https://documentation.grandstream.com/knowledge-base/sip-device-provisioning-guide/",
            ("cfg<MAC>.xml, in lower case",),
        ),
    ),
)
_GRANDSTREAM_DP_STEPS = (
    gettext_noop(
        "Find the IP address of the base in the list of devices on your router, or on a handset under Menu > Status > "
        "Base Station."
    ),
    gettext_noop("Open http:// followed by that address in a browser on the same network, and sign in as admin."),
    gettext_noop(
        "Go to Maintenance > Upgrade and upload the downloaded file under Upload Device Configuration. Then choose "
        "LDAP under Global Phonebook."
    ),
    gettext_noop("On a handset, open the global phonebook, and search for someone."),
)

GRANDSTREAM_DP = _grandstream(
    key="grandstream-dp",
    title="Grandstream DP",
    series="DP750, DP752, DP760",
    file="grandstream-dp-ldap.xml",
    write=partial(_write, shown="cn"),
    advice=(Advice.GLOBAL_PHONEBOOK,),
    steps=_GRANDSTREAM_DP_STEPS,
    documents=(
        Document(
            "LDAP guide",
            "https://documentation.grandstream.com/knowledge-base/ldap-guide/",
            ("the settings",),
        ),
        Document(
            "DP750 administration guide (a copy), p. 64",
            "https://www.manualshelf.com/manual/grandstream/dp750-dp720/application-guide-english/page-64.html",
            ("LDAP as the type of the global phonebook",),
        ),
        Document(
            "SIP device provisioning guide",
            "https://documentation.grandstream.com/knowledge-base/sip-device-provisioning-guide/",
            ("cfg<MAC>.xml, in lower case",),
        ),
    ),
)
