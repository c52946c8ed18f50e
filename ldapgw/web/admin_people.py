# SPDX-License-Identifier: MIT
"""The administration's pages about people: a table of all accounts, a page per person, actions, and invitations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection
from twisted.internet.defer import Deferred, DeferredSemaphore, gatherResults
from twisted.logger import Logger

from ldapgw.contact import Source
from ldapgw.errors import DamagedStore, StoreError
from ldapgw.phrase import Phrase, Texts, Timestamp, Translatable, read_texts
from ldapgw.store import accounts, activity, directory_accounts, leavers, phones, sync_state
from ldapgw.store.account_status import account_to_json, error_message, state
from ldapgw.store.accounts import Account, SyncRequest
from ldapgw.store.activity import Act, ActivityEntry
from ldapgw.store.database import ascii_lower
from ldapgw.store.leavers import Leaver, LeaverReason
from ldapgw.store.phones import PhoneLogin
from ldapgw.store.sync_state import SyncState
from ldapgw.web import error_pages
from ldapgw.web.account_pages import RevocationOutcome, disconnect_account, sync_history_values
from ldapgw.web.account_texts import ACCOUNT_STATE_TEXTS, AccountStateText, sharing_options, sharing_title, source_rows
from ldapgw.web.admin_phones import AdminPasswords
from ldapgw.web.admin_tables import Question, Table, TablePage
from ldapgw.web.dependencies import WebTenant, person_topic
from ldapgw.web.error_pages import PageError
from ldapgw.web.http import HttpResponse, read_number
from ldapgw.web.layout import Layout, RequiredRole, Route, Visit, get
from ldapgw.web.phone_pages import PhonePages

log = Logger()

# After this many failed syncs in a row, the account's state is shown as a warning, even if nobody has to act yet.
WARNED_FAILURES = 3

# The maximum number of grants that are revoked at Google at the same time, if many accounts are disconnected.
MAX_REVOCATIONS = 4

# The reminder of an expiring consent appears this many seconds before the end.
EXPIRY_REMINDER_SECONDS = 3 * 86400.0

# Of the people in the directory who have no account, the page shows `MAX_LISTED` names at most.  The page's links write
# invitations by mail to `MAX_INVITED` of these people at most.
MAX_LISTED, MAX_INVITED = 50, 2000
# The maximum number of removals that an administrator approves at once, so that the form stays small.
MAX_APPROVED = 200

# The maximum number of people of the directory that a page reads, so that a very large directory does not keep the page
# waiting.
MAX_COLLEAGUES = 20_000
# The maximum number of characters of a link that writes an e-mail; some mail programs refuse longer links.
MAX_LINK = 2000

_PAGE = "admin/people"
# An account's id has at most this many digits.
_ID_DIGITS = 11


class _PeopleTexts(Texts, frozen=True):
    """The texts of the pages about people.

    :ivar owner_page: the words for the owner's account page in messages; only the owner can open this page.
    :ivar failing: the state of an account whose last syncs failed, although nobody has to act yet.
    :ivar reminders: the texts by an error that the account's owner must resolve on the account page; ``consent_ends``
        is for a consent that ends soon.
    :ivar outcomes: the texts on the outcome of disconnecting or removing an account.
    :ivar leavers: sentences that say why a person counts as a leaver.
    :ivar not_listed: the sentence for `LeaverReason.MISSING` if somebody has disconnected the account, or connected the
        account again.  The usual sentence says that Google has ended the access.
    """

    not_admitted: str
    owner_page: str
    failing: AccountStateText
    invitation_subject: str
    invitation: str
    reminder_subject: str
    reminder: str
    reminders: Mapping[str, str]
    outcomes: Mapping[str, str]
    leavers: Mapping[LeaverReason, str]
    not_listed: str
    filters: Mapping[str, str]
    questions: Mapping[str, Question]


TEXTS = read_texts("web/texts/admin_people", _PeopleTexts)


@dataclass(frozen=True, slots=True)
class PersonRow:
    """A row of the table.

    :ivar state: the code of the account's state.
    :ivar action: a text on the action that the account needs; empty if the account needs no action.
    :ivar leaver: the mark of an account whose person has left the company, or None.
    :ivar leaves_at: when the gateway removes the account, in seconds since the epoch; None if the gateway does not
        remove the account.
    :ivar waits: whether the removal of the account waits for an administrator.
    """

    account: Account
    state: str
    action: Translatable
    phones: int
    leaver: Leaver | None = None
    leaves_at: float | None = None
    waits: bool = False

    @property
    def is_leaving(self) -> bool:
        """Return whether the person has left, and no administrator has decided to keep the account."""
        return self.leaver is not None and not self.leaver.kept

    @property
    def can_sync(self) -> bool:
        """Return whether the gateway still has access to the account, so that a sync can call Google."""
        return self.account.is_connected and not self.account.revoked and not self.account.has_left

    @property
    def reason(self) -> Translatable:
        """Return a sentence that says why the person counts as a leaver; empty if the person is no leaver."""
        if self.leaver is None:
            return ""
        if self.leaver.reason is LeaverReason.MISSING and not self.account.revoked:
            return TEXTS.not_listed  # somebody has disconnected or reconnected the account
        return TEXTS.leavers[self.leaver.reason]

    @property
    def state_text(self) -> AccountStateText:
        """Return the text of the account's state, which is a warning if several syncs in a row have failed."""
        fails = self.account.error is not None and self.account.failures >= WARNED_FAILURES
        return TEXTS.failing if fails and self.state in ("ok", "syncing") else ACCOUNT_STATE_TEXTS[self.state]

    @property
    def sharing(self) -> Translatable:
        """Return a text that says who sees the account's book."""
        return sharing_title(self.account.sharing, self.account.shared_label)


_FILTERS: Mapping[str, Callable[[PersonRow], bool]] = {
    "action": lambda row: bool(row.action),
    "leaving": lambda row: row.is_leaving,
    "connected": lambda row: row.account.is_connected and row.state != "attention",
    "disconnected": lambda row: not row.account.is_connected,
}
_COLUMNS: Mapping[str, Callable[[PersonRow], Any]] = {
    "address": lambda row: row.account.address.casefold(),
    "state": lambda row: row.state,
    "contacts": lambda row: row.account.contacts,
    "phones": lambda row: row.phones,
    "sharing": lambda row: row.account.sharing.value,
    "sync": lambda row: row.account.last_sync,
}


@dataclass(frozen=True, slots=True)
class SharedContacts:
    """The contacts of an account that others will see, for the page that asks before a change of sharing.

    :ivar sharing: the way in which the account's book is shared now.
    :ivar label: the name of a label: only contacts with this label are shared; empty if all contacts are shared.
    :ivar count: the number of shared contacts, or None if unknown.
    """

    address: str
    sharing: Translatable
    label: str
    count: int | None


@dataclass(frozen=True, slots=True, repr=False)
class Mailing:
    """A reminder or an invitation to people, which an administrator sends as an e-mail or copies.

    :ivar subject: the subject of the e-mail, in the visitor's language.
    :ivar body: the text in the visitor's language.
    """

    addresses: Sequence[str]
    text: Translatable
    subject: str
    body: str

    @property
    def links(self) -> Sequence[MailLink]:
        """Return the links that write an e-mail to all people; the page's template makes thousands of links."""
        return mail_links(self.addresses, self.subject, self.body)

    @classmethod
    def reminder(cls, visit: Visit, addresses: Sequence[str]) -> Mailing:
        """Return the reminder for the people with the given addresses; the e-mails are in the visitor's language."""
        translate = visit.layout.renderer.translator(visit.request.language)
        text = Phrase(TEXTS.reminder, {"url": visit.url})
        return cls(addresses, text, translate(TEXTS.reminder_subject), translate(text))


class AdminPeople:
    """The table of people, a person's page, and the acts on people."""

    def __init__(self, layout: Layout, phone_pages: PhonePages, passwords: AdminPasswords) -> None:
        self._layout = layout
        self._dependencies = layout.dependencies
        self._phone_pages = phone_pages
        self._passwords = passwords
        self.table = TablePage(
            layout,
            name="people",
            read=read_people,
            # People who need action come first.
            order=lambda row: (not row.action, row.account.address.casefold(), row.account.id),
            text=lambda row: row.account.address,
            filters=lambda _show: _FILTERS,
            columns=_COLUMNS,
            topic=lambda visit, row: person_topic(visit.tenant.name, row.account.sub),
            values=self._values,
            key=lambda row: str(row.account.id),
            title=lambda row: row.account.address,
            state=_state,
            questions=TEXTS.questions,
            asked={
                "share": self._share,
                "disconnect": self._disconnect,
                "remove": self._remove,
                "approve": self._approve,
            },
            unasked={
                "sync": self._sync,
                "remind": self._remind,
                "keep": partial(self._set_kept, kept=True),
                "unkeep": partial(self._set_kept, kept=False),
            },
            choices=self._choices,
            unaccepted=self._unaccepted,
        )

    def routes(self) -> tuple[Route, ...]:
        person = get("/<tenant>/admin/people/<account_id>", self.person, RequiredRole.ADMIN)
        return (*self.table.routes(), person)

    async def person(self, visit: Visit, account_id: str) -> HttpResponse:
        """``/{tenant}/admin/people/{id}``: show a person's account and phones."""
        number = read_number(account_id, 0, digits=_ID_DIGITS)
        found = await visit.store.read(_read_person, visit.tenant.name, number) if number else None
        if found is None:
            raise PageError(error_pages.PAGES.not_found, visit.tenant)
        (account,), logins, sync_states = self._layout.with_database_error(found[:1]), *found[1:3]
        now, url = self._layout.now(), visit.url
        translate = self._layout.renderer.translator(visit.request.language)
        status = account_to_json(account, visit.tenant.sources, url, now, None, translate, commands=False)
        states = await self._phone_pages.states(logins)
        return await visit.page(
            "admin_person.html",
            account=account,
            details=status,
            source_rows=source_rows(visit.tenant, account, status, sync_states),
            row=_row(account, visit.tenant, now, len(logins), found[3], is_held=found[4]),
            phones=[(login, states[login.name]) for login in logins],
            **await sync_history_values(self._layout, account),
        )

    async def _values(self, visit: Visit, table: Table[PersonRow]) -> Mapping[str, Any]:
        held = await visit.store.read(_read_held, visit.tenant, self._layout.now())
        # A page that updates itself does not read the directory again, so that reads of the directory are rare.
        is_looked_up = bool(table.total) and not visit.request.is_background
        unconnected = await visit.store.read(read_unconnected, visit.tenant) if is_looked_up else ()
        addresses = [colleague.address for colleague in unconnected[:MAX_INVITED]]
        translate = self._layout.renderer.translator(visit.request.language)
        text = Phrase(TEXTS.invitation, {"url": visit.url})
        return {
            "filters": tuple(TEXTS.filters.items()),
            "url": visit.url,
            "held": held,
            "unconnected": unconnected[:MAX_LISTED],
            "unconnected_count": len(unconnected),
            "invitation": Mailing(addresses, text, translate(TEXTS.invitation_subject), translate(text)),
        }

    async def _set_kept(self, visit: Visit, rows: Sequence[PersonRow], *, kept: bool) -> HttpResponse:
        act, function = (Act.LEAVER_KEPT, leavers.keep) if kept else (Act.LEAVER_NOT_KEPT, leavers.undo_keep)
        changed = [
            await visit.change(visit.entry(act, row.account.address), function, row.account.id)
            for row in rows
            if row.leaver is not None and row.leaver.kept != kept
        ]
        message = "leavers-kept" if kept else "leavers-not-kept"
        return visit.redirect(message if any(changed) else "none-leaving", _PAGE)

    async def _approve(self, visit: Visit, rows: Sequence[PersonRow]) -> HttpResponse:
        people = [row.account for row in rows if row.is_leaving]
        await visit.store.run(_approve, people, self._entries(visit, Act.LEAVER_APPROVED, people))
        return visit.redirect("leavers-approved" if people else "none-leaving", _PAGE)

    async def _sync(self, visit: Visit, rows: Sequence[PersonRow]) -> HttpResponse | None:
        able = [row.account for row in rows if row.can_sync]
        entries = self._entries(visit, Act.SYNC_REQUESTED, able)
        if able and not await visit.store.run(_request_syncs, able, entries):
            return None
        return await visit.done("asked" if able else "none-connected", _PAGE)

    async def _remind(self, visit: Visit, rows: Sequence[PersonRow]) -> HttpResponse:
        # The reminder asks people to follow the steps on their account page.  The page has no such steps for a person
        # who is connected without a problem.
        addresses = [row.account.address for row in rows if row.action or not row.account.is_connected]
        if not addresses:
            return visit.redirect("nobody-to-remind", _PAGE)
        return await visit.page("admin_remind.html", reminder=Mailing.reminder(visit, addresses))

    async def _choices(self, visit: Visit, act: str, rows: Sequence[PersonRow]) -> Mapping[str, Any]:
        """Return the template values of the page that asks before an act."""
        return {
            "shared": [self._shared(visit.tenant, row.account) for row in rows] if act == "share" else (),
            "sharings": [(option.value.value, option.title) for option in sharing_options(visit.tenant)],
        }

    async def _unaccepted(self, visit: Visit, _rows: Sequence[PersonRow]) -> HttpResponse:
        return visit.redirect("not-accepted", _PAGE)

    def _shared(self, tenant: WebTenant, account: Account) -> SharedContacts:
        label = account.label_to_share(tenant.shared_label)
        count = self._dependencies.contacts.shared_count(tenant.name, account.sub, label)
        return SharedContacts(account.address, sharing_title(account.sharing, account.shared_label), label, count)

    async def _share(self, visit: Visit, rows: Sequence[PersonRow]) -> HttpResponse:
        people = [row.account for row in rows]
        values = {option.value.value: option.value for option in sharing_options(visit.tenant)}
        sharing = values.get(visit.form.get("sharing", ""))
        if sharing is None:
            raise PageError(error_pages.PAGES.bad_form, visit.tenant)
        entries = self._entries(visit, Act.SHARING_CHANGED, people, sharing.value)

        def share(connection: Connection) -> None:
            for account in people:
                label = account.label_to_share(visit.tenant.shared_label)
                accounts.set_sharing(connection, account.id, sharing, label)
            activity.record(connection, *entries)

        await visit.store.run(share)
        return await visit.done("shared", _PAGE)

    async def _disconnect(self, visit: Visit, rows: Sequence[PersonRow]) -> HttpResponse:
        connected = [row.account for row in rows if row.account.is_connected]
        outcomes = await self._end_all(visit, connected, Act.DISCONNECTED)
        return await self._ended(visit, "people-disconnected", connected, outcomes)

    async def _remove(self, visit: Visit, rows: Sequence[PersonRow]) -> HttpResponse:
        people = [row.account for row in rows]
        with_phones = bool(visit.form.get("with_phones"))
        ids = [] if with_phones else [account.id for account in people]
        logins = await visit.store.read(phones.read_by_accounts, ids)
        outcomes = await self._end_all(visit, people, Act.ACCOUNT_REMOVED, with_phones=with_phones)
        batch = ""
        if logins and visit.form.get("new_passwords"):
            entries = [visit.entry(Act.PHONE_PASSWORD, login.name) for login in logins]
            batch = await self._passwords.give(visit.visitor, logins, entries)
            await self._dependencies.changed()
        return await self._ended(visit, "people-removed", people, outcomes, batch)

    async def _end_all(
        self, visit: Visit, people: Sequence[Account], act: Act, *, with_phones: bool | None = None
    ) -> Sequence[str]:
        """Disconnect or remove accounts, `MAX_REVOCATIONS` at a time; return a key of ``outcomes`` for each account.

        :param with_phones: see `ldapgw.store.revocations.end_account`.
        """
        turns = DeferredSemaphore(MAX_REVOCATIONS)

        async def end(account: Account) -> str:
            try:
                return await self._end(visit, account, act, with_phones=with_phones)
            except StoreError:  # the store logs the error; the gateway goes on and disconnects the other accounts
                return "failed"

        def begin(account: Account) -> Deferred[str]:
            return Deferred.fromCoroutine(end(account))

        outcomes: list[str] = await gatherResults([turns.run(begin, account) for account in people])
        return outcomes

    async def _ended(
        self, visit: Visit, message: str, people: Sequence[Account], outcomes: Sequence[str], batch: str = ""
    ) -> HttpResponse:
        """Show the outcome: a sentence if every account was disconnected and revoked, or else a line for each account.

        :param batch: the `batch_key` of new passwords of phones; empty if no phone got a new password.
        """
        if set(outcomes) <= {RevocationOutcome.REVOKED}:
            if batch:
                return self._passwords.redirect(visit, batch)
            return visit.redirect(message, _PAGE)
        rows = [
            (account.address, outcome == RevocationOutcome.REVOKED, TEXTS.outcomes[outcome])
            for account, outcome in zip(people, outcomes, strict=True)
        ]
        return await visit.page("admin_ended.html", rows=rows, batch=batch)

    async def _end(self, visit: Visit, account: Account, act: Act, *, with_phones: bool | None) -> RevocationOutcome:
        entry = visit.entry(act, account.address)
        outcome = await disconnect_account(self._dependencies, account, entry, with_phones=with_phones)
        log.info(
            "web: account {account} of tenant {tenant}: {act} by the administration, from {address}",
            event="account_administered",
            account=account.id,
            tenant=account.tenant,
            act=act.value,
            address=visit.request.address,
        )
        return outcome

    def _entries(self, visit: Visit, act: Act, people: Sequence[Account], detail: str = "") -> list[ActivityEntry]:
        return [visit.entry(act, account.address, detail) for account in people]


def _state(tenant: WebTenant, row: PersonRow) -> tuple[object, ...]:
    """Return the values that the page of confirmation shows about a person, including the contacts that others see."""
    account, leaver = row.account, row.leaver
    left_since = leaver.since if leaver is not None and not leaver.kept else None
    return account.id, account.sharing.value, account.label_to_share(tenant.shared_label), left_since


def read_people(connection: Connection, tenant: WebTenant, now: float) -> Sequence[PersonRow]:
    owned = phones.count_by_account(connection, tenant.name)
    marks = leavers.read(connection, tenant.name)
    is_held = leavers.read_held(connection, tenant.name) is not None
    known = accounts.read_all(connection, tenant.name)
    return [
        _row(account, tenant, now, owned.get(account.id, 0), marks.get(account.id), is_held=is_held)
        for account in known
    ]


def reminder(account: Account, now: float) -> Translatable:
    """Return a short text that says why an account's owner must be reminded; empty if no reminder is needed."""
    if not account.is_connected:
        return ""
    if account.error is not None and account.error.code in TEXTS.reminders:
        return TEXTS.reminders[account.error.code]
    expiry = account.refresh_expires_at
    if expiry is not None and expiry - now < EXPIRY_REMINDER_SECONDS:
        return Phrase(TEXTS.reminders["consent_ends"], {"when": Timestamp(expiry)})
    return ""


def _row(
    account: Account, tenant: WebTenant, now: float, phone_count: int, leaver: Leaver | None, *, is_held: bool
) -> PersonRow:
    """Return the row of an account.

    :param is_held: whether the removal of the tenant's leavers waits for an administrator.
    """
    if leaver is not None:  # a person who has left cannot fix a problem
        delay = tenant.remove_leavers
        leaves_at = max(leaver.since + delay, now) if delay and not leaver.kept else None
        waits = is_held and leaves_at is not None and leaves_at <= now and not leaver.approved
        return PersonRow(account, state(account, now), "", phone_count, leaver, leaves_at, waits)
    action = reminder(account, now)
    error = account.error
    if not action and account.is_connected:
        if not tenant.still_admits(account.address, account.hd):
            action = TEXTS.not_admitted
        elif error is not None and error != account.alarm and state(account, now) == "attention":
            action = error_message(error, account, TEXTS.owner_page, commands=False)
    return PersonRow(account, state(account, now), action, phone_count)


def _read_person(
    connection: Connection, tenant: str, account_id: int
) -> tuple[Account, tuple[PhoneLogin, ...], Mapping[Source, SyncState], Leaver | None, bool] | None:
    account = accounts.read(connection, account_id)
    if account is None or account.tenant != tenant:
        return None
    logins = phones.read_by_accounts(connection, [account_id])
    leaver = leavers.find(connection, account_id)
    is_held = leavers.read_held(connection, tenant) is not None
    return account, logins, sync_state.read_sync_states(connection, account_id), leaver, is_held


def _read_held(connection: Connection, tenant: WebTenant, now: float) -> Sequence[int]:
    """Return the ids of accounts whose removal waits for an administrator, at most `MAX_APPROVED`."""
    if leavers.read_held(connection, tenant.name) is None:
        return ()
    marks = leavers.read(connection, tenant.name).values()
    waiting = [mark for mark in marks if not (mark.kept or mark.approved)]
    return [mark.account_id for mark in waiting if now - mark.since >= tenant.remove_leavers][:MAX_APPROVED]


def _approve(connection: Connection, people: Sequence[Account], entries: Sequence[ActivityEntry]) -> None:
    for tenant in {account.tenant for account in people}:
        leavers.approve(connection, tenant, [account.id for account in people])
    activity.record(connection, *entries)


def _request_syncs(connection: Connection, people: Sequence[Account], entries: Sequence[ActivityEntry]) -> bool:
    """Request a sync of each account that still exists; return False if none of the accounts exists."""
    requested = [
        entry
        for account, entry in zip(people, entries, strict=True)
        if sync_state.request_sync(connection, account.id, SyncRequest.INCREMENTAL)
    ]
    activity.record(connection, *requested)
    return bool(requested)


# --- people who have no account yet, and links that write an e-mail to all of them ------------------------------------


@dataclass(frozen=True, slots=True, repr=False)
class Colleague:
    """A person of the directory without an account; the name may be empty."""

    address: str
    name: str


@dataclass(frozen=True, slots=True, repr=False)
class MailLink:
    """A link that opens an e-mail to some people in the mail program.

    :ivar first: the position of the first recipient among all people, counted from 1.
    :ivar last: the position of the last recipient.
    """

    url: str
    first: int
    last: int


def read_unconnected(connection: Connection, tenant: WebTenant) -> tuple[Colleague, ...]:
    """Read the people of the tenant's Workspace directory who may connect and have no account, ordered by address.

    The function reads `MAX_COLLEAGUES` people at most.  A damaged directory, which the next sync repairs, counts as
    empty.
    """
    holder = (
        directory_accounts.find_directory_account(connection, tenant.name)
        if Source.DIRECTORY in tenant.sources
        else None
    )
    if holder is None:
        return ()
    known = accounts.read_all(connection, tenant.name)
    taken = {ascii_lower(account.address) for account in known} | {account.sub for account in known}
    domains = {_domain(account.address) for account in known if account.hd} | {ascii_lower(holder.hd or "")}
    found: dict[str, Colleague] = {}
    try:
        for person in directory_accounts.read_people(connection, holder.account_id, MAX_COLLEAGUES):
            if person.source_id not in taken and taken.isdisjoint(map(ascii_lower, person.emails)):
                address = next((email for email in person.emails if _may_connect(tenant, email, domains)), "")
                if address:
                    found[ascii_lower(address)] = Colleague(address, person.name)
    except DamagedStore:
        return ()
    return tuple(found[key] for key in sorted(found))


def mail_links(addresses: Sequence[str], subject: str, body: str) -> tuple[MailLink, ...]:
    """Return links that write to all addresses in Bcc, with at most `MAX_LINK` characters each if possible."""
    text = f"&subject={quote(subject, safe='')}&body={quote(body, safe='')}"
    links: list[MailLink] = []
    recipients: list[str] = []
    length = 0
    for number, address in enumerate(addresses, 1):
        recipient = quote(address, safe="@")
        if recipients and length + 1 + len(recipient) > MAX_LINK:
            links.append(_link(recipients, text, number - 1))
            recipients, length = [], 0
        length += len(recipient) + 1 if recipients else len(_link([recipient], text, number).url)
        recipients.append(recipient)
    return (*links, _link(recipients, text, len(addresses))) if recipients else ()


def _link(recipients: Sequence[str], text: str, last: int) -> MailLink:
    return MailLink(f"mailto:?bcc={','.join(recipients)}{text}", last - len(recipients) + 1, last)


def _may_connect(tenant: WebTenant, address: str, domains: set[str]) -> bool:
    """Return whether the owner of an address may connect, and is no external contact of the company.

    The directory also has external contacts.  If the configuration lets everybody connect, a person counts as an
    external contact unless the address has one of the company's `domains`.
    """
    is_for_all = "*" in tenant.allowed_users
    return tenant.still_admits(address, None) and (not is_for_all or _domain(address) in domains)


def _domain(address: str) -> str:
    return ascii_lower(address.rpartition("@")[2])
