# SPDX-License-Identifier: MIT
"""A route: an address, who may ask for it, and what answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from ldapgw.web.exchange import Answer

# Takes the `Call` and what its `Who` stands for, then the parts of the path by name.
Handler = Callable[..., Awaitable[Answer]]


class Who(Enum):
    """Who may ask, and what a handler is given besides the call.

    A form (POST) of somebody who is signed in is looked at first: it has to be theirs, from our own page.
    """

    ANYBODY = auto()  # handler(call)
    OF_TENANT = auto()  # handler(call, tenant): whoever names a tenant
    SIGNED_IN = auto()  # handler(call, tenant, visitor)
    ADMIN = auto()  # the same


@dataclass(frozen=True, slots=True)
class Route:
    """One row of a page's table of routes.

    :ivar path: as Werkzeug writes it: ``/<tenant>/phones/<name>``; all but `Who.ANYBODY` have ``<tenant>``.
    """

    method: str
    path: str
    handler: Handler
    who: Who

    @property
    def endpoint(self) -> str:
        """Its name for the router."""
        return f"{self.method} {self.path}"


def get(path: str, handler: Callable[..., Any], who: Who) -> Route:
    """A page."""
    return Route("GET", path, handler, who)


def post(path: str, handler: Callable[..., Any], who: Who = Who.SIGNED_IN) -> Route:
    """A form."""
    return Route("POST", path, handler, who)
