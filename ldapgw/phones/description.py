# SPDX-License-Identifier: MIT
"""The description of a phone: its model, its label, the sign-in name made from the label, and its MAC address.

A *model* here is a make (a brand) whose phones behave alike.  Nearly all models show every number of an entry and need
nothing special, so their rows are empty.  Each need in a row has a reason that the manufacturer documents.

The functions are pure: they do no I/O.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import count
from types import MappingProxyType

from ldapgw.store.phones import NumberMode

# --- models -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Model:
    """The needs of a make of phones.

    :ivar per_number: whether one entry per number suits the model better than one entry per contact.
    :ivar reason: the reason for `per_number`, as a text for people; empty without `per_number`.
    :ivar xml_entries: the maximum number of contacts that the model takes in one XML phone book
        (`ldapgw.phones.book_formats`); 0 if the model reads no XML phone book from ldapgw.
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
        # Of the attributes in LDAP_Display_Attrs, the phone dials only the first attribute with "t=p"; all other
        # attributes are text.  A CiscoIPPhoneDirectory has 32 entries at most.
        "cisco": Model(
            "Cisco SPA, 7800, 8800", per_number=True, reason="it dials only one number per entry", xml_entries=32
        ),
        "fanvil": Model("Fanvil", xml_entries=1000),
        # The value is only an upper limit: a base station requests only as many contacts as are shown at a time.
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


# --- labels -----------------------------------------------------------------------------------------------------------

MAX_LABEL = 64
_MAX_NAME = 64

# Germans write umlauts as two letters where only ASCII is allowed, whereas `anyascii` only drops the dots.
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})
_APOSTROPHES = re.compile("['’‘`´]")
_OTHERS = re.compile("[^a-z0-9._-]+")
_SEPARATORS = re.compile("[._-]{2,}")
_ENDS = "._-"
# The sign-in name of a phone whose label has no letter and no digit.
_UNNAMED = "phone"


def read_label(text: str) -> str:
    """Return a label as it is stored: without blanks at both ends, and with one blank for each run of blanks.

    :raises ValueError: when the label is too long, or has a character that is not printable.
    """
    label = " ".join(text.split())
    if len(label) > MAX_LABEL or not label.isprintable():
        raise ValueError(text)
    return label


def sign_in_name(label: str, taken: Collection[str]) -> str:
    """Make a sign-in name from a label, or from a name that is not allowed: ``Büro 2. OG`` gives ``buero-2-og``.

    :param taken: the names of all phones, in lower case; if the name is taken, the result ends with ``-2``, ``-3`` ….
    """
    # The import is here, because few commands need the large tables of the transliteration.
    from ldapgw.directory.transliteration import readings

    text = unicodedata.normalize("NFKC", label).lower().translate(_UMLAUTS)
    latin = _APOSTROPHES.sub("", readings(text, text)[0])
    name = _SEPARATORS.sub("-", _OTHERS.sub("-", latin)).strip(_ENDS)[:_MAX_NAME].rstrip(_ENDS) or _UNNAMED
    numbered = (f"{name[: _MAX_NAME - len(end)].rstrip(_ENDS)}{end}" for end in (f"-{number}" for number in count(2)))
    return name if name not in taken else next(other for other in numbered if other not in taken)


# --- MAC addresses ----------------------------------------------------------------------------------------------------

_MAC = re.compile(r"[0-9a-f]{12}")
_MAC_SEPARATORS = re.compile(r"[\s:.\-]")


def read_mac(text: str) -> str:
    """Read a MAC address: ``00:15:65:AA:BB:CC``, ``0015.65aa.bbcc`` and the like; an empty text stays empty.

    :raises ValueError: if the text is no MAC address.
    """
    mac = _MAC_SEPARATORS.sub("", text).lower()
    if mac and not _MAC.fullmatch(mac):
        raise ValueError("not a MAC address")
    return mac


def show_mac(mac: str) -> str:
    """Return a stored MAC address as people read it, ``00:15:65:aa:bb:cc``; an empty text stays empty."""
    return ":".join(mac[start : start + 2] for start in range(0, len(mac), 2))
