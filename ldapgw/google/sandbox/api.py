# SPDX-License-Identifier: MIT
"""The answers to calls of the token, revocation, key, People API and Directory API endpoints, with injected faults.

The functions are pure: they do no I/O.
"""

from __future__ import annotations

import gzip
from functools import partial

from ldapgw.google.sandbox import admin, oauth, people
from ldapgw.google.sandbox.faults import PROJECT_QUOTA, Breakage
from ldapgw.google.sandbox.reply import ApiRefusal, ApiReply, ApiRequest
from ldapgw.google.sandbox.world import PHOTOS, World

KEYS = "/oauth2/v3/certs"
# The HTTP method of each endpoint, by path.
ENDPOINTS = {"/token": "POST", "/revoke": "POST", KEYS: "GET", **dict.fromkeys(people.METHODS, "GET")}

_ACCOUNT_OF = {"/token": oauth.account_of, "/revoke": oauth.account_of}


def answer(world: World, call: ApiRequest) -> tuple[ApiReply, Breakage | None]:
    """Return the reply to a call, and the `Breakage` of the reply, if any."""
    world.calls[call.path] += 1
    fault = world.faults.take(call.path, _ACCOUNT_OF.get(call.path, people.account_of)(world, call))
    effect = fault.effect if fault else None
    if call.path in people.METHODS and world.use_quota():
        effect = PROJECT_QUOTA
    if isinstance(effect, ApiReply):
        return effect, None
    breakage = effect if isinstance(effect, Breakage) else None
    respond = partial(_respond, world, empty=breakage is Breakage.EMPTY_PAGE)
    try:
        return respond(call) if isinstance(effect, Breakage | None) else effect(call, respond), breakage
    except ApiRefusal as refusal:
        return refusal.reply, breakage


def compressed(reply: ApiReply, accept_encoding: str, user_agent: str) -> ApiReply:
    """Compress a reply if the client accepts gzip and if the User-Agent contains "gzip" too, as Google does."""
    if "gzip" not in accept_encoding or "gzip" not in user_agent:
        return reply
    headers = (*reply.headers, ("Content-Encoding", "gzip"))
    return ApiReply(reply.status, headers, gzip.compress(reply.body, mtime=0))


def _photo(world: World, call: ApiRequest) -> ApiReply:
    """Return the reply to a request for a photo in any size; a request with a token is refused."""
    photo = world.photos.get(call.path.partition("=")[0])
    if call.authorization:
        return ApiReply.of(403, "Forbidden", (("Content-Type", "text/html; charset=UTF-8"),))
    if photo is None:
        return ApiReply.of(404, "Not Found", (("Content-Type", "text/html; charset=UTF-8"),))
    return ApiReply(200, (("Content-Type", photo.content_type), ("Cache-Control", "public, max-age=86400")), photo.body)


def _respond(world: World, call: ApiRequest, *, empty: bool) -> ApiReply:
    if call.path == "/token":
        return oauth.token(world, call)
    if call.path == "/revoke":
        return oauth.revoke(world, call)
    if call.path == KEYS:
        return oauth.keys()
    if call.path.startswith(PHOTOS):
        return _photo(world, call)
    if call.path.startswith(admin.PREFIX):
        return admin.answer(world, call)
    return people.answer(world, call, empty=empty)
