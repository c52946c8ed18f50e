# SPDX-License-Identifier: MIT
"""The list methods of the People API: connections, other contacts, the Workspace directory, contact groups.

The functions are pure: they do no I/O.

Source: the discovery document of the People API v1 (``people.connections.list``, ``otherContacts.list``,
``people.listDirectoryPeople``, ``contactGroups.list``).  The sandbox makes its checks in Google's order: the token, its
scope, the names of the parameters, their values.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from ldapgw.google.sandbox import faults, fields
from ldapgw.google.sandbox.faults import invalid_argument
from ldapgw.google.sandbox.grants import AccessToken
from ldapgw.google.sandbox.lists import ListToken, ResourceRecord, ResourceStore, unseal
from ldapgw.google.sandbox.reply import API_HEADERS, ApiRefusal, ApiReply, ApiRequest, Parameters
from ldapgw.google.sandbox.world import GoogleAccount, World, labels_of

SYNC_TOKEN_LIFE = 7 * 86400.0
# The lifetime of a page token in seconds; Google does not document this lifetime.
PAGE_TOKEN_LIFE = 3600.0
MOST_ON_A_PAGE = 1000

_AUTH = "https://www.googleapis.com/auth/"
# Parameters of every Google API; they change the format of an answer, not its content.
_STANDARD = frozenset(("alt", "prettyPrint", "quotaUser", "key"))
_PROFILES = ("PROFILE", "ACCOUNT", "DOMAIN_PROFILE")
# The source types that each value of the parameter `sources` selects.
_READ_SOURCES = {
    "READ_SOURCE_TYPE_CONTACT": ("CONTACT", "OTHER_CONTACT"),
    "READ_SOURCE_TYPE_PROFILE": _PROFILES,
    "READ_SOURCE_TYPE_DOMAIN_CONTACT": ("DOMAIN_CONTACT",),
}
_DIRECTORY_SOURCES = {
    "DIRECTORY_SOURCE_TYPE_DOMAIN_CONTACT": ("DOMAIN_CONTACT",),
    "DIRECTORY_SOURCE_TYPE_DOMAIN_PROFILE": ("DOMAIN_PROFILE", "PROFILE", "ACCOUNT"),
}
_PAGING = frozenset(("pageSize", "pageToken", "syncToken"))


@dataclass(frozen=True, slots=True)
class ListMethod:
    """A list method and its differences from other list methods.

    :ivar source: a source of `World.persons_of`, or empty for contact groups.
    :ivar key: key of the list in an answer.
    :ivar scopes: the access token needs at least one of these scopes.
    :ivar mask: name of the parameter with the field mask.
    :ivar totals: keys of the total count in an answer.
    """

    name: str
    source: str
    key: str
    scopes: tuple[str, ...]
    mask: str
    parameters: frozenset[str]
    totals: tuple[str, ...] = ()
    page_size: int = 100


METHODS = {
    "/v1/people/me/connections": ListMethod(
        "ListConnections",
        "contacts",
        "connections",
        (_AUTH + "contacts.readonly", _AUTH + "contacts"),
        "personFields",
        _PAGING | {"personFields", "requestSyncToken", "sources", "sortOrder"},
        ("totalPeople", "totalItems"),
    ),
    "/v1/otherContacts": ListMethod(
        "ListOtherContacts",
        "other_contacts",
        "otherContacts",
        (_AUTH + "contacts.other.readonly",),
        "readMask",
        _PAGING | {"readMask", "requestSyncToken", "sources"},
        ("totalSize",),
    ),
    "/v1/people:listDirectoryPeople": ListMethod(
        "ListDirectoryPeople",
        "directory",
        "people",
        (_AUTH + "directory.readonly",),
        "readMask",
        _PAGING | {"readMask", "requestSyncToken", "sources"},
    ),
    "/v1/contactGroups": ListMethod(
        "ListContactGroups",
        "",
        "contactGroups",
        (_AUTH + "contacts.readonly", _AUTH + "contacts"),
        "groupFields",
        _PAGING | {"groupFields"},
        ("totalItems",),
        page_size=30,
    ),
}


@dataclass(frozen=True, slots=True)
class _ListCall:
    """The valid parameters of a call: fields, sources, page size and position."""

    mask: frozenset[str]
    sources: tuple[str, ...]
    size: int
    wants_sync_token: bool
    cursor: ListToken
    # The fingerprint of this call without its tokens, for the next sync token.
    call: str


def answer(world: World, call: ApiRequest, *, empty: bool = False) -> ApiReply:
    """Return a page of a list.

    :param empty: return an empty page with a next page token, as Google sometimes does.
    :raises ApiRefusal: with the error reply of Google.
    """
    method = METHODS[call.path]
    token = _authenticated(world, call, method)
    account = world.account_of(token.grantee.sub)
    if account is None:
        raise ApiRefusal(faults.unauthenticated(method.name, "ACCESS_TOKEN_EXPIRED"))
    list_call = _checked(world, call, method, account)
    resources = world.persons_of(account.address, method.source) if method.source else account.groups
    content = _content(world, method, resources, account, list_call, empty=empty)
    is_pretty = _single_value(call.query, "prettyPrint") not in ("false", "0")
    return ApiReply.of(200, content, API_HEADERS, indent=2 if is_pretty else None)


def account_of(world: World, call: ApiRequest) -> str:
    """Return the address of the account whose access token is in a call, or empty if it is unknown."""
    grantee = world.grants.grantee(call.bearer)
    account = world.account_of(grantee.sub) if grantee else None
    return account.address if account else ""


def _authenticated(world: World, call: ApiRequest, method: ListMethod) -> AccessToken:
    if not call.bearer:
        raise ApiRefusal(faults.unauthenticated(method.name, "CREDENTIALS_MISSING"))
    token = world.grants.find_access_token(call.bearer)
    if token is None:
        raise ApiRefusal(faults.unauthenticated(method.name, "ACCESS_TOKEN_EXPIRED"))
    if not set(method.scopes) & set(token.scopes):
        raise ApiRefusal(faults.scope_insufficient(method.name, method.scopes[0]))
    return token


def _content(
    world: World,
    method: ListMethod,
    resources: ResourceStore,
    account: GoogleAccount,
    list_call: _ListCall,
    *,
    empty: bool,
) -> dict[str, Any]:
    cursor = list_call.cursor
    candidates = list(
        islice(resources.after(cursor.position, deleted=cursor.incremental), 0 if empty else list_call.size + 1)
    )
    records = candidates[: list_call.size]
    members = Counter(_memberships(account)) if not method.source and "memberCount" in list_call.mask else Counter()
    selected = (_selected(record, list_call, members[record.resource["resourceName"]]) for record in records)
    content: dict[str, Any] = {}
    if items := [item for item in selected if item]:
        content[method.key] = items
    if len(candidates) > len(records) or empty:
        position = records[-1].revision if records else cursor.position
        next_cursor = replace(cursor, kind="page", position=position, issued_at=world.time())
        content["nextPageToken"] = next_cursor.seal(world.key)
    elif list_call.wants_sync_token:
        next_cursor = replace(
            cursor, kind="sync", call=list_call.call, position=0, issued_at=world.time(), incremental=False
        )
        content["nextSyncToken"] = next_cursor.seal(world.key)
    if not cursor.incremental or (items and method.source != "contacts"):
        total = len(items) if cursor.incremental and not method.source else len(resources)
        content |= dict.fromkeys(method.totals, total) if total else {}
    return content


def _selected(record: ResourceRecord, list_call: _ListCall, members: int) -> dict[str, Any] | None:
    """Return the requested fields of a record, or None if the record belongs to another source."""
    types = {source.get("type") for source in record.resource.get("metadata", {}).get("sources", ())}
    if list_call.sources and types and not types & set(list_call.sources):
        return None
    selected = fields.masked(record.resource, list_call.mask, list_call.sources)
    if record.previous and list_call.cursor.incremental and "metadata" in selected:
        selected["metadata"] = {**selected["metadata"], "previousResourceNames": list(record.previous)}
    return {**selected, "memberCount": members} if members else selected


def _memberships(account: GoogleAccount) -> Iterator[str]:
    for person in account.contacts:
        yield "contactGroups/all"
        yield from labels_of(person)


# --- Parameters -----------------------------------------------------------------------------------------------------


def _checked(world: World, call: ApiRequest, method: ListMethod, account: GoogleAccount) -> _ListCall:
    query = {name: values for name, values in call.query.items() if name not in _STANDARD}
    for name in query.keys() - method.parameters:
        raise ApiRefusal(
            invalid_argument(
                f'Invalid JSON payload received. Unknown name "{name}": Cannot bind query parameter. '
                f"Field '{name}' could not be found in request message."
            )
        )
    if method.source == "directory" and not account.hd:
        raise ApiRefusal(faults.NO_DOMAIN_USER)
    sources = _sources(query, method)
    if _single_value(query, "sortOrder") not in ("", "LAST_MODIFIED_ASCENDING"):
        raise ApiRefusal(invalid_argument("The sandbox sorts by LAST_MODIFIED_ASCENDING alone."))
    resources = world.persons_of(account.address, method.source) if method.source else account.groups
    return _ListCall(
        mask=_mask(query, method),
        sources=sources,
        size=_page_size(query, method),
        # Contact groups have no parameter requestSyncToken.
        wants_sync_token=not method.source or _boolean(query, "requestSyncToken"),
        cursor=_cursor(world, query, method, account, resources.revision),
        call=_fingerprint(query, method, account, without=("pageToken", "syncToken")),
    )


def _mask(query: Parameters, method: ListMethod) -> frozenset[str]:
    paths = [path.strip() for path in ",".join(query.get(method.mask, ())).split(",") if path.strip()]
    if method.source == "":
        allowed = fields.GROUP_FIELDS
        paths = paths or ["metadata", "groupType", "memberCount", "name"]
    elif method.source == "other_contacts" and "READ_SOURCE_TYPE_PROFILE" not in query.get("sources", ()):
        allowed = fields.OTHER_CONTACT_FIELDS
    else:
        allowed = fields.PERSON_FIELDS
    if not paths:
        raise ApiRefusal(invalid_argument(f"{method.mask} mask is required. Please specify one or more valid paths."))
    for path in paths:
        # For a subfield ("names.givenName") the sandbox returns the whole field.
        if path.partition(".")[0] not in allowed:
            raise ApiRefusal(
                invalid_argument(
                    f'Invalid {method.mask} mask path: "{path}". Valid paths are documented at '
                    f"https://developers.google.com/people/api/rest/v1/{_documentation_of(method)}."
                )
            )
    named = frozenset(path.partition(".")[0] for path in paths)
    # Google returns a group's formatted name together with its name.
    return named | {"formattedName"} if "name" in named else named


def _documentation_of(method: ListMethod) -> str:
    pages = {"contacts": "people.connections/list", "other_contacts": "otherContacts/list"}
    return pages.get(method.source, "people/listDirectoryPeople" if method.source else "contactGroups/list")


def _sources(query: Parameters, method: ListMethod) -> tuple[str, ...]:
    """Return the selected source types, or an empty tuple for all types."""
    values = query.get("sources", ())
    known = _DIRECTORY_SOURCES if method.source == "directory" else _READ_SOURCES
    for value in values:
        if value not in known:
            raise ApiRefusal(invalid_argument(f"Invalid value at 'sources': \"{value}\""))
    if method.source == "directory" and not values:
        raise ApiRefusal(invalid_argument("sources is required. Please specify one or more sources."))
    if method.source == "other_contacts":
        if values and "READ_SOURCE_TYPE_CONTACT" not in values:
            raise ApiRefusal(invalid_argument("READ_SOURCE_TYPE_CONTACT is required in sources."))
        return ("OTHER_CONTACT", *(_PROFILES if "READ_SOURCE_TYPE_PROFILE" in values else ()))
    return tuple(kind for value in values for kind in known[value])


def _page_size(query: Parameters, method: ListMethod) -> int:
    text = _single_value(query, "pageSize") or "0"
    if not text.isascii() or not text.isdigit():
        raise ApiRefusal(invalid_argument(f"Invalid value at 'page_size' (TYPE_INT32), \"{text}\""))
    if int(text) > MOST_ON_A_PAGE:
        raise ApiRefusal(invalid_argument(f"Page size must be between 1 and {MOST_ON_A_PAGE}."))
    return int(text) or method.page_size


def _boolean(query: Parameters, name: str) -> bool:
    text = _single_value(query, name) or "false"
    if text not in ("true", "false"):
        raise ApiRefusal(invalid_argument(f"Invalid value at '{name}' (TYPE_BOOL), \"{text}\""))
    return text == "true"


def _single_value(query: Parameters, name: str) -> str:
    """Return the value of a parameter; of several values the last value counts, as at Google."""
    return query.get(name, ("",))[-1]


# --- Tokens ---------------------------------------------------------------------------------------------------------


def _cursor(world: World, query: Parameters, method: ListMethod, account: GoogleAccount, revision: int) -> ListToken:
    """Return the start position of a call: after a page, after an earlier sync, or the beginning of the list.

    A token is valid only for calls with the same account and parameters as the call that returned the token ("All other
    parameters provided must match the call that provided the token").
    """
    now = world.time()
    page_token, sync_token = _single_value(query, "pageToken"), _single_value(query, "syncToken")
    if page_token:
        call = _fingerprint(query, method, account, without=("pageToken",))
        cursor = unseal(page_token, world.key)
        if cursor is None or cursor.kind != "page" or cursor.call != call or now > cursor.issued_at + PAGE_TOKEN_LIFE:
            raise ApiRefusal(invalid_argument("Request contains an invalid argument."))
        return cursor
    call = _fingerprint(query, method, account, without=())
    if not sync_token:
        return ListToken("page", call, account.generation, now, now, revision, 0, incremental=False)
    cursor = unseal(sync_token, world.key)
    if (
        cursor is None
        or cursor.kind != "sync"
        or cursor.call != _fingerprint(query, method, account, without=("syncToken",))
    ):
        raise ApiRefusal(invalid_argument("Request contains an invalid argument."))
    if now > cursor.full_at + SYNC_TOKEN_LIFE or cursor.generation < account.generation:
        raise ApiRefusal(faults.expired_sync_token())
    return replace(cursor, kind="page", call=call, base=revision, position=cursor.base, incremental=True)


def _fingerprint(query: Parameters, method: ListMethod, account: GoogleAccount, *, without: tuple[str, ...]) -> str:
    """Return the fingerprint of a call, for its tokens.  The order of the paths in a mask does not matter."""
    parameters = [
        (name, sorted(path for value in values for path in value.split(",")))
        for name, values in sorted(query.items())
        if name not in without
    ]
    return hashlib.sha256(json.dumps([account.sub, method.name, parameters]).encode()).hexdigest()[:24]
