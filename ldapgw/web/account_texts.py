# SPDX-License-Identifier: MIT
"""The texts of the overview and the account page: account states, sources, labels and sharing options."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from msgspec.structs import replace as replace_text

from ldapgw.contact import Flaw, Sharing, Source
from ldapgw.directory.dn import folded
from ldapgw.google.endpoints import contact_page
from ldapgw.google.oauth import sources_of
from ldapgw.google.person import MOST_VALUES
from ldapgw.phrase import Phrase, Texts, Translatable, read_texts
from ldapgw.store.account_status import consent_ended_by, is_of_testing
from ldapgw.store.accounts import Account, SourceState
from ldapgw.store.contacts import FlawedPerson
from ldapgw.store.phones import PhoneLogin
from ldapgw.store.sync_state import DIRECTORY_SHRUNK, SyncProgress, SyncState
from ldapgw.web.dependencies import WebTenant
from ldapgw.web.error_pages import CONSENT_CHECKBOXES
from ldapgw.web.phone_texts import PhoneState


class AccountStateText(Texts, frozen=True):
    """The text of an account's state.

    :ivar sign: a symbol: ✓, ! or ○.
    :ivar kind: the CSS class of the colour.
    """

    sign: str
    kind: str
    title: Translatable
    sentence: Translatable = ""


class StateWords(Texts, frozen=True):
    """The state of a source or a label in a few words.

    :ivar kind: the CSS class of the state.
    """

    kind: str
    words: str


class _SharingText(Texts, frozen=True):
    """The text about a way to share a book, with the facts that `SharingOption` shows."""

    title: str
    sentence: str
    shows_caller: bool
    is_searchable: bool


class _AccountTexts(Texts, frozen=True):
    """The texts of accounts.

    :ivar only_label: the title of a way to share a book, if only the contacts with a label are shared.
    :ivar source_states: the texts by `SourceState`; ``ended`` is for a source that was on until the consent ended.
    :ivar directory_feeds: sentences that tell through which account the directory is fetched for everybody: ``own``,
        ``other`` or ``nobody``; ``standby`` is for an account that takes over if the present account fails.
    :ivar states: the texts by the state of the account object; ``new`` is for a person who never connected,
        ``phone_refused`` and ``phone`` are for an account without a problem whose phone has a problem.
    :ivar sharing: the texts by the value of a `Sharing`; ``group`` is for all groups of the configuration, and
        ``former_group`` for a group that is no longer in the configuration.
    """

    only_label: str
    sources: Mapping[Source, str]
    source_states: Mapping[str, StateWords]
    directory_feeds: Mapping[str, str]
    label_states: Mapping[str, StateWords]
    flaws: Mapping[Flaw, str]
    states: Mapping[str, AccountStateText]
    sharing: Mapping[str, _SharingText]


_TEXTS = read_texts("web/texts/accounts", _AccountTexts)

ACCOUNT_STATE_TEXTS = _TEXTS.states
SOURCE_LABELS = _TEXTS.sources


@dataclass(frozen=True, slots=True)
class SharingOption:
    """A way to share a book, explained with drawings of a colleague's phone.

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

    :ivar name: the value of the `Source`.
    :ivar kind: the CSS class of the state.
    :ivar total: persons of the source, as counted by Google at the last full sync; None if Google did not say.
    :ivar counted_at: the time at which the last full sync ended, in seconds since the epoch.
    :ivar switch: ``on`` or ``off`` if the page has a button that switches the source on or off; empty otherwise.
    :ivar note: a sentence about the source, or empty.
    """

    name: str
    label: str
    kind: str
    state: str
    total: int | None = None
    counted_at: float | None = None
    switch: str = ""
    note: Translatable = ""


@dataclass(frozen=True, slots=True, repr=False)
class FlawedRow:
    """A contact that its owner should correct at Google.

    :ivar name: the contact's name; empty if the contact has no name.
    :ivar link: the address of the contact's page at Google; empty if the contact has no page at Google.
    """

    name: str
    link: str
    sentences: tuple[Translatable, ...]


@dataclass(frozen=True, slots=True)
class AccountView:
    """The state of an account, for the overview and the account page.

    :ivar status: the account object (`account_status`) in the reader's language, or None if the person never connected.
    :ivar reconnect: ``must`` or ``may`` if connecting again is necessary or useful; empty otherwise.
    :ivar sync_is_next: whether a sync is the next useful step, because an administrator may have fixed what failed.
    :ivar needs_administrator: whether a message on the page tells the person to ask an administrator.
    :ivar box: the label of the checkbox on Google's consent screen, if the person never connected; otherwise empty.
    :ivar phone_to_fix: the name of the phone whose problem the state describes; empty if the state describes the
        account.
    :ivar is_used: whether one of the person's phones has found somebody.
    """

    state: AccountStateText
    status: Mapping[str, Any] | None = None
    connected: bool = False
    reconnect: str = ""
    sync_is_next: bool = False
    needs_administrator: bool = False
    progress: SyncProgress | None = None
    box: str = ""
    phone_to_fix: str = ""
    is_used: bool = False


# Errors that another consent resolves.
_CONSENT_ERRORS = frozenset({"consent_revoked", "scope_missing"})
# Errors that an administrator fixes; only another sync shows whether such an error is gone.
_FIXED_ELSEWHERE = frozenset({"client_rejected", "api_disabled", "google_refused", "internal"})
# The codes of warnings, and of reasons for the end of a consent, whose messages tell a person to ask an administrator.
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
    """Return the state of an account.

    :param status: the account object, or None for a person who never connected.
    """
    if account is None or status is None:
        return AccountView(ACCOUNT_STATE_TEXTS["new"], box=CONSENT_CHECKBOXES[tenant.first_source])
    is_new = status["state"] == "attention" and status["last_sync"] is None
    return AccountView(
        state=ACCOUNT_STATE_TEXTS["attention_before_first_sync" if is_new else status["state"]],
        status=status,
        connected=account.is_connected,
        reconnect=_reconnect(tenant, status),
        sync_is_next=_sync_is_next(status),
        needs_administrator=_needs_administrator(account, status),
        progress=progress,
    )


def with_phones(view: AccountView, phones: Sequence[tuple[PhoneLogin, PhoneState]]) -> AccountView:
    """Return the view of the overview; a problem of a phone replaces the state of an account without a problem."""
    view = replace(view, is_used=any(login.worked_at or state.kind == "good" for login, state in phones))
    troubles = [(login, state) for login, state in phones if state.kind in ("bad", "warn")]
    if not troubles or not view.connected or view.state.kind != "good":
        return view
    login, trouble = min(troubles, key=lambda phone: phone[1].kind)  # "bad" sorts before "warn"
    text = ACCOUNT_STATE_TEXTS["phone_refused" if trouble.kind == "bad" else "phone"]
    title = Phrase(str(text.title), {"phone": login.title, "state": trouble.title})
    return replace(view, state=replace_text(text, title=title, sentence=trouble.sentence), phone_to_fix=login.name)


def account_details(
    tenant: WebTenant,
    account: Account,
    status: Mapping[str, Any],
    *,
    labels: Iterable[str] = (),
    sync_states: Mapping[Source, SyncState] = MappingProxyType({}),
    example: tuple[str, str] | None = None,
    flawed: Iterable[FlawedPerson] = (),
    directory_account: Account | None = None,
) -> Mapping[str, Any]:
    """Return the template values of a connected account that only the account page shows.

    :param status: the account object.
    :param directory_account: the account through which the tenant's directory is fetched, or None.
    :param labels: the names of the account's labels at Google.
    :param example: name and number of a contact of the book for the sharing examples, or None if the page has to invent
        a contact.
    :param flawed: the first contacts that should be corrected at Google.
    """
    names = tuple(labels)
    shared_labels = shareable_labels(names, account.shared_label)
    shared_label = account.label_to_share(tenant.shared_label)
    return {
        # The time at which the consent ended, or None if Google still accepts the consent.
        "ended_at": account.error.since if account.error and account.error.code == "consent_revoked" else None,
        "is_testing": is_of_testing(account),
        "sources": [
            replace(
                row,
                switch=source_switch(tenant, account, Source(row.name)),
                note=_directory_note(account, directory_account) if row.name == Source.DIRECTORY else "",
            )
            for row in source_rows(tenant, account, status, sync_states)
        ],
        "has_unused_scope": not sources_of(account.scopes).isdisjoint(
            account.switched_off.intersection(tenant.sources)
        ),
        "labels": _labels(tenant, names),
        "choices": sharing_options(tenant, account.sharing),
        "shared_labels": shared_labels,
        # The label that the form offers first for sharing; empty if the form offers to share all contacts.
        "shared_label": next((name for name in shared_labels if folded(name) == folded(shared_label)), ""),
        "example": example,
        "flawed": [
            FlawedRow(person.name, contact_page(person.uid, account.address), tuple(_sentences(person)))
            for person in flawed
        ],
    }


def _sentences(person: FlawedPerson) -> Iterator[Translatable]:
    """Yield a sentence for each fault of a contact."""
    for flaw in person.flaws:
        if flaw is not Flaw.NUMBERS:
            yield Phrase(_TEXTS.flaws[flaw], {"count": MOST_VALUES})
    yield from (Phrase(_TEXTS.flaws[Flaw.NUMBERS], {"number": number}) for number in person.numbers)


def _reconnect(tenant: WebTenant, status: Mapping[str, Any]) -> str:
    if status["error"] and status["error"]["code"] in _CONSENT_ERRORS:
        return "must"
    expires = any(warning["code"] in _EXPIRY_WARNINGS for warning in status["warnings"])
    return "may" if expires or status["sources"][tenant.first_source] == SourceState.NOT_GRANTED else ""


def _sync_is_next(status: Mapping[str, Any]) -> bool:
    return status["state"] == "attention" and status["error"]["code"] in _FIXED_ELSEWHERE


def _needs_administrator(account: Account, status: Mapping[str, Any]) -> bool:
    if _sync_is_next(status) or any(warning["code"] in _ADMINISTRATOR_WARNINGS for warning in status["warnings"]):
        return True
    error = account.error
    if error is not None and error.code == "consent_revoked":
        return consent_ended_by(error, account) in _ADMINISTRATOR_ENDS
    return error is not None and error.code == "network"


def source_rows(
    tenant: WebTenant, account: Account, status: Mapping[str, Any], sync_states: Mapping[Source, SyncState]
) -> tuple[SourceRow, ...]:
    """Return a row for each of the tenant's sources, with its state in an account; `switch` and `note` are empty."""
    is_over = status["error"] is not None and status["error"]["code"] == "consent_revoked"
    rows = []
    for source in Source:
        if source in tenant.sources:
            state = status["sources"][source]
            text = _TEXTS.source_states[_shown_state(tenant, account, source, state, is_over=is_over)]
            synced = sync_states.get(source) if state == SourceState.ON else None
            counted = (synced.total, synced.full_sync_at) if synced else ()
            rows.append(SourceRow(source.value, SOURCE_LABELS[source], text.kind, text.words, *counted))
    return tuple(rows)


def _shown_state(tenant: WebTenant, account: Account, source: Source, state: str, *, is_over: bool) -> str:
    """Return the key of the text for the state of a source.

    Only the first source is shown as not granted, because every first consent requests the scope of this source.  Any
    other source without a grant is shown as off, or as unavailable if the account cannot have the source.
    """
    if state == SourceState.ON and is_over:
        return "ended"
    if state == SourceState.NOT_GRANTED and source is not tenant.first_source:
        is_missing_at_google = source is Source.DIRECTORY and account.hd == ""
        return (SourceState.UNAVAILABLE if is_missing_at_google else SourceState.OFF).value
    return state


def source_switch(tenant: WebTenant, account: Account, source: Source) -> str:
    """Return ``on`` or ``off`` if the account's page can switch a source on or off, or else an empty text."""
    if account.uses_delegation:
        return ""  # the administrator of the Workspace has decided for the whole company
    state = account.sources.get(source, SourceState.OFF)
    if state in (SourceState.ON, SourceState.UNAVAILABLE):
        return "off" if source is not tenant.first_source else ""
    if account.revoked or (source is tenant.first_source and state is SourceState.NOT_GRANTED):
        return ""  # the person has to connect the account again first
    is_missing_at_google = source is Source.DIRECTORY and account.hd == ""  # a consumer account has no directory
    return "" if is_missing_at_google else "on"


def _directory_note(account: Account, directory_account: Account | None) -> Translatable:
    """Return the sentence that tells through which account the company directory is fetched for everybody."""
    if directory_account is None:
        return _TEXTS.directory_feeds["nobody"]
    if directory_account.id == account.id:
        return _TEXTS.directory_feeds["own"]
    is_standby = account.sources.get(Source.DIRECTORY) is SourceState.ON and not account.revoked
    text = _TEXTS.directory_feeds["standby" if is_standby else "other"]
    return Phrase(text, {"account": directory_account.address})


def _labels(tenant: WebTenant, labels: Iterable[str]) -> tuple[tuple[str, str, str], ...]:
    included = {name.casefold() for name in tenant.labels}
    excluded = {name.casefold() for name in tenant.excluded_labels}
    existing = sorted(labels, key=str.casefold)
    configured = {name.casefold(): name for name in (*tenant.labels, *tenant.excluded_labels)}
    missing = configured.keys() - {name.casefold() for name in existing} - {"mycontacts", "starred"}
    states = [(name, _label_state(name.casefold(), included, excluded)) for name in existing]
    states += [(configured[name], "missing") for name in sorted(missing)]
    return tuple((name, _TEXTS.label_states[state].kind, _TEXTS.label_states[state].words) for name, state in states)


def _label_state(folded: str, included: Collection[str], excluded: Collection[str]) -> str:
    if folded in excluded:
        return "excluded"
    return "served" if folded in included or not included else "other"


def sharing_title(sharing: Sharing, shared_label: str) -> Translatable:
    """Return the title that pages give to a way to share a book.

    :param shared_label: only contacts with this label are shared; empty if all contacts are shared, or the book is
        private.
    """
    title = Phrase(_sharing_text(sharing, 0).title, {"group": sharing.group})
    if shared_label and sharing is not Sharing.PRIVATE:
        return Phrase(_TEXTS.only_label, {"sharing": title, "label": shared_label})
    return title


def sharing_message(tenant: WebTenant, sharing: Sharing) -> str:
    """Return the key of the flash message that says who sees the contacts of a book after a change of its sharing."""
    if sharing.group:
        return "shared-group" if sharing.group in tenant.groups else "shared-private"
    return {Sharing.CALLERS: "shared-callers", Sharing.SHARED: "shared-all"}.get(sharing, "shared-private")


def _sharing_text(sharing: Sharing, size: int | None) -> _SharingText:
    """Return the text of a way to share.

    :param size: the number of accounts in the sharing's group, or None if the group is not in the configuration.
    """
    return _TEXTS.sharing.get(sharing.value) or _TEXTS.sharing["former_group" if size is None else "group"]


def shareable_labels(labels: Iterable[str], current: str) -> tuple[str, ...]:
    """Return the labels to which the sharing of a book can be limited, each once.

    :param labels: the names of the account's labels at Google.
    :param current: the shared label, which is included even if Google no longer has the label; empty if there is no
        shared label.
    """
    named: dict[str, str] = {}
    for name in (*sorted(labels, key=str.casefold), current):
        named.setdefault(folded(name), name)
    return tuple(filter(None, named.values()))


def sharing_options(tenant: WebTenant, current: Sharing | None = None) -> tuple[SharingOption, ...]:
    """Return the ways to share a book.

    :param current: the way in which the book is shared now, which is included even if its group is no longer in the
        configuration.
    """
    groups = [*tenant.groups]
    if current is not None and current.group and current.group not in groups:
        groups.append(current.group)
    of_groups = (Sharing(f"group:{group}") for group in groups)
    return tuple(_option(tenant, sharing) for sharing in (Sharing.PRIVATE, Sharing.CALLERS, *of_groups, Sharing.SHARED))


def _option(tenant: WebTenant, sharing: Sharing) -> SharingOption:
    size = tenant.groups.get(sharing.group)
    text = _sharing_text(sharing, size)
    sentence = Phrase(text.sentence, {"tenant": tenant.heading, "group": sharing.group, "count": size})
    return SharingOption(sharing, sharing_title(sharing, ""), sentence, text.shows_caller, text.is_searchable)
