# SPDX-License-Identifier: MIT
"""The controls of a running sandbox, which change its state; their arguments come from a form or JSON."""

from __future__ import annotations

import json
import math
from base64 import b64decode
from collections.abc import Callable, Mapping
from typing import Any

from ldapgw.errors import UserError
from ldapgw.google.sandbox.fields import check_person
from ldapgw.google.sandbox.lists import Resource
from ldapgw.google.sandbox.world import SOURCES, World

Arguments = Mapping[str, Any]

# The largest number of seconds: ten years, so that times can still be converted to dates.
_LARGEST = 10 * 366 * 86400.0


def state(world: World) -> dict[str, Any]:
    """Return the state for the control page and ``GET /sandbox/state``, without tokens and secrets."""
    return {
        "time": world.time(),
        "accounts": [
            {
                "account": account.address,
                "name": account.name,
                "workspace": account.hd,
                "sub": account.sub,
                "org_unit": account.org_unit,
                "admin": account.is_admin,
                "suspended": account.is_suspended,
                "archived": account.is_archived,
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
        "service_accounts": [
            {
                "service_account": account.client_email,
                "client_id": account.client_id,
                "state": account.state,
                "scopes": {domain: sorted(scopes) for domain, scopes in account.scopes.items()},
            }
            for account in world.workspaces.service_accounts.values()
        ],
        "groups": [
            {"group": group.address, "name": group.name, "members": list(group.members)}
            for group in world.workspaces.groups.values()
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
        "known_faults": list(world.faults.known),
    }


def persons(world: World, account: str, source: str) -> list[Resource]:
    """Return the persons of an account's source, the latest change last.

    :raises UserError: if the account or source does not exist.
    """
    return list(world.persons_of(account, source or "contacts"))


def _add_photo(world: World, arguments: Arguments) -> dict[str, Any]:
    account, name = _required(arguments, "account"), _required(arguments, "resourceName")
    try:
        body = b64decode(_required(arguments, "photo"), validate=True)
    except ValueError:
        raise UserError("photo: expected Base64") from None
    return {"url": world.add_photo(account, name, body, _text(arguments, "content_type") or "image/jpeg")}


def _inject_fault(world: World, arguments: Arguments) -> None:
    times = int(_number(arguments, "times")) if arguments.get("times") not in (None, "") else None
    after = int(_number(arguments, "after")) if arguments.get("after") not in (None, "") else 0
    account, path = _text(arguments, "account"), _text(arguments, "path")
    if account:
        world.account(account)
    world.faults.inject(_required(arguments, "name"), times=times, account=account, path=path, after=after)


def _set_client(world: World, arguments: Arguments) -> None:
    changes = {name: _text(arguments, name) for name in ("state", "audience", "domain") if arguments.get(name)}
    world.set_client(_text(arguments, "client_id"), **changes)


def _advance(world: World, arguments: Arguments) -> dict[str, Any]:
    world.advance(_number(arguments, "seconds"))
    return {"time": world.time()}


def _set_quota(world: World, arguments: Arguments) -> None:
    given = arguments.get("calls_per_minute") not in (None, "")
    world.calls_per_minute = int(_number(arguments, "calls_per_minute")) if given else None


def _set_user(world: World, arguments: Arguments) -> None:
    flags = {name: _flag(arguments, name) for name in ("suspended", "archived", "admin", "signed_in")}
    world.set_user(_required(arguments, "account"), org_unit=_text(arguments, "org_unit"), **flags)


def _authorize_service_account(world: World, arguments: Arguments) -> None:
    """Authorize scopes as the Admin console does: the scopes are separated by commas, and replace earlier scopes."""
    scopes = [scope.strip() for scope in _text(arguments, "scopes").split(",") if scope.strip()]
    domain = _text(arguments, "domain") or next((account.hd for account in world.accounts.values() if account.hd), "")
    world.workspaces.authorize(_text(arguments, "client_id"), domain, scopes)


def _set_group(world: World, arguments: Arguments) -> None:
    members = [member.strip() for member in _text(arguments, "members").split(",") if member.strip()]
    address = _required(arguments, "group")
    world.workspaces.set_group(address, _text(arguments, "name") or address.partition("@")[0], members)


# The controls by the last part of the path in ``POST /sandbox/…``; None stands for an empty answer.
CONTROLS: dict[str, Callable[[World, Arguments], dict[str, Any] | None]] = {
    "add-person": lambda world, arguments: {
        "resourceName": world.add_person(
            _required(arguments, "account"), _person(arguments), _text(arguments, "source") or "contacts"
        )
    },
    "change-person": lambda world, arguments: world.change_person(
        _required(arguments, "account"), _required(arguments, "resourceName"), _person(arguments)
    ),
    "delete-person": lambda world, arguments: world.delete_person(
        _required(arguments, "account"), _required(arguments, "resourceName")
    ),
    "move-person": lambda world, arguments: {
        "resourceName": world.move_person(_required(arguments, "account"), _required(arguments, "resourceName"))
    },
    "add-photo": _add_photo,
    "inject-fault": _inject_fault,
    "clear-faults": lambda world, _: world.faults.clear(),
    "expire-sync-tokens": lambda world, arguments: world.expire_sync_tokens(_text(arguments, "account")),
    "expire-access-tokens": lambda world, arguments: world.expire_access_tokens(_text(arguments, "account")),
    "quota": _set_quota,
    "revoke": lambda world, arguments: world.revoke(_required(arguments, "account")),
    "client": _set_client,
    "add-redirect-uri": lambda world, arguments: world.add_redirect_uri(
        _required(arguments, "uri"), _text(arguments, "client_id")
    ),
    "advance": _advance,
    "set-user": _set_user,
    "delete-user": lambda world, arguments: world.delete_account(_required(arguments, "account")),
    "authorize-service-account": _authorize_service_account,
    "set-service-account": lambda world, arguments: world.workspaces.set_state(
        _text(arguments, "service_account"), _required(arguments, "state")
    ),
    "replace-key": lambda world, arguments: world.workspaces.replace_key(_text(arguments, "service_account")),
    "set-group": _set_group,
    "delete-group": lambda world, arguments: world.workspaces.delete_group(_required(arguments, "group")),
}


def run_control(world: World, name: str, arguments: Arguments) -> dict[str, Any]:
    """Run a control.

    :returns: the JSON object that answers ``POST /sandbox/…``.
    :raises UserError: if the control does not exist or rejects the arguments.
    """
    if name not in CONTROLS:
        raise UserError(f"{name} is no control; the controls are: {', '.join(CONTROLS)}")
    return CONTROLS[name](world, arguments) or {}


def _text(arguments: Arguments, name: str) -> str:
    value = arguments.get(name) or ""
    if not isinstance(value, str):
        raise UserError(f"{name}: expected text")
    return value.strip()


def _flag(arguments: Arguments, name: str) -> bool | None:
    """Return a truth value, or None if the argument is missing."""
    value = arguments.get(name)
    if value in (None, ""):
        return None
    if value in (True, "true"):
        return True
    if value in (False, "false"):
        return False
    raise UserError(f"{name}: expected true or false")


def _required(arguments: Arguments, name: str) -> str:
    value = _text(arguments, name)
    if not value:
        raise UserError(f"{name}: is missing")
    return value


def _number(arguments: Arguments, name: str) -> float:
    try:
        number = float(arguments.get(name, ""))
    except (TypeError, ValueError):
        number = math.nan
    if not abs(number) <= _LARGEST:
        raise UserError(f"{name}: expected a number of at most {_LARGEST:.0f}")
    return number


def _person(arguments: Arguments) -> dict[str, Any]:
    """Return the person in the argument ``person`` (JSON), or in the fields of the page's short form."""
    person = arguments.get("person")
    if isinstance(person, str):
        try:
            person = json.loads(person)
        except (ValueError, RecursionError):
            raise UserError("person: is not JSON") from None
    if person is None:
        person = _from_short_form(arguments)
    problem = check_person(person)
    if problem or not person:
        raise UserError(f"person: {problem or 'has no field'}")
    return dict(person)


def _from_short_form(arguments: Arguments) -> dict[str, Any]:
    name = {key: _text(arguments, key) for key in ("givenName", "familyName") if arguments.get(key)}
    fields: dict[str, Any] = {"names": [name]} if name else {}
    if company := _text(arguments, "company"):
        fields["organizations"] = [{"name": company}]
    if number := _text(arguments, "number"):
        fields["phoneNumbers"] = [{"value": number, "type": _text(arguments, "type") or "work"}]
    return fields
