# SPDX-License-Identifier: MIT
"""The routes, and what surrounds every one of them: headers, limits, guards, and a page for each way to fail."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
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
from ldapgw.web import endings
from ldapgw.web.cookies import Cookie, Cookies
from ldapgw.web.csrf import is_ours
from ldapgw.web.endings import Ended, Ending
from ldapgw.web.exchange import LARGEST_BODY, Answer, Call, Headers, page, read_call, write_answer
from ldapgw.web.gate import WebGate
from ldapgw.web.handlers import Handlers
from ldapgw.web.headers import security_headers
from ldapgw.web.pages import Pages
from ldapgw.web.place import Place
from ldapgw.web.session import Visitor, find_visitor
from ldapgw.web.tenant import WebTenant

log = Logger()

Handler = Callable[..., Awaitable[Answer]]

# For everybody; for a tenant; forms of a person who is signed in.
PUBLIC: tuple[tuple[str, Handler], ...] = (
    ("/", Handlers.front),
    ("/healthz", Handlers.healthz),
    ("/readyz", Handlers.readyz),
    ("/static/<name>", Handlers.static),
    ("/oauth/callback", Handlers.callback),
)
TENANT: tuple[tuple[str, Handler], ...] = (
    ("/<tenant>", Handlers.slash),
    ("/<tenant>/", Handlers.home),
    ("/<tenant>/connect", Handlers.connect),
    ("/<tenant>/signin", Handlers.signin),
    ("/<tenant>/status.json", Handlers.status),
)
FORMS: tuple[tuple[str, Handler], ...] = (
    ("/<tenant>/sync", Handlers.sync),
    ("/<tenant>/share", Handlers.share),
    ("/<tenant>/disconnect", Handlers.disconnect),
    ("/<tenant>/signout", Handlers.signout),
)


def web_resource(gate: WebGate) -> IResource:
    """All pages of the gateway."""
    return cast("IResource", _Front(gate, _App(gate)))


class _App:
    """Routes to handlers, and turns whatever they raise into a page."""

    def __init__(self, gate: WebGate) -> None:
        self._gate = gate
        self._place = Place.of(gate.public_url)
        self._cookies = Cookies(secure=self._place.secure)
        self._pages = Pages(self._place.path)
        handlers = Handlers(gate, self._pages)
        self.klein = Klein()
        for path, handler in PUBLIC:
            self._route("GET", path, partial(handler, handlers))
        for path, handler in TENANT:
            self._route("GET", path, self._for_tenant(partial(handler, handlers)))
        for path, handler in FORMS:
            self._route("POST", path, self._for_tenant(self._for_visitor(partial(handler, handlers))))
        self.klein.handle_errors(HTTPException)(self._unrouted)

    def explain(self, ending: Ending, tenant: WebTenant | None = None, headers: Headers = ()) -> Answer:
        """A page that says what happened and what to do next."""
        return page(self._pages.ending(ending, tenant), ending.status, headers)

    def _route(self, method: str, path: str, handler: Handler) -> None:
        async def answer(request: IRequest, **parts: str) -> bytes:
            call = read_call(request, self._gate, self._cookies)
            return write_answer(request, await _to_the_end(self._answer(handler, call, parts)))

        self.klein.route(path, methods=[method], endpoint=f"{method} {path}")(answer)

    async def _answer(self, handler: Handler, call: Call, parts: dict[str, str]) -> Answer:
        try:
            return await handler(call, **parts)
        except Ended as ended:
            return self.explain(ended.ending, ended.tenant)
        except StoreError as error:
            log.error("web: {problem}", problem=error.problems[0])
            return self.explain(endings.NO_STORE)
        except Exception:  # noqa: BLE001  a fault of ours ends in a page, and in the log
            log.failure("web: a page failed")
            return self.explain(endings.INTERNAL)

    def _for_tenant(self, handler: Handler) -> Handler:
        """Find the tenant that a path names."""

        async def with_tenant(call: Call, tenant: str) -> Answer:
            found = self._gate.tenants.get(tenant)
            if found is None:
                raise Ended(endings.NOT_FOUND)
            return await handler(call, found)

        return with_tenant

    def _for_visitor(self, handler: Handler) -> Handler:
        """Find the person whose form it is, and make sure that it is."""

        async def with_visitor(call: Call, tenant: WebTenant) -> Answer:
            session = call.cookies.get(Cookie.SESSION, "")
            now = self._gate.clock.seconds()
            visitor: Visitor | None = await self._gate.store.run(find_visitor, session, tenant.name, now)
            if visitor is None:
                raise Ended(endings.SIGNED_OUT, tenant)
            if not is_ours(call, session, self._place.origin):
                log.warn(
                    "web: a foreign form for tenant {tenant}, from {address}", tenant=tenant.name, address=call.address
                )
                raise Ended(endings.NOT_YOURS, tenant)
            return await handler(call, tenant, visitor)

        return with_visitor

    def _unrouted(self, request: IRequest, failure: Failure) -> bytes:
        """No such path, or not by this method.  A redirect of the router's is not followed: it trusts Host."""
        error = failure.value
        if isinstance(error, MethodNotAllowed):
            allowed = ", ".join(sorted(error.valid_methods or ()))
            return write_answer(request, self.explain(endings.WRONG_METHOD, headers=(("Allow", allowed),)))
        return write_answer(request, self.explain(endings.NOT_FOUND))


class _Front(Resource):
    """What every request passes before the router sees it, so that every answer carries the headers."""

    def __init__(self, gate: WebGate, app: _App) -> None:
        super().__init__()
        self.isLeaf = True
        place = Place.of(gate.public_url)
        self._host = place.host.encode()
        self._headers = security_headers(secure=place.secure)
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
            request.write(write_answer(request, self._app.explain(refusal)))
            request.finish()
            return NOT_DONE_YET
        return self._routed.render(request)


def _refusal(request: Any) -> Ending | None:
    """What cannot be routed at all."""
    request.content.seek(0, 2)
    size = request.content.tell()
    request.content.seek(0)
    if size > LARGEST_BODY:
        return endings.TOO_LARGE
    try:
        b"/".join(request.postpath).decode()
    except UnicodeDecodeError:
        return endings.NOT_FOUND
    return None


def _to_the_end(work: Any) -> Deferred[Answer]:
    """Let what was begun end, although nobody may be waiting any more.

    klein cancels a handler when its browser goes away.  A consent or a disconnect must not stop half-way.
    """
    waiting: Deferred[Answer] = Deferred()
    Deferred.fromCoroutine(work).addBoth(waiting.callback)
    return waiting
