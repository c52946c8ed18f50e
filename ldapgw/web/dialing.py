# SPDX-License-Identifier: MIT
"""Calls by click: the address at which a tenant's telephone system begins a call, and the client for this address.

Either the person's browser opens the address, or the gateway calls the address.  The gateway logs neither the address
nor a number.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import quote, urlsplit

from treq.client import HTTPClient
from twisted.internet.defer import Deferred, TimeoutError  # noqa: A004  the exception of `Deferred.addTimeout`
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ldapgw.errors import GoogleError
from ldapgw.google.http import get_status
from ldapgw.store.phones import PhoneLogin

log = Logger()

# The time limit of a request to a telephone system, in seconds.
TIMEOUT = 10.0

_PHONE, _NUMBER = "{phone}", "{number}"


class DialResult(StrEnum):
    """The result of a request to a telephone system; the values are flash messages."""

    DIALLED = "dialled"
    REFUSED = "dial-refused"
    LATE = "dial-late"


@dataclass(frozen=True, slots=True, repr=False)
class DialAddress:
    """The address at which a telephone system begins a call.

    :ivar template: a URL with the placeholder ``{number}``, and perhaps with ``{phone}``.
    :ivar is_called_by_gateway: whether the gateway calls the address; if not, a person's browser opens the address.
    """

    template: str
    is_called_by_gateway: bool = False

    @property
    def needs_phone(self) -> bool:
        """Return whether the telephone system has to know which phone calls."""
        return _PHONE in self.template

    def url(self, phone: str, number: str) -> str:
        """Return the address for a call.

        :param phone: the name of the phone that calls; ignored if the address has no placeholder for the phone.
        """
        # The name of a phone contains no brace, so the second replacement finds only the template's placeholder.
        return self.template.replace(_PHONE, quote(phone, safe="")).replace(_NUMBER, quote(number, safe=""))

    def callers(self, phones: tuple[PhoneLogin, ...]) -> dict[str, str]:
        """Return the titles of the phones that a person can call from, by the phones' names.

        If the telephone system need not know the phone, there is one item with an empty name.

        :param phones: the person's own phones.
        """
        return {phone.name: phone.title for phone in phones} if self.needs_phone else {"": ""}


class Dialer:
    """The client that calls the addresses of telephone systems.

    :param http: the gateway's client, which uses the gateway's proxy.
    :param loopback_http: a client without a proxy, for telephone systems on the gateway's own machine.
    """

    def __init__(self, http: HTTPClient, loopback_http: HTTPClient, clock: IReactorTime) -> None:
        self._http = http
        self._loopback_http = loopback_http
        self._clock = clock

    async def ask(self, url: str) -> int:
        """Make one GET request, and return the status; redirects are not followed.

        :raises TimeoutError: when the answer was not complete in time.
        :raises GoogleError: `NetworkFailure` or `BadResponse`.
        """
        # The configuration accepts http for loopback addresses only.
        http = self._loopback_http if urlsplit(url).scheme == "http" else self._http
        call = Deferred.fromCoroutine(get_status(http, self._clock, url))
        call.addTimeout(TIMEOUT, self._clock)
        return await call

    async def dial(self, tenant: str, url: str) -> DialResult:
        """Have a telephone system begin a call.

        :param tenant: the tenant's name, for the log.
        """
        result = DialResult.REFUSED
        try:
            status = await self.ask(url)
        except TimeoutError:
            result, detail = DialResult.LATE, f"no answer within {TIMEOUT:.0f} s"
        except GoogleError as error:
            detail = error.detail
        else:
            if 200 <= status < 300:
                return DialResult.DIALLED
            detail = f"HTTP {status}"
        log.warn(
            "tenant {tenant}: the telephone system {host} did not accept a call: {detail}",
            event="dial_failed",
            tenant=tenant,
            host=urlsplit(url).hostname,
            detail=detail,
        )
        return result
