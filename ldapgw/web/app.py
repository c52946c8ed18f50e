# SPDX-License-Identifier: MIT
"""The web application: routing, authorization, security headers, size limits and error pages for all routes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from klein import Klein
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from ldapgw.directory.access import Viewer
from ldapgw.errors import StoreError
from ldapgw.store.phones import PhoneLogin
from ldapgw.web import error_pages
from ldapgw.web.account_pages import AccountPages
from ldapgw.web.admin_google import AdminGoogle
from ldapgw.web.admin_overview import ActivityPage, AdminOverview
from ldapgw.web.admin_passwords import AdminPasswords
from ldapgw.web.admin_people import AdminPeople
from ldapgw.web.admin_phones import AdminImport, AdminPhones
from ldapgw.web.book_clients import BookClients, LoginRefused, log_in
from ldapgw.web.contact_pages import ContactPages
from ldapgw.web.dependencies import WebDependencies, WebTenant
from ldapgw.web.error_pages import PageError
from ldapgw.web.events import EventStreams
from ldapgw.web.explain_pages import ExplainPages
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
from ldapgw.web.layout import Layout, RequiredRole, Route, TenantVisit, Visit
from ldapgw.web.phone_forms import PhoneForms
from ldapgw.web.phone_pages import PhonePages
from ldapgw.web.provisioning_pages import ProvisioningPages
from ldapgw.web.sessions import Visitor, is_valid_form
from ldapgw.web.sign_in_pages import SignInPages

log = Logger()

# What requests are counted as that no route answers.
_UNKNOWN = "unknown"

# Lifetime of the cookie with the chosen language.
_LANGUAGE_SECONDS = 365 * 86400


def routes(layout: Layout) -> tuple[Route, ...]:
    """All routes of the gateway."""
    phones = PhonePages(layout)
    passwords = AdminPasswords(layout, phones)
    pages = (
        SignInPages(layout),
        AccountPages(layout),
        ContactPages(layout),
        phones,
        PhoneForms(layout, phones),
        ProvisioningPages(layout, phones),
        ExplainPages(layout),
        AdminOverview(layout, phones),
        passwords,
        AdminPeople(layout, phones, passwords),
        AdminPhones(layout, phones, passwords),
        AdminImport(layout, passwords),
        AdminGoogle(layout),
        ActivityPage(layout),
        EventStreams(layout),
        BookClients(layout),
    )
    return tuple(route for page in pages for route in page.routes())


def web_resource(dependencies: WebDependencies) -> IResource:
    """The resource that serves all pages of the gateway."""
    layout = Layout.of(dependencies)
    return cast("IResource", _RootResource(layout, _App(layout)))


class _App:
    """Routes requests to handlers, and turns exceptions into error pages."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._requests, self._seconds = layout.dependencies.requests, layout.dependencies.seconds
        self.klein = Klein()
        self._direct_routes: dict[tuple[bytes, bytes], Route] = {}
        for route in routes(layout):
            self._route(route)
            if route.is_direct:
                page = route.path.removeprefix("/<tenant>/")
                self._direct_routes[route.method.encode(), page.encode()] = route
        self.klein.handle_errors(HTTPException)(self._unrouted)

    def error_response(self, request: HttpRequest, error: PageError, visitor: Visitor | None = None) -> HttpResponse:
        """The page that explains an error.

        :param visitor: the signed-in visitor, whose navigation the page shows.
        """
        error_page, tenant = error.error_page, error.tenant
        if error_page is error_pages.PAGES.no_client and tenant and visitor and visitor.administers(tenant):
            error_page = error_pages.PAGES.no_client_yet
        return self._layout.page(
            request,
            "error_page.html",
            tenant=tenant,
            visitor=visitor,
            status=error_page.status,
            headers=error.headers,
            error_page=error_page,
            popup=error.popup,
        )

    def read_request(self, request: IRequest) -> HttpRequest:
        return read_request(request, self._layout.dependencies, self._layout.cookies)

    def answer_directly(self, request: Any) -> bool:
        """Answer a request whose path needs no router; whether it is one.

        A PBX asks for each call, and the router takes a quarter of the time of an answer.
        """
        tenant, _, page = request.path[1:].partition(b"/")
        route = self._direct_routes.get((request.method, page))
        if route is None or not tenant.isascii():
            return False
        answering = Deferred.fromCoroutine(self._answer(route, request, tenant.decode()))
        if not answering.called:
            request.notifyFinish().addErrback(lambda _: answering.cancel())
            answering.addErrback(lambda failure: failure.trap(CancelledError))
        return True

    async def _answer(self, route: Route, request: Any, tenant: str) -> None:
        response = await self._respond(route, self.read_request(request), {"tenant": tenant}, _body_size(request))
        request.write(write_response(request, response))
        request.finish()

    def _route(self, route: Route) -> None:
        async def handle(request: IRequest, **path_values: str) -> bytes:
            http_request = self.read_request(request)
            work = self._respond(route, http_request, path_values, _body_size(request))
            # klein cancels the handler of a client that has gone.
            response = await (_uncancelled(work) if route.runs_to_end else work)
            if http_request.query.get("language") in LANGUAGES:
                cookie = self._layout.cookies.set(Cookie.LANGUAGE, http_request.language, seconds=_LANGUAGE_SECONDS)
                response = replace(response, headers=(*response.headers, cookie))
            body = write_response(request, response)
            if response.stream is not None and request.method != b"HEAD":
                await response.stream(request.write)
            return body

        self.klein.route(route.path, methods=[route.method], endpoint=route.endpoint)(handle)

    async def _respond(
        self, route: Route, request: HttpRequest, path_values: dict[str, str], body_size: int
    ) -> HttpResponse:
        began = self._seconds()
        response = await self._handle(route, request, path_values, body_size)
        role, seconds = route.required_role.name.lower(), self._seconds() - began
        self._requests.observe(route.method, route.template, role, response.status, seconds)
        return response

    async def _handle(
        self, route: Route, request: HttpRequest, path_values: dict[str, str], body_size: int
    ) -> HttpResponse:
        tenant = path_values.get("tenant", "")
        try:
            arguments = await self._authorize(route, request, path_values, body_size)
            response = await route.handler(*arguments, **path_values)
        except LoginRefused as refused:
            return refused.response
        except PageError as error:
            return self.error_response(request, error, await self._visitor_of_error(request, error))
        except StoreError as error:
            # The store itself logs the failure once, for all pages.
            tenant = self._configured(tenant)
            log.debug("web: {problem}", event="page_unavailable", tenant=tenant, problem=error.problems[0])
            return self.error_response(request, PageError(error_pages.PAGES.database_unavailable))
        except CancelledError:
            raise  # the client has gone
        except Exception:  # noqa: BLE001  a bug is shown as an error page, and logged
            log.failure("web: a page failed", event="page_failed", tenant=self._configured(tenant))
            return self.error_response(request, PageError(error_pages.PAGES.internal))
        return response

    def _configured(self, tenant: str) -> str:
        """A tenant's name from the path of a request, for the log; empty: there is no such tenant."""
        return tenant if tenant in self._layout.dependencies.tenants else ""

    async def _visitor_of_error(self, request: HttpRequest, error: PageError) -> Visitor | None:
        """The reader of an error page.

        None over a rate limit, which must cost nothing, and in a pop-up, which has no navigation.
        """
        if error.tenant is None or error.popup or error.error_page is error_pages.PAGES.too_many:
            return None
        try:
            return await self._layout.current_visitor(request, error.tenant)
        except StoreError:
            return None

    async def _authorize(
        self, route: Route, request: HttpRequest, path_values: dict[str, str], body_size: int
    ) -> tuple[HttpRequest | WebTenant | Viewer | TenantVisit | PhoneLogin, ...]:
        """Check the form's size and the role that the route requires; returns the handler's arguments (`RequiredRole`).

        :param path_values: the variables of the path; those that the handler does not get by name are taken out.
        :raises PageError: when the visitor lacks the role or may not see the phone, or the form is too large or forged.
        :raises LoginRefused: when a phone did not log in.
        """
        if body_size > route.max_body_size:
            raise PageError(error_pages.PAGES.too_large)
        if route.required_role is RequiredRole.PUBLIC:
            return (request,)
        tenant = self._layout.dependencies.tenants.get(path_values.pop("tenant"))
        if tenant is None:
            raise PageError(error_pages.PAGES.not_found)
        if route.required_role is RequiredRole.TENANT:
            return (TenantVisit(self._layout, request, tenant),)
        if route.required_role is RequiredRole.PHONE:
            gateway, secret = self._layout.dependencies, path_values.get("secret")
            return request, tenant, await log_in(request, tenant, secret, gateway.book_clients, gateway.clock)
        visitor = await self._layout.current_visitor(request, tenant)
        if visitor is None:
            if route.method == "POST":
                raise PageError(error_pages.PAGES.signed_out, tenant)
            path = route.path.removeprefix("/<tenant>/")
            for name, value in path_values.items():
                path = path.replace(f"<{name}>", value)
            had_session = request.is_live or bool(request.session(tenant.name))
            raise PageError(error_pages.sign_in_first(path, had_session=had_session), tenant)
        if route.method == "POST" and not is_valid_form(request, visitor.session, self._layout.public_url.origin):
            log.warn(
                "web: refused a form from another site for tenant {tenant}, from {address}",
                event="foreign_form_refused",
                tenant=tenant.name,
                address=request.address,
            )
            raise PageError(error_pages.PAGES.foreign_form, tenant)
        if route.required_role is RequiredRole.PERSON and visitor.person.is_by_link:
            raise PageError(error_pages.PAGES.persons_only, tenant)
        if route.required_role is RequiredRole.ADMIN and not visitor.administers(tenant):
            raise PageError(error_pages.PAGES.admins_only, tenant)
        visit = Visit(self._layout, request, tenant, visitor)
        return (visit, await visit.find_phone(path_values.pop("name"))) if route.is_of_phone else (visit,)

    def _unrouted(self, request: IRequest, failure: Failure) -> bytes:
        """The page for an unknown path or a wrong method.

        The router's redirects become "not found" as well, because the router trusts the header ``Host``.
        """
        error = PageError(error_pages.PAGES.not_found)
        if isinstance(failure.value, MethodNotAllowed):
            allowed = ", ".join(sorted(failure.value.valid_methods or ()))
            error = PageError(error_pages.PAGES.wrong_method, headers=(("Allow", allowed),))
        return self.refuse(request, error)

    def refuse(self, request: IRequest, error: PageError) -> bytes:
        """Answer a request that no route answers."""
        response = self.error_response(self.read_request(request), error)
        self._requests.observe(_UNKNOWN, _UNKNOWN, _UNKNOWN, response.status, 0.0)
        return write_response(request, response)


class _RootResource(Resource):
    """Sets the security headers and checks the size of every request before the router handles the request."""

    def __init__(self, layout: Layout, app: _App) -> None:
        super().__init__()
        self.isLeaf = True
        self._host = layout.public_url.host.encode()
        self._path = layout.public_url.path.encode().split(b"/")[1:]
        self._headers = security_headers(secure=layout.public_url.secure)
        self._app = app
        self._router = app.klein.resource()

    def render(self, request: Any) -> Any:
        request.responseHeaders.removeHeader(b"Server")
        for name, value in self._headers:
            request.setHeader(name.encode(), value.encode())
        # The router would use the client's Host; the public URL is authoritative.
        request.requestHeaders.setRawHeaders(b"Host", [self._host])
        self._strip_path(request)
        error = _routing_error(request)
        if error is not None:
            request.write(self._app.refuse(request, error))
            request.finish()
            return NOT_DONE_YET
        return NOT_DONE_YET if self._app.answer_directly(request) else self._router.render(request)

    def _strip_path(self, request: Any) -> None:
        """Take the path of the public URL off, as many proxies do, and others do not."""
        count = len(self._path)
        if count and request.postpath[:count] == self._path:
            request.postpath = request.postpath[count:] or [b""]
            request.path = b"/" + b"/".join(request.path.split(b"/")[1 + count :])


def _routing_error(request: Any) -> PageError | None:
    """The error of a request that must not reach the router: too many at once, a large body, a path not in UTF-8."""
    if getattr(request, "is_refused", False):
        return PageError(error_pages.PAGES.too_many, headers=(("Retry-After", "30"),))
    if _body_size(request) > MAX_BODY_SIZE:
        return PageError(error_pages.PAGES.too_large)
    try:
        b"/".join(request.postpath).decode()
    except UnicodeDecodeError:
        return PageError(error_pages.PAGES.not_found)
    return None


def _body_size(request: Any) -> int:
    """The octets of a request's body; the next read begins at the body's beginning."""
    request.content.seek(0, 2)
    size: int = request.content.tell()
    request.content.seek(0)
    return size


def _uncancelled(work: Any) -> Deferred[HttpResponse]:
    """Run a handler to its end even when the returned Deferred is cancelled."""
    response: Deferred[HttpResponse] = Deferred()
    Deferred.fromCoroutine(work).addBoth(response.callback)
    return response
