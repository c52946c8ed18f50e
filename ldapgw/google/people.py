# SPDX-License-Identifier: MIT
"""Persons, page by page, from the People API v1.

The three sources are one table; whatever differs between them is there, and nowhere else.  Google wants all
parameters of a sync to stay the same for as long as its tokens are used, so `fingerprint` is kept with a sync token.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any, Generic, TypeVar

import msgspec
from treq.client import HTTPClient
from twisted.internet.interfaces import IReactorTime

from ldapgw.contact import Source
from ldapgw.errors import BadResponse, GoogleError, QuotaExceeded
from ldapgw.google.api_errors import read_refusal
from ldapgw.google.endpoints import Endpoints
from ldapgw.google.http import GoogleHttpClient, GoogleResponse
from ldapgw.google.person_text import clean

# Half a million persons; no account has as many.  Without a bound, a server could page for ever.
MOST_PAGES = 500

_PAGE = ("pageSize", "1000")

T = TypeVar("T")
Persons = tuple[dict[str, Any], ...]
# Calls a function with an access token that is good, and once more with a new one when Google rejects it: a long
# listing goes on where it is when its token ends.
Authorized = Callable[[Callable[[str], Awaitable[Any]]], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Listing:
    """How one kind of thing is listed.

    :ivar path: of the method, below the API's address.
    :ivar key: of the list in an answer.
    :ivar total: key of the count in an answer; empty: there is none.
    :ivar params: all parameters but the tokens.
    """

    path: str
    key: str
    total: str
    params: tuple[tuple[str, str], ...]


# Masks hold what a phone book shows, and no more: never biographies, which stay with Google.
LISTINGS: Mapping[Source, Listing] = MappingProxyType(
    {
        # people.connections.list.  The source CONTACT alone gives what the user typed; PROFILE would mix in names
        # and addresses that the contacts gave themselves.
        Source.CONTACTS: Listing(
            "/v1/people/me/connections",
            "connections",
            "totalItems",
            (
                (
                    "personFields",
                    "metadata,names,nicknames,phoneNumbers,emailAddresses,organizations,memberships,addresses,urls",
                ),
                ("sources", "READ_SOURCE_TYPE_CONTACT"),
                ("requestSyncToken", "true"),
                _PAGE,
            ),
        ),
        # otherContacts.list.  Another field in this mask is refused.
        Source.OTHER_CONTACTS: Listing(
            "/v1/otherContacts",
            "otherContacts",
            "totalSize",
            (("readMask", "metadata,names,emailAddresses,phoneNumbers"), ("requestSyncToken", "true"), _PAGE),
        ),
        # people.listDirectoryPeople.  Never with mergeSources: it would put the connecting user's private numbers
        # into a book that all see.
        Source.DIRECTORY: Listing(
            "/v1/people:listDirectoryPeople",
            "people",
            "",
            (
                ("readMask", "metadata,names,nicknames,phoneNumbers,emailAddresses,organizations,addresses,urls"),
                ("sources", "DIRECTORY_SOURCE_TYPE_DOMAIN_CONTACT"),
                ("sources", "DIRECTORY_SOURCE_TYPE_DOMAIN_PROFILE"),
                ("requestSyncToken", "true"),
                _PAGE,
            ),
        ),
    }
)

# contactGroups.list.  It has no switch for a sync token: it gives one, and takes it.
_GROUPS = Listing(
    "/v1/contactGroups", "contactGroups", "totalItems", (("groupFields", "groupType,metadata,name"), _PAGE)
)


@dataclass(frozen=True, slots=True)
class PersonPage(Generic[T]):
    """A part of a listing.

    :ivar content: what the reader made of its persons: as Google sent them, deleted ones among them on an incremental
        sync; there may be none on any page.
    :ivar next_sync_token: on the last page, and empty on all others.
    :ivar total: how many persons the whole listing has, where Google says so.
    """

    content: T = field(repr=False)
    next_sync_token: str = field(repr=False)
    total: int | None


@dataclass(frozen=True, slots=True, repr=False)
class Labels:
    """Contact groups of an account's own: those that there are, or with a sync token what has changed.

    :ivar names: by resource name.
    :ivar gone: resource names of those that were deleted.
    :ivar next_sync_token: empty where Google gave none.
    """

    names: Mapping[str, str]
    deleted: frozenset[str]
    next_sync_token: str


@dataclass(frozen=True, slots=True, repr=False)
class _Groups:
    """Of a page of contact groups: the user's own by resource name, the deleted, and all that were on it."""

    names: Mapping[str, str]
    deleted: frozenset[str]
    seen: frozenset[str]


@dataclass(frozen=True, slots=True)
class _ListPage(Generic[T]):
    """An answer of any listing, read."""

    content: T
    next_page_token: str
    next_sync_token: str
    total: int | None


class People:
    """Reads persons and labels.

    :param run_aside: ``run_aside(function, *args)`` runs a function elsewhere and gives its result: a page has
        megabytes, and reading it must not hold up phones.  The first of `args` is the page.
    """

    def __init__(
        self, http: HTTPClient, endpoints: Endpoints, clock: IReactorTime, offload: Callable[..., Awaitable[Any]]
    ) -> None:
        self._http = GoogleHttpClient(http, clock)
        self._address = endpoints.people_api.rstrip("/")
        self._offload = offload

    async def pages(
        self, source: Source, authorized: Authorized, sync_token: str | None, reader: Callable[[Persons], T]
    ) -> AsyncIterator[PersonPage[T]]:
        """All pages of a source: everything, or with a sync token what changed since.

        Nothing may be kept of them before the last has come, which is the one with a `Page.next_sync_token`.

        :param authorized: makes each of the calls.
        :param reader: makes of a page's persons what is wanted of them, where `run_aside` runs it.
        :raises GoogleError: `SyncTokenExpired`, `AccessTokenRejected`, `ScopeMissing`, `SourceUnavailable`,
            `ApiDisabled`, `QuotaExceeded`, `GoogleUnavailable`, `NetworkTrouble`, `BadResponse`.
        """
        async for chunk in self._chunks(LISTINGS[source], source, authorized, sync_token, reader):
            last = not chunk.next_page_token
            if last and not chunk.next_sync_token:
                raise BadResponse("no sync token on the last page")
            yield PersonPage(chunk.content, chunk.next_sync_token if last else "", chunk.total)

    async def labels(self, authorized: Authorized, sync_token: str | None) -> Labels:
        """The account's own contact groups; Google's system groups are left out.

        :param authorized: makes each of the calls.
        :param sync_token: of an earlier call, for what has changed since; None: all.
        :raises GoogleError: as `pages`; `BadResponse` when a list of all holds fewer than Google counts, or none: every
            account has the system groups.
        """
        names: dict[str, str] = {}
        gone: set[str] = set()
        seen: set[str] = set()
        last, total = "", 1
        async for chunk in self._chunks(_GROUPS, None, authorized, sync_token, _read_groups):
            names |= chunk.content.names
            gone |= chunk.content.deleted
            seen |= chunk.content.seen
            last, total = chunk.next_sync_token, chunk.total or total
        if sync_token is None and len(seen) < total:
            raise BadResponse("the list of labels is shorter than its total")
        return Labels(names, frozenset(gone - names.keys()), last)

    async def _chunks(
        self,
        listing: Listing,
        source: Source | None,
        authorized: Authorized,
        sync_token: str | None,
        reader: Callable[[Persons], T],
    ) -> AsyncIterator[_ListPage[T]]:
        params = list(listing.params) + ([("syncToken", sync_token)] if sync_token else [])
        page_tokens = [""]
        while len(page_tokens) <= MOST_PAGES:
            page = [("pageToken", page_tokens[-1])] if page_tokens[-1] else []
            refusal = partial(_refusal, source=source, incremental=bool(sync_token), first=not page)
            body: bytes = await authorized(partial(self._get, listing, [*params, *page], refusal))
            chunk = await self._offload(_read_chunk, body, listing, reader)
            yield chunk
            # A page may be empty and still not be the last: the page token alone tells.
            if not chunk.next_page_token:
                return
            if chunk.next_page_token in page_tokens:
                raise BadResponse("the same page token twice")
            page_tokens.append(chunk.next_page_token)
        raise BadResponse(f"more than {MOST_PAGES} pages")

    async def _get(
        self,
        listing: Listing,
        params: list[tuple[str, str]],
        refusal: Callable[[GoogleResponse], GoogleError],
        access_token: str,
    ) -> bytes:
        answer = await self._http.get(self._address + listing.path, params, access_token)
        if answer.status != 200:
            raise refusal(answer)
        return answer.body


def fingerprint(source: Source | None) -> str:
    """A short hash of all request parameters: a sync token is good only with those that it was asked for with.

    :param source: None: of labels.
    """
    listing = LISTINGS[source] if source else _GROUPS
    text = repr((listing.path, sorted(listing.params)))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _refusal(answer: GoogleResponse, source: Source | None, *, incremental: bool, first: bool) -> GoogleError:
    error = read_refusal(answer, source, incremental=incremental, first=first)
    if isinstance(error, QuotaExceeded) and first and not incremental:
        return QuotaExceeded(error.detail, retry_after=error.retry_after, full_sync=True)
    return error


def _read_chunk(body: bytes, listing: Listing, reader: Callable[[Persons], T]) -> _ListPage[T]:
    """Decode an answer; every key may be absent: an account without contacts, a day without changes."""
    try:
        answer = msgspec.json.decode(body, type=dict[str, Any])
        persons = msgspec.convert(answer.get(listing.key, ()), Persons)
        next_page_token = msgspec.convert(answer.get("nextPageToken", ""), str)
        next_sync_token = msgspec.convert(answer.get("nextSyncToken", ""), str)
    except (ValueError, RecursionError):
        raise BadResponse("not a page of the People API") from None
    return _ListPage(reader(persons), next_page_token, next_sync_token, _count(answer.get(listing.total)))


def _read_groups(groups: Persons) -> _Groups:
    names: dict[str, str] = {}
    gone: set[str] = set()
    seen: set[str] = set()
    for group in groups:
        resource_name, name, metadata = group.get("resourceName"), clean(group.get("name")), group.get("metadata")
        seen.add(str(resource_name))
        if not isinstance(resource_name, str):
            continue
        if isinstance(metadata, dict) and metadata.get("deleted") is True:
            gone.add(resource_name)
        elif group.get("groupType") == "USER_CONTACT_GROUP" and name:
            names[resource_name] = name
    return _Groups(names, frozenset(gone), frozenset(seen))


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
