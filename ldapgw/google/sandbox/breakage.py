# SPDX-License-Identifier: MIT
"""Damages the sandbox's replies as a `Breakage` says.  Pure."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any

from ldapgw.google.sandbox import spoilt
from ldapgw.google.sandbox.faults import Breakage, invalid_argument
from ldapgw.google.sandbox.people import METHODS, ListMethod
from ldapgw.google.sandbox.reply import ApiReply, ApiRequest

# Octets; more than any client should read.
_TOO_MUCH = 17 << 20
_TOO_LONG = 17 << 10
_SMALL_PAGE = 200
# Stands for the spoilt items until the others are encoded.
_PLACE = "spoilt items"
_MANY_HEADERS = tuple((f"X-Filler-{number}", "a" * 40) for number in range(2000))

_Content = dict[str, Any]


def apply_breakage(call: ApiRequest, reply: ApiReply, breakage: Breakage | None) -> ApiReply:
    """Return a reply damaged by a breakage; errors, and replies with a breakage of the connection, are unchanged."""
    if reply.status == 200 and breakage is Breakage.WRONG_SIGNATURE:
        return _with_wrong_signature(reply)
    if reply.status != 200 or call.path not in METHODS:
        return reply
    if breakage is Breakage.OLD_PAGE and _page_token(call):
        return invalid_argument("Request contains an invalid argument.")
    if breakage is Breakage.MANY_HEADERS:
        return ApiReply(200, reply.headers + _MANY_HEADERS, reply.body)
    if breakage is Breakage.LARGE or (breakage is Breakage.LARGE_PAGES and _page_size(call) > _SMALL_PAGE):
        return ApiReply(200, reply.headers, reply.body + b" " * _TOO_MUCH)
    if breakage is Breakage.SPOILT:
        return _with_spoilt_items(reply, METHODS[call.path])
    if breakage not in _CHANGES:
        return reply
    content = json.loads(reply.body)
    _CHANGES[breakage](content, METHODS[call.path].key, call)
    return ApiReply.of(200, content, reply.headers)


def _with_wrong_signature(reply: ApiReply) -> ApiReply:
    content = json.loads(reply.body)
    signed, _, signature = content.get("id_token", "").rpartition(".")
    octets = base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4))[::-1]
    wrong = base64.urlsafe_b64encode(octets).decode().rstrip("=")
    return ApiReply.of(200, {**content, "id_token": f"{signed}.{wrong}"}, reply.headers)


def _with_spoilt_items(reply: ApiReply, method: ListMethod) -> ApiReply:
    """Add the spoilt persons, or contact groups, to the last page of a list."""
    content = json.loads(reply.body)
    if "nextPageToken" in content:
        return reply
    items = spoilt.PERSONS if method.source else spoilt.GROUPS
    content[method.key] = [*content.get(method.key, []), _PLACE]
    content |= {total: content[total] + len(items) for total in method.totals if total in content}
    changed = ApiReply.of(200, content, reply.headers)
    body = changed.body.replace(json.dumps(_PLACE).encode(), b",".join(items.values()))
    return ApiReply(200, reply.headers, body)


def _shorten(content: _Content, key: str, _call: ApiRequest) -> None:
    content[key] = content.get(key, [])[::2]


def _leave_out_few(content: _Content, key: str, _call: ApiRequest) -> None:
    content[key] = [item for index, item in enumerate(content.get(key, [])) if index % 20]


def _drop_list(content: _Content, key: str, _call: ApiRequest) -> None:
    content.pop(key, None)


def _repeat(content: _Content, key: str, _call: ApiRequest) -> None:
    content[key] = content.get(key, []) * 2


def _loop(content: _Content, _key: str, call: ApiRequest) -> None:
    content["nextPageToken"] = _page_token(call) or "again"
    content.pop("nextSyncToken", None)


def _lengthen_sync_token(content: _Content, _key: str, _call: ApiRequest) -> None:
    if "nextSyncToken" in content:
        content["nextSyncToken"] = content["nextSyncToken"].ljust(_TOO_LONG, "A")


def _forget_sync_token(content: _Content, _key: str, _call: ApiRequest) -> None:
    content.pop("nextSyncToken", None)


_CHANGES: Mapping[Breakage | None, Callable[[_Content, str, ApiRequest], None]] = {
    Breakage.SHORT: _shorten,
    Breakage.FEW_MISSING: _leave_out_few,
    Breakage.NO_LIST: _drop_list,
    Breakage.TWICE: _repeat,
    Breakage.LOOP: _loop,
    Breakage.NO_END: _forget_sync_token,
    Breakage.LONG_TOKEN: _lengthen_sync_token,
}


def _page_size(call: ApiRequest) -> int:
    return int(call.query.get("pageSize", ("0",))[-1])


def _page_token(call: ApiRequest) -> str:
    return call.query.get("pageToken", ("",))[-1]
