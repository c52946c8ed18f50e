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
from ldapgw.web.consent import ADD, CONNECT, SIGN_IN, AuthorizationCodeFlow
from ldapgw.web.dependencies import WebTenant
from ldapgw.web.error_pages import PageError
from ldapgw.web.http import (
    Cookie,
    HttpRequest,
    HttpResponse,
    RateLimiter,
    client_network,
    html_response,
    is_secret,
    new_secret,
    redirect,
    text_response,
)
from ldapgw.web.layout import Layout, RequiredRole, Route, get
from ldapgw.web.sessions import begin_session

log = Logger()

# An office behind one address may come together when it is told to connect; each person goes and comes back.
SIGN_IN_BURST = 600
SIGN_IN_INTERVAL_SECONDS = 0.1

# A style sheet may be an hour old; its address changes with the version.
_STATIC_AGE = "public, max-age=3600"
_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}


class SignInPages:
    """What anybody may ask for.  GET changes nothing but the session's last use, and the language.

    Mutable: who has come how often.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._consent = AuthorizationCodeFlow(layout.dependencies)
        self._static = _read_static()
        self._rate_limiter = RateLimiter(SIGN_IN_BURST, SIGN_IN_INTERVAL_SECONDS)

    def routes(self) -> tuple[Route, ...]:
        """The routes of these pages."""
        return (
            get("/", self.front, RequiredRole.PUBLIC),
            get("/healthz", self.healthz, RequiredRole.PUBLIC),
            get("/readyz", self.readyz, RequiredRole.PUBLIC),
            get("/metrics", self.metrics, RequiredRole.PUBLIC),
            get("/static/<name>", self.static, RequiredRole.PUBLIC),
            get("/oauth/callback", self.callback, RequiredRole.PUBLIC),
            get("/<tenant>", self.slash, RequiredRole.TENANT),
            get("/<tenant>/connect", self.connect, RequiredRole.TENANT),
            get("/<tenant>/signin", self.signin, RequiredRole.TENANT),
            get("/<tenant>/done", self.done, RequiredRole.TENANT),
            get("/<tenant>/link", self.link, RequiredRole.TENANT),
        )

    async def front(self, request: HttpRequest) -> HttpResponse:
        """``/``: the tenants; straight to the only one."""
        tenants = tuple(self._layout.dependencies.tenants.values())
        if len(tenants) == 1:
            return redirect(self._layout.public_url.tenant_path(tenants[0].name))
        return self._layout.page(request, "front.html", tenants=tenants)

    async def healthz(self, _request: HttpRequest) -> HttpResponse:
        """``/healthz``: the process answers."""
        return text_response("ok")

    async def readyz(self, _request: HttpRequest) -> HttpResponse:
        """``/readyz``: the directory is loaded and LDAP listens."""
        return text_response("ready") if self._layout.dependencies.is_ready() else text_response("not ready", 503)

    async def metrics(self, request: HttpRequest) -> HttpResponse:
        """``/metrics``: figures for Prometheus, from ``web.metrics_networks`` alone."""
        if not self._layout.dependencies.admin.may_read_metrics(request.address):
            return text_response("not from this address: see web.metrics_networks", 403)
        body, content_type = await self._layout.dependencies.admin.metrics()
        return HttpResponse(200, body, content_type)

    async def static(self, request: HttpRequest, name: str) -> HttpResponse:
        """``/static/…``: the style sheet, the script and the icon."""
        if name not in self._static:
            raise PageError(error_pages.NOT_FOUND)
        body = self._static[name]
        etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        headers = (("Cache-Control", _STATIC_AGE), ("ETag", etag))
        kind = _TYPES[name.rpartition(".")[2]]
        if request.if_none_match == etag:
            return HttpResponse(304, b"", kind, headers)
        return HttpResponse(200, body, kind, headers)

    async def callback(self, request: HttpRequest) -> HttpResponse:
        """``/oauth/callback``: back from Google."""
        self._limit_rate(request, None)
        arrival = await self._consent.finish(request)
        tenant = arrival.tenant
        headers = [self._layout.cookies.set(Cookie.SESSION, arrival.session, tenant=tenant.name)]
        if arrival.purpose != SIGN_IN:
            headers.append(self._layout.flash_message_header("connected"))
        path = self._layout.public_url.tenant_path(tenant.name)
        return redirect(f"{path}done" if arrival.popup else path, tuple(headers))

    async def done(self, request: HttpRequest, tenant: WebTenant) -> HttpResponse:
        """``/{tenant}/done``: where a pop-up ends; it closes itself, and the page that opened it looks again."""
        html = self._layout.renderer.render(request.language, "done.html", tenant=tenant, visitor=None, note=None)
        return html_response(html)

    async def slash(self, _request: HttpRequest, tenant: WebTenant) -> HttpResponse:
        """``/{tenant}``: the page is one further."""
        return redirect(self._layout.public_url.tenant_path(tenant.name), status=308)

    async def connect(self, request: HttpRequest, tenant: WebTenant) -> HttpResponse:
        """``/{tenant}/connect``: to Google's consent screen; with ``add`` for one more account of the same person.

        With ``account``, to mend that one of the person's accounts.
        With ``popup``, in a window of its own; with ``choose``, the person is asked which account it shall be.
        """
        visitor = await self._layout.current_visitor(request, tenant)
        if "add" in request.query and visitor is not None:
            return await self._redirect_to_google(request, tenant, ADD)
        # Whoever is signed in mends the account on whose page the consent begins, and no other.
        mended = visitor.account_by_number(request.query.get("account", "")) if visitor else None
        own = visitor.person.sub if visitor else ""
        return await self._redirect_to_google(request, tenant, CONNECT, mended.sub if mended else own)

    async def signin(self, request: HttpRequest, tenant: WebTenant) -> HttpResponse:
        """``/{tenant}/signin``: to Google, for the identity alone."""
        return await self._redirect_to_google(request, tenant, SIGN_IN)

    async def link(self, request: HttpRequest, tenant: WebTenant) -> HttpResponse:
        """``/{tenant}/link``: what ``ldapgw admin-link`` has printed; once, it signs an administrator in."""
        self._limit_rate(request, tenant)
        session, before = new_secret(self._layout.dependencies.random), request.session(tenant.name)
        key = request.query.get("key", "")
        good = is_secret(key) and await self._layout.dependencies.store.run(
            _sign_in_by_link, key, tenant.name, session, before, self._layout.now()
        )
        said = "web: a link to the administration of tenant {tenant}, {how}, from {address}"
        log.info(said, tenant=tenant.name, how="good" if good else "no longer valid", address=request.address)
        if not good:
            raise PageError(error_pages.LINK_USED, tenant)
        headers = (self._layout.cookies.set(Cookie.SESSION, session, tenant=tenant.name),)
        return redirect(f"{self._layout.public_url.tenant_path(tenant.name)}admin", headers)

    async def _redirect_to_google(
        self, request: HttpRequest, tenant: WebTenant, purpose: str, expected: str = ""
    ) -> HttpResponse:
        self._limit_rate(request, tenant)
        departure = await self._consent.begin(tenant, purpose, request, expected)
        cookie = self._layout.cookies.set(Cookie.BROWSER, departure.browser_secret, seconds=FLOW_SECONDS)
        return redirect(departure.url, (cookie,), status=302)

    def _limit_rate(self, request: HttpRequest, tenant: WebTenant | None) -> None:
        """Each of these costs a row in the database, or a call to Google.

        :raises Ended: when there were too many from where the call comes from.
        """
        wait = self._rate_limiter.take(client_network(request.address), self._layout.now())
        if wait:
            log.warn("web: too many sign-ins, from {address}", address=request.address)
            raise PageError(error_pages.TOO_MANY, tenant, headers=(("Retry-After", str(math.ceil(wait))),))


def _sign_in_by_link(connection: Connection, key: str, tenant: str, session: str, before: str, now: float) -> bool:
    """Use a link up and begin a session, both or neither."""
    if not sign_ins.take_admin_link(connection, key, tenant, now):
        return False
    begin_session(connection, session, before, SignIn(tenant, "", ""), now)
    return True


def _read_static() -> Mapping[str, bytes]:
    """The files by name; what is not among them does not exist, whatever a path says."""
    return {file.name: file.read_bytes() for file in files("ldapgw.web").joinpath("static").iterdir()}
