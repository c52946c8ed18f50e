# SPDX-License-Identifier: MIT
"""The sign-in pages and other public addresses: tenants, consent, callback, static files, health and metrics."""

from __future__ import annotations

import gzip
import hashlib
import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from importlib.resources import files

from sqlalchemy import Connection
from twisted.logger import Logger

from ldapgw.directory.clients import TokenBuckets, network_of
from ldapgw.store import sign_ins
from ldapgw.store.activity import Act
from ldapgw.store.sign_ins import FLOW_SECONDS, SignIn
from ldapgw.web import error_pages
from ldapgw.web.consent import ADD, CONNECT, SIGN_IN, AuthorizationCodeFlow, AuthorizationRedirect, ConsentRepeated
from ldapgw.web.dependencies import WebTenant
from ldapgw.web.error_pages import PageError
from ldapgw.web.http import (
    Cookie,
    HttpRequest,
    HttpResponse,
    html_response,
    is_page_path,
    is_secret,
    new_secret,
    redirect,
    text_response,
)
from ldapgw.web.layout import Layout, RequiredRole, Route, TenantVisit, get, post
from ldapgw.web.sessions import begin_session, is_same_site

log = Logger()

# Everybody in an office behind one address may connect at the same time, and each person makes two requests.
SIGN_IN_BURST = 600
SIGN_IN_INTERVAL_SECONDS = 0.1

# Browsers may cache static files for an hour; their addresses change with the version.
_STATIC_AGE = "public, max-age=3600"
_CONTENT_TYPES = {
    "css": "text/css; charset=utf-8",
    "ico": "image/x-icon",
    "js": "text/javascript; charset=utf-8",
    "png": "image/png",
    "svg": "image/svg+xml",
}
# The icons that browsers request in the root of the host, although no page names them.
_ICONS = ("favicon.ico", "apple-touch-icon.png", "apple-touch-icon-precomposed.png")


class SignInPages:
    """The pages that need no sign-in.

    Apart from consents, a GET request changes only the session's last use and the language.

    Mutable: the rate limiter.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._consent = AuthorizationCodeFlow(layout.dependencies)
        self._static = _read_static()
        self._rate_limiter = TokenBuckets(SIGN_IN_BURST, SIGN_IN_INTERVAL_SECONDS, layout.dependencies.seconds)

    def routes(self) -> tuple[Route, ...]:
        return (
            get("/", self.front, RequiredRole.PUBLIC),
            get("/healthz", self.healthz, RequiredRole.PUBLIC, over_http=True),
            get("/readyz", self.readyz, RequiredRole.PUBLIC, over_http=True),
            get("/metrics", self.metrics, RequiredRole.PUBLIC, over_http=True),
            get("/static/<name>", self.static, RequiredRole.PUBLIC),
            *(
                get(f"/{name}", partial(self.static, name=name.replace("-precomposed", "")), RequiredRole.PUBLIC)
                for name in _ICONS
            ),
            Route("GET", "/oauth/callback", self.callback, RequiredRole.PUBLIC, runs_to_end=True),
            get("/<tenant>", self.slash, RequiredRole.TENANT),
            get("/<tenant>/connect", self.connect, RequiredRole.TENANT),
            get("/<tenant>/signin", self.signin, RequiredRole.TENANT),
            get("/<tenant>/privacy", self.privacy, RequiredRole.TENANT),
            get("/<tenant>/done", self.done, RequiredRole.TENANT),
            get("/<tenant>/link", self.link, RequiredRole.TENANT),
            post("/<tenant>/link", self.open_link, RequiredRole.TENANT),
        )

    async def front(self, request: HttpRequest) -> HttpResponse:
        """``/``: show the list of tenants, or redirect to the only tenant."""
        tenants = tuple(self._layout.dependencies.tenants.values())
        if len(tenants) == 1:
            return redirect(self._layout.public_url.tenant_path(tenants[0].name))
        render = self._layout.dependencies.render_off_thread
        page: HttpResponse = await render(partial(self._layout.page, request, "front.html", tenants=tenants))
        return page

    async def healthz(self, _request: HttpRequest) -> HttpResponse:
        """``/healthz``: answer 200 while the process responds."""
        return text_response("ok")

    async def readyz(self, _request: HttpRequest) -> HttpResponse:
        """``/readyz``: answer 200 if the directory is loaded and LDAP listens, or else 503.

        Phones are served even while the database fails: the text is then ``degraded``, or ``stale`` if the gateway has
        not read the database since its start.
        """
        if not self._layout.dependencies.is_ready():
            return text_response("not ready", 503)
        if self._layout.dependencies.is_stale():
            return text_response("stale")
        return text_response("ready" if self._layout.dependencies.database_fails_since() is None else "degraded")

    async def metrics(self, request: HttpRequest) -> HttpResponse:
        """``/metrics``: send the metrics for Prometheus to clients whose addresses are in ``web.metrics_networks``."""
        if not self._layout.dependencies.admin.may_read_metrics(request.address):
            return text_response("not from this address: see web.metrics_networks", 403)
        body, content_type = await self._layout.dependencies.admin.metrics()
        return HttpResponse(200, body, content_type)

    async def static(self, request: HttpRequest, name: str) -> HttpResponse:
        """``/static/…``: send the style sheet, the script or an icon."""
        if name not in self._static:
            raise PageError(error_pages.PAGES.not_found)
        body, compressed = self._static[name]
        # The entity tag is weak, because the compressed body has the same tag.
        etag = f'W/"{hashlib.sha256(body).hexdigest()[:16]}"'
        headers = (("Cache-Control", _STATIC_AGE), ("ETag", etag), ("Vary", "Accept-Encoding"))
        content_type = _CONTENT_TYPES[name.rpartition(".")[2]]
        if request.has_current(etag):
            return HttpResponse(304, b"", content_type, headers)
        if request.takes_gzip:
            return HttpResponse(200, compressed, content_type, (*headers, ("Content-Encoding", "gzip")))
        return HttpResponse(200, body, content_type, headers)

    async def callback(self, request: HttpRequest) -> HttpResponse:
        """``/oauth/callback``: finish a consent; Google redirects the browser here at the end of its consent screen."""
        self._limit_rate(request, None)
        try:
            result = await self._consent.finish(request)
        except ConsentRepeated as repeated:
            return self._to_google(repeated.redirect)
        tenant = result.tenant
        if result.former:
            self._layout.dependencies.phones.one_time.hand_over(result.former, result.session)
        headers = [self._layout.cookies.set(Cookie.SESSION, result.session, tenant=tenant.name)]
        if result.purpose != SIGN_IN:
            headers.append(self._layout.flash_message_header("switched-on" if result.switched_on else "connected"))
        path = self._layout.public_url.tenant_path(tenant.name)
        if Cookie.RETURN in request.cookies:
            headers.append(self._layout.cookies.clear(Cookie.RETURN))
        if result.popup:
            return redirect(f"{path}done", tuple(headers))
        of_tenant, _, to = request.cookies.get(Cookie.RETURN, "").partition("/")
        leads_back = result.purpose == SIGN_IN and of_tenant == tenant.name and is_page_path(to)
        return redirect(path + (to if leads_back else result.page), tuple(headers))

    async def done(self, visit: TenantVisit) -> HttpResponse:
        """``/{tenant}/done``: show the last page of a pop-up, which closes the pop-up and reloads its opener."""
        html = self._layout.renderer.render(
            visit.request.language, "done.html", tenant=visit.tenant, visitor=None, flash_message=None
        )
        return html_response(html)

    async def slash(self, visit: TenantVisit) -> HttpResponse:
        """``/{tenant}``: redirect to ``/{tenant}/``."""
        return redirect(visit.home, status=308)

    async def connect(self, anybody: TenantVisit) -> HttpResponse:
        """``/{tenant}/connect``: redirect to Google's consent screen.

        Query parameters: ``add`` connects another account of the same person; ``account`` is the number of the
        person's account to connect again; ``popup`` says that the page is in a pop-up; ``choose`` lets the person
        choose the Google account.
        """
        visit = await anybody.sign_in()
        if "add" in anybody.query and visit is not None:
            return await self._redirect_to_google(visit, ADD)
        # A signed-in visitor can connect only the account on whose page the consent begins.
        account = visit.visitor.account_by_number(visit.query.get("account", "")) if visit else None
        own_sub = visit.visitor.person.sub if visit else ""
        return await self._redirect_to_google(anybody, CONNECT, account.sub if account else own_sub)

    async def signin(self, visit: TenantVisit) -> HttpResponse:
        """``/{tenant}/signin``: redirect to Google, for the identity only; ``to`` is the page to return to."""
        response = await self._redirect_to_google(visit, SIGN_IN)
        to = visit.query.get("to", "")
        if is_page_path(to):
            cookie = self._layout.cookies.set(Cookie.RETURN, f"{visit.tenant.name}/{to}", seconds=FLOW_SECONDS)
        elif Cookie.RETURN in visit.request.cookies:
            cookie = self._layout.cookies.clear(Cookie.RETURN)
        else:
            return response
        return replace(response, headers=(*response.headers, cookie))

    async def privacy(self, visit: TenantVisit) -> HttpResponse:
        """``/{tenant}/privacy``: show which data is stored and how long, who sees the data, and how to delete data."""
        return await (await visit.sign_in() or visit).page("privacy.html")

    async def link(self, visit: TenantVisit) -> HttpResponse:
        """``/{tenant}/link``: show a button for the link of ``ldapgw admin-link``; the page does not use up the link.

        Previews and scanners open a link before the person does, but only with GET and HEAD.
        """
        key = visit.query.get("key", "")
        if not is_secret(key):
            raise PageError(error_pages.PAGES.link_used, visit.tenant)
        return await visit.page("link.html", key=key)

    async def open_link(self, visit: TenantVisit) -> HttpResponse:
        """``POST /{tenant}/link``: sign an administrator in; each link works only once."""
        self._limit_rate(visit.request, visit.tenant)
        if not is_same_site(visit.request, self._layout.public_url.origin):
            raise PageError(error_pages.PAGES.foreign_form, visit.tenant)
        session, before = new_secret(self._layout.dependencies.random), visit.request.session(visit.tenant.name)
        key = visit.form.get("key", "")
        entry, now = visit.entry(Act.ADMIN_LINK_USED), self._layout.now()
        is_valid = is_secret(key) and await visit.change(
            entry, _sign_in_by_link, key, visit.tenant.name, session, before, now
        )
        log.info(
            "web: somebody opened a link to the administration of tenant {tenant} ({how}), from {address}",
            event="admin_link_used",
            tenant=visit.tenant.name,
            how="good" if is_valid else "no longer valid",
            address=visit.request.address,
        )
        if not is_valid:
            raise PageError(error_pages.PAGES.link_used, visit.tenant)
        headers = (self._layout.cookies.set(Cookie.SESSION, session, tenant=visit.tenant.name),)
        return redirect(f"{visit.home}admin", headers)

    async def _redirect_to_google(self, visit: TenantVisit, purpose: str, expected: str = "") -> HttpResponse:
        self._limit_rate(visit.request, visit.tenant)
        return self._to_google(await self._consent.begin(visit.tenant, purpose, visit.request, expected))

    def _to_google(self, authorization: AuthorizationRedirect) -> HttpResponse:
        cookie = self._layout.cookies.set(Cookie.BROWSER, authorization.browser_secret, seconds=FLOW_SECONDS)
        return redirect(authorization.url, (cookie,), status=302)

    def _limit_rate(self, request: HttpRequest, tenant: WebTenant | None) -> None:
        """Limit requests that cost a row in the database or a request to Google.

        :raises PageError: when there were too many requests from the client's network.
        """
        wait = self._rate_limiter.take(network_of(request.address))
        if wait:
            self._layout.dependencies.count_misuse("too many sign-ins", request.address)
            raise PageError(error_pages.PAGES.too_many, tenant, headers=(("Retry-After", str(math.ceil(wait))),))


def _sign_in_by_link(connection: Connection, key: str, tenant: str, session: str, before: str, now: float) -> bool:
    """Invalidate a link and begin a session, both or neither."""
    if not sign_ins.take_admin_link(connection, key, tenant, now):
        return False
    begin_session(connection, session, before, SignIn(tenant, "", ""), now)
    return True


def _read_static() -> Mapping[str, tuple[bytes, bytes]]:
    """Return the static files by name, each with its content compressed by gzip.

    Requests can reach no other file, because their paths are only looked up in this mapping.
    """
    found = {file.name: file.read_bytes() for file in files("ldapgw.web").joinpath("static").iterdir()}
    for name in ("style.css", "phone.css", "page.js"):
        found[name] = _without_comments(found[name])
    return {name: (body, gzip.compress(body, mtime=0)) for name, body in found.items()}


def _without_comments(source: bytes) -> bytes:
    """Remove the lines of comments and the indentation, which no browser needs."""
    lines = map(bytes.strip, source.splitlines())
    return b"".join(line + b"\n" for line in lines if line and not line.startswith((b"//", b"/*")))
