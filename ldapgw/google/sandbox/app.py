# SPDX-License-Identifier: MIT
"""The web application of the sandbox; the function `sandbox` makes it.

Each route converts the request to values, calls a pure module and writes the reply.  `api.ENDPOINTS` and
`AUTHORIZATION` are the paths of Google; the controls of the sandbox are under ``/sandbox/``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, quote

from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule

from ldapgw.errors import UserError
from ldapgw.google.sandbox import admin, api, authorization, controls, delegation, pages
from ldapgw.google.sandbox.authorization import AuthorizationError, Redirect
from ldapgw.google.sandbox.faults import Breakage
from ldapgw.google.sandbox.reply import ApiReply, ApiRequest, Parameters
from ldapgw.google.sandbox.world import PHOTOS, World

AUTHORIZATION = "/o/oauth2/v2/auth"

# The policy has no form-action, because browsers also apply it to the redirect after a form, which goes to the gateway.
_POLICY = "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'"


def sandbox(world: World) -> Resource:
    """Return the root resource that serves a world, for a site or for `treq.testing.StubTreq`."""
    return _Sandbox(world)


class _Sandbox(Resource):
    """The root resource, which finds the handler of each request in `_ROUTES`."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.isLeaf = True
        self._world = world

    def render(self, request: Request) -> int:
        """Write the reply, unless the handler returns None because a fault cuts off the reply."""
        body: bytes | None
        try:
            path = "/" + b"/".join(request.postpath or ()).decode("utf-8", "replace")
            handler, names = _ROUTES.bind(_header(request, "host")).match(path, request.method.decode())
            body = handler(self._world, request, **names)
        except UserError as error:
            body = _refused(self._world, request, error)
        except HTTPException as error:
            refusal = error.get_response()
            request.setResponseCode(refusal.status_code)
            for name, value in refusal.headers:
                request.setHeader(name, value)
            body = refusal.get_data()
        if body is not None:
            request.write(body)
            request.finish()
        return NOT_DONE_YET


def _front(world: World, request: Request) -> bytes:
    return _page(request, 200, pages.front(world, _base(request)))


def _style(_world: World, request: Request) -> bytes:
    request.setHeader(b"Content-Type", b"text/css; charset=utf-8")
    return pages.style()


def _control(world: World, request: Request) -> bytes:
    return _page(request, 200, pages.control(world))


def _persons(world: World, request: Request) -> bytes:
    query = _query(request)
    account, source = _first(query, "account"), _first(query, "source") or "contacts"
    if _wants_json(request):
        return _json(request, 200, {"persons": controls.persons(world, account, source)})
    return _page(request, 200, pages.persons(world, account, source))


def _person(world: World, request: Request) -> bytes:
    query = _query(request)
    return _page(request, 200, pages.person(world, _first(query, "account"), _first(query, "resourceName")))


def _state(world: World, request: Request) -> bytes:
    return _json(request, 200, controls.state(world))


def _key_file(world: World, request: Request) -> bytes:
    request.setHeader(b"Content-Type", b"application/json")
    request.setHeader(b"Content-Disposition", b'attachment; filename="service-account.json"')
    request.setHeader(b"Cache-Control", b"no-store")
    return delegation.key_file(world, _first(_query(request), "service_account"))


def _run_control(world: World, request: Request, name: str) -> bytes:
    arguments = _arguments(request)
    outcome = controls.run_control(world, name, arguments)
    if _wants_json(request):
        return _json(request, 200, outcome)
    return _redirect(request, 303, _page_after(name, arguments))


def _page_after(name: str, arguments: Mapping[str, Any]) -> str:
    """Return the path of the page that shows the result of a control's form."""
    if name.endswith("-person"):
        source = str(arguments.get("source") or "contacts")
        return f"/sandbox/persons?account={quote(str(arguments['account']))}&source={quote(source)}"
    return "/sandbox/"


def _answer(world: World, request: Request, **_names: str) -> bytes | None:
    """Answer a call to one of the API endpoints."""
    call = ApiRequest(request.path.decode(), _query(request), _form(request), _header(request, "authorization"))
    reply, breakage = api.answer(world, call)
    reply = api.compressed(reply, _header(request, "accept-encoding"), _header(request, "user-agent"))
    if breakage in (Breakage.LOST, Breakage.SILENCE, Breakage.CUT_OFF):
        _break_off(request, reply, breakage)
        return None
    _start(request, reply)
    return reply.body


def _break_off(request: Request, reply: ApiReply, breakage: Breakage) -> None:
    """Send no reply or half of the reply."""
    if breakage is Breakage.CUT_OFF:
        _start(request, reply)
        request.setHeader(b"Content-Length", b"%d" % len(reply.body))
        request.write(reply.body[: len(reply.body) // 2])
    if breakage is not Breakage.SILENCE:
        request.loseConnection()


def _authorize(world: World, request: Request) -> bytes:
    world.calls[AUTHORIZATION] += 1
    fault = world.faults.take(AUTHORIZATION, "")
    if fault is not None and isinstance(fault.effect, ApiReply):
        _start(request, fault.effect)
        return fault.effect.body
    try:
        authorization_request = authorization.read_request(world, _query(request))
        outcome = (
            authorization.decide(world, authorization_request, _form(request))
            if request.method == b"POST"
            else authorization.authorize(world, authorization_request)
        )
    except AuthorizationError as problem:
        return _page(request, problem.status, pages.error(problem))
    if isinstance(outcome, Redirect):
        return _redirect(request, 302, outcome.url)
    return _page(request, 200, pages.consent(outcome, request.uri.decode("ascii")))


# --- Requests and responses -----------------------------------------------------------------------------------------


def _query(request: Request) -> Parameters:
    return _parsed(request.uri.partition(b"?")[2])


def _form(request: Request) -> Parameters:
    if not _header(request, "content-type").startswith("application/x-www-form-urlencoded"):
        return {}
    return _parsed(_body(request))


def _body(request: Request) -> bytes:
    return request.content.read() if request.content else b""


def _parsed(octets: bytes) -> Parameters:
    """Parse a query or form; octets that are not UTF-8 are replaced."""
    parsed = parse_qs(octets.decode("utf-8", "replace"), keep_blank_values=True)
    return {name: tuple(values) for name, values in parsed.items()}


def _arguments(request: Request) -> Mapping[str, Any]:
    """Return the arguments of a control from a form or from JSON.

    :raises UserError: if the body is not a JSON object.
    """
    if not _wants_json(request):
        return {name: values[0] for name, values in _form(request).items()}
    try:
        arguments = json.loads(_body(request) or b"{}")
    except (ValueError, RecursionError):
        raise UserError("the body is not JSON") from None
    if not isinstance(arguments, dict):
        raise UserError("the body: expected a JSON object")
    return arguments


def _wants_json(request: Request) -> bool:
    kinds = (_header(request, "content-type"), _header(request, "accept"))
    return any(kind.startswith("application/json") for kind in kinds)


def _first(parameters: Parameters, name: str) -> str:
    return parameters.get(name, ("",))[0]


def _header(request: Request, name: str) -> str:
    return request.getHeader(name) or ""


def _base(request: Request) -> str:
    """Return the base URL that the browser used, usually with plain HTTP on a loopback address."""
    return f"{'https' if request.isSecure() else 'http'}://{_header(request, 'host')}"


def _start(request: Request, reply: ApiReply) -> None:
    request.setResponseCode(reply.status)
    for name, value in reply.headers:
        request.setHeader(name, value)


def _page(request: Request, status: int, html: str) -> bytes:
    request.setResponseCode(status)
    request.setHeader(b"Content-Type", b"text/html; charset=utf-8")
    request.setHeader(b"Content-Security-Policy", _POLICY.encode())
    request.setHeader(b"Referrer-Policy", b"no-referrer")
    request.setHeader(b"Cache-Control", b"no-store")
    request.setHeader(b"X-Content-Type-Options", b"nosniff")
    return html.encode("utf-8", "replace")  # a person's texts may have lone surrogates, which UTF-8 cannot encode


def _json(request: Request, status: int, content: object) -> bytes:
    request.setResponseCode(status)
    request.setHeader(b"Content-Type", b"application/json; charset=utf-8")
    return json.dumps(content, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"


def _refused(world: World, request: Request, error: UserError) -> bytes:
    if _wants_json(request):
        return _json(request, 400, {"problems": error.problems})
    return _page(request, 400, pages.control(world, "; ".join(error.problems)))


def _redirect(request: Request, status: int, url: str) -> bytes:
    request.setResponseCode(status)
    request.setHeader(b"Location", url.encode("ascii"))
    request.setHeader(b"Cache-Control", b"no-store")
    return b""


_ROUTES = Map(
    [
        *(Rule(path, methods=[method], endpoint=_answer) for path, method in api.ENDPOINTS.items()),
        Rule(f"{PHOTOS}<name>", methods=["GET"], endpoint=_answer),
        Rule(f"{admin.PREFIX}<path:name>", methods=["GET"], endpoint=_answer),
        Rule(AUTHORIZATION, methods=["GET", "POST"], endpoint=_authorize),
        Rule("/", methods=["GET"], endpoint=_front),
        Rule("/sandbox/style.css", methods=["GET"], endpoint=_style),
        Rule("/sandbox/", methods=["GET"], endpoint=_control),
        Rule("/sandbox/persons", methods=["GET"], endpoint=_persons),
        Rule("/sandbox/person", methods=["GET"], endpoint=_person),
        Rule("/sandbox/service-account.json", methods=["GET"], endpoint=_key_file),
        Rule("/sandbox/state", methods=["GET"], endpoint=_state),
        Rule("/sandbox/<name>", methods=["POST"], endpoint=_run_control),
    ]
)
