# SPDX-License-Identifier: MIT
"""Each model of phone sends typed letters and callers by the values that it has read from its file.

From the vendors' manuals, from templates that are in use and from logged requests, which `Keypad.source` names: who
replaces which placeholder, who adds a star, who escapes.  Nothing here is taken from the writers of the files.
"""

from __future__ import annotations

from collections.abc import Callable
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

    :ivar source: where this is documented.
    :ivar name: what goes out when a name is typed.
    :ivar caller: what goes out when a number calls, None: nothing; instead of a function: callers are not looked up.
    :ivar digits: what goes out when the beginning of a number is typed; None: numbers are not searched.
    """

    source: str
    name: Callable[[Values, str], Sent]
    caller: Callable[[Values, str], Sent | None] | None = None
    digits: Callable[[Values, str], Sent] | None = None


def template(
    source: str,
    name: str,
    number: str,
    *attributes: str,
    sign: str = "%",
    caller: str = "",
    star: str = "*",
    limit: str = "",
) -> Keypad:
    """A sign is replaced; the phone adds a star to what is typed, and none to a caller's number.

    :param caller: the filter for it, where that is another one.
    """

    def asked(values: Values) -> tuple[str, ...]:
        return tuple(word for key in attributes for word in values[key].translate(str.maketrans(",%", "  ")).split())

    def size(values: Values) -> int:
        return int(values[limit]) if limit else MAX_HITS

    return Keypad(
        source,
        lambda values, typed: Sent(values[name].replace(sign, typed + star), asked(values), size(values)),
        lambda values, calls: Sent(values[caller or number].replace(sign, calls), asked(values), size(values)),
        lambda values, typed: Sent(values[number].replace(sign, typed + star), asked(values), size(values)),
    )


def poly(values: Values, typed: str) -> Sent:
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


def cisco_field(field: str) -> Callable[[Values, str], Sent]:
    return lambda values, typed: cisco(values, field, typed)


def mitel(values: Values, typed: str) -> Sent:
    return Sent(values["ldap search filter"].replace("%", f"{typed}*"), (), 0)


def avaya(values: Values, typed: str) -> Sent:
    """A part of each field; all attributes come."""
    fields = values["DIRSEARCH_FIELDS"].split(",")
    return Sent("(|" + "".join(f"({field}=*{typed}*)" for field in fields) + ")", ())


def linphone(values: Values, typed: str) -> Sent:
    """One filter for everything; the phone escapes, makes stars of blanks and one of two, and asks for one more."""
    escaped = "".join(rf"\{ord(char):02x}" if char in "\\*()/" else char for char in typed)
    text = values["filter"].replace("%s", escaped.replace(" ", "*"))
    return Sent(text.replace("**", "*"), (), int(values["max_results"]) + 1)


def linphone_caller(values: Values, calls: str) -> Sent | None:
    return linphone(values, calls) if len(calls) >= int(values["min_chars"]) else None


def vtech(values: Values, typed: str) -> Sent:
    """The field of last names; the columns are asked for."""
    return Sent(values["remoteDir.ldap_lastname_filter"].replace("%", typed + "*"), _vtech_columns(values))


def vtech_caller(values: Values, calls: str) -> Sent:
    return Sent(values["remoteDir.ldap_number_filter"].replace("%", calls), _vtech_columns(values))


def _vtech_columns(values: Values) -> tuple[str, ...]:
    kinds = ("firstname_attribute", "lastname_attribute", *(f"{kind}_number_attributes" for kind in _VTECH_KINDS))
    return tuple(values[f"remoteDir.ldap_{kind}"] for kind in kinds)


_VTECH_KINDS = ("work", "mobile", "other")


def ale(values: Values, typed: str) -> Sent:
    """If the first character is a digit, three numbers and both names, else the names; what begins so is found."""
    numbers = [values[f"LDAP Phone Number {position}"] for position in (1, 2, 3)]
    names = [values["LDAP First Name"], values["LDAP Last Name"]]
    sought = [*(numbers if typed[:1] in {"+", *"0123456789"} else []), *names]
    return Sent("(|" + "".join(f"({one}={typed}*)" for one in sought) + ")", (*names, *numbers))


def bria(values: Values, typed: str) -> Sent:
    """The search expression and, in search-on-demand mode, a part of each mapped name."""
    names = [values[key] for key in ("Display name", "First name", "Last name")]
    numbers = [values[key] for key in ("Work phone", "Mobile phone", "Home phone")]
    sought = "".join(f"({one}=*{typed}*)" for one in names)
    return Sent(f"(&{values['Search expression']}(|{sought}))", (*names, *numbers), 0)
