# SPDX-License-Identifier: MIT
"""The methods of the Directory API that the gateway calls: the lists of users and of members, and a single user.

The functions are pure: they do no I/O.

Source: the discovery document of the Admin SDK, ``directory_v1`` (``users.list``, ``users.get``, ``members.list``).
The sandbox makes its checks in this order: the token, its scope, the role of its owner, the parameters.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from ldapgw.google.sandbox import faults
from ldapgw.google.sandbox.lists import ListToken, unseal
from ldapgw.google.sandbox.reply import API_HEADERS, ApiRefusal, ApiReply, ApiRequest, Parameters
from ldapgw.google.sandbox.workspace import EVERYBODY, GROUPS_SCOPE, USERS_SCOPE, GoogleGroup, customer_id
from ldapgw.google.sandbox.world import GoogleAccount, World

# The beginning of the paths of all methods.
PREFIX = "/admin/directory/v1/"
PAGE_TOKEN_LIFE = 3 * 86400.0

_STANDARD = frozenset(("fields", "prettyPrint", "maxResults", "pageToken"))

_Item = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Method:
    """A list method of the Directory API.

    :ivar kind: the last part of the field ``kind``, which is the key of the list too.
    :ivar most: the maximum number of items on a page.
    :ivar parameters: the parameters besides `_STANDARD`.
    """

    kind: str
    most: int
    usual: int
    parameters: frozenset[str] = frozenset()


_USERS = _Method("users", most=500, usual=100, parameters=frozenset(("customer",)))
_MEMBERS = _Method("members", most=200, usual=200)


def answer(world: World, call: ApiRequest) -> ApiReply:
    """Answer a call of the Directory API.

    :raises ApiRefusal: with the error reply of Google.
    """
    match [unquote(part) for part in call.path.removeprefix(PREFIX).split("/")]:
        case ["users"]:
            content = _list_users(world, call)
        case ["users", key]:
            content = _user(world, _caller(world, call, USERS_SCOPE), key)
        case ["groups", key, "members"]:
            content = _list_members(world, call, key)
        case _:
            raise ApiRefusal(ApiReply.of(404, "Not Found", (("Content-Type", "text/html; charset=UTF-8"),)))
    is_pretty = _single_value(call.query, "prettyPrint") not in ("false", "0")
    selected = _selected(content, _single_value(call.query, "fields"))
    return ApiReply.of(200, selected, API_HEADERS, indent=2 if is_pretty else None)


# --- Users ----------------------------------------------------------------------------------------------------------


def _list_users(world: World, call: ApiRequest) -> _Item:
    account = _caller(world, call, USERS_SCOPE)
    _check_parameters(call.query, _USERS)
    customer = _single_value(call.query, "customer")
    if not customer:
        raise ApiRefusal(_bad_request("Bad Request"))
    if customer not in ("my_customer", customer_id(account.hd)):
        raise ApiRefusal(faults.NOT_AN_ADMIN)
    users = [_user_item(user) for user in world.accounts.values() if user.hd == account.hd]
    return _page(world, call, account, _USERS, users)


def _user(world: World, caller: GoogleAccount, user_id: str) -> _Item:
    account = world.account_of(user_id)
    if account is None:
        raise ApiRefusal(faults.no_resource("userKey"))
    if account.hd != caller.hd:
        raise ApiRefusal(faults.NOT_AN_ADMIN)
    return {"kind": "admin#directory#user", **_user_item(account)}


def _user_item(account: GoogleAccount) -> _Item:
    return {
        "id": account.sub,
        "primaryEmail": account.address,
        **({"aliases": account.aliases} if account.aliases else {}),
        "name": {"givenName": account.given_name, "familyName": account.family_name, "fullName": account.name},
        "isAdmin": False,
        "isDelegatedAdmin": account.is_admin,
        "suspended": account.is_suspended,
        "archived": account.is_archived,
        "orgUnitPath": account.org_unit,
        "isGuestUser": False,
        "customerId": customer_id(account.hd),
    }


_USER_FIELDS = frozenset(
    (
        *("aliases", "archived", "customerId", "id", "isAdmin", "isDelegatedAdmin", "isGuestUser"),
        *("name", "orgUnitPath", "primaryEmail", "suspended"),
    )
)


# --- Members --------------------------------------------------------------------------------------------------------


def _list_members(world: World, call: ApiRequest, key: str) -> _Item:
    account = _caller(world, call, GROUPS_SCOPE)
    _check_parameters(call.query, _MEMBERS)
    group = _group(world, account, key)
    items = [_member_item(world, group, member) for member in group.members]
    return _page(world, call, account, _MEMBERS, [item for item in items if item is not None])


def _group(world: World, caller: GoogleAccount, key: str) -> GoogleGroup:
    group = next((group for group in world.workspaces.groups.values() if key in (group.address, group.id)), None)
    if group is None:
        raise ApiRefusal(faults.no_resource("groupKey"))
    if not group.address.endswith(f"@{caller.hd}"):
        raise ApiRefusal(faults.NOT_AN_ADMIN)
    return group


def _member_item(world: World, group: GoogleGroup, member: str) -> _Item | None:
    """Return a member of a group, or None if the member has been deleted."""
    domain = group.address.partition("@")[2]
    if member == EVERYBODY:
        return {"id": customer_id(domain), "role": "MEMBER", "type": "CUSTOMER"}
    inner, account = world.workspaces.groups.get(member), world.accounts.get(member)
    if inner is not None:
        return {"id": inner.id, "email": member, "role": "MEMBER", "type": "GROUP", "status": "ACTIVE"}
    if account is not None:
        status = "SUSPENDED" if account.is_suspended else "ARCHIVED" if account.is_archived else "ACTIVE"
        return {"id": account.sub, "email": member, "role": "MEMBER", "type": "USER", "status": status}
    if member.endswith(f"@{domain}"):
        return None
    outsider = int(hashlib.sha256(member.encode()).hexdigest(), 16) % 10**20
    return {"id": f"1{outsider:020}", "email": member, "role": "MEMBER", "type": "USER", "status": "ACTIVE"}


# --- Checks and pages -----------------------------------------------------------------------------------------------


def _caller(world: World, call: ApiRequest, scope: str) -> GoogleAccount:
    """Return the owner of the access token, who has to be an administrator."""
    token = world.grants.find_access_token(call.bearer)
    account = world.account_of(token.grantee.sub) if token else None
    if token is None or account is None:
        raise ApiRefusal(faults.NO_CREDENTIALS)
    if scope not in token.scopes:
        raise ApiRefusal(faults.NO_SCOPE)
    if not account.hd:
        raise ApiRefusal(faults.NO_DOMAIN)
    if not account.is_admin:
        raise ApiRefusal(faults.NOT_AN_ADMIN)
    return account


def _check_parameters(query: Parameters, method: _Method) -> None:
    for name in query.keys() - method.parameters - _STANDARD:
        raise ApiRefusal(_bad_request(f'Invalid JSON payload received. Unknown name "{name}"'))


def _page(world: World, call: ApiRequest, account: GoogleAccount, method: _Method, items: list[_Item]) -> _Item:
    """Return a page of a list; Google omits the key of an empty list."""
    size = _single_value(call.query, "maxResults") or f"{method.usual}"
    if not size.isascii() or not size.isdigit() or not 1 <= int(size) <= method.most:
        raise ApiRefusal(_bad_request("Invalid Input: maxResults"))
    parameters = sorted((name, values) for name, values in call.query.items() if name != "pageToken")
    text = json.dumps([account.sub, call.path, parameters])
    fingerprint = hashlib.sha256(text.encode()).hexdigest()[:24]
    position = _position(world, _single_value(call.query, "pageToken"), fingerprint)
    content: _Item = {"kind": f"admin#directory#{method.kind}"}
    if page := items[position : position + int(size)]:
        content[method.kind] = page
    if position + int(size) < len(items):
        cursor = ListToken("page", fingerprint, 0, 0.0, world.time(), 0, position + int(size), incremental=False)
        content["nextPageToken"] = cursor.seal(world.key)
    return content


def _position(world: World, page_token: str, fingerprint: str) -> int:
    if not page_token:
        return 0
    cursor = unseal(page_token, world.key)
    if cursor is None or cursor.call != fingerprint or world.time() > cursor.issued_at + PAGE_TOKEN_LIFE:
        raise ApiRefusal(_bad_request("Invalid Input: pageToken"))
    return cursor.position


def _bad_request(message: str) -> ApiReply:
    return faults.directory_error(400, "invalid", message)


def _single_value(query: Parameters, name: str) -> str:
    return query.get(name, ("",))[-1]


# --- The parameter "fields" -----------------------------------------------------------------------------------------

_MASK_PART = re.compile(r"[A-Za-z]+|[/,()*]")


def _selected(content: _Item, mask: str) -> _Item:
    """Return the fields of a partial response, such as ``nextPageToken,users(id,name/fullName)``."""
    if not mask:
        return content
    parts = _MASK_PART.findall(mask)
    if "".join(parts) != mask:
        raise ApiRefusal(_invalid_mask(mask))
    tree = _tree(parts)
    if parts:
        raise ApiRefusal(_invalid_mask(mask))
    known = _USER_FIELDS | {"email", "role", "type", "status"}
    for inner in (tree.get(key) or {} for key in ("users", "members")):
        for unknown in inner.keys() - known - {"*"}:
            raise ApiRefusal(_invalid_mask(unknown))
    selected: _Item = _pruned(content, tree)
    return selected


def _tree(parts: list[str]) -> _Item:
    """Parse a mask up to its end or to a closing bracket; remove what was parsed from `parts`."""
    tree: _Item = {}
    while parts and parts[0] != ")":
        name = parts.pop(0)
        if parts[:1] == ["("]:
            parts.pop(0)
            tree[name] = _tree(parts)
            parts[:1] = []
        elif parts[:1] == ["/"]:
            parts.pop(0)
            inner = parts.pop(0) if parts else "*"
            tree.setdefault(name, {})[inner] = {}
        else:
            tree[name] = {}
        if parts[:1] == [","]:
            parts.pop(0)
    return tree


def _pruned(value: Any, tree: _Item) -> Any:
    if not tree or "*" in tree:
        return value
    if isinstance(value, list):
        return [_pruned(item, tree) for item in value]
    if isinstance(value, dict):
        return {key: _pruned(inner, tree[key]) for key, inner in value.items() if key in tree}
    return value


def _invalid_mask(name: str) -> ApiReply:
    return faults.directory_error(400, "invalidParameter", f"Invalid field selection {name}")
