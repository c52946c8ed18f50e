# SPDX-License-Identifier: MIT
"""The controls of a running sandbox: the world's own methods, by name and with arguments from a form or from JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from ldapgw.errors import UserError
from ldapgw.google.sandbox.faults import FAULTS
from ldapgw.google.sandbox.loading import check_person
from ldapgw.google.sandbox.shelf import Resource
from ldapgw.google.sandbox.world import SOURCES, World

Arguments = Mapping[str, Any]

# Ten years, in seconds: times stay ones that dates can be made of.
_LARGEST = 10 * 366 * 86400.0


def state(world: World) -> dict[str, Any]:
    """What the control page shows and ``GET /sandbox/state`` returns; it holds no token and no secret."""
    return {
        "time": world.time(),
        "accounts": [
            {
                "account": account.address,
                "name": account.name,
                "workspace": account.hd,
                "sub": account.sub,
                "persons": {
                    source: len(world.persons_of(account.address, source))
                    for source in SOURCES
                    if source != "directory" or account.hd
                },
            }
            for account in world.accounts.values()
        ],
        "clients": [
            {
                "client_id": client.client_id,
                "state": client.state,
                "audience": client.audience,
                "redirect_uris": list(client.redirect_uris),
            }
            for client in world.clients.values()
        ],
        "calls": dict(world.calls),
        "faults": [
            {
                "name": injection.fault.name,
                "times": injection.remaining,
                "after": injection.after,
                "account": injection.account,
                "path": injection.path,
            }
            for injection in world.faults.pending
        ],
        "known_faults": list(FAULTS),
    }


def persons(world: World, account: str, source: str) -> list[Resource]:
    """The persons of an account's source, latest change last.

    :raises UserError: if there is no such account or source.
    """
    return list(world.persons_of(account, source or "contacts"))


def _add_person(world: World, given: Arguments) -> dict[str, Any]:
    source = _text(given, "source") or "contacts"
    return {"resourceName": world.add_person(_need(given, "account"), _person(given), source)}


def _change_person(world: World, given: Arguments) -> dict[str, Any]:
    world.change_person(_need(given, "account"), _need(given, "resourceName"), _person(given))
    return {}


def _delete_person(world: World, given: Arguments) -> dict[str, Any]:
    world.delete_person(_need(given, "account"), _need(given, "resourceName"))
    return {}


def _move_person(world: World, given: Arguments) -> dict[str, Any]:
    return {"resourceName": world.move_person(_need(given, "account"), _need(given, "resourceName"))}


def _inject_fault(world: World, given: Arguments) -> dict[str, Any]:
    times = int(_number(given, "times")) if given.get("times") not in (None, "") else None
    after = int(_number(given, "after")) if given.get("after") not in (None, "") else 0
    account, path = _text(given, "account"), _text(given, "path")
    if account:
        world.account(account)
    world.faults.inject(_need(given, "name"), times=times, account=account, path=path, after=after)
    return {}


def _clear_faults(world: World, given: Arguments) -> dict[str, Any]:
    del given
    world.faults.clear()
    return {}


def _expire_sync_tokens(world: World, given: Arguments) -> dict[str, Any]:
    world.expire_sync_tokens(_text(given, "account"))
    return {}


def _expire_access_tokens(world: World, given: Arguments) -> dict[str, Any]:
    world.expire_access_tokens(_text(given, "account"))
    return {}


def _revoke(world: World, given: Arguments) -> dict[str, Any]:
    world.revoke(_need(given, "account"))
    return {}


def _set_client(world: World, given: Arguments) -> dict[str, Any]:
    changes = {name: _text(given, name) for name in ("state", "audience", "domain") if given.get(name)}
    world.set_client(_text(given, "client_id"), **changes)
    return {}


def _add_redirect_uri(world: World, given: Arguments) -> dict[str, Any]:
    world.add_redirect_uri(_need(given, "uri"), _text(given, "client_id"))
    return {}


def _advance(world: World, given: Arguments) -> dict[str, Any]:
    world.advance(_number(given, "seconds"))
    return {"time": world.time()}


# By the last part of the path, ``POST /sandbox/…``.
CONTROLS: dict[str, Callable[[World, Arguments], dict[str, Any]]] = {
    "add-person": _add_person,
    "change-person": _change_person,
    "delete-person": _delete_person,
    "move-person": _move_person,
    "inject-fault": _inject_fault,
    "clear-faults": _clear_faults,
    "expire-sync-tokens": _expire_sync_tokens,
    "expire-access-tokens": _expire_access_tokens,
    "revoke": _revoke,
    "client": _set_client,
    "add-redirect-uri": _add_redirect_uri,
    "advance": _advance,
}


def run_control(world: World, name: str, given: Arguments) -> dict[str, Any]:
    """Turn a control.

    :returns: what came of it, for ``POST /sandbox/…`` as JSON.
    :raises UserError: if there is no such control, or if it does not take these arguments.
    """
    if name not in CONTROLS:
        raise UserError(f"{name}: is no control; there are: {', '.join(CONTROLS)}")
    return CONTROLS[name](world, given)


def _text(given: Arguments, name: str) -> str:
    value = given.get(name) or ""
    if not isinstance(value, str):
        raise UserError(f"{name}: expected text")
    return value.strip()


def _need(given: Arguments, name: str) -> str:
    value = _text(given, name)
    if not value:
        raise UserError(f"{name}: is missing")
    return value


def _number(given: Arguments, name: str) -> float:
    try:
        number = float(given.get(name) or "")
    except (TypeError, ValueError):
        number = math.nan
    if not abs(number) <= _LARGEST:
        raise UserError(f"{name}: expected a number of at most {_LARGEST:.0f}")
    return number


def _person(given: Arguments) -> dict[str, Any]:
    """A person: ``person`` as JSON, or the few fields of the page's short form."""
    person = given.get("person")
    if isinstance(person, str):
        try:
            person = json.loads(person)
        except ValueError:
            raise UserError("person: is not JSON") from None
    if person is None:
        person = _from_short_form(given)
    problem = check_person(person)
    if problem or not person:
        raise UserError(f"person: {problem or 'has no field'}")
    return dict(person)


def _from_short_form(given: Arguments) -> dict[str, Any]:
    name = {key: _text(given, key) for key in ("givenName", "familyName") if given.get(key)}
    fields: dict[str, Any] = {"names": [name]} if name else {}
    if company := _text(given, "company"):
        fields["organizations"] = [{"name": company}]
    if number := _text(given, "number"):
        fields["phoneNumbers"] = [{"value": number, "type": _text(given, "type") or "work"}]
    return fields
