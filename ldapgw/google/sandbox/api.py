# SPDX-License-Identifier: MIT
"""One call to one of Google's endpoints: counted, hit by a fault or answered.  Pure."""

from __future__ import annotations

import gzip
from dataclasses import replace

from ldapgw.google.sandbox import oauth, people
from ldapgw.google.sandbox.faults import Breakage
from ldapgw.google.sandbox.reply import ApiRefusal, ApiReply, ApiRequest, Parameters
from ldapgw.google.sandbox.spoil import apply_breakage
from ldapgw.google.sandbox.world import World

# The method of each endpoint's calls.
ENDPOINTS = {"/token": "POST", "/revoke": "POST", **dict.fromkeys(people.METHODS, "GET")}

_ACCOUNT_OF = {"/token": oauth.account_of, "/revoke": oauth.account_of}


def answer(world: World, call: ApiRequest) -> tuple[ApiReply, Breakage | None]:
    """The reply to a call, and how it gets lost on its way, if it does."""
    world.calls[call.path] += 1
    fault = world.faults.take(call.path, _ACCOUNT_OF.get(call.path, people.account_of)(world, call))
    happens = fault.effect if fault else None
    if isinstance(happens, ApiReply):
        return happens, None
    # In a loop there is but one page.
    asked = replace(call, query=_without_page(call)) if happens is Breakage.LOOP else call
    try:
        reply = _respond(world, asked, empty=happens is Breakage.EMPTY_PAGE)
        return (apply_breakage(call, reply, happens) if happens else reply), happens
    except ApiRefusal as refusal:
        return refusal.reply, happens


def _without_page(call: ApiRequest) -> Parameters:
    return {name: values for name, values in call.query.items() if name != "pageToken"}


def compressed(reply: ApiReply, accept_encoding: str, user_agent: str) -> ApiReply:
    """The reply as it travels: Google compresses if the client takes gzip and says so in its User-Agent as well."""
    if "gzip" not in accept_encoding or "gzip" not in user_agent:
        return reply
    headers = (*reply.headers, ("Content-Encoding", "gzip"))
    return ApiReply(reply.status, headers, gzip.compress(reply.body, mtime=0))


def _respond(world: World, call: ApiRequest, *, empty: bool) -> ApiReply:
    if call.path == "/token":
        return oauth.token(world, call)
    if call.path == "/revoke":
        return oauth.revoke(world, call)
    return people.answer(world, call, empty=empty)
