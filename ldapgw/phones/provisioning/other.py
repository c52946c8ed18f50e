# SPDX-License-Identifier: MIT
"""Any other phone: what is to be entered, and the same as JSON for a template of one's own."""

from __future__ import annotations

import json
from collections.abc import Iterable

from ldapgw.phones.provisioning.filters import NAME_ATTRIBUTES, name_filter, number_attributes, number_filter
from ldapgw.phones.provisioning.settings import MAX_HITS, Link, Security, Settings
from ldapgw.phones.provisioning.sheet import JSON, Field, Vendor
from ldapgw.phrase import marked

_LABELS = {
    "server": marked("Server"),
    "port": marked("Port"),
    "security": marked("Encryption"),
    "url": marked("LDAP URL"),
    "base": marked("Search base"),
    "scope": marked("Search scope"),
    "user": marked("User name"),
    "user_dn": marked("User name as a DN"),
    "password": marked("Password"),
    "version": marked("LDAP version"),
    "name_filter": marked("Name filter"),
    "number_filter": marked("Number filter"),
    "name_attributes": marked("Name attributes"),
    "number_attributes": marked("Number attributes"),
    "display_name": marked("Display name"),
    "max_hits": marked("Maximum number of hits"),
}


def _fields(settings: Settings, link: Link) -> Iterable[Field]:
    for key, value in _values(settings, link).items():
        yield Field(_LABELS[key], " ".join(value) if isinstance(value, tuple) else str(value))


def _write(settings: Settings, link: Link) -> str:
    return json.dumps(_values(settings, link), ensure_ascii=False, indent=2) + "\n"


def _values(settings: Settings, link: Link) -> dict[str, str | int | tuple[str, ...]]:
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
    able=(Security.LDAPS, Security.STARTTLS, Security.PLAIN),
    file="ldap.json",
    media_type=JSON,
    write=_write,
    fields=_fields,
)
