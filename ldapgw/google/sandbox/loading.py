# SPDX-License-Identifier: MIT
"""The file of ``ldapgw sandbox --people FILE``: persons in the form of the People API, complete or in part."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ldapgw.errors import UserError
from ldapgw.google.sandbox.fields import PERSON_FIELDS

# The key of the persons if the file names no account.
FIRST_ACCOUNT = ""

_FORMS = 'expected a list of persons, {"connections": [person…]} or {"accounts": {"address": [person…]…}}'


def load_people(path: str) -> dict[str, list[dict[str, Any]]]:
    """Return the persons of a file by their account's address, or by `FIRST_ACCOUNT` if the file names no accounts.

    :raises UserError: if the file has problems; the error has all problems, each with the person and the field.
    """
    try:
        document = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError:
        raise UserError(f"{path}: is not JSON; {_FORMS}") from None
    lists = _lists(document)
    if lists is None:
        raise UserError(f"{path}: {_FORMS}")
    problems = [f"{path}: {problem}" for address, persons in lists.items() for problem in _problems(address, persons)]
    if problems:
        raise UserError(problems)
    return lists


def check_person(person: object) -> str:
    """Return the problem of a person, or "" if the person is valid."""
    if not isinstance(person, Mapping):
        return "expected an object, a person of the People API"
    for name, value in person.items():
        if name in ("resourceName", "etag"):
            if not isinstance(value, str) or not value:
                return f'"{name}": expected text'
        elif name == "metadata":
            if not isinstance(value, Mapping) or not _is_list_of_objects(value.get("sources", [])):
                return f'"{name}": expected an object, and "sources" in it a list of objects'
        elif name in PERSON_FIELDS and value is not None and not _is_list_of_objects(value):
            return f'"{name}": expected a list of objects'
    if not any(name in PERSON_FIELDS for name in person):
        return f"has no field of a person, such as {', '.join(sorted(PERSON_FIELDS)[:3])}, names, phoneNumbers"
    return ""


def _is_list_of_objects(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, Mapping) for item in value)


def _lists(document: object) -> dict[str, list[dict[str, Any]]] | None:
    if isinstance(document, list):
        return {FIRST_ACCOUNT: document}
    if not isinstance(document, dict):
        return None
    if isinstance(document.get("connections"), list):
        return {FIRST_ACCOUNT: document["connections"]}
    accounts = document.get("accounts")
    if isinstance(accounts, dict) and all(isinstance(persons, list) for persons in accounts.values()):
        return accounts
    return None


def _problems(address: str, persons: list[dict[str, Any]]) -> Iterator[str]:
    if address and ("@" not in address.strip("@") or address != address.strip()):
        yield f"account {json.dumps(address)}: expected an address"
    for number, person in enumerate(persons, 1):
        if problem := check_person(person):
            yield f"{address + ': ' if address else ''}person {number}: {problem}"
