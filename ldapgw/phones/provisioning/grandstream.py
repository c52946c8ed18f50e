# SPDX-License-Identifier: MIT
"""Settings for Grandstream phones, as XML with P-codes; GRP phones read P-codes as well as their item names."""

from __future__ import annotations

from ldapgw.phones.provisioning.filters import name_filter, number_attributes, number_filter
from ldapgw.phones.provisioning.lines import element, nested_element, xml_document
from ldapgw.phones.provisioning.settings import MAX_HITS, LdapEndpoint, PhoneSettings, Security
from ldapgw.phones.provisioning.sheet import XML, Advice, Vendor


def _write(settings: PhoneSettings, link: LdapEndpoint) -> str:
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
        "P8030": "%cn",
        "P8031": str(MAX_HITS),
        "P8032": "30",
        "P8033": "1",
        "P8034": "1",
        "P8035": "1",
        "P8036": "%cn",
    }
    elements = (element(key, value) for key, value in values.items())
    return xml_document(nested_element("gs_provision", [nested_element("config", elements, version="1")], version="1"))


GRANDSTREAM = Vendor(
    key="grandstream",
    title="Grandstream",
    series="GXP, GRP, GXV, DP, WP, GHP",
    makes=("grandstream",),
    supported_security=(Security.LDAPS, Security.PLAIN),
    file="grandstream-ldap.xml",
    media_type=XML,
    write=_write,
    advice=(Advice.OLD_FIRMWARE,),
)
