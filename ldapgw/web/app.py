# SPDX-License-Identifier: MIT
"""The web application: routing, authorization, security headers, size limits and error pages for all routes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from math import ceil
from typing import Any, cast
from urllib.parse import quote

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.routing import Map, Rule

from ldapgw.directory.access import Viewer
from ldapgw.directory.clients import TokenBuckets
from ldapgw.errors import StoreError
from ldapgw.store.phones import PhoneLogin
from ldapgw.web import error_pages
from ldapgw.web.account_pages import AccountPages
from ldapgw.web.admin_files import AdminFiles
from ldapgw.web.admin_google import AdminGoogle
from ldapgw.web.admin_overview import AdminActivity, AdminOverview
from ldapgw.web.admin_people import AdminPeople
from ldapgw.web.admin_phones import AdminImport, AdminPasswords, AdminPhones
from ldapgw.web.book_clients import BookClients, LoginRefused, log_in
from ldapgw.web.carddav import CardDav
from ldapgw.web.contact_pages import ContactPages
from ldapgw.web.dependencies import WebDependencies, WebTenant
from ldapgw.web.error_pages import PageError
from ldapgw.web.events import EventStreams
from ldapgw.web.explain_pages import ExplainPages
from ldapgw.web.http import (
    HSTS,
    SECURITY_HEADERS,
    BodyWriter,
    Cookie,
    HttpRequest,
    HttpResponse,
    came_by_plain_http,
    max_body_size,
    read_request,
    redirect,
    write_response,
)
from ldapgw.web.i18n import LANGUAGES
from ldapgw.web.layout import Layout, RequiredRole, Route, TenantVisit, Visit
from ldapgw.web.phone_forms import PhoneForms
from ldapgw.web.phone_pages import PhonePages
from ldapgw.web.provisioning_pages import ProvisioningPages, ProvisioningWindows, StepReports
from ldapgw.web.sessions import Visitor, is_valid_form
from ldapgw.web.sign_in_pages import SignInPages

log = Logger()

_SECURITY_HEADERS, _SECURE_HEADERS = (
    tuple((name.encode(), value.encode()) for name, value in headers)
    for headers in (SECURITY_HEADERS, (*SECURITY_HEADERS, HSTS))
)

# The metrics show this word in place of the method, path and role of a request that no route answers.
_UNKNOWN = "unknown"

# A session may send `FORM_BURST` forms at once, and then one form after each interval.  Each form costs transactions.
FORM_BURST = 60
FORM_INTERVAL_SECONDS = 1.0

# The lifetime, in seconds, of the cookie with the chosen language.
_LANGUAGE_SECONDS = 365 * 86400


def routes(layout: Layout) -> tuple[Route, ...]:
    """Return all routes of the gateway."""
    phones = PhonePages(layout)
    passwords = AdminPasswords(layout, phones)
    overview = AdminOverview(layout)
    windows = ProvisioningWindows(layout)
    admin_people = AdminPeople(layout, phones, passwords)
    admin_phones = AdminPhones(layout, phones, passwords, windows)
    topic_providers = (phones.topics, overview.topics, admin_people.table.topics, admin_phones.table.topics)
    pages = (
        SignInPages(layout),
        AccountPages(layout, phones),
        ContactPages(layout),
        phones,
        PhoneForms(layout, phones),
        ProvisioningPages(layout, phones, windows),
        windows,
        StepReports(layout),
        ExplainPages(layout),
        overview,
        passwords,
        admin_people,
        admin_phones,
        AdminImport(layout, passwords),
        AdminFiles(layout),
        AdminGoogle(layout),
        AdminActivity(layout),
        EventStreams(layout, topic_providers),
        BookClients(layout),
        CardDav(layout),
    )
    return tuple(route for page in pages for route in page.routes())


def web_resource(dependencies: WebDependencies) -> IResource:
    """Return the resource that serves all pages of the gateway."""
    return cast("IResource", _WebResource(Layout.of(dependencies)))


@cache
def _url_map(rules: Sequence[tuple[str, str]]) -> Map:
    """Return a router that finds the index of a method and path in `rules`; the router is compiled only once."""
    return Map([Rule(path, methods=[method], endpoint=number) for number, (method, path) in enumerate(rules)])


class _WebResource(Resource):
    """The resource that sets the security headers, checks sizes, calls the handlers and makes the error pages."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.isLeaf = True
        self._layout = layout
        self._observe, self._seconds = layout.dependencies.observe_request, layout.dependencies.seconds
        self._form_limiter = TokenBuckets(FORM_BURST, FORM_INTERVAL_SECONDS, self._seconds)
        self._path = layout.public_url.path.encode().split(b"/")[1:]
        self._routes = routes(layout)
        # The router only matches paths and makes no addresses, so the router needs no host.
        self._router = _url_map(tuple((route.method, route.path) for route in self._routes)).bind("")

    def render(self, request: Any) -> int:
        request.responseHeaders.removeHeader(b"Server")
        self._set_headers(request)
        try:
            route, path_values = self._find_route(request)
            if not route.over_http and self._is_to_redirect(request):
                return self._redirect_to_https(request, route)
        except PageError as error:
            return self._finish(request, None, self._error_response(self._read_request(request), error))
        answering = Deferred.fromCoroutine(self._answer(route, request, path_values))
        if not route.runs_to_end:
            request.notifyFinish().addErrback(lambda _: answering.cancel())
        answering.addErrback(partial(self._report, request, path_values.get("tenant", "")))
        return NOT_DONE_YET

    def _set_headers(self, request: Any) -> None:
        headers = _SECURITY_HEADERS
        # Browsers ignore HSTS on http (RFC 6797 8.1).
        if self._layout.public_url.secure and self._layout.dependencies.sends_hsts():
            headers = _SECURE_HEADERS
        for name, value in headers:
            request.setHeader(name, value)

    def _is_to_redirect(self, request: IRequest) -> bool:
        """Return whether a request has to be sent again by HTTPS, because the gateway itself serves HTTPS."""
        dependencies = self._layout.dependencies
        return dependencies.serves_https and came_by_plain_http(request, dependencies.is_trusted_proxy)

    def _redirect_to_https(self, request: Any, route: Route) -> int:
        """Redirect a request to the same path of the public URL; the status 307 keeps the method."""
        segments = request.postpath
        path = b"/".join(segments[len(self._path) :] if segments[: len(self._path)] == self._path else segments)
        _, mark, query = request.uri.partition(b"?")
        location = f"{self._layout.public_url.url}/" + (quote(path) + (mark + query).decode("ascii", "ignore"))
        return self._finish(request, route, redirect(location, status=307))

    def _finish(self, request: Any, route: Route | None, response: HttpResponse) -> int:
        """Write a response that no handler has made."""
        self._count(route, response, 0.0)
        write_response(request, response)
        request.finish()
        return NOT_DONE_YET

    def _count(self, route: Route | None, response: HttpResponse, seconds: float) -> None:
        """Count a request for the metrics; `route` is None if no route answers the request."""
        labels = (route.method, route.template, route.required_role.name.lower()) if route else (_UNKNOWN,) * 3
        self._observe(*labels, response.status, seconds)

    def _find_route(self, request: Any) -> tuple[Route, dict[str, str]]:
        """Return the route of a request, and the variables of its path.

        :raises PageError: when there are too many requests at once, the body is too large, or no route fits.
        """
        if getattr(request, "is_refused", False):
            raise PageError(error_pages.PAGES.too_many, headers=(("Retry-After", "30"),))
        if _body_size(request) > max_body_size(request.method):
            raise PageError(error_pages.PAGES.too_large)
        segments = request.postpath
        # Some proxies remove the path of the public URL from the request's path, and other proxies leave this path
        # there.
        if segments[: len(self._path)] == self._path:
            segments = segments[len(self._path) :]
        try:
            path = "/" + b"/".join(segments).decode()
            number, path_values = self._router.match(path, request.method.decode())
        except MethodNotAllowed as error:
            allowed = ", ".join(sorted(error.valid_methods or ()))
            raise PageError(error_pages.PAGES.wrong_method, headers=(("Allow", allowed),)) from None
        except (UnicodeDecodeError, HTTPException):  # Werkzeug also raises a redirect to a normalized path
            pages = error_pages.PAGES
            is_provisioning = segments[1:2] == [b"provision"]
            raise PageError(pages.no_provisioning_address if is_provisioning else pages.not_found) from None
        return self._routes[number], dict(path_values)

    async def _answer(self, route: Route, request: Any, path_values: dict[str, str]) -> None:
        http_request, began = self._read_request(request), self._seconds()
        response = await self._handle(route, http_request, path_values, _body_size(request))
        self._count(route, response, self._seconds() - began)
        if http_request.query.get("language") in LANGUAGES:
            cookie = self._layout.cookies.set(Cookie.LANGUAGE, http_request.language, seconds=_LANGUAGE_SECONDS)
            response = replace(response, headers=(*response.headers, cookie))
        write_response(request, response)
        if response.stream is not None and request.method != b"HEAD":
            writer = BodyWriter(request, self._layout.dependencies.clock)
            try:
                await response.stream(writer)
            except TimeoutError:
                request.channel.abort("a connection that timed out")
                return
            except CancelledError:
                raise
            except Exception:  # noqa: BLE001  the answer has begun, so no error page can follow
                tenant = self._configured(path_values.get("tenant", ""))
                log.failure("web: a page failed", event="page_failed", tenant=tenant)
                # A part of the answer was sent already.  The gateway aborts the connection, so that the client does not
                # take this part for the whole answer.
                if request.channel is not None:
                    request.channel.abort("an answer that could not be completed")
                return
            finally:
                writer.close()
        if request.channel is not None:  # the client is still connected
            request.finish()

    def _read_request(self, request: IRequest) -> HttpRequest:
        return read_request(request, self._layout.dependencies, self._layout.cookies)

    def _error_response(self, request: HttpRequest, error: PageError, visitor: Visitor | None = None) -> HttpResponse:
        """Return the page that explains an error.

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
            return self._error_response(request, error, await self._visitor_of_error(request, error))
        except StoreError as error:
            # The store itself logs the failure once, for all pages.
            tenant = self._configured(tenant)
            log.debug("web: {problem}", event="page_unavailable", tenant=tenant, problem=error.problems[0])
            return self._error_response(request, PageError(error_pages.PAGES.database_unavailable))
        except CancelledError:
            raise  # the client has gone
        except Exception:  # noqa: BLE001  a bug is shown as an error page, and logged
            log.failure("web: a page failed", event="page_failed", tenant=self._configured(tenant))
            return self._error_response(request, PageError(error_pages.PAGES.internal))
        return response

    def _report(self, request: Any, tenant: str, failure: Failure) -> None:
        """Log a failure outside of all handlers; if the client is still connected, also send an error page."""
        if getattr(request, "channel", None) is not None:
            request.processingFailed(failure)
        elif not failure.check(CancelledError):  # the answer to a request is cancelled when its client disconnects
            log.failure("web: a page failed", failure, event="page_failed", tenant=self._configured(tenant))

    def _configured(self, tenant: str) -> str:
        """Return a tenant's name for the log, or an empty text if there is no such tenant."""
        return tenant if tenant in self._layout.dependencies.tenants else ""

    async def _visitor_of_error(self, request: HttpRequest, error: PageError) -> Visitor | None:
        """Return the visitor for whom an error page shows the navigation, or None if the page shows no navigation.

        The error page for too many requests reads no session, because this page must cost the gateway little.  A pop-up
        has no navigation.
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
        """Check the form's size and the role that the route requires; return the handler's arguments (`RequiredRole`).

        :param path_values: the variables of the path; variables that the handler does not get by name are removed.
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
        if route.method == "POST":
            self._check_form(route, request, tenant, visitor)
        if route.required_role is RequiredRole.PERSON and visitor.person.is_by_link:
            raise PageError(error_pages.PAGES.persons_only, tenant)
        if route.required_role is RequiredRole.ADMIN and not visitor.administers(tenant):
            raise PageError(error_pages.PAGES.admins_only, tenant)
        visit = Visit(self._layout, request, tenant, visitor)
        return (visit, await visit.find_phone(path_values.pop("name"))) if route.is_of_phone else (visit,)

    def _check_form(self, route: Route, request: HttpRequest, tenant: WebTenant, visitor: Visitor) -> None:
        """Check that a form comes from a page of the visitor's session, and that the session sends few forms.

        :raises PageError: when the form is forged, or the session has sent too many forms.
        """
        if not is_valid_form(request, visitor.session, self._layout.public_url.origin):
            log.warn(
                "web: refused a form from another site for tenant {tenant}, from {address}",
                event="foreign_form_refused",
                tenant=tenant.name,
                address=request.address,
            )
            raise PageError(error_pages.PAGES.foreign_form, tenant)
        wait = 0.0 if route.is_unlimited else self._form_limiter.take(visitor.session)
        if wait:
            raise PageError(error_pages.PAGES.too_many, tenant, headers=(("Retry-After", str(ceil(wait))),))


def _body_size(request: Any) -> int:
    """Return the size of a request's body in octets, and rewind the body."""
    request.content.seek(0, 2)
    size: int = request.content.tell()
    request.content.seek(0)
    return size
