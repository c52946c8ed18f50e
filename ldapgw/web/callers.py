# SPDX-License-Identifier: MIT
"""Callers' names for PBXs: ``GET /{tenant}/caller?number=…`` with the login of a phone.

The answer is the name in plain text, or a JSON object where the client accepts ``application/json``; 404 without a body
where nobody has the number.
"""

from __future__ import annotations

from werkzeug.http import parse_accept_header

from ldapgw.phones.book_reader import Caller
from ldapgw.web.dependencies import WebTenant
from ldapgw.web.http import HttpRequest, HttpResponse, json_response, text_response
from ldapgw.web.layout import Layout, RequiredRole, Route
from ldapgw.web.phone_login import LoginRefused, log_in

_TEXT, _JSON = "text/plain", "application/json"


class CallerPage:
    """The look-up of callers."""

    def __init__(self, layout: Layout) -> None:
        self._dependencies = layout.dependencies

    def routes(self) -> tuple[Route, ...]:
        """The route of the look-up."""
        return (Route("GET", "/<tenant>/caller", self.caller, RequiredRole.PHONE, is_direct=True),)

    async def caller(self, request: HttpRequest, tenant: WebTenant) -> HttpResponse:
        """``/{tenant}/caller``: the first contact with a number, as a phone's search for the number finds it."""
        try:
            viewer = await log_in(request, tenant, self._dependencies)
        except LoginRefused as refused:
            return refused.response
        if "number" not in request.query:
            return text_response("The number is missing: …/caller?number=+4930…", 400)
        number = caller_number(request.query["number"])
        found = await self._dependencies.book_clients.reader.find_caller(viewer, request.address, number)
        if found is None:
            return HttpResponse(404, b"", f"{_TEXT}; charset=utf-8")
        if prefers_json(request.accept):
            return json_response(caller_object(found))
        return HttpResponse(200, found.name.encode(), f"{_TEXT}; charset=utf-8")


def caller_number(value: str) -> str:
    """The number in a query; most PBXs send "+" as it is, which stands for a space there."""
    return "+" + value[1:] if value[:1] == " " and value[1:2].isdigit() else value


def prefers_json(accept: str) -> bool:
    """Whether a client prefers JSON to text; who takes all gets text."""
    return parse_accept_header(accept).best_match([_TEXT, _JSON], default=_TEXT) == _JSON if accept else False


def caller_object(caller: Caller) -> dict[str, object]:
    """The JSON object of a caller; null where something is not known, or not for this login."""
    number, kind = caller.number
    flags = caller.flags
    return {
        "name": caller.name,
        "first_name": caller.text("givenName") or None,
        "last_name": caller.text("sn") or None,
        "company": caller.text("o") or None,
        "number": number,
        "kind": kind,
        "book": caller.book or None,
        "label": next(iter(flags.labels), None),
        "favourite": flags.favourite,
        "blocked": flags.blocked,
    }
