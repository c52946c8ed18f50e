# SPDX-License-Identifier: MIT
"""Hand-written persons in few words, as ``data/people.json`` has them, made into persons.

A number is ``type value``, or ``type value=canonical`` where the value alone does not tell the country; an address
``street|postal code|city|country``; a name ``given|family``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ldapgw.google.sandbox.persons import address, memberships, plain

_STARRED = "contactGroups/starred"
_SWITCHBOARD = "+49 30 23125"

PersonSpec = Mapping[str, Any]


def contact(sketch: PersonSpec, labels: Mapping[str, str]) -> dict[str, Any]:
    """A contact.

    :param labels: resource names of groups by their names.
    """
    person = _person(sketch)
    groups = [labels[name] for name in sketch.get("labels", ())] + [_STARRED] * bool(sketch.get("starred"))
    # Outside "My contacts" a contact is hidden in Google's own pages.
    person["memberships"] = [] if sketch.get("hidden") else memberships(*groups)
    return person


def other_contact(sketch: PersonSpec) -> dict[str, Any]:
    """An "other contact": what Google noted from mails and calls; its values have no types."""
    return _person(sketch)


def colleague(sketch: PersonSpec, domain: str) -> dict[str, Any]:
    """A profile of the Workspace directory, or what its administrator shares with all."""
    person = _person(sketch)
    if sketch.get("shared"):
        return person
    given = sketch["name"].partition("|")[0]
    person["emailAddresses"] = [{"value": f"{plain(given)}@{domain}", "type": "work"}]
    person["organizations"] = [
        {"name": "Acme GmbH", "type": "work", "current": True}
        | {key: sketch[key] for key in ("title", "department") if key in sketch}
    ]
    numbers = person.setdefault("phoneNumbers", [])
    if extension := sketch.get("extension"):
        numbers.append({"value": f"{_SWITCHBOARD} {extension}", "type": "work"})
        numbers.append({"value": extension, "type": "Durchwahl"})
    if mobile := sketch.get("mobile"):
        numbers.append({"value": f"+49 171 39200{mobile}", "type": "mobile"})
    return person


def _person(sketch: PersonSpec) -> dict[str, Any]:
    person: dict[str, Any] = {}
    if "name" in sketch:
        person["names"] = [_name(sketch)]
    if "nickname" in sketch:
        person["nicknames"] = [{"value": sketch["nickname"]}]
    organization = {"name": sketch.get("company"), "title": sketch.get("title"), "department": sketch.get("department")}
    if sketch.get("company"):
        person["organizations"] = [{key: value for key, value in organization.items() if value}]
    if "phones" in sketch:
        person["phoneNumbers"] = [_number(text) for text in sketch["phones"]]
    if "mails" in sketch:
        person["emailAddresses"] = [_mail(text) for text in sketch["mails"]]
    if "address" in sketch:
        person["addresses"] = [address(*sketch["address"].split("|"))]
    if "urls" in sketch:
        person["urls"] = [{"value": url} for url in sketch["urls"]]
    if "notes" in sketch:
        person["biographies"] = [{"value": sketch["notes"], "contentType": "TEXT_PLAIN"}]
    return person


def _name(sketch: PersonSpec) -> dict[str, str]:
    given, _, family = sketch["name"].partition("|")
    if sketch.get("swap"):
        given, family = family, given
    name = {key: value for key, value in (("givenName", given), ("familyName", family)) if value}
    if prefix := sketch.get("prefix"):
        name |= {"honorificPrefix": prefix, "givenName": given.removeprefix(prefix).strip()}
    if sketch.get("swap"):
        name["displayName"] = f"{family} {given}"
    if "phonetic" in sketch:
        first, _, last = sketch["phonetic"].partition("|")
        name |= {"phoneticGivenName": first, "phoneticFamilyName": last, "phoneticFullName": f"{last} {first}"}
    return name


def _number(text: str) -> dict[str, str]:
    """``type value=canonical``; a type ends where the number begins: at the first sign that can begin one."""
    value, _, canonical = text.partition("=")
    words = value.split(" ")
    at = next(number for number, word in enumerate(words) if word[:1] in tuple("+0123456789*#("))
    kind, typed = " ".join(words[:at]).strip(), " ".join(words[at:])
    number = {"value": typed}
    if canonical:
        number["canonicalForm"] = canonical.replace(" ", "")
    return number | ({"type": kind} if kind else {})


def _mail(text: str) -> dict[str, str]:
    kind, _, value = text.rpartition(" ")
    return {"value": value} | ({"type": kind} if kind else {})
