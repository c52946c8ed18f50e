# SPDX-License-Identifier: MIT
"""What each address answers.  A handler takes a `Call` and gives an `Answer`, or raises `Ended`.

GET changes nothing but the session's last use.  What is done by POST is done to one's own account alone: it is found by
the session, never by anything in the request.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from twisted.logger import Logger

from ldapgw.contact import Sharing
from ldapgw.status import account_object
from ldapgw.store import accounts, sign_ins
from ldapgw.store.accounts import Account, Wish
from ldapgw.store.sign_ins import FLOW_SECONDS
from ldapgw.web import consent, endings
from ldapgw.web.consent import Consent
from ldapgw.web.cookies import Cookie, Cookies
from ldapgw.web.disconnect import disconnect
from ldapgw.web.endings import Ended
from ldapgw.web.exchange import Answer, Call, document, page, redirect, text
from ldapgw.web.gate import WebGate
from ldapgw.web.pages import NOTES, Pages
from ldapgw.web.place import Place
from ldapgw.web.session import Visitor, find_visitor
from ldapgw.web.tenant import WebTenant

log = Logger()

# A style sheet may be an hour old; its address changes with the version.
_STATIC_AGE = "public, max-age=3600"
_TYPES = {"css": "text/css; charset=utf-8", "svg": "image/svg+xml"}


class Handlers:
    """The handlers, over the rest of the gateway."""

    def __init__(self, gate: WebGate, pages: Pages) -> None:
        self._gate = gate
        self._pages = pages
        self._place = Place.of(gate.public_url)
        self._cookies = Cookies(secure=self._place.secure)
        self._consent = Consent(gate)
        self._static = _read_static()

    # --- for everybody ----------------------------------------------------------------------------------------------

    async def front(self, _call: Call) -> Answer:
        """``/``: the tenants; straight to the only one."""
        tenants = tuple(self._gate.tenants.values())
        if len(tenants) == 1:
            return redirect(self._place.path_of(tenants[0].name))
        return page(self._pages.front(tenants))

    async def healthz(self, _call: Call) -> Answer:
        """``/healthz``: the process answers."""
        return text("ok")

    async def readyz(self, _call: Call) -> Answer:
        """``/readyz``: the directory is loaded and LDAP listens."""
        return text("ready") if self._gate.ready() else text("not ready", 503)

    async def static(self, call: Call, name: str) -> Answer:
        """``/static/…``: the style sheet and the icon."""
        if name not in self._static:
            raise Ended(endings.NOT_FOUND)
        body = self._static[name]
        etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        headers = (("Cache-Control", _STATIC_AGE), ("ETag", etag))
        kind = _TYPES[name.rpartition(".")[2]]
        if call.if_none_match == etag:
            return Answer(304, b"", kind, headers)
        return Answer(200, body, kind, headers)

    async def callback(self, call: Call) -> Answer:
        """``/oauth/callback``: back from Google."""
        arrival = await self._consent.finish(call)
        headers = [self._cookies.set(Cookie.SESSION, arrival.session)]
        if arrival.purpose == consent.CONNECT:
            headers.append(self._note("connected"))
        return redirect(self._place.path_of(arrival.tenant.name), tuple(headers))

    # --- a tenant's -------------------------------------------------------------------------------------------------

    async def slash(self, _call: Call, tenant: WebTenant) -> Answer:
        """``/{tenant}``: the page is one further."""
        return redirect(self._place.path_of(tenant.name), status=308)

    async def home(self, call: Call, tenant: WebTenant) -> Answer:
        """``/{tenant}/``: what this is, or how one's account does."""
        visitor = await self._visitor(call, tenant)
        note = call.cookies.get(Cookie.NOTE, "")
        clear = (self._cookies.clear(Cookie.NOTE),) if note else ()
        told = NOTES.get(note)
        if visitor is None:
            return page(self._pages.welcome(tenant, told), headers=clear)
        status = self._status(visitor.account, tenant, "this page") if visitor.account else None
        return page(self._pages.account(tenant, visitor, status, told), headers=clear)

    async def connect(self, call: Call, tenant: WebTenant) -> Answer:
        """``/{tenant}/connect``: to Google's consent screen."""
        visitor = await self._visitor(call, tenant)
        return await self._depart(call, tenant, consent.CONNECT, visitor.person.sub if visitor else "")

    async def signin(self, call: Call, tenant: WebTenant) -> Answer:
        """``/{tenant}/signin``: to Google, for the identity alone."""
        return await self._depart(call, tenant, consent.SIGN_IN, "")

    async def status(self, call: Call, tenant: WebTenant) -> Answer:
        """``/{tenant}/status.json``: one's own account; an administrator gets all of the tenant."""
        visitor = await self._visitor(call, tenant)
        if visitor is None:
            challenge = ("WWW-Authenticate", f'Cookie realm="{tenant.name}"')
            return document({"error": "sign in first"}, 401, (challenge,))
        found: tuple[Account, ...] = (visitor.account,) if visitor.account else ()
        if tenant.is_admin(visitor.person.address):
            found = await self._gate.store.run(accounts.read_all, tenant.name)
        url = self._place.page(tenant.name)
        return document({"tenant": tenant.name, "accounts": [self._status(one, tenant, url) for one in found]})

    # --- forms ------------------------------------------------------------------------------------------------------

    async def sync(self, call: Call, tenant: WebTenant, visitor: Visitor) -> Answer:
        """``POST /{tenant}/sync``: a sync now; with ``accept_shrink`` one that may shrink the book."""
        if visitor.account is None or not visitor.account.connected:
            return self._back(tenant)
        if "accept_shrink" in call.form:
            await self._gate.store.run(accounts.ask, visitor.account.id, Wish.ACCEPT)
        else:
            await self._gate.store.run(accounts.ask, visitor.account.id, Wish.INCREMENTAL)
        await self._gate.changed()
        return self._back(tenant, "asked")

    async def share(self, call: Call, tenant: WebTenant, visitor: Visitor) -> Answer:
        """``POST /{tenant}/share``: who sees one's book."""
        chosen = call.form.get("sharing")
        if chosen not in [sharing.value for sharing in Sharing] or visitor.account is None:
            raise Ended(endings.BAD_FORM, tenant)
        await self._gate.store.run(accounts.share, visitor.account.id, Sharing(chosen))
        await self._gate.changed()
        return self._back(tenant, "shared")

    async def disconnect(self, call: Call, tenant: WebTenant, visitor: Visitor) -> Answer:
        """``POST /{tenant}/disconnect``: forget the contacts, and revoke the access at Google."""
        if visitor.account is None or not visitor.account.connected:
            return self._back(tenant)
        revoked = await disconnect(self._gate, visitor.account.id)
        self._log("disconnect", call, visitor)
        return self._back(tenant, "disconnected" if revoked else "not-revoked")

    async def signout(self, call: Call, tenant: WebTenant, visitor: Visitor) -> Answer:
        """``POST /{tenant}/signout``: end the session, on the server too."""
        await self._gate.store.run(sign_ins.sign_out, visitor.session)
        self._log("sign-out", call, visitor)
        headers = (self._cookies.clear(Cookie.SESSION), self._note("signed-out"))
        return redirect(self._place.path_of(tenant.name), headers)

    # --- parts ------------------------------------------------------------------------------------------------------

    async def _visitor(self, call: Call, tenant: WebTenant) -> Visitor | None:
        return await self._gate.store.run(
            find_visitor, call.cookies.get(Cookie.SESSION, ""), tenant.name, self._gate.clock.seconds()
        )

    async def _depart(self, call: Call, tenant: WebTenant, purpose: str, login_hint: str) -> Answer:
        departure = await self._consent.begin(tenant, purpose, call, login_hint)
        cookie = self._cookies.set(Cookie.BROWSER, departure.browser, seconds=FLOW_SECONDS)
        return redirect(departure.url, (cookie,), status=302)

    def _status(self, account: Account, tenant: WebTenant, page_name: str) -> dict[str, Any]:
        now = self._gate.clock.seconds()
        return account_object(account, tenant.sources, page_name, now, self._gate.certificate_ends())

    def _back(self, tenant: WebTenant, note: str = "") -> Answer:
        return redirect(self._place.path_of(tenant.name), (self._note(note),) if note else ())

    def _note(self, note: str) -> tuple[str, str]:
        return self._cookies.set(Cookie.NOTE, note, seconds=60)

    def _log(self, event: str, call: Call, visitor: Visitor) -> None:
        log.info(
            "web: {event} of tenant {tenant} by user {sub}, from {address}",
            event=event,
            tenant=visitor.person.tenant,
            sub=visitor.person.sub,
            address=call.address,
        )


def _read_static() -> Mapping[str, bytes]:
    """The files by name; what is not among them does not exist, whatever a path says."""
    return {file.name: file.read_bytes() for file in files("ldapgw.web").joinpath("static").iterdir()}
