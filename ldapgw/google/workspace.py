# SPDX-License-Identifier: MIT
"""The client of the Admin SDK's Directory API, which lists a Workspace's users and the members of groups.

An incomplete list must never look complete, because users who are missing from the list count as leavers: a damaged
answer is an error, not an empty list.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated, TypeVar
from urllib.parse import quote

import msgspec
from treq.client import HTTPClient
from twisted.internet.interfaces import IReactorTime

from ldapgw.errors import BadResponse, DelegationRefused
from ldapgw.google.api_errors import read_directory_refusal
from ldapgw.google.delegation import DelegationRefusal
from ldapgw.google.endpoints import CallSource, Endpoints
from ldapgw.google.http import CallObserver, GoogleHttpClient, ignore_call
from ldapgw.google.listing_page import LARGEST_LIST_TOKEN, decode_object
from ldapgw.google.people import MOST_PAGES
from ldapgw.google.person_text import clean

# The largest numbers of users and of members that Google returns on a page.
_USERS_ON_PAGE, _MEMBERS_ON_PAGE = 500, 200
# The maximum number of groups that are read for a group: the group itself and the groups within the group.
MOST_GROUPS = 1000

_USER_FIELDS = "id,primaryEmail,aliases,name/fullName,suspended,archived,orgUnitPath,isGuestUser,customerId"
# Without this parameter, Google indents its answers, which doubles their size.
_COMPACT = ("prettyPrint", "false")
_PATH = "/admin/directory/v1"
# The refusals for which a group within the group is skipped: this group may belong to another organization, or may just
# have been deleted.
_SKIPPED = frozenset((DelegationRefusal.NO_GROUP, DelegationRefusal.NOT_AN_ADMIN))


@dataclass(frozen=True, slots=True)
class WorkspaceUser:
    """A user of a Workspace; the ``repr`` omits the name and the address.

    :ivar id: Google's id of the user, which equals the ``sub`` of the user's identity tokens.  The id stays the same
        if the address changes.
    :ivar address: the primary e-mail address.
    :ivar name: the full name; empty for a new user whose name Google has not indexed yet.
    :ivar org_unit: the path of the organizational unit, such as ``/Sales``.
    :ivar is_guest: whether the user is a guest from outside of the company.
    :ivar customer_id: Google's id of the Workspace.
    :ivar aliases: further addresses, among them the former addresses of a renamed user.
    """

    id: str
    address: str = field(repr=False)
    name: str = field(repr=False)
    is_suspended: bool
    is_archived: bool
    org_unit: str
    is_guest: bool
    customer_id: str
    aliases: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class UserListing:
    """All users of a Workspace.

    :ivar users: the users whose state is known.
    :ivar skipped: the ids of users whose entries do not say whether the users are suspended or archived.  These users
        get no account, and do not count as leavers.
    """

    users: tuple[WorkspaceUser, ...]
    skipped: frozenset[str]


@dataclass(frozen=True, slots=True)
class GroupMembers:
    """The members of a Google Group, including the members of groups within the group.

    :ivar ids: the ids of members who are users or outsiders; outsiders are in no list of users.
    :ivar customers: the ids of the Workspaces whose users all belong to the group.
    """

    ids: frozenset[str]
    customers: frozenset[str]

    def has(self, user: WorkspaceUser) -> bool:
        """Return whether a user is a member."""
        return user.id in self.ids or user.customer_id in self.customers


# Visible ASCII characters; ids and page tokens become parts of URLs.
_Ascii = Annotated[str, msgspec.Meta(pattern=r"^[!-~]*$", max_length=LARGEST_LIST_TOKEN)]


class _Name(msgspec.Struct, rename="camel"):
    full_name: str = ""


class _User(msgspec.Struct, rename="camel"):
    id: _Ascii
    primary_email: str
    name: _Name | None = None
    suspended: bool | None = None
    archived: bool | None = None
    org_unit_path: str = ""
    is_guest_user: bool = False
    aliases: list[str] = []
    customer_id: _Ascii = ""


class _Users(msgspec.Struct, rename="camel"):
    # The key ``users`` is required: each list has at least the administrator, so an answer without this key means that
    # Google failed to list the users.
    users: list[_User]
    next_page_token: _Ascii = ""


class _Member(msgspec.Struct):
    id: _Ascii = ""
    type: str = ""


class _Members(msgspec.Struct, rename="camel"):
    # Google omits the key if a group has no members.
    members: list[_Member] = []
    next_page_token: _Ascii = ""


_Page = TypeVar("_Page", _Users, _Members)


# A function that waits until the next request may be made.
Turn = Callable[[], Awaitable[object]]


async def _at_once() -> None:
    """Return without waiting, because a person is waiting for the answer."""


class WorkspaceDirectory:
    """A client that lists users and the members of groups.

    All methods may raise a `GoogleError`: `DelegationRefused`, `AccessTokenRejected`, `QuotaExceeded`,
    `GoogleUnavailable`, `NetworkFailure` or `BadResponse`.
    """

    def __init__(
        self, http: HTTPClient, endpoints: Endpoints, clock: IReactorTime, observe: CallObserver = ignore_call
    ) -> None:
        self._http = GoogleHttpClient(http, clock, observe)
        self._address = endpoints.admin_api.rstrip("/") + _PATH

    async def users(self, access_token: str, turn: Turn = _at_once) -> UserListing:
        """List all users of the Workspace to which the owner of the access token belongs.

        Suspended and archived users are included.

        :param access_token: a token of an administrator with the scope `USERS_SCOPE`.
        :param turn: waits before each request.
        """
        params = [
            ("customer", "my_customer"),
            ("maxResults", f"{_USERS_ON_PAGE}"),
            ("fields", f"nextPageToken,users({_USER_FIELDS})"),
        ]
        users: dict[str, WorkspaceUser] = {}
        skipped: set[str] = set()
        async for page in self._pages("/users", params, access_token, CallSource.USERS, _Users, turn):
            for user in page.users:
                if user.suspended is None or user.archived is None:
                    skipped.add(user.id)
                else:
                    users[user.id] = _workspace_user(user, is_suspended=user.suspended, is_archived=user.archived)
        return UserListing(tuple(users.values()), frozenset(skipped - users.keys()))

    async def user(self, access_token: str, user_id: str) -> WorkspaceUser:
        """Return the present state of a user.

        :param access_token: a token of an administrator with the scope `USERS_SCOPE`.
        :raises DelegationRefused: with `DelegationRefusal.DELETED_USER` if the Workspace has no such user.
        """
        path = f"/users/{quote(user_id, safe='')}"
        answer = await self._http.get(
            self._address + path, [("fields", _USER_FIELDS), _COMPACT], access_token, CallSource.USERS
        )
        if answer.status != 200:
            refusal = read_directory_refusal(answer, of_group=False)
            if isinstance(refusal, DelegationRefused) and refusal.refusal == DelegationRefusal.NOT_WORKSPACE:
                raise DelegationRefused(refusal.detail, refusal=DelegationRefusal.DELETED_USER)
            raise refusal
        try:
            user = msgspec.convert(decode_object(answer.body), _User)
        except (ValueError, RecursionError):
            raise BadResponse("not a user of the Directory API") from None
        if user.id != user_id or user.suspended is None or user.archived is None:
            raise BadResponse("a user of the Directory API without an id or a state")
        return _workspace_user(user, is_suspended=user.suspended, is_archived=user.archived)

    async def group_members(self, access_token: str, group_address: str, turn: Turn = _at_once) -> GroupMembers:
        """List the members of a group and of its nested groups.

        Nested groups are read one by one, because Google's own expansion has lost members.  A nested group that may not
        be read is skipped.

        :param access_token: a token of an administrator with the scope `GROUPS_SCOPE`.
        :param turn: waits before each request.
        """
        ids: set[str] = set()
        customers: set[str] = set()
        seen = {group_address.lower()}
        remaining = [group_address]
        while remaining:
            group = remaining.pop()
            try:
                members = [member async for member in self._direct_members(access_token, group, turn)]
            except DelegationRefused as error:
                if group == group_address or error.refusal not in _SKIPPED:
                    raise
                continue
            ids.update(member.id for member in members if member.type == "USER")
            customers.update(member.id for member in members if member.type == "CUSTOMER")
            inner = dict.fromkeys(member.id for member in members if member.type == "GROUP" and member.id not in seen)
            seen.update(inner)
            remaining += inner
            if len(seen) > MOST_GROUPS:
                raise BadResponse(f"more than {MOST_GROUPS} groups within a group")
        return GroupMembers(frozenset(ids - {""}), frozenset(customers - {""}))

    async def _direct_members(self, access_token: str, group: str, turn: Turn) -> AsyncIterator[_Member]:
        path = f"/groups/{quote(group, safe='')}/members"
        params = [("maxResults", f"{_MEMBERS_ON_PAGE}"), ("fields", "nextPageToken,members(id,type)")]
        async for page in self._pages(path, params, access_token, CallSource.GROUPS, _Members, turn):
            for member in page.members:
                yield member

    async def _pages(
        self,
        path: str,
        params: list[tuple[str, str]],
        access_token: str,
        source: CallSource,
        kind: type[_Page],
        turn: Turn,
    ) -> AsyncIterator[_Page]:
        params = [*params, _COMPACT]
        page_tokens = [""]
        while len(page_tokens) <= MOST_PAGES:
            page_params = [*params, ("pageToken", page_tokens[-1])] if page_tokens[-1] else params
            await turn()
            answer = await self._http.get(self._address + path, page_params, access_token, source)
            if answer.status != 200:
                raise read_directory_refusal(answer, of_group=source is CallSource.GROUPS)
            try:
                page = msgspec.convert(decode_object(answer.body), kind)
            except (ValueError, RecursionError):
                raise BadResponse("not a page of the Directory API") from None
            yield page
            if not page.next_page_token:
                return
            if page.next_page_token in page_tokens:
                raise BadResponse("the same page token twice")
            page_tokens.append(page.next_page_token)
        raise BadResponse(f"more than {MOST_PAGES} pages")


def _workspace_user(user: _User, *, is_suspended: bool, is_archived: bool) -> WorkspaceUser:
    return WorkspaceUser(
        id=user.id,
        address=clean(user.primary_email),
        name=clean(user.name.full_name) if user.name else "",
        is_suspended=is_suspended,
        is_archived=is_archived,
        org_unit=clean(user.org_unit_path) or "/",
        is_guest=user.is_guest_user,
        customer_id=user.customer_id,
        aliases=tuple(map(clean, user.aliases)),
    )
