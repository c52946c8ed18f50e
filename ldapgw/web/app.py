# SPDX-License-Identifier: MIT
"""The routes, and what surrounds every one of them: headers, limits, guards, and a page for each way to fail."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from klein import Klein
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from ldapgw.errors import StoreError
from ldapgw.web import error_pages
from ldapgw.web.account_pages import AccountPage, SearchPage
from ldapgw.web.admin_pages import AdminPage
from ldapgw.web.dependencies import WebDependencies, WebTenant
from ldapgw.web.error_pages import PageError
from ldapgw.web.events import EventStreams
from ldapgw.web.explain_pages import ExplainPage
from ldapgw.web.http import (
    MAX_BODY_SIZE,
    Cookie,
    HttpRequest,
    HttpResponse,
    read_request,
    security_headers,
    write_response,
)
from ldapgw.web.i18n import LANGUAGES
from ldapgw.web.layout import Layout, RequiredRole, Route
from ldapgw.web.phone_pages import PhonePages
from ldapgw.web.sessions import Visitor, is_valid_form
from ldapgw.web.sign_in_pages import SignInPages

log = Logger()

# A language that was chosen is remembered this long.
_YEAR = 365 * 86400


def routes(layout: Layout) -> tuple[Route, ...]:
    """All routes of the gateway, page by page."""
    phones = PhonePages(layout)
    pages = (
        SignInPages(layout),
        AccountPage(layout),
        SearchPage(layout),
        phones,
        ExplainPage(layout),
        AdminPage(layout, phones),
        EventStreams(layout),
    )
    return tuple(route for each in pages for route in each.routes())


def web_resource(dependencies: WebDependencies) -> IResource:
    """All pages of the gateway."""
    frame = Layout.of(dependencies)
    return cast("IResource", _Gateway(frame, _App(frame)))


class _App:
    """Routes to handlers, and turns whatever they raise into a page."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.klein = Klein()
        for route in routes(layout):
            self._route(route)
        self.klein.handle_errors(HTTPException)(self._unrouted)

    def error_response(self, request: HttpRequest, ended: PageError, visitor: Visitor | None = None) -> HttpResponse:
        """A page that says what happened and what to do next.

        :param visitor: who is signed in, and so can go elsewhere, or sign out.
        """
        return self._layout.page(
            request,
            "ending.html",
            tenant=ended.tenant,
            visitor=visitor,
            status=ended.error_page.status,
            headers=ended.headers,
            ending=ended.error_page,
            popup=ended.popup,
        )

    def read_request(self, request: IRequest) -> HttpRequest:
        """What a request says."""
        return read_request(request, self._layout.dependencies, self._layout.cookies)

    def _route(self, route: Route) -> None:
        async def answer(request: IRequest, **parts: str) -> bytes:
            call = self.read_request(request)
            found = await _uncancelled(self._respond(route, call, parts))
            if call.query.get("language") in LANGUAGES:
                chosen = self._layout.cookies.set(Cookie.LANGUAGE, call.language, seconds=_YEAR)
                found = replace(found, headers=(*found.headers, chosen))
            body = write_response(request, found)
            if found.stream is not None and request.method != b"HEAD":
                await found.stream(request.write)
            return body

        self.klein.route(route.path, methods=[route.method], endpoint=route.endpoint)(answer)

    async def _respond(self, route: Route, request: HttpRequest, parts: dict[str, str]) -> HttpResponse:
        try:
            return await route.handler(request, *await self._authorize(route, request, parts), **parts)
        except PageError as ended:
            return self.error_response(request, ended, await self._visitor_of_error(request, ended))
        except StoreError as error:
            # The store says so once, for all pages.
            log.debug("web: {problem}", problem=error.problems[0])
            return self.error_response(request, PageError(error_pages.DATABASE_UNAVAILABLE))
        except Exception:  # noqa: BLE001  a fault of ours ends in a page, and in the log
            log.failure("web: a page failed")
            return self.error_response(request, PageError(error_pages.INTERNAL))

    async def _visitor_of_error(self, request: HttpRequest, ended: PageError) -> Visitor | None:
        """Who reads how it ended; not looked up for whoever asks too much, nor in a pop-up, which goes nowhere."""
        if ended.tenant is None or ended.popup or ended.error_page is error_pages.TOO_MANY:
            return None
        try:
            return await self._layout.current_visitor(request, ended.tenant)
        except StoreError:
            return None

    async def _authorize(
        self, route: Route, request: HttpRequest, parts: dict[str, str]
    ) -> tuple[WebTenant | Visitor, ...]:
        """What a handler is given besides the call.

        :raises Ended: when the asker may not.
        """
        if route.required_role is RequiredRole.PUBLIC:
            return ()
        tenant = self._layout.dependencies.tenants.get(parts.pop("tenant"))
        if tenant is None:
            raise PageError(error_pages.NOT_FOUND)
        if route.required_role is RequiredRole.TENANT:
            return (tenant,)
        visitor = await self._layout.current_visitor(request, tenant)
        if visitor is None:
            raise PageError(error_pages.SIGNED_OUT if route.method == "POST" else error_pages.SIGN_IN_FIRST, tenant)
        if route.method == "POST" and not is_valid_form(request, visitor.session, self._layout.public_url.origin):
            log.warn(
                "web: a foreign form for tenant {tenant}, from {address}", tenant=tenant.name, address=request.address
            )
            raise PageError(error_pages.FOREIGN_FORM, tenant)
        if route.required_role is RequiredRole.ADMIN and not visitor.administers(tenant):
            raise PageError(error_pages.ADMINS_ONLY, tenant)
        return tenant, visitor

    def _unrouted(self, request: IRequest, failure: Failure) -> bytes:
        """No such path, or not by this method.  A redirect of the router's is not followed: it trusts Host."""
        error = failure.value
        ended = PageError(error_pages.NOT_FOUND)
        if isinstance(error, MethodNotAllowed):
            allowed = ", ".join(sorted(error.valid_methods or ()))
            ended = PageError(error_pages.WRONG_METHOD, headers=(("Allow", allowed),))
        return write_response(request, self.error_response(self.read_request(request), ended))


class _Gateway(Resource):
    """What every request passes before the router sees it, so that every answer carries the headers."""

    def __init__(self, layout: Layout, app: _App) -> None:
        super().__init__()
        self.isLeaf = True
        self._host = layout.public_url.host.encode()
        self._headers = security_headers(secure=layout.public_url.secure)
        self._app = app
        self._routed = app.klein.resource()

    def render(self, request: Any) -> Any:
        """See `IResource`."""
        request.responseHeaders.removeHeader(b"Server")
        for name, value in self._headers:
            request.setHeader(name.encode(), value.encode())
        # The router would read it; whatever it says, we know who we are.
        request.requestHeaders.setRawHeaders(b"Host", [self._host])
        refusal = _routing_error(request)
        if refusal is not None:
            request.write(write_response(request, self._app.error_response(self._app.read_request(request), refusal)))
            request.finish()
            return NOT_DONE_YET
        return self._routed.render(request)


def _routing_error(request: Any) -> PageError | None:
    """What cannot be routed at all."""
    request.content.seek(0, 2)
    size = request.content.tell()
    request.content.seek(0)
    if size > MAX_BODY_SIZE:
        return PageError(error_pages.TOO_LARGE)
    try:
        b"/".join(request.postpath).decode()
    except UnicodeDecodeError:
        return PageError(error_pages.NOT_FOUND)
    return None


def _uncancelled(work: Any) -> Deferred[HttpResponse]:
    """Let what was begun end, although nobody may be waiting any more.

    klein cancels a handler when its browser goes away.  A consent or a disconnect must not stop half-way.
    """
    waiting: Deferred[HttpResponse] = Deferred()
    Deferred.fromCoroutine(work).addBoth(waiting.callback)
    return waiting
