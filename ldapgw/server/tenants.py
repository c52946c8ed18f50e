# SPDX-License-Identifier: MIT
"""Converts a configured tenant to the types by which the directory knows a tenant.

Each command imports this module: nothing here may need the sync or the pages, which take half a second to import.
"""

from __future__ import annotations

from ldapgw.directory import schema
from ldapgw.directory.dn import Dn, folded
from ldapgw.directory.naming_context import NamingContext
from ldapgw.numbers.numbering_plan import dialling
from ldapgw.server.config import Config, Tenant


def configure_aliases(config: Config) -> None:
    """Have the directory understand the names of attributes that tenants have configured, in this process."""
    schema.configure_aliases(attribute_aliases(config))


def attribute_aliases(config: Config) -> dict[str, str]:
    """The further names of attributes that tenants have configured, with the names of the attributes."""
    return {alias: name for tenant in config.tenant for alias, name in tenant.attribute_aliases}


def naming_context(tenant: Tenant) -> NamingContext:
    """The tenant for the directory."""
    return NamingContext(
        name=tenant.name,
        title=tenant.title or tenant.name,
        base=Dn.parse(tenant.base_dn),
        region=tenant.region,
        outside_line=tenant.outside_line,
        area_code=dialling(tenant.region).area_code(tenant.area_code),
        switchboard=tenant.switchboard and tenant.matching == "lenient",
        number_format=tenant.number_format,
        lenient=tenant.matching == "lenient",
        strip=tuple(affix.lower() for affix in tenant.strip),
        book_order=tuple(map(folded, tenant.book_order)),
        # Who is a favourite is known of the members of that branch.
        favourites=tenant.favourites or tenant.favourites_first,
        favourites_first=tenant.favourites_first,
        block_label=folded(tenant.block_label),
        photos=tenant.photos,
        groups={name: frozenset(map(folded, members)) for name, members in tenant.group},
    )
