# SPDX-License-Identifier: MIT
"""Settings for any other phone, as fields to enter by hand, and as JSON for the reader's own template."""

from __future__ import annotations

import json
from collections.abc import Iterable

from ldapgw.phones.provisioning.filters import NAME_ATTRIBUTES, name_filter, number_attributes, number_filter
from ldapgw.phones.provisioning.settings import MAX_HITS, LdapEndpoint, PhoneSettings, Security
from ldapgw.phones.provisioning.sheet import JSON, Field, Vendor
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


def _fields(settings: PhoneSettings, link: LdapEndpoint) -> Iterable[Field]:
    for key, value in _values(settings, link).items():
        yield Field(_LABELS[key], " ".join(value) if isinstance(value, tuple) else str(value))


def _write(settings: PhoneSettings, link: LdapEndpoint) -> str:
    return json.dumps(_values(settings, link), ensure_ascii=False, indent=2) + "\n"


def _values(settings: PhoneSettings, link: LdapEndpoint) -> dict[str, str | int | tuple[str, ...]]:
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
        "name_filter": name_filter("%"),
        "number_filter": number_filter("%"),
        "name_attributes": NAME_ATTRIBUTES,
        "number_attributes": number_attributes(per_number=settings.per_number),
        "display_name": "%cn",
        "max_hits": MAX_HITS,
    }


OTHER = Vendor(
    key="other",
    title="Any other",
    series="",
    makes=(),
    supported_security=(Security.LDAPS, Security.STARTTLS, Security.PLAIN),
    file="ldap.json",
    media_type=JSON,
    write=_write,
    fields=_fields,
)
