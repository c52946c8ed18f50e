# SPDX-License-Identifier: MIT
"""The vendors whose phones the gateway can set up, read from ``ldapgw/phones/vendors``, in the order of the page."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType

import msgspec

from ldapgw.phones.models import OTHER_MODEL
from ldapgw.phones.provisioning.settings import PhoneSettings
from ldapgw.phones.provisioning.sheet import Field, Vendor, make_sheet

# What a person enters in nearly every phone, by the labels of the vendor `OTHER_MODEL`.
_GENERAL_FIELDS = ("Server", "Port", "Encryption", "Search base", "User name", "Password")


@cache
def all_vendors() -> Mapping[str, Vendor]:
    """Return all vendors by their keys; the first call reads their files, in some 20 ms.

    :raises ValueError: if a file is not TOML.
    :raises msgspec.ValidationError: if a key or a value of a file is unknown.
    """
    found = []
    for file in (files("ldapgw.phones") / "vendors").iterdir():
        key, _, ending = file.name.rpartition(".")
        if ending != "toml":
            continue
        try:
            found.append(msgspec.convert({"key": key, **tomllib.loads(file.read_text("utf-8"))}, Vendor))
        except (ValueError, msgspec.ValidationError) as error:
            error.add_note(f"in {file}")
            raise
    return MappingProxyType({vendor.key: vendor for vendor in sorted(found, key=lambda vendor: vendor.position)})


def vendors_of(model: str) -> tuple[Vendor, ...]:
    """Return the vendors that fit a model, the likeliest first; the vendor `OTHER_MODEL` if none fits.

    :param model: a key of `ldapgw.phones.models.MODELS`; empty if unknown.
    """
    candidates = [vendor for vendor in all_vendors().values() if model in vendor.makes]
    # Gigaset's desk phones, which run Snom's software, are the fewest of Gigaset's phones.
    return tuple(sorted(candidates, key=lambda vendor: vendor.makes[0] != model)) or (all_vendors()[OTHER_MODEL],)


def fields_by_hand(vendor: Vendor, settings: PhoneSettings) -> tuple[Field, ...]:
    """Return the fields to enter by hand in a phone: the vendor's fields, or the fields that nearly every phone has.

    The result is empty if gateway and phone support no common protection.
    """
    sheet = make_sheet(vendor, settings)
    if sheet.link is None or sheet.fields:
        return sheet.fields
    other = msgspec.structs.replace(all_vendors()[OTHER_MODEL], supported_security=vendor.supported_security)
    filters = {"Name filter": vendor.name_filter, "Number filter": vendor.number_filter}
    general = make_sheet(other, settings).fields
    chosen = (field for field in general if field.label in _GENERAL_FIELDS or field.label in filters)
    return tuple(Field(field.label, filters.get(field.label, field.value), field.is_choice) for field in chosen)


def has_our_labels(vendor: Vendor) -> bool:
    """Return whether the labels of `fields_by_hand` are ours, to be translated, rather than the phone's."""
    return vendor.has_our_labels or not vendor.fields
