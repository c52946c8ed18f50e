# SPDX-License-Identifier: MIT
"""Lists that say one thing and hold another, as Google has been seen to give them.  Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from ldapgw.google.sandbox.faults import Breakage, invalid_argument
from ldapgw.google.sandbox.people import METHODS
from ldapgw.google.sandbox.reply import Call, Reply

# More than any client should read.
_TOO_MUCH = 17 << 20

_Content = dict[str, Any]


def spoil(call: Call, reply: Reply, breakage: Breakage | None) -> Reply:
    """A reply as it comes out of a breakage; an error, and a breakage that is the line's, leave it as it is."""
    if reply.status != 200 or call.path not in METHODS:
        return reply
    if breakage is Breakage.OLD_PAGE and _page_token(call):
        return invalid_argument("Request contains an invalid argument.")
    if breakage is Breakage.LARGE:
        return Reply(200, reply.headers, reply.body + b" " * _TOO_MUCH)
    if breakage not in _CHANGES:
        return reply
    content = json.loads(reply.body)
    _CHANGES[breakage](content, METHODS[call.path].key, call)
    return Reply.of(200, content, reply.headers)


def _shorten(content: _Content, key: str, _call: Call) -> None:
    content[key] = content.get(key, [])[::2]


def _leave_out_few(content: _Content, key: str, _call: Call) -> None:
    content[key] = [one for at, one in enumerate(content.get(key, [])) if at % 20]


def _drop_list(content: _Content, key: str, _call: Call) -> None:
    content.pop(key, None)


def _repeat(content: _Content, key: str, _call: Call) -> None:
    content[key] = content.get(key, []) * 2


def _loop(content: _Content, _key: str, call: Call) -> None:
    content["nextPageToken"] = _page_token(call) or "again"
    content.pop("nextSyncToken", None)


def _forget_sync_token(content: _Content, _key: str, _call: Call) -> None:
    content.pop("nextSyncToken", None)


_CHANGES: Mapping[Breakage | None, Callable[[_Content, str, Call], None]] = {
    Breakage.SHORT: _shorten,
    Breakage.FEW_MISSING: _leave_out_few,
    Breakage.NO_LIST: _drop_list,
    Breakage.TWICE: _repeat,
    Breakage.LOOP: _loop,
    Breakage.NO_END: _forget_sync_token,
}


def _page_token(call: Call) -> str:
    return call.query.get("pageToken", ("",))[-1]
