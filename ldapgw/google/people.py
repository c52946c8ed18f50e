# SPDX-License-Identifier: MIT
"""The client of the People API v1, which lists persons and contact groups page by page.

All differences between the three sources are in the table `LISTINGS`.  Google accepts a sync token only with the same
parameters, so callers store the `fingerprint` of the parameters with each sync token.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from types import MappingProxyType
from typing import Any, TypeVar

from treq.client import HTTPClient
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from ldapgw.contact import Source
from ldapgw.errors import BadResponse, GoogleError, QuotaExceeded
from ldapgw.google.api_errors import read_refusal
from ldapgw.google.endpoints import CallSource, Endpoints
from ldapgw.google.http import CallObserver, GoogleHttpClient, GoogleResponse, ignore_call
from ldapgw.google.listing_page import LARGEST_LIST_TOKEN, PersonPage, Persons, decode_page, is_possible
from ldapgw.google.person import LABEL_NAME
from ldapgw.google.person_text import clean

# The maximum number of pages of a listing, which hold half a million persons: more than any account has.  Without a
# limit, a server could return pages endlessly.
MOST_PAGES = 500

# The number of persons in a page: the most that Google allows, and a smaller number for persons with so many details
# that an ordinary page is larger than `LARGEST_BODY`.
PAGE_SIZE, SMALL_PAGE_SIZE = 1000, 200
# The maximum number of pages that are being decoded, or wait for a process, while the next page is fetched; two
# processes decode pages.
_MOST_DECODING = 2
_PAGE_TOKEN = re.compile(rb'"nextPageToken"\s*:\s*"([^"\\]*)"')
# Without this parameter, Google indents its answers, which doubles their size.  Sync tokens do not depend on this
# parameter.
_COMPACT = ("prettyPrint", "false")

T = TypeVar("T")
# A function that calls another function with a valid access token.  If Google rejects the token, the other function is
# called again with a new token, so that a long listing continues when its access token expires.
Authorized = Callable[[Callable[[str], Awaitable[Any]]], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Listing:
    """A list method of the API with its parameters.

    :ivar path: path of the method below the API's URL.
    :ivar key: key of the list in an answer.
    :ivar total: key of the total count in an answer, or empty if answers have no total count.
    :ivar params: all parameters except the page size and the tokens.
    """

    path: str
    key: str
    total: str
    params: tuple[tuple[str, str], ...]

    def with_photos(self) -> Listing:
        """Return the same method with the addresses of photos in its field mask."""
        (name, mask), *params = self.params
        return replace(self, params=((name, f"{mask},photos"), *params))


# The field mask is the first parameter of each listing.  The mask names only the fields that a phone book shows, and
# never names biographies, which stay with Google.
_FIELDS = "metadata,names,nicknames,phoneNumbers,emailAddresses,organizations,addresses,urls,sipAddresses"
LISTINGS: Mapping[Source, Listing] = MappingProxyType(
    {
        # people.connections.list.  The source CONTACT returns the values that the user typed.  PROFILE adds values from
        # the contacts' own profiles; only names and photos of profiles are used (`ldapgw.google.person`).
        Source.CONTACTS: Listing(
            "/v1/people/me/connections",
            "connections",
            "totalItems",
            (
                ("personFields", f"{_FIELDS},memberships"),
                ("sources", "READ_SOURCE_TYPE_CONTACT"),
                ("sources", "READ_SOURCE_TYPE_PROFILE"),
                ("requestSyncToken", "true"),
            ),
        ),
        # otherContacts.list.  Google rejects a mask with any further field.
        Source.OTHER_CONTACTS: Listing(
            "/v1/otherContacts",
            "otherContacts",
            "totalSize",
            (("readMask", "metadata,names,emailAddresses,phoneNumbers"), ("requestSyncToken", "true")),
        ),
        # people.listDirectoryPeople.  The parameter mergeSources must not be used, because this parameter would put the
        # connecting user's private numbers into a book that everybody sees.
        Source.DIRECTORY: Listing(
            "/v1/people:listDirectoryPeople",
            "people",
            "",
            (
                ("readMask", _FIELDS),
                ("sources", "DIRECTORY_SOURCE_TYPE_DOMAIN_CONTACT"),
                ("sources", "DIRECTORY_SOURCE_TYPE_DOMAIN_PROFILE"),
                ("requestSyncToken", "true"),
            ),
        ),
    }
)

# contactGroups.list.  The method has no parameter requestSyncToken, because the method always returns a sync token.
_GROUPS = Listing("/v1/contactGroups", "contactGroups", "totalItems", (("groupFields", "groupType,metadata,name"),))


@dataclass(frozen=True, slots=True)
class CallEstimate:
    """An estimate of the calls to the People API by syncs without changes, and the limit of the Google project.

    :ivar accounts: the number of accounts.
    :ivar sources: the number of sources of an account; a sync makes one call for each source.
    :ivar interval: the seconds between syncs of an account.
    :ivar limit: the maximum number of calls per minute, or None without a limit.
    """

    accounts: int
    sources: int
    interval: float
    limit: int | None

    @property
    def calls_per_minute(self) -> float:
        return self.accounts * self.sources * 60 / self.interval

    @property
    def fitting_interval(self) -> int | None:
        """Return the shortest interval, in whole minutes, that keeps to `limit`; None if `interval` is long enough."""
        if self.limit is None or self.calls_per_minute <= self.limit:
            return None
        return math.ceil(self.accounts * self.sources / self.limit)


@dataclass(frozen=True, slots=True, repr=False)
class Labels:
    """The user's own contact groups: all groups, or, with a sync token, only the changed groups.

    :ivar names: the names of the groups by resource name.
    :ivar deleted: resource names of deleted groups.
    :ivar next_sync_token: the sync token, or empty if Google returned no token.
    :ivar is_complete: False if a full list is shorter than Google's total, or has no groups at all although every
        account has system groups.
    """

    names: Mapping[str, str]
    deleted: frozenset[str]
    next_sync_token: str
    is_complete: bool


@dataclass(frozen=True, slots=True, repr=False)
class _Groups:
    """A page of contact groups.

    :ivar names: the names of the user's own groups by resource name.
    :ivar deleted: the resource names of deleted groups.
    :ivar seen: the resource names of all groups of the page.
    """

    names: Mapping[str, str]
    deleted: frozenset[str]
    seen: frozenset[str]


class People:
    """A client that lists persons and contact groups (labels).

    :param offload: ``offload(function, *args)`` runs a function outside of the reactor's thread and returns its result.
        Pages have megabytes, and decoding them must not delay phones.  The first of `args` is the page.
    """

    def __init__(
        self,
        http: HTTPClient,
        endpoints: Endpoints,
        clock: IReactorTime,
        offload: Callable[..., Deferred[Any]],
        observe: CallObserver = ignore_call,
    ) -> None:
        self._http = GoogleHttpClient(http, clock, observe)
        self._address = endpoints.people_api.rstrip("/")
        self._offload = offload

    async def pages(
        self,
        source: Source,
        authorized: Authorized,
        sync_token: str | None,
        reader: Callable[[Persons], T],
        page_size: int = PAGE_SIZE,
        *,
        photos: bool = False,
        quota_user: str = "",
    ) -> AsyncIterator[PersonPage[T]]:
        """List all persons of a source page by page, or, with a sync token, only the changed persons.

        Callers must not store anything before the last page has arrived.

        :param reader: converts the persons of a page; called by `offload`.
        :param photos: whether to request the addresses of photos.
        :param quota_user: see `GoogleHttpClient.get`.
        :raises GoogleError: `SyncTokenExpired`, `AccessTokenRejected`, `ScopeMissing`, `SourceUnavailable`,
            `ApiDisabled`, `QuotaExceeded`, `GoogleUnavailable`, `NetworkFailure`, `BadResponse`; `PageTooLarge` if
            the listing has to begin again with smaller pages.
        """
        listing = LISTINGS[source].with_photos() if photos else LISTINGS[source]
        async for page in self._list_pages(listing, source, authorized, sync_token, reader, page_size, quota_user):
            yield page

    async def labels(self, authorized: Authorized, sync_token: str | None, *, quota_user: str = "") -> Labels:
        """List the user's own contact groups, without Google's system groups.

        :param sync_token: the token of an earlier call, to list the changes since then, or None to list all groups.
        :raises GoogleError: as `pages` does.
        """
        names: dict[str, str] = {}
        deleted: set[str] = set()
        seen: set[str] = set()
        next_sync_token, total = "", 1
        pages = self._list_pages(_GROUPS, None, authorized, sync_token, _read_groups, PAGE_SIZE, quota_user)
        async for page in pages:
            names |= page.content.names
            deleted |= page.content.deleted
            seen |= page.content.seen
            next_sync_token, total = page.next_sync_token, page.total or total
        is_complete = sync_token is not None or len(seen) >= total
        return Labels(names, frozenset(deleted - names.keys()), next_sync_token, is_complete)

    async def _list_pages(
        self,
        listing: Listing,
        source: Source | None,
        authorized: Authorized,
        sync_token: str | None,
        reader: Callable[[Persons], T],
        page_size: int,
        quota_user: str,
    ) -> AsyncIterator[PersonPage[T]]:
        params = [*listing.params, ("pageSize", f"{page_size}"), _COMPACT]
        params += [("syncToken", sync_token)] if sync_token else []
        page_tokens = [""]
        # The pages that are being decoded while the next page is fetched, in Google's order.
        decoding: deque[tuple[str, Deferred[tuple[PersonPage[T], str]]]] = deque()
        try:
            while len(page_tokens) <= MOST_PAGES:
                page_param = [("pageToken", page_tokens[-1])] if page_tokens[-1] else []
                refusal = partial(_refusal, source=source, incremental=bool(sync_token), first=not page_param)
                call_source = CallSource(source.value) if source is not None else CallSource.LABELS
                get = partial(self._get, listing, [*params, *page_param], call_source, refusal, quota_user)
                body: bytes = await authorized(get)
                early_token = _early_page_token(body)
                decoding.append((early_token, self._offload(decode_page, body, listing.key, listing.total, reader)))
                next_page_token = early_token
                while len(decoding) > (_MOST_DECODING if early_token else 0):
                    assumed_token, decoded = decoding.popleft()
                    page, page_token = await decoded
                    if assumed_token not in ("", page_token):
                        raise BadResponse("two page tokens in one page")
                    yield page
                    next_page_token = early_token or page_token
                # An empty page need not be the last page; only a missing page token ends the listing.
                if not next_page_token:
                    return
                if next_page_token in page_tokens:
                    raise BadResponse("the same page token twice")
                page_tokens.append(next_page_token)
            raise BadResponse(f"more than {MOST_PAGES} pages")
        finally:
            for _, left in decoding:
                left.addErrback(lambda _: None)  # nobody waits for these pages any more

    async def _get(
        self,
        listing: Listing,
        params: list[tuple[str, str]],
        source: CallSource,
        refusal: Callable[[GoogleResponse], GoogleError],
        quota_user: str,
        access_token: str,
    ) -> bytes:
        answer = await self._http.get(self._address + listing.path, params, access_token, source, quota_user)
        if answer.status != 200:
            raise refusal(answer)
        return answer.body


def fingerprint(source: Source | None, page_size: int = PAGE_SIZE, *, photos: bool = False) -> str:
    """Return a short hash of the request parameters that have to stay the same for a sync token to be valid.

    :param source: the listed source, or None for contact groups.
    :param photos: whether the addresses of photos are requested.
    """
    listing = LISTINGS[source] if source else _GROUPS
    if photos:
        listing = listing.with_photos()
    return _hash(listing, page_size)


@cache  # all syncs need the same few fingerprints
def _hash(listing: Listing, page_size: int) -> str:
    text = repr((listing.path, sorted([*listing.params, ("pageSize", f"{page_size}")])))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _refusal(answer: GoogleResponse, source: Source | None, *, incremental: bool, first: bool) -> GoogleError:
    error = read_refusal(answer, source, incremental=incremental, first=first)
    if isinstance(error, QuotaExceeded) and first and not incremental:
        return QuotaExceeded(
            error.detail, retry_after=error.retry_after, full_sync=True, limit=error.limit, metric=error.metric
        )
    return error


def _early_page_token(body: bytes) -> str:
    """Find the token of the next page, so that the next page is fetched while the present page is decoded.

    The function searches for the key ``"nextPageToken"`` and a colon behind the key.  These characters cannot be part
    of a text, because quotation marks in texts are escaped; and Google uses the key only once.  `_list_pages` compares
    the found token with the token of the decoded page.

    :returns: the token, or "" if the search finds no token; the decoded page may have a token nevertheless.
    """
    found = _PAGE_TOKEN.match(body, max(body.rfind(b'"nextPageToken"'), 0))
    token = found[1].decode("ascii", "replace") if found else ""
    return token if len(token) <= LARGEST_LIST_TOKEN and is_possible(token) else ""


def _read_groups(groups: Persons) -> _Groups:
    names: dict[str, str] = {}
    deleted: set[str] = set()
    seen: set[str] = set()
    for item in groups:
        group = item if isinstance(item, dict) else {}
        resource_name, name, metadata = group.get("resourceName"), clean(group.get("name")), group.get("metadata")
        seen.add(str(resource_name))
        if not isinstance(resource_name, str) or not LABEL_NAME.fullmatch(resource_name):
            continue
        if isinstance(metadata, dict) and metadata.get("deleted") is True:
            deleted.add(resource_name)
        elif group.get("groupType") == "USER_CONTACT_GROUP" and name:
            names[resource_name] = name
    return _Groups(names, frozenset(deleted), frozenset(seen))
