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


def _add_person(world: World, arguments: Arguments) -> dict[str, Any]:
    source = _text(arguments, "source") or "contacts"
    return {"resourceName": world.add_person(_required(arguments, "account"), _person(arguments), source)}


def _change_person(world: World, arguments: Arguments) -> dict[str, Any]:
    world.change_person(_required(arguments, "account"), _required(arguments, "resourceName"), _person(arguments))
    return {}


def _delete_person(world: World, arguments: Arguments) -> dict[str, Any]:
    world.delete_person(_required(arguments, "account"), _required(arguments, "resourceName"))
    return {}


def _move_person(world: World, arguments: Arguments) -> dict[str, Any]:
    return {"resourceName": world.move_person(_required(arguments, "account"), _required(arguments, "resourceName"))}


def _add_photo(world: World, arguments: Arguments) -> dict[str, Any]:
    account, name = _required(arguments, "account"), _required(arguments, "resourceName")
    try:
        body = b64decode(_required(arguments, "photo"), validate=True)
    except ValueError:
        raise UserError("photo: expected Base64") from None
    return {"url": world.add_photo(account, name, body, _text(arguments, "content_type") or "image/jpeg")}


def _inject_fault(world: World, arguments: Arguments) -> dict[str, Any]:
    times = int(_number(arguments, "times")) if arguments.get("times") not in (None, "") else None
    after = int(_number(arguments, "after")) if arguments.get("after") not in (None, "") else 0
    account, path = _text(arguments, "account"), _text(arguments, "path")
    if account:
        world.account(account)
    world.faults.inject(_required(arguments, "name"), times=times, account=account, path=path, after=after)
    return {}


def _clear_faults(world: World, arguments: Arguments) -> dict[str, Any]:
    del arguments
    world.faults.clear()
    return {}


def _expire_sync_tokens(world: World, arguments: Arguments) -> dict[str, Any]:
    world.expire_sync_tokens(_text(arguments, "account"))
    return {}


def _expire_access_tokens(world: World, arguments: Arguments) -> dict[str, Any]:
    world.expire_access_tokens(_text(arguments, "account"))
    return {}


def _revoke(world: World, arguments: Arguments) -> dict[str, Any]:
    world.revoke(_required(arguments, "account"))
    return {}


def _set_client(world: World, arguments: Arguments) -> dict[str, Any]:
    changes = {name: _text(arguments, name) for name in ("state", "audience", "domain") if arguments.get(name)}
    world.set_client(_text(arguments, "client_id"), **changes)
    return {}


def _add_redirect_uri(world: World, arguments: Arguments) -> dict[str, Any]:
    world.add_redirect_uri(_required(arguments, "uri"), _text(arguments, "client_id"))
    return {}


def _advance(world: World, arguments: Arguments) -> dict[str, Any]:
    world.advance(_number(arguments, "seconds"))
    return {"time": world.time()}


def _set_quota(world: World, arguments: Arguments) -> dict[str, Any]:
    given = arguments.get("calls_per_minute") not in (None, "")
    world.calls_per_minute = int(_number(arguments, "calls_per_minute")) if given else None
    return {}


def _set_user(world: World, arguments: Arguments) -> dict[str, Any]:
    flags = {name: _flag(arguments, name) for name in ("suspended", "archived", "admin", "signed_in")}
    world.set_user(_required(arguments, "account"), org_unit=_text(arguments, "org_unit"), **flags)
    return {}


def _delete_user(world: World, arguments: Arguments) -> dict[str, Any]:
    world.delete_account(_required(arguments, "account"))
    return {}


def _authorize_service_account(world: World, arguments: Arguments) -> dict[str, Any]:
    """Authorize scopes as the Admin console does: the scopes are separated by commas, and replace earlier scopes."""
    scopes = [scope.strip() for scope in _text(arguments, "scopes").split(",") if scope.strip()]
    domain = _text(arguments, "domain") or next((account.hd for account in world.accounts.values() if account.hd), "")
    world.workspaces.authorize(_text(arguments, "client_id"), domain, scopes)
    return {}


def _set_service_account(world: World, arguments: Arguments) -> dict[str, Any]:
    world.workspaces.set_state(_text(arguments, "service_account"), _required(arguments, "state"))
    return {}


def _replace_key(world: World, arguments: Arguments) -> dict[str, Any]:
    world.workspaces.replace_key(_text(arguments, "service_account"))
    return {}


def _set_group(world: World, arguments: Arguments) -> dict[str, Any]:
    members = [member.strip() for member in _text(arguments, "members").split(",") if member.strip()]
    address = _required(arguments, "group")
    world.workspaces.set_group(address, _text(arguments, "name") or address.partition("@")[0], members)
    return {}


def _delete_group(world: World, arguments: Arguments) -> dict[str, Any]:
    world.workspaces.delete_group(_required(arguments, "group"))
    return {}


# The controls by the last part of the path in ``POST /sandbox/…``.
CONTROLS: dict[str, Callable[[World, Arguments], dict[str, Any]]] = {
    "add-person": _add_person,
    "change-person": _change_person,
    "delete-person": _delete_person,
    "move-person": _move_person,
    "add-photo": _add_photo,
    "inject-fault": _inject_fault,
    "clear-faults": _clear_faults,
    "expire-sync-tokens": _expire_sync_tokens,
    "expire-access-tokens": _expire_access_tokens,
    "quota": _set_quota,
    "revoke": _revoke,
    "client": _set_client,
    "add-redirect-uri": _add_redirect_uri,
    "advance": _advance,
    "set-user": _set_user,
    "delete-user": _delete_user,
    "authorize-service-account": _authorize_service_account,
    "set-service-account": _set_service_account,
    "replace-key": _replace_key,
    "set-group": _set_group,
    "delete-group": _delete_group,
}


def run_control(world: World, name: str, arguments: Arguments) -> dict[str, Any]:
    """Run a control.

    :returns: the JSON object that answers ``POST /sandbox/…``.
    :raises UserError: if the control does not exist or rejects the arguments.
    """
    if name not in CONTROLS:
        raise UserError(f"{name} is no control; the controls are: {', '.join(CONTROLS)}")
    return CONTROLS[name](world, arguments)


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
        number = float(arguments.get(name) or "")
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
        except ValueError:
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
