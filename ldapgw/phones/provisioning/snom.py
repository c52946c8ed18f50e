# SPDX-License-Identifier: MIT
"""Settings for Snom phones, and for Gigaset's desk phones with the same software, as XML.

From firmware 10.1.27 on the filter has to contain the star.  Older firmware adds a star; the directory reads two stars
as one, so one file suits both.
"""

from __future__ import annotations

from ldapgw.phones.provisioning.filters import NAME_ATTRIBUTES, name_filter, number_attributes, number_filter
from ldapgw.phones.provisioning.lines import element, nested_element, xml_document
from ldapgw.phones.provisioning.settings import MAX_HITS, LdapEndpoint, PhoneSettings, Security
from ldapgw.phones.provisioning.sheet import XML, Advice, Document, Vendor
from ldapgw.phrase import gettext_noop


def _write(settings: PhoneSettings, link: LdapEndpoint) -> str:
    values = {
        "ldap_server": link.host,
        "ldap_port": str(link.port),
        "ldap_over_tls": "on" if link.security is Security.LDAPS else "off",
        "ldap_base": settings.base_dn,
        "ldap_username": settings.login,
        "ldap_password": settings.password,
        "ldap_max_hits": str(MAX_HITS),
        "ldap_search_filter": name_filter("%*"),
        "ldap_number_filter": number_filter("%*"),
        "ldap_search_filter_during_call": name_filter("%*"),
        # The number of a caller is complete, so the filter has no star.
        "ldap_number_filter_during_call": number_filter("%"),
        "ldap_name_attributes": " ".join(NAME_ATTRIBUTES),
        "ldap_number_attributes": " ".join(number_attributes(per_number=settings.per_number)),
        "ldap_display_name": "%cn",
        "ldap_sort_results": "on",
        "ldap_predict_text": "on",
        "ldap_answer_timeout": "7000",
        "guess_number": "on",
        "guess_start_length": "3",
    }
    elements = (element(key, value, perm="") for key, value in values.items())
    return xml_document(nested_element("settings", [nested_element("phone-settings", elements)]))


_STEPS = (
    gettext_noop("On the phone, open Settings > Information > System info to see its IP address."),
    gettext_noop("Open http:// followed by that address in a browser on the same network, and sign in."),
    gettext_noop(
        "Go to Advanced > Update, choose the downloaded file under Upload Setting File manually, and click Load."
    ),
    gettext_noop("On the phone, press Directory, choose LDAP, and search for someone."),
)

SNOM = Vendor(
    key="snom",
    title="Snom",
    series="D7xx, D8xx, 7xx, PA1; Gigaset P7xx, P8xx",
    makes=("snom", "gigaset"),
    supported_security=(Security.LDAPS, Security.PLAIN),
    name_filter=name_filter("%*"),
    file="snom-ldap.xml",
    media_type=XML,
    write=_write,
    advice=(Advice.STAR_ADDED,),
    steps=_STEPS,
    documents=(
        Document(
            "LDAP Directory",
            "https://service.snom.com/display/wiki/LDAP+Directory",
            ("the settings",),
        ),
        Document(
            "Desk Phone Configuration Files",
            "https://service.snom.com/display/wiki/Desk+Phone+Configuration+Files",
            ("the format of the file",),
        ),
    ),
)
