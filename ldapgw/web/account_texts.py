# SPDX-License-Identifier: MIT
"""The texts of the overview and the account page: account states, sources, labels and sharing options."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ldapgw.contact import Flaw, Sharing, Source
from ldapgw.directory.dn import folded
from ldapgw.google.endpoints import contact_page
from ldapgw.google.person_flaws import MOST_VALUES
from ldapgw.phones.lookup import ContactSummary
from ldapgw.phrase import Phrase, Translatable, gettext_noop
from ldapgw.store.account_status import HOUR, TESTING_SECONDS, consent_ended_by
from ldapgw.store.accounts import Account
from ldapgw.store.contacts import FlawedPerson
from ldapgw.store.sync_progress import SyncProgress
from ldapgw.store.sync_tokens import DIRECTORY_SHRUNK, SyncState
from ldapgw.web.dependencies import WebTenant
from ldapgw.web.error_pages import CONSENT_CHECKBOXES


@dataclass(frozen=True, slots=True)
class AccountStateText:
    """The text of an account's state.

    :ivar sign: a symbol: ✓, ! or ✗.
    :ivar kind: the CSS class of the colour.
    """

    sign: str
    kind: str
    title: str
    sentence: str


# By the state of the account object; the empty key is for a person who never connected.
ACCOUNT_STATE_TEXTS: Mapping[str, AccountStateText] = {
    "ok": AccountStateText(
        "✓",
        "good",
        gettext_noop("Connected"),
        gettext_noop("Your contacts are on your phones and update automatically."),
    ),
    "syncing": AccountStateText(
        "✓",
        "good",
        gettext_noop("Syncing now"),
        gettext_noop("Your contacts are on your phones. The gateway is fetching the latest changes."),
    ),
    "waiting": AccountStateText(
        "✓",
        "good",
        gettext_noop("Connected, first sync in progress"),
        gettext_noop("Your contacts will be on your phones in a minute."),
    ),
    "attention": AccountStateText(
        "!",
        "warn",
        gettext_noop("Needs attention"),
        gettext_noop("Your phones still have the contacts from the last sync."),
    ),
    "attention before the first sync": AccountStateText(
        "!", "warn", gettext_noop("Needs attention"), gettext_noop("Your contacts aren’t on your phones yet.")
    ),
    "disconnected": AccountStateText(
        "✗", "bad", gettext_noop("Not connected"), gettext_noop("Your contacts aren’t on your phones.")
    ),
    "": AccountStateText(
        "✗",
        "quiet",
        gettext_noop("Not connected"),
        gettext_noop("You’re signed in. Connect your contacts, and they’ll be on your phones in a minute."),
    ),
}


@dataclass(frozen=True, slots=True)
class SharingOption:
    """A way to share a book, explained by the screens of a colleague's phone.

    :ivar shows_caller: whether the phone shows the name of a calling contact, rather than only the number.
    :ivar is_searchable: whether the phone's search finds the contacts.
    """

    value: Sharing
    title: Translatable
    sentence: Translatable
    shows_caller: bool
    is_searchable: bool


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A source of an account, as pages show it.

    :ivar kind: the CSS class of the state.
    :ivar total: persons of the source, as counted by Google at the last full sync; None if Google did not say.
    :ivar counted_at: when that sync ended, in seconds since the epoch.
    """

    label: str
    kind: str
    state: str
    total: int | None = None
    counted_at: float | None = None


@dataclass(frozen=True, slots=True, repr=False)
class FlawedRow:
    """A contact that its owner should correct at Google.

    :ivar name: empty if there is none.
    :ivar link: the contact's page at Google; empty if the contact has none.
    """

    name: str
    link: str
    sentences: tuple[Translatable, ...]


@dataclass(frozen=True, slots=True)
class AccountView:
    """The state of an account, for the overview and the account page.

    :ivar status: the account object (`account_status`) in the reader's language; None for a person who never connected.
    :ivar reconnect: ``must`` or ``may`` if connecting again is necessary or useful; empty otherwise.
    :ivar sync_is_next: whether a sync is the next useful step, because an administrator may have fixed what failed.
    :ivar needs_administrator: whether a message on the page sends the person to an administrator.
    :ivar missing_sources: labels of the sources that were not granted.
    :ivar boxes: the checkboxes that Google will show, for a person who never connected.
    """

    state: AccountStateText
    status: Mapping[str, Any] | None = None
    connected: bool = False
    reconnect: str = ""
    sync_is_next: bool = False
    needs_administrator: bool = False
    missing_sources: tuple[str, ...] = ()
    progress: SyncProgress | None = None
    boxes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AccountDetails:
    """What only the account page shows of a connected account.

    :ivar ended_at: when Google no longer accepted the consent, in seconds since the epoch; None: it lasts.
    :ivar is_testing: whether the consent ends because the Google client is in "Testing".
    :ivar labels: name, CSS class and state text of each label, and of configured labels that are missing at Google.
    :ivar shared_labels: names of labels whose contacts alone can be shared.
    :ivar shared_label: the one of them that is shared, or offered first; empty: all contacts are.
    :ivar example: a contact of the book, for the sharing examples; None: the page uses an invented contact.
    :ivar flawed: the first contacts that should be corrected at Google.
    """

    ended_at: float | None
    is_testing: bool
    sources: tuple[SourceRow, ...]
    labels: tuple[tuple[str, str, str], ...]
    choices: tuple[SharingOption, ...]
    shared_labels: tuple[str, ...]
    shared_label: str
    example: ContactSummary | None
    flawed: tuple[FlawedRow, ...]


SOURCE_LABELS: Mapping[str, str] = {
    Source.CONTACTS: gettext_noop("Your contacts"),
    Source.OTHER_CONTACTS: gettext_noop("Other contacts"),
    Source.DIRECTORY: gettext_noop("Company directory"),
}
_MISSING = "not granted"
_SOURCE_STATES: Mapping[str, tuple[str, str]] = {
    "on": ("good", gettext_noop("on")),
    _MISSING: ("warn", gettext_noop("not granted")),
    "unavailable": ("quiet", gettext_noop("not available for this account")),
}
_ACCESS_ENDED = ("bad", gettext_noop("access ended"))

_SHARING_TITLES: Mapping[Sharing, str] = {
    Sharing.PRIVATE: gettext_noop("Private"),
    Sharing.CALLERS: gettext_noop("Callers’ names"),
    Sharing.SHARED: gettext_noop("Shared"),
}

_LABEL_STATES: Mapping[str, tuple[str, str]] = {
    "served": ("good", gettext_noop("on the phones")),
    "other": ("quiet", gettext_noop("not among the chosen labels")),
    "excluded": ("quiet", gettext_noop("not on the phones")),
    "missing": ("warn", gettext_noop("doesn’t exist in Google Contacts")),
}

_FLAWS: Mapping[Flaw, Translatable] = {
    Flaw.CHARACTERS: gettext_noop("A character can’t be read, so phones show � in its place."),
    Flaw.VALUES: gettext_noop("Some values are damaged, so phones don’t get them."),
    Flaw.LENGTH: gettext_noop("A text is too long, so phones only get its beginning."),
    Flaw.COUNT: Phrase(
        gettext_noop("There are too many values of a kind, so phones only get the first %(count)s."),
        {"count": MOST_VALUES},
    ),
    Flaw.ID: gettext_noop("The contact’s ID is damaged. Phones get the contact all the same."),
}
_NUMBER_NOT_UNDERSTOOD = gettext_noop("“%(number)s” can’t be understood as a phone number.")

# Errors that another consent resolves.
_CONSENT_ERRORS = frozenset({"consent_revoked", "scope_missing"})
# Errors that an administrator fixes; a sync then shows that they are gone.
_FIXED_ELSEWHERE = frozenset({"client_rejected", "api_disabled", "google_refused", "internal"})
# Warnings, and what ended a consent, whose messages send a person to an administrator.
_ADMINISTRATOR_WARNINGS = frozenset({"testing_client", "certificate_expiry", DIRECTORY_SHRUNK})
_ADMINISTRATOR_ENDS = frozenset({"admin", "testing", "disabled", "session"})
# Warnings about a consent that ends at a known time.
_EXPIRY_WARNINGS = frozenset({"testing_client", "consent_ends"})


def account_view(
    tenant: WebTenant,
    account: Account | None,
    status: Mapping[str, Any] | None,
    progress: SyncProgress | None = None,
) -> AccountView:
    """The state of an account.

    :param status: the account object; None for a person who never connected.
    """
    if account is None or status is None:
        return AccountView(
            ACCOUNT_STATE_TEXTS[""], boxes=tuple(CONSENT_CHECKBOXES[source] for source in tenant.sources)
        )
    return AccountView(
        state=_state(status),
        status=status,
        connected=account.is_connected,
        reconnect=_reconnect(status),
        sync_is_next=_sync_is_next(status),
        needs_administrator=_needs_administrator(account, status),
        missing_sources=tuple(SOURCE_LABELS[name] for name, state in status["sources"].items() if state == _MISSING),
        progress=progress,
    )


def account_details(
    tenant: WebTenant,
    account: Account,
    status: Mapping[str, Any],
    *,
    labels: Iterable[str] = (),
    sync_states: Mapping[Source, SyncState] = MappingProxyType({}),
    example: ContactSummary | None = None,
    flawed: Iterable[FlawedPerson] = (),
) -> AccountDetails:
    """Return what only the account page shows of a connected account.

    :param status: the account object.
    :param labels: the names of the account's labels at Google.
    """
    names = tuple(labels)
    shared_labels = shareable_labels(names, account.shared_label)
    shared_label = account.label_to_share(tenant.shared_label)
    return AccountDetails(
        ended_at=account.error.since if account.error and account.error.code == "consent_revoked" else None,
        is_testing=_is_testing(account),
        sources=source_rows(status, sync_states),
        labels=_labels(tenant, names),
        choices=sharing_options(tenant, account.sharing),
        shared_labels=shared_labels,
        shared_label=next((name for name in shared_labels if folded(name) == folded(shared_label)), ""),
        example=example,
        flawed=tuple(
            FlawedRow(person.name, contact_page(person.uid, account.address), tuple(_sentences(person)))
            for person in flawed
        ),
    )


def _sentences(person: FlawedPerson) -> Iterator[Translatable]:
    """Return what is wrong with a contact."""
    yield from (_FLAWS[flaw] for flaw in person.flaws if flaw is not Flaw.NUMBERS)
    yield from (Phrase(_NUMBER_NOT_UNDERSTOOD, {"number": number}) for number in person.numbers)


def _state(status: Mapping[str, Any]) -> AccountStateText:
    is_new = status["state"] == "attention" and status["last_sync"] is None
    return ACCOUNT_STATE_TEXTS["attention before the first sync" if is_new else status["state"]]


def _reconnect(status: Mapping[str, Any]) -> str:
    if status["error"] and status["error"]["code"] in _CONSENT_ERRORS:
        return "must"
    expires = any(warning["code"] in _EXPIRY_WARNINGS for warning in status["warnings"])
    return "may" if expires or _MISSING in status["sources"].values() else ""


def _sync_is_next(status: Mapping[str, Any]) -> bool:
    return status["state"] == "attention" and status["error"]["code"] in _FIXED_ELSEWHERE


def _needs_administrator(account: Account, status: Mapping[str, Any]) -> bool:
    if _sync_is_next(status) or any(one["code"] in _ADMINISTRATOR_WARNINGS for one in status["warnings"]):
        return True
    error = account.error
    if error is not None and error.code == "consent_revoked":
        return consent_ended_by(error, account) in _ADMINISTRATOR_ENDS
    return error is not None and error.code == "network"


def _is_testing(account: Account) -> bool:
    if account.refresh_expires_at is None or account.connected_at is None:
        return False
    return abs(account.refresh_expires_at - account.connected_at - TESTING_SECONDS) < HOUR


def source_rows(status: Mapping[str, Any], sync_states: Mapping[Source, SyncState]) -> tuple[SourceRow, ...]:
    """The sources of an account; no source state is known before the first sync."""
    is_over = status["error"] is not None and status["error"]["code"] == "consent_revoked"
    rows = []
    for name, state in status["sources"].items():
        if state in _SOURCE_STATES:
            kind, words = _ACCESS_ENDED if is_over and state == "on" else _SOURCE_STATES[state]
            synced = sync_states.get(Source(name)) if state == "on" else None
            counted = (synced.total, synced.full_sync_at) if synced else ()
            rows.append(SourceRow(SOURCE_LABELS[name], kind, words, *counted))
    return tuple(rows)


def _labels(tenant: WebTenant, labels: Iterable[str]) -> tuple[tuple[str, str, str], ...]:
    included = {name.casefold() for name in tenant.labels}
    excluded = {name.casefold() for name in tenant.excluded_labels}
    existing = sorted(labels, key=str.casefold)
    configured = {name.casefold(): name for name in (*tenant.labels, *tenant.excluded_labels)}
    missing = configured.keys() - {name.casefold() for name in existing} - {"mycontacts", "starred"}
    rows = []
    for name in existing:
        folded = name.casefold()
        state = "excluded" if folded in excluded else "served" if folded in included or not included else "other"
        rows.append((name, *_LABEL_STATES[state]))
    return (*rows, *((configured[name], *_LABEL_STATES["missing"]) for name in sorted(missing)))


def sharing_title(sharing: Sharing, shared_label: str) -> Translatable:
    """The title of a sharing on the pages.

    :param shared_label: the label whose contacts alone are shared; empty: all contacts are.  A private book has none.
    """
    if sharing.group:
        title = Phrase(gettext_noop("Group “%(group)s”"), {"group": sharing.group})
    else:
        title = Phrase(_SHARING_TITLES[sharing])
    if shared_label and sharing is not Sharing.PRIVATE:
        return Phrase(gettext_noop("%(sharing)s: only label “%(label)s”"), {"sharing": title, "label": shared_label})
    return title


def shareable_labels(labels: Iterable[str], current: str) -> tuple[str, ...]:
    """The labels whose contacts alone can be shared, each once.

    :param labels: the names of the account's labels at Google.
    :param current: the shared label, which is one of them although Google may not have it any more; empty: none.
    """
    named: dict[str, str] = {}
    for name in (*sorted(labels, key=str.casefold), current):
        named.setdefault(folded(name), name)
    return tuple(filter(None, named.values()))


def sharing_options(tenant: WebTenant, current: Sharing | None = None) -> tuple[SharingOption, ...]:
    """The ways to share a book.

    :param current: the present sharing, which is an option although its group has left the configuration.
    """
    groups = [*tenant.groups]
    if current is not None and current.group and current.group not in groups:
        groups.append(current.group)
    of_groups = (_group_option(Sharing(f"group:{group}"), tenant.groups.get(group)) for group in groups)
    private, callers, shared = _tenant_options(tenant)
    return (private, callers, *of_groups, shared)


def _group_option(sharing: Sharing, size: int | None) -> SharingOption:
    """The option of a group.

    :param size: how many accounts it has; None: the configuration does not have the group.
    """
    if size is None:
        text = gettext_noop(
            "The group “%(group)s” no longer exists, so only your own phones find your contacts. Please choose again."
        )
        sentence = Phrase(text, {"group": sharing.group})
    else:
        text = gettext_noop(
            "The phones of the accounts in the group (%(count)s) find your contacts, with all numbers and addresses. "
            "When one of your contacts calls, other phones show only the number."
        )
        sentence = Phrase(text, {"count": size})
    return SharingOption(
        sharing, sharing_title(sharing, ""), sentence, shows_caller=size is not None, is_searchable=size is not None
    )


def _tenant_options(tenant: WebTenant) -> tuple[SharingOption, SharingOption, SharingOption]:
    return (
        SharingOption(
            Sharing.PRIVATE,
            sharing_title(Sharing.PRIVATE, ""),
            gettext_noop(
                "Only your own phones find your contacts. When one of your contacts calls, other phones show only the "
                "number."
            ),
            shows_caller=False,
            is_searchable=False,
        ),
        SharingOption(
            Sharing.CALLERS,
            sharing_title(Sharing.CALLERS, ""),
            gettext_noop(
                "When one of your contacts calls a colleague, the colleague’s phone shows the name. Colleagues can’t "
                "search your contacts."
            ),
            shows_caller=True,
            is_searchable=False,
        ),
        SharingOption(
            Sharing.SHARED,
            sharing_title(Sharing.SHARED, ""),
            Phrase(
                gettext_noop("All phones of %(tenant)s find your contacts, with all numbers and addresses."),
                {"tenant": tenant.heading},
            ),
            shows_caller=True,
            is_searchable=True,
        ),
    )
