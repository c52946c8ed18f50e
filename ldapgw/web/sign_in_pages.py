# SPDX-License-Identifier: MIT
"""The ways in: the tenants, the way to Google and back, and what machines ask."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from importlib.resources import files

from sqlalchemy import Connection
from twisted.logger import Logger

from ldapgw.store import sign_ins
from ldapgw.store.sign_ins import FLOW_SECONDS, SignIn
from ldapgw.web import error_pages
from ldapgw.web.consent import ADD, CONNECT, SIGN_IN, Consent
from ldapgw.web.dependencies import WebTenant
from ldapgw.web.error_pages import Ended
from ldapgw.web.http import Answer, Call, Cookie, Rates, is_secret, network_of, new_secret, page, redirect, text
from ldapgw.web.layout import Frame, Route, Who, get
from ldapgw.web.sessions import begin_session

log = Logger()

# An office behind one address may come together when it is told to connect; each person goes and comes back.
SIGN_INS_AT_ONCE = 600
SIGN_IN_SECONDS = 0.1

# A style sheet may be an hour old; its address changes with the version.
_STATIC_AGE = "public, max-age=3600"
_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}


class Entrance:
    """What anybody may ask for.  GET changes nothing but the session's last use, and the language.

    Mutable: who has come how often.
    """

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._consent = Consent(frame.gate)
        self._static = _read_static()
        self._rates = Rates(SIGN_INS_AT_ONCE, SIGN_IN_SECONDS)

    def routes(self) -> tuple[Route, ...]:
        """The routes of these pages."""
        return (
            get("/", self.front, Who.ANYBODY),
            get("/healthz", self.healthz, Who.ANYBODY),
            get("/readyz", self.readyz, Who.ANYBODY),
            get("/metrics", self.metrics, Who.ANYBODY),
            get("/static/<name>", self.static, Who.ANYBODY),
            get("/oauth/callback", self.callback, Who.ANYBODY),
            get("/<tenant>", self.slash, Who.OF_TENANT),
            get("/<tenant>/connect", self.connect, Who.OF_TENANT),
            get("/<tenant>/signin", self.signin, Who.OF_TENANT),
            get("/<tenant>/done", self.done, Who.OF_TENANT),
            get("/<tenant>/link", self.link, Who.OF_TENANT),
        )

    async def front(self, call: Call) -> Answer:
        """``/``: the tenants; straight to the only one."""
        tenants = tuple(self._frame.gate.tenants.values())
        if len(tenants) == 1:
            return redirect(self._frame.place.path_of(tenants[0].name))
        return self._frame.page(call, "front.html", tenants=tenants)

    async def healthz(self, _call: Call) -> Answer:
        """``/healthz``: the process answers."""
        return text("ok")

    async def readyz(self, _call: Call) -> Answer:
        """``/readyz``: the directory is loaded and LDAP listens."""
        return text("ready") if self._frame.gate.ready() else text("not ready", 503)

    async def metrics(self, call: Call) -> Answer:
        """``/metrics``: figures for Prometheus, from ``web.metrics_networks`` alone."""
        if not self._frame.gate.admin.may_read_metrics(call.address):
            return text("not from this address: see web.metrics_networks", 403)
        body, content_type = await self._frame.gate.admin.metrics()
        return Answer(200, body, content_type)

    async def static(self, call: Call, name: str) -> Answer:
        """``/static/…``: the style sheet, the script and the icon."""
        if name not in self._static:
            raise Ended(error_pages.NOT_FOUND)
        body = self._static[name]
        etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        headers = (("Cache-Control", _STATIC_AGE), ("ETag", etag))
        kind = _TYPES[name.rpartition(".")[2]]
        if call.if_none_match == etag:
            return Answer(304, b"", kind, headers)
        return Answer(200, body, kind, headers)

    async def callback(self, call: Call) -> Answer:
        """``/oauth/callback``: back from Google."""
        self._hold_back(call, None)
        arrival = await self._consent.finish(call)
        tenant = arrival.tenant
        headers = [self._frame.cookies.set(Cookie.SESSION, arrival.session, tenant=tenant.name)]
        if arrival.purpose != SIGN_IN:
            headers.append(self._frame.note("connected"))
        path = self._frame.place.path_of(tenant.name)
        return redirect(f"{path}done" if arrival.popup else path, tuple(headers))

    async def done(self, call: Call, tenant: WebTenant) -> Answer:
        """``/{tenant}/done``: where a pop-up ends; it closes itself, and the page that opened it looks again."""
        html = self._frame.pages.render(call.language, "done.html", tenant=tenant, visitor=None, note=None)
        return page(html)

    async def slash(self, _call: Call, tenant: WebTenant) -> Answer:
        """``/{tenant}``: the page is one further."""
        return redirect(self._frame.place.path_of(tenant.name), status=308)

    async def connect(self, call: Call, tenant: WebTenant) -> Answer:
        """``/{tenant}/connect``: to Google's consent screen; with ``add`` for one more account of the same person.

        With ``account``, to mend that one of the person's accounts.
        With ``popup``, in a window of its own; with ``choose``, the person is asked which account it shall be.
        """
        visitor = await self._frame.caller(call, tenant)
        if "add" in call.query and visitor is not None:
            return await self._depart(call, tenant, ADD)
        # Whoever is signed in mends the account on whose page the consent begins, and no other.
        mended = visitor.numbered(call.query.get("account", "")) if visitor else None
        own = visitor.person.sub if visitor else ""
        return await self._depart(call, tenant, CONNECT, mended.sub if mended else own)

    async def signin(self, call: Call, tenant: WebTenant) -> Answer:
        """``/{tenant}/signin``: to Google, for the identity alone."""
        return await self._depart(call, tenant, SIGN_IN)

    async def link(self, call: Call, tenant: WebTenant) -> Answer:
        """``/{tenant}/link``: what ``ldapgw admin-link`` has printed; once, it signs an administrator in."""
        self._hold_back(call, tenant)
        session, before = new_secret(self._frame.gate.random), call.session(tenant.name)
        key = call.query.get("key", "")
        good = is_secret(key) and await self._frame.gate.store.run(
            _enter_by_link, key, tenant.name, session, before, self._frame.now()
        )
        said = "web: a link to the administration of tenant {tenant}, {how}, from {address}"
        log.info(said, tenant=tenant.name, how="good" if good else "no longer valid", address=call.address)
        if not good:
            raise Ended(error_pages.LINK_USED, tenant)
        headers = (self._frame.cookies.set(Cookie.SESSION, session, tenant=tenant.name),)
        return redirect(f"{self._frame.place.path_of(tenant.name)}admin", headers)

    async def _depart(self, call: Call, tenant: WebTenant, purpose: str, expected: str = "") -> Answer:
        self._hold_back(call, tenant)
        departure = await self._consent.begin(tenant, purpose, call, expected)
        cookie = self._frame.cookies.set(Cookie.BROWSER, departure.browser, seconds=FLOW_SECONDS)
        return redirect(departure.url, (cookie,), status=302)

    def _hold_back(self, call: Call, tenant: WebTenant | None) -> None:
        """Each of these costs a row in the database, or a call to Google.

        :raises Ended: when there were too many from where the call comes from.
        """
        wait = self._rates.take(network_of(call.address), self._frame.now())
        if wait:
            log.warn("web: too many sign-ins, from {address}", address=call.address)
            raise Ended(error_pages.TOO_MANY, tenant, headers=(("Retry-After", str(math.ceil(wait))),))


def _enter_by_link(connection: Connection, key: str, tenant: str, session: str, before: str, now: float) -> bool:
    """Use a link up and begin a session, both or neither."""
    if not sign_ins.take_admin_link(connection, key, tenant, now):
        return False
    begin_session(connection, session, before, SignIn(tenant, "", ""), now)
    return True


def _read_static() -> Mapping[str, bytes]:
    """The files by name; what is not among them does not exist, whatever a path says."""
    return {file.name: file.read_bytes() for file in files("ldapgw.web").joinpath("static").iterdir()}
