# SPDX-License-Identifier: MIT
"""Settings for Yealink phones, as ``key = value`` lines; phones need the first line exactly as written."""

from __future__ import annotations

from ldapgw.phones.provisioning.filters import NAME_ATTRIBUTES, name_filter, number_attributes, number_filter
from ldapgw.phones.provisioning.lines import NOT_VERIFIED, label, one_line
from ldapgw.phones.provisioning.settings import MAX_HITS, LdapEndpoint, PhoneSettings, Security
from ldapgw.phones.provisioning.sheet import Document, Vendor
from ldapgw.phrase import gettext_noop

_TLS_MODE = {Security.PLAIN: "0", Security.STARTTLS: "1", Security.LDAPS: "2"}
_UNVERIFIED = ("ldap.incoming_call_special_search.enable",)


def _write(settings: PhoneSettings, link: LdapEndpoint) -> str:
    values = {
        "ldap.enable": "1",
        "ldap.host": link.host,
        "ldap.port": str(link.port),
        "ldap.tls_mode": _TLS_MODE[link.security],
        "ldap.base": settings.base_dn,
        "ldap.user": settings.login,
        "ldap.password": settings.password,
        "ldap.name_filter": name_filter("%"),
        "ldap.number_filter": number_filter("%"),
        "ldap.name_attr": " ".join(NAME_ATTRIBUTES),
        "ldap.numb_attr": " ".join(number_attributes(per_number=settings.per_number)),
        "ldap.display_name": "%cn",
        "ldap.max_hits": str(MAX_HITS),
        "ldap.version": "3",
        "ldap.search_delay": "300",
        "ldap.call_in_lookup": "1",
        "ldap.call_out_lookup": "1",
        "ldap.ldap_sort": "1",
        "ldap.search_type": "0",
        "ldap.incoming_call_special_search.enable": "1",
        "ldap.numb_display_mode": "1",
        "ldap.customize_label": label(settings.title, 30),
        "directory_setting.ldap.enable": "1",
        "directory_setting.ldap.priority": "1",
        "search_in_dialing.ldap.enable": "1",
        "search_in_dialing.ldap.priority": "1",
    }
    lines = ["#!version:1.0.0.1"]
    for key, value in values.items():
        lines += [f"# {NOT_VERIFIED}:"] if key in _UNVERIFIED else []
        lines.append(f"{key} = {one_line(value)}".rstrip())
    return "\n".join(lines) + "\n"


_STEPS = (
    gettext_noop("On the phone, press OK (or Menu > Status) to see its IP address."),
    gettext_noop("Open http:// followed by that address in a browser on the same network, and sign in as admin."),
    gettext_noop(
        "Go to Settings > Configuration, choose the downloaded file under Import CFG Configuration File, "
        "and click Import. Or enter the values under Directory > LDAP."
    ),
    gettext_noop("On the phone, press Directory, open LDAP, and search for someone."),
)

YEALINK = Vendor(
    key="yealink",
    title="Yealink",
    series="T2x – T5x, CP, AX, W-DECT; Tiptel, Flyingvoice",
    makes=("yealink",),
    supported_security=(Security.LDAPS, Security.STARTTLS, Security.PLAIN),
    file="yealink-ldap.cfg",
    write=_write,
    unverified=_UNVERIFIED,
    steps=_STEPS,
    documents=(
        Document(
            "Administrator guide for SIP-T2, T4, T5 and CP (a copy), p. 162",
            "https://manualarchiveguide.com/manuals/Yealink-SIP-T54S-Administrator-s-Manual-4781963?page=162",
            ("<MAC>.cfg",),
        ),
        Document(
            "Administrator guide for VCM34 (a copy), p. 227",
            "https://easymanua.ls/yealink/vcm34/manual/411824?p=227",
            ("Directory > LDAP",),
        ),
    ),
)
