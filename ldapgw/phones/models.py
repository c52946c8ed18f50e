# SPDX-License-Identifier: MIT
"""Table of phone models, with the special needs of each model.

A *model* here is a make (a brand) whose phones behave alike.  Nearly all models show every number of an entry and need
nothing special, so their rows are empty.  Each need in a row has a reason that the manufacturer documents.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ldapgw.store.phones import NumberMode


@dataclass(frozen=True, slots=True)
class Model:
    """The needs of a make of phones.

    :ivar per_number: whether one entry per number suits the model better than one entry per contact.
    :ivar reason: a text for people that says why the model needs `per_number`; otherwise empty.
    :ivar xml_entries: the maximum number of contacts that the model takes in one XML phone book
        (`ldapgw.phones.book_formats`); 0 if the model reads none from ldapgw.
    """

    title: str
    per_number: bool = False
    reason: str = ""
    xml_entries: int = 0


# The models.  The keys are the values of the option ``--model`` of ``phones add``.
MODELS: Mapping[str, Model] = MappingProxyType(
    {
        "yealink": Model("Yealink", xml_entries=5000),
        # The phone copies a remote phone book to the phone's own directory, which has room for this many contacts.
        "snom": Model("Snom", xml_entries=1000),
        "poly": Model("Poly, Polycom"),
        "grandstream": Model("Grandstream", xml_entries=2000),
        # Of the attributes in LDAP_Display_Attrs, the phone dials only the first attribute with "t=p"; all others are
        # text.  A CiscoIPPhoneDirectory has 32 entries at most.
        "cisco": Model(
            "Cisco SPA, 7800, 8800", per_number=True, reason="it dials only one number per entry", xml_entries=32
        ),
        "fanvil": Model("Fanvil", xml_entries=1000),
        # This is only an upper limit: a base station requests as many contacts as it shows at a time.
        "gigaset": Model("Gigaset, Unify OpenScape", xml_entries=50),
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

# The word for a phone whose model is unknown; the database has an empty text for such a phone.
OTHER_MODEL = "other"


def title_of(model: str) -> str:
    """Return the model's name for people; empty if the model is not known."""
    return MODELS[model].title if model in MODELS else ""


def number_mode(model: str) -> NumberMode:
    """Return the number mode of a model's phones: all numbers of a contact in one entry, or one entry per number."""
    return NumberMode.ENTRIES if model in MODELS and MODELS[model].per_number else NumberMode.VALUES
