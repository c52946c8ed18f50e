# SPDX-License-Identifier: MIT
"""Table of phone models, with the needs in which a model differs from all others.

A model is a make whose phones behave alike.  The table replaces branches in the code.  Nearly all models show every
number of an entry, so nearly all rows are empty; a row is filled only for a reason that the manufacturer documents.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Model:
    """The needs of a make of phones.

    :ivar title: the name that people read.
    :ivar per_number: one entry per number suits the model better than one entry per contact.
    :ivar reason: why the model needs `per_number`, in words for people; otherwise empty.
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
        # LDAP_Display_Attrs makes the first attribute with "t=p" dialable; all other attributes are text.
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
