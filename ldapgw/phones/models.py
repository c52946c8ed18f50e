# SPDX-License-Identifier: MIT
"""Models of phones, as far as one needs something else than all others: a table, and no branches anywhere.

A model is a make whose phones share their habits.  Nearly all show every number of an entry, so nearly all rows are
empty; a row is filled only for a reason that its maker documents.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Model:
    """What a make of phones needs.

    :ivar title: what it is called.
    :ivar per_number: an entry for each number of a contact is better for it than one entry with all of them.
    :ivar why: the reason, for people; empty where there is nothing to give a reason for.
    """

    title: str
    per_number: bool = False
    reason: str = ""


# By the word that ``phones add --model`` takes.
MODELS: Mapping[str, Model] = MappingProxyType(
    {
        "yealink": Model("Yealink"),
        "snom": Model("Snom"),
        "poly": Model("Poly, Polycom"),
        "grandstream": Model("Grandstream"),
        # Its LDAP_Display_Attrs make the first attribute with "t=p" dialable, and all others text.
        "cisco": Model("Cisco SPA, 7800, 8800", per_number=True, reason="it dials only one number per entry"),
        "fanvil": Model("Fanvil"),
        "gigaset": Model("Gigaset, Unify OpenScape"),
        "mitel": Model("Mitel, Aastra"),
        "avaya": Model("Avaya, Konftel"),
        "panasonic": Model("Panasonic"),
        "htek": Model("Htek"),
        "sangoma": Model("Sangoma"),
        "escene": Model("Escene"),
        "akuvox": Model("Akuvox"),
        "vtech": Model("VTech"),
        "ale": Model("Alcatel-Lucent Enterprise"),
        "linphone": Model("Linphone"),
        "bria": Model("Bria"),
    }
)
