# SPDX-License-Identifier: MIT
"""How each model of phone sends what is typed, by the values that it has read from its file.

From the vendors' manuals and from logged requests: who replaces which placeholder, who adds a star, who escapes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ldapgw.phones.provisioning.settings import MAX_HITS
from tests.support.readers import Values


@dataclass(frozen=True)
class Sent:
    """A search as the phone sends it."""

    filter: str
    attributes: tuple[str, ...]
    size_limit: int = MAX_HITS


@dataclass(frozen=True)
class Keypad:
    """One model.

    :ivar name: what goes out when a name is typed.
    :ivar caller: what goes out when a number calls; None: callers are not looked up.
    :ivar digits: what goes out when the beginning of a number is typed; None: numbers are not searched.
    """

    name: Callable[[Values, str], Sent]
    caller: Callable[[Values, str], Sent] | None = None
    digits: Callable[[Values, str], Sent] | None = None


def _percent(name: str, number: str, *attributes: str, caller: str = "", star: str = "*", limit: str = "") -> Keypad:
    """A percent sign is replaced; the phone adds a star to what is typed, and none to a caller's number.

    :param caller: the filter for it, where that is another one.
    """

    def asked(values: Values) -> tuple[str, ...]:
        return tuple(word for key in attributes for word in values[key].translate(str.maketrans(",%", "  ")).split())

    def size(values: Values) -> int:
        return int(values[limit]) if limit else MAX_HITS

    return Keypad(
        lambda values, typed: Sent(values[name].replace("%", typed + star), asked(values), size(values)),
        lambda values, calls: Sent(values[caller or number].replace("%", calls), asked(values), size(values)),
        lambda values, typed: Sent(values[number].replace("%", typed + star), asked(values), size(values)),
    )


def _poly(values: Values, typed: str) -> Sent:
    """Captured from a VVX: the prefix filter, and a range with each searchable attribute; the name is the first."""
    attribute = values["dir.corp.attribute.1.name"]
    assert values["dir.corp.attribute.1.searchable"] == "1"
    asked = tuple(value for key, value in values.items() if key.startswith("dir.corp.attribute.") and ".name" in key)
    prefix = values["dir.corp.filterPrefix"]
    return Sent(f"(&{prefix}({attribute}>={typed})({attribute}<=zz)({attribute}={typed}*))", asked, 0)


def cisco(values: Values, field: str, typed: str) -> Sent:
    """The filter behind the colon, of the field that was filled in; the columns' attributes are asked for.

    :param field: the key of its filter; an i may be small in it.
    """
    [filled] = [value for key, value in values.items() if key.lower() == field.lower()]
    attribute, _, template = filled.partition(":")
    columns = [part.split(",")[0] for part in values["LDAP_Display_Attrs"].split(";")]
    return Sent(template.replace("$VALUE", typed), (attribute, *(column.removeprefix("a=") for column in columns)), 0)


_CISCO = Keypad(
    lambda values, typed: cisco(values, "LDAP_Last_Name_Filter", typed),
    digits=lambda values, typed: cisco(values, "LDAP_Item_4_Filter", typed),
)


def _mitel(values: Values, typed: str) -> Sent:
    return Sent(values["ldap search filter"].replace("%", f"{typed}*"), (), 0)


def _avaya(values: Values, typed: str) -> Sent:
    """A part of each field; all attributes come."""
    fields = values["DIRSEARCH_FIELDS"].split(",")
    return Sent("(|" + "".join(f"({field}=*{typed}*)" for field in fields) + ")", ())


def _linphone(values: Values, typed: str) -> Sent:
    """liblinphone, src/ldap/ldap-contact-search.cpp: blanks become stars, doubled stars one; one more is asked for."""
    text = values["filter"].replace("%s", typed.replace(" ", "*"))
    return Sent(text.replace("**", "*"), (), int(values["max_results"]) + 1)


KEYPADS: Mapping[str, Keypad] = {
    "yealink": _percent("ldap.name_filter", "ldap.number_filter", "ldap.name_attr", "ldap.numb_attr",
                        limit="ldap.max_hits"),
    # New firmware adds no star; old firmware does, see `OLDER`.
    "snom": _percent("ldap_search_filter", "ldap_number_filter", "ldap_name_attributes", "ldap_number_attributes",
                     caller="ldap_number_filter_during_call", star="", limit="ldap_max_hits"),
    "grandstream": _percent("P8026", "P8025", "P8028", "P8029", limit="P8031"),
    "poly": Keypad(_poly),
    "cisco-mpp": _CISCO,
    "cisco-spa": _CISCO,
    "fanvil": _percent("NameFilter", "NumberFilter", "NameAttr", "TelAttr", "MobileAttr", "OtherAttr", limit="MaxHits"),
    "fanvil-text": _percent("NameFilter", "NumberFilter", "NameAttr", "TelAttr", "MobileAttr", "OtherAttr",
                            limit="MaxHits"),
    "gigaset": _percent("Name filter", "Number filter", "First name", "Surname", "Phone (home)", "Phone (office)",
                        "Phone (mobile)"),
    "gigaset-maxwell": _percent(*(f"NetDir.LDAP.0.{key}" for key in (
        "NameFilter", "NumberFilter", "FirstName", "Surname", "PhoneHome", "PhoneOffice", "PhoneMobile"))),
    "mitel": Keypad(_mitel),
    "panasonic": _percent("LDAP_NAME_FILTER", "LDAP_NUMB_FILTER", "LDAP_NAME_ATTRIBUTE", "LDAP_NUMB_ATTRIBUTE",
                          limit="LDAP_MAXRECORD"),
    "htek": _percent("P5430", "P5431", "P23136", "P23137", limit="P5437"),
    "avaya-j100": Keypad(_avaya),
    "avaya-b179": Keypad(_percent("Name filter", "", "Display name", "Number attributes", star="").name),
    "linphone": Keypad(_linphone),
    "other": _percent("name_filter", "number_filter", "name_attributes", "number_attributes"),
}  # fmt: skip

OLDER: Mapping[str, Keypad] = {
    "snom": _percent("ldap_search_filter", "ldap_number_filter", "ldap_name_attributes", "ldap_number_attributes")
}
