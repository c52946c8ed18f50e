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
from ldapgw.web.account_pages import Mine, Search
from ldapgw.web.admin_pages import Admin
from ldapgw.web.dependencies import WebGate, WebTenant
from ldapgw.web.error_pages import Ended
from ldapgw.web.events import Events
from ldapgw.web.explain_pages import Explain
from ldapgw.web.http import LARGEST_BODY, Answer, Call, Cookie, read_call, security_headers, write_answer
from ldapgw.web.i18n import LANGUAGES
from ldapgw.web.layout import Frame, Route, Who
from ldapgw.web.phone_pages import Phones
from ldapgw.web.sessions import Visitor, is_ours
from ldapgw.web.sign_in_pages import Entrance

log = Logger()

# A language that was chosen is remembered this long.
_YEAR = 365 * 86400


def routes(frame: Frame) -> tuple[Route, ...]:
    """All routes of the gateway, page by page."""
    phones = Phones(frame)
    pages = (Entrance(frame), Mine(frame), Search(frame), phones, Explain(frame), Admin(frame, phones), Events(frame))
    return tuple(route for each in pages for route in each.routes())


def web_resource(gate: WebGate) -> IResource:
    """All pages of the gateway."""
    frame = Frame.of(gate)
    return cast("IResource", _Front(frame, _App(frame)))


class _App:
    """Routes to handlers, and turns whatever they raise into a page."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self.klein = Klein()
        for route in routes(frame):
            self._route(route)
        self.klein.handle_errors(HTTPException)(self._unrouted)

    def explain(self, call: Call, ended: Ended, visitor: Visitor | None = None) -> Answer:
        """A page that says what happened and what to do next.

        :param visitor: who is signed in, and so can go elsewhere, or sign out.
        """
        return self._frame.page(
            call,
            "ending.html",
            tenant=ended.tenant,
            visitor=visitor,
            status=ended.ending.status,
            headers=ended.headers,
            ending=ended.ending,
            popup=ended.popup,
        )

    def call(self, request: IRequest) -> Call:
        """What a request says."""
        return read_call(request, self._frame.gate, self._frame.cookies)

    def _route(self, route: Route) -> None:
        async def answer(request: IRequest, **parts: str) -> bytes:
            call = self.call(request)
            found = await _to_the_end(self._answer(route, call, parts))
            if call.query.get("language") in LANGUAGES:
                chosen = self._frame.cookies.set(Cookie.LANGUAGE, call.language, seconds=_YEAR)
                found = replace(found, headers=(*found.headers, chosen))
            body = write_answer(request, found)
            if found.stream is not None and request.method != b"HEAD":
                await found.stream(request.write)
            return body

        self.klein.route(route.path, methods=[route.method], endpoint=route.endpoint)(answer)

    async def _answer(self, route: Route, call: Call, parts: dict[str, str]) -> Answer:
        try:
            return await route.handler(call, *await self._admit(route, call, parts), **parts)
        except Ended as ended:
            return self.explain(call, ended, await self._visitor(call, ended))
        except StoreError as error:
            # The store says so once, for all pages.
            log.debug("web: {problem}", problem=error.problems[0])
            return self.explain(call, Ended(error_pages.NO_STORE))
        except Exception:  # noqa: BLE001  a fault of ours ends in a page, and in the log
            log.failure("web: a page failed")
            return self.explain(call, Ended(error_pages.INTERNAL))

    async def _visitor(self, call: Call, ended: Ended) -> Visitor | None:
        """Who reads how it ended; not looked up for whoever asks too much, nor in a pop-up, which goes nowhere."""
        if ended.tenant is None or ended.popup or ended.ending is error_pages.TOO_MANY:
            return None
        try:
            return await self._frame.caller(call, ended.tenant)
        except StoreError:
            return None

    async def _admit(self, route: Route, call: Call, parts: dict[str, str]) -> tuple[WebTenant | Visitor, ...]:
        """What a handler is given besides the call.

        :raises Ended: when the asker may not.
        """
        if route.who is Who.ANYBODY:
            return ()
        tenant = self._frame.gate.tenants.get(parts.pop("tenant"))
        if tenant is None:
            raise Ended(error_pages.NOT_FOUND)
        if route.who is Who.OF_TENANT:
            return (tenant,)
        visitor = await self._frame.caller(call, tenant)
        if visitor is None:
            raise Ended(error_pages.SIGNED_OUT if route.method == "POST" else error_pages.SIGN_IN_FIRST, tenant)
        if route.method == "POST" and not is_ours(call, visitor.session, self._frame.place.origin):
            log.warn(
                "web: a foreign form for tenant {tenant}, from {address}", tenant=tenant.name, address=call.address
            )
            raise Ended(error_pages.NOT_YOURS, tenant)
        if route.who is Who.ADMIN and not visitor.administers(tenant):
            raise Ended(error_pages.ADMINS_ONLY, tenant)
        return tenant, visitor

    def _unrouted(self, request: IRequest, failure: Failure) -> bytes:
        """No such path, or not by this method.  A redirect of the router's is not followed: it trusts Host."""
        error = failure.value
        ended = Ended(error_pages.NOT_FOUND)
        if isinstance(error, MethodNotAllowed):
            allowed = ", ".join(sorted(error.valid_methods or ()))
            ended = Ended(error_pages.WRONG_METHOD, headers=(("Allow", allowed),))
        return write_answer(request, self.explain(self.call(request), ended))


class _Front(Resource):
    """What every request passes before the router sees it, so that every answer carries the headers."""

    def __init__(self, frame: Frame, app: _App) -> None:
        super().__init__()
        self.isLeaf = True
        self._host = frame.place.host.encode()
        self._headers = security_headers(secure=frame.place.secure)
        self._app = app
        self._routed = app.klein.resource()

    def render(self, request: Any) -> Any:
        """See `IResource`."""
        request.responseHeaders.removeHeader(b"Server")
        for name, value in self._headers:
            request.setHeader(name.encode(), value.encode())
        # The router would read it; whatever it says, we know who we are.
        request.requestHeaders.setRawHeaders(b"Host", [self._host])
        refusal = _refusal(request)
        if refusal is not None:
            request.write(write_answer(request, self._app.explain(self._app.call(request), refusal)))
            request.finish()
            return NOT_DONE_YET
        return self._routed.render(request)


def _refusal(request: Any) -> Ended | None:
    """What cannot be routed at all."""
    request.content.seek(0, 2)
    size = request.content.tell()
    request.content.seek(0)
    if size > LARGEST_BODY:
        return Ended(error_pages.TOO_LARGE)
    try:
        b"/".join(request.postpath).decode()
    except UnicodeDecodeError:
        return Ended(error_pages.NOT_FOUND)
    return None


def _to_the_end(work: Any) -> Deferred[Answer]:
    """Let what was begun end, although nobody may be waiting any more.

    klein cancels a handler when its browser goes away.  A consent or a disconnect must not stop half-way.
    """
    waiting: Deferred[Answer] = Deferred()
    Deferred.fromCoroutine(work).addBoth(waiting.callback)
    return waiting
