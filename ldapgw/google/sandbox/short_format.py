# SPDX-License-Identifier: MIT
"""The conversion of the short format of ``data/people.json`` into persons of the People API.

A number has the form ``type value``, or ``type value=canonical`` if the value does not show the country.  An address
has the form ``street|postal code|city|country``, and a name has the form ``given|family``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ldapgw.google.sandbox.persons import address, memberships, plain

_STARRED = "contactGroups/starred"
_SWITCHBOARD = "+49 30 23125"

PersonSpec = Mapping[str, Any]


def contact(spec: PersonSpec, labels: Mapping[str, str]) -> dict[str, Any]:
    """Return a contact.

    :param labels: resource names of groups by their names.
    """
    person = _person(spec)
    groups = [labels[name] for name in spec.get("labels", ())] + [_STARRED] * bool(spec.get("starred"))
    # Google's own pages hide contacts that are not in "My contacts".
    person["memberships"] = [] if spec.get("hidden") else memberships(*groups)
    return person


def other_contact(spec: PersonSpec) -> dict[str, Any]:
    """Return an "other contact", which Google collects from mails and calls, and whose values have no types."""
    return _person(spec)


def colleague(spec: PersonSpec, domain: str) -> dict[str, Any]:
    """Return a profile of the Workspace directory, or a shared contact of its administrator."""
    person = _person(spec)
    if spec.get("shared"):
        return person
    given = spec["name"].partition("|")[0]
    person["emailAddresses"] = [{"value": f"{plain(given)}@{domain}", "type": "work"}]
    person["organizations"] = [
        {"name": "Acme GmbH", "type": "work", "current": True}
        | {key: spec[key] for key in ("title", "department") if key in spec}
    ]
    numbers = person.setdefault("phoneNumbers", [])
    if extension := spec.get("extension"):
        numbers.append({"value": f"{_SWITCHBOARD} {extension}", "type": "work"})
        numbers.append({"value": extension, "type": "Durchwahl"})
    if mobile := spec.get("mobile"):
        numbers.append({"value": f"+49 171 39200{mobile}", "type": "mobile"})
    return person


def _person(spec: PersonSpec) -> dict[str, Any]:
    person: dict[str, Any] = {}
    if "name" in spec:
        person["names"] = [_name(spec)]
    if "nickname" in spec:
        person["nicknames"] = [{"value": spec["nickname"]}]
    organization = {"name": spec.get("company"), "title": spec.get("title"), "department": spec.get("department")}
    if spec.get("company"):
        person["organizations"] = [{key: value for key, value in organization.items() if value}]
    if "phones" in spec:
        person["phoneNumbers"] = [_number(text) for text in spec["phones"]]
    if "mails" in spec:
        person["emailAddresses"] = [_mail(text) for text in spec["mails"]]
    if "address" in spec:
        person["addresses"] = [address(*spec["address"].split("|"))]
    if "urls" in spec:
        person["urls"] = [{"value": url} for url in spec["urls"]]
    if "notes" in spec:
        person["biographies"] = [{"value": spec["notes"], "contentType": "TEXT_PLAIN"}]
    return person


def _name(spec: PersonSpec) -> dict[str, str]:
    given, _, family = spec["name"].partition("|")
    if spec.get("swap"):
        given, family = family, given
    name = {key: value for key, value in (("givenName", given), ("familyName", family)) if value}
    if prefix := spec.get("prefix"):
        name |= {"honorificPrefix": prefix, "givenName": given.removeprefix(prefix).strip()}
    if spec.get("swap"):
        name["displayName"] = f"{family} {given}"
    if "phonetic" in spec:
        first, _, last = spec["phonetic"].partition("|")
        name |= {"phoneticGivenName": first, "phoneticFamilyName": last, "phoneticFullName": f"{last} {first}"}
    return name


def _number(text: str) -> dict[str, str]:
    """Parse ``type value=canonical``; the value starts with the first word that begins with a digit or ``+*#(``."""
    value, _, canonical = text.partition("=")
    words = value.split(" ")
    index = next(number for number, word in enumerate(words) if word[:1] in tuple("+0123456789*#("))
    kind, typed = " ".join(words[:index]).strip(), " ".join(words[index:])
    number = {"value": typed}
    if canonical:
        number["canonicalForm"] = canonical.replace(" ", "")
    return number | ({"type": kind} if kind else {})


def _mail(text: str) -> dict[str, str]:
    kind, _, value = text.rpartition(" ")
    return {"value": value} | ({"type": kind} if kind else {})
