# SPDX-License-Identifier: MIT
"""Faults of the sandbox Google that no administrator meets: lists and tokens that are damaged on their way."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from ldapgw.google.sandbox.faults import FAULTS, Damage, Fault, Respond, invalid_argument
from ldapgw.google.sandbox.people import METHODS
from ldapgw.google.sandbox.reply import ApiReply, ApiRequest
from tests.support import spoilt_persons

# Octets; more than any client should read.
_TOO_MUCH = 17 << 20
_TOO_LONG = 17 << 10
_SMALL_PAGE = 200
# Stands for the spoilt items until the others are encoded.
_PLACE = "spoilt items"

_Content = dict[str, Any]


def _changed(change: Callable[[_Content, str], None], call: ApiRequest, respond: Respond) -> ApiReply:
    """The reply with a changed list.

    :param change: changes the content, whose list has the key.
    """
    reply = respond(call)
    if call.path not in METHODS:
        return reply
    content = json.loads(reply.body)
    change(content, METHODS[call.path].key)
    return ApiReply.of(200, content, reply.headers)


def _shorten(content: _Content, key: str) -> None:
    content[key] = content.get(key, [])[::2]


def _leave_out_few(content: _Content, key: str) -> None:
    content[key] = [item for index, item in enumerate(content.get(key, [])) if index % 20]


def _drop_list(content: _Content, key: str) -> None:
    content.pop(key, None)


def _repeat(content: _Content, key: str) -> None:
    content[key] = content.get(key, []) * 2


def _lengthen_sync_token(content: _Content, _key: str) -> None:
    if "nextSyncToken" in content:
        content["nextSyncToken"] = content["nextSyncToken"].ljust(_TOO_LONG, "A")


def _forget_sync_token(content: _Content, _key: str) -> None:
    content.pop("nextSyncToken", None)


def _loop(call: ApiRequest, respond: Respond) -> ApiReply:
    """Answer with the first page, whose next page is itself."""
    first = replace(call, query={name: values for name, values in call.query.items() if name != "pageToken"})

    def lead_back(content: _Content, _key: str) -> None:
        content["nextPageToken"] = _page_token(call) or "again"
        content.pop("nextSyncToken", None)

    return _changed(lead_back, first, respond)


def _refuse_page_token(call: ApiRequest, respond: Respond) -> ApiReply:
    reply = respond(call)
    return invalid_argument("Request contains an invalid argument.") if _page_token(call) else reply


def _enlarge(most: int, call: ApiRequest, respond: Respond) -> ApiReply:
    """Send blanks behind a list.

    :param most: a page of at most so many items stays as it is.
    """
    reply = respond(call)
    if call.path not in METHODS or int(call.query.get("pageSize", ("0",))[-1]) <= most:
        return reply
    return ApiReply(200, reply.headers, reply.body + b" " * _TOO_MUCH)


def _add_spoilt_items(call: ApiRequest, respond: Respond) -> ApiReply:
    """Add the spoilt persons, or contact groups, to the last page of a list."""
    reply, method = respond(call), METHODS[call.path]
    content = json.loads(reply.body)
    if "nextPageToken" in content:
        return reply
    items = spoilt_persons.PERSONS if method.source else spoilt_persons.GROUPS
    content[method.key] = [*content.get(method.key, []), _PLACE]
    content |= {total: content[total] + len(items) for total in method.totals if total in content}
    changed = ApiReply.of(200, content, reply.headers)
    body = changed.body.replace(json.dumps(_PLACE).encode(), b",".join(items.values()))
    return ApiReply(200, reply.headers, body)


def _sign_wrongly(call: ApiRequest, respond: Respond) -> ApiReply:
    """Answer with an id_token whose signature is another key's."""
    reply = respond(call)
    content = json.loads(reply.body)
    signed, _, signature = content.get("id_token", "").rpartition(".")
    octets = base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4))[::-1]
    wrong = base64.urlsafe_b64encode(octets).decode().rstrip("=")
    return ApiReply.of(200, {**content, "id_token": f"{signed}.{wrong}"}, reply.headers)


def _page_token(call: ApiRequest) -> str:
    return call.query.get("pageToken", ("",))[-1]


_OF_LISTS: Mapping[str, Damage] = {
    "broken_short_list": partial(_changed, _shorten),
    "broken_few_missing": partial(_changed, _leave_out_few),
    "broken_no_list": partial(_changed, _drop_list),
    "broken_twice": partial(_changed, _repeat),
    "broken_loop": _loop,
    "broken_too_large": partial(_enlarge, -1),
    "broken_too_large_pages": partial(_enlarge, _SMALL_PAGE),
    "broken_long_sync_token": partial(_changed, _lengthen_sync_token),
    "broken_page_token": _refuse_page_token,
    "broken_no_sync_token": partial(_changed, _forget_sync_token),
    "broken_persons": _add_spoilt_items,
}

# The sandbox's own faults, and these.
ALL_FAULTS: Mapping[str, Fault] = {
    **FAULTS,
    **{name: Fault(name, "/v1/", damage) for name, damage in _OF_LISTS.items()},
    "broken_signature": Fault("broken_signature", "/token", _sign_wrongly),
}
