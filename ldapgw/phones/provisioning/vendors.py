# SPDX-License-Identifier: MIT
"""The vendors whose phones the gateway can set up, in the order of the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ldapgw.phones.provisioning.akuvox import AKUVOX
from ldapgw.phones.provisioning.avaya import AVAYA, B179
from ldapgw.phones.provisioning.cisco import CISCO_MPP, CISCO_SPA
from ldapgw.phones.provisioning.fanvil import FANVIL, FANVIL_TEXT
from ldapgw.phones.provisioning.gigaset import GIGASET, GIGASET_N510, MAXWELL
from ldapgw.phones.provisioning.grandstream import GRANDSTREAM, GRANDSTREAM_DP
from ldapgw.phones.provisioning.htek import HTEK
from ldapgw.phones.provisioning.linphone import LINPHONE
from ldapgw.phones.provisioning.mitel import MITEL
from ldapgw.phones.provisioning.other import ALE, BRIA, ESCENE, OTHER
from ldapgw.phones.provisioning.panasonic import PANASONIC
from ldapgw.phones.provisioning.poly import POLY
from ldapgw.phones.provisioning.settings import PhoneSettings
from ldapgw.phones.provisioning.sheet import Field, Vendor, make_sheet
from ldapgw.phones.provisioning.snom import SNOM
from ldapgw.phones.provisioning.vtech import VTECH
from ldapgw.phones.provisioning.yealink import YEALINK

_ALL = (
    *(YEALINK, SNOM, GRANDSTREAM, GRANDSTREAM_DP, POLY, CISCO_MPP, CISCO_SPA, FANVIL, FANVIL_TEXT),
    *(GIGASET, GIGASET_N510, MAXWELL, MITEL, PANASONIC, HTEK, AVAYA, B179, ALE, AKUVOX, ESCENE, VTECH),
    *(LINPHONE, BRIA, OTHER),
)

# What a person enters in nearly every phone, by the labels of `OTHER`.
_GENERAL_FIELDS = ("Server", "Port", "Encryption", "Search base", "User name", "Password")

VENDORS: Mapping[str, Vendor] = {vendor.key: vendor for vendor in _ALL}


def vendors_of(model: str) -> tuple[Vendor, ...]:
    """Return the vendors that fit a model, the likeliest first; `OTHER` if none fits.

    :param model: a key of `ldapgw.phones.models.MODELS`; empty if unknown.
    """
    candidates = [vendor for vendor in _ALL if model in vendor.makes]
    # Gigaset's desk phones, which run Snom's software, are the fewest of Gigaset's phones.
    return tuple(sorted(candidates, key=lambda vendor: vendor.makes[0] != model)) or (OTHER,)


def fields_by_hand(vendor: Vendor, settings: PhoneSettings) -> tuple[Field, ...]:
    """What a person enters in a phone of a vendor: the vendor's fields, or those that nearly every phone has.

    Empty if gateway and phone support no common protection.
    """
    if vendor is OTHER:
        return make_sheet(OTHER, settings).fields
    sheet = make_sheet(vendor, settings)
    if sheet.link is None or sheet.fields:
        return sheet.fields
    general = make_sheet(replace(OTHER, supported_security=vendor.supported_security), settings).fields
    filters = {"Name filter": vendor.name_filter, "Number filter": vendor.number_filter}
    chosen = (field for field in general if field.label in _GENERAL_FIELDS or field.label in filters)
    return tuple(replace(field, value=filters.get(field.label, field.value)) for field in chosen)


def has_our_labels(vendor: Vendor) -> bool:
    """Whether the labels of `fields_by_hand` are ours, to be translated, rather than those of the phone."""
    return vendor is OTHER or vendor.fields is None
