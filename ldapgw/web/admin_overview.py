# SPDX-License-Identifier: MIT
"""The administration's first page, with problems, steps left to set up and people to remind; and the activity log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sqlalchemy import Connection

from ldapgw.contact import Source
from ldapgw.directory.naming_context import phone_name
from ldapgw.files.csv_file import csv_of_texts
from ldapgw.google.people import CallEstimate
from ldapgw.phones.summary import PhoneCondition, Summary, summarize
from ldapgw.phrase import Phrase, Texts, Timestamp, Translatable, read_texts
from ldapgw.store import accounts, activity, gateways, leavers, phones, sync_history, tenants
from ldapgw.store.account_status import is_of_testing
from ldapgw.store.accounts import Account, ErrorStatus
from ldapgw.store.activity import ActivityEntry
from ldapgw.store.database import database_of
from ldapgw.store.gateways import KnownGateway
from ldapgw.store.phones import PhoneLogin
from ldapgw.store.sync_history import SyncDay
from ldapgw.web import record_texts
from ldapgw.web.admin_people import Mailing, read_people, reminder
from ldapgw.web.admin_tables import Table, TableQuery
from ldapgw.web.dependencies import GATEWAYS_TOPIC, WebTenant, person_topic
from ldapgw.web.http import HttpResponse
from ldapgw.web.layout import Layout, RequiredRole, Route, Visit, get, post
from ldapgw.web.phone_pages import attachment

# An open page watches at most this many accounts and this many phones of its tenant for changes.
_WATCHED = 50

# The pages with the phones of a condition, the worst condition first.
_PHONE_PATHS = {
    PhoneCondition.REFUSED: "admin/phones?show=refused",
    PhoneCondition.PROBLEMS: "admin/phones?show=settings",
    PhoneCondition.WAITING: "admin/phones",
}

# The page of the Google console that takes a client out of "Testing".
_AUDIENCE = "https://console.cloud.google.com/auth/audience"


class _AlertText(Texts, frozen=True):
    """A problem, and its remedy.

    :ivar document: the page of the documentation about the problem, a key of `DOCUMENTS`.
    """

    title: str
    sentence: str
    document: str


class _StepText(Texts, frozen=True):
    """The text of a step of the first set-up.

    :ivar document: the page of the documentation about the step, a key of `DOCUMENTS`; empty if there is no such page.
    """

    title: str
    hint: str
    document: str = ""


class _OverviewTexts(Texts, frozen=True):
    """The texts of the page.

    :ivar renew_certificate: the title of an alert; the other texts on the certificate are sentences.
    :ivar testing_with_next: replaces the text ``testing`` if the gateway knows when the next consent ends.
    :ivar alarms: the texts by the code of a tenant's alarm.
    :ivar phone_hints: the hints of the step `phone_step`, by the condition of the phone with the worst problem.
    """

    calls: str
    too_many_calls: str
    no_certificate: str
    certificate_expired: str
    certificate_expires: str
    certificate_valid: str
    renew_certificate: str
    testing_with_next: str
    alarms: Mapping[str, _AlertText]
    database: _AlertText
    testing: _AlertText
    new_store: _AlertText
    client_step: _StepText
    certificate_step: _StepText
    address_step: _StepText
    person_step: _StepText
    phone_step: _StepText
    phone_hints: Mapping[PhoneCondition, str]


_TEXTS = read_texts("web/texts/admin_overview", _OverviewTexts)


@dataclass(frozen=True, slots=True)
class Alert:
    """A notice that concerns the whole tenant, such as a problem.

    :ivar kind: the CSS class of the colour; a notice of the class ``bad`` or ``warn`` is about a problem.
    :ivar link: the address of the page at Google where the problem can be fixed; empty if there is no such page.
    :ivar document: the page of the documentation about the problem, a key of `DOCUMENTS`; empty if there is no such
        page.
    :ivar since: the beginning of the problem, in seconds since the epoch, or None if unknown.
    """

    kind: str
    title: Translatable
    sentence: Translatable
    link: str = ""
    since: float | None = None
    document: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class _Overview:
    """The data of the page.

    :ivar connected: the number of connected accounts.
    :ivar has_synced: whether a sync of an account has ever succeeded.
    :ivar testing: a notice if the Google client is in "Testing", or else nothing.
    :ivar needing_action: the number of people who need action, as in the table of people.
    :ivar has_working_phone: whether a phone has ever found a contact.
    :ivar reminded: the address of each person to remind, and the reason.
    :ivar held: the number of leavers' accounts whose removal waits for an administrator.
    :ivar is_unused: whether the database has no account of any tenant.
    :ivar gateways: all gateways that share the database; empty if there is only this gateway.
    :ivar sites: the sites from which the tenant's phones have logged in within a day (`ldapgw.store.phones.site_of`).
    """

    summary: Summary
    connected: int
    has_synced: bool
    testing: tuple[Alert, ...]
    needing_action: int
    reminded: tuple[tuple[str, Translatable], ...]
    has_working_phone: bool
    alarm: ErrorStatus | None
    held: int
    is_unused: bool
    days: tuple[SyncDay, ...]
    gateways: tuple[KnownGateway, ...]
    sites: frozenset[str | int]


@dataclass(frozen=True, slots=True)
class ChecklistItem:
    """A step of the first set-up.

    :ivar path: the path below the tenant's page where the step is done; empty if the step is done outside of the pages.
    :ivar hint: the hint to show in place of the hint in `text`; empty to show the hint in `text`.
    """

    is_done: bool
    text: _StepText
    path: str = ""
    hint: Translatable = ""


class AdminOverview:
    """The administration's first page."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._dependencies = layout.dependencies

    def routes(self) -> tuple[Route, ...]:
        return (get("/<tenant>/admin", self.show, RequiredRole.ADMIN),)

    async def topics(self, visit: Visit) -> Iterable[str]:
        """Return the topics that an open page subscribes to: gateways, and the first `_WATCHED` people and phones."""
        if "admin" not in visit.query or not visit.is_by_admin:
            return ()
        subs, logins = await visit.store.read(_watched, visit.tenant.name)
        people = (person_topic(visit.tenant.name, sub) for sub in subs)
        return [GATEWAYS_TOPIC, *people, *map(self._dependencies.phones.activity.bind_dn, logins)]

    async def show(self, visit: Visit) -> HttpResponse:
        """``/{tenant}/admin``: show the page."""
        now = self._layout.now()
        overview = await visit.store.read(_overview, visit.tenant, now)
        certificate = _certificate(
            self._dependencies.admin.certificate_expiry(), self._dependencies.certificate_expiry(), now
        )
        alerts = [*self._alerts(overview, certificate)]
        summary = overview.summary
        refused, wrong = summary.phones_in(PhoneCondition.REFUSED), summary.phones_in(PhoneCondition.PROBLEMS)
        left_out = self._dependencies.admin.left_out(visit.tenant.name)
        refused_logins = self._dependencies.phones.refused_logins
        files = self._dependencies.files.statuses(visit.tenant.name)
        broken_files = [file for file in files if not file.report.is_good]
        all_live = all(gateway.is_alive for gateway in overview.gateways)
        return await visit.page(
            "admin_overview.html",
            alerts=alerts,
            broken_files=broken_files,
            problems=len(alerts)
            + len(broken_files)
            + sum(map(bool, (overview.needing_action, overview.held, refused, wrong, left_out, not all_live))),
            checklist=self._checklist(visit.tenant, overview, now),
            summary=summary,
            working=summary.phones_in(PhoneCondition.WORKING),
            refused=refused,
            wrong=wrong,
            needing_action=overview.needing_action,
            held=overview.held,
            sync_bars=record_texts.strip(overview.days),
            gateways=overview.gateways,
            all_gateways_live=all_live,
            reminded=overview.reminded,
            reminder=Mailing.reminder(visit, [address for address, _ in overview.reminded]),
            certificate=certificate,
            left_out=left_out,
            unknown_logins=refused_logins.unknown(visit.tenant.name, overview.sites),
            unfit_clients=refused_logins.unfit_clients(visit.tenant.name, overview.sites),
            refused_elsewhere=refused_logins.elsewhere(visit.tenant.name),
            phone_name=phone_name,
            calls=self._calls(visit.tenant, overview.connected),
            url=visit.url,
        )

    def _alerts(self, overview: _Overview, certificate: Alert) -> Iterable[Alert]:
        if overview.is_unused and self._dependencies.admin.may_be_new_store:
            text = _TEXTS.new_store
            yield Alert("warn", text.title, text.sentence, document=text.document)
        if self._dependencies.database_fails_since() is not None:
            text = _TEXTS.database
            yield Alert("bad", text.title, text.sentence, document=text.document)
        if (alarm := overview.alarm) is not None:
            text = _TEXTS.alarms.get(alarm.code) or _AlertText(alarm.code, "", "")
            yield Alert("bad", text.title, text.sentence, alarm.link, alarm.since, text.document)
        yield from overview.testing
        if certificate.kind in ("warn", "bad"):
            yield certificate

    def _checklist(self, tenant: WebTenant, overview: _Overview, now: float) -> Sequence[ChecklistItem]:
        """Return the steps of the first set-up, or an empty tuple once everything is done."""
        expiry = self._dependencies.admin.certificate_expiry()
        file = {"file": self._dependencies.admin.config_file}
        certificate_hint = Phrase(_TEXTS.certificate_step.hint, file)
        address_hint = Phrase(_TEXTS.address_step.hint, file)
        items = (
            ChecklistItem(tenant.client is not None, _TEXTS.client_step, "admin/google"),
            ChecklistItem(expiry is not None and expiry > now, _TEXTS.certificate_step, hint=certificate_hint),
            ChecklistItem(not self._dependencies.phones.server.is_loopback, _TEXTS.address_step, hint=address_hint),
            ChecklistItem(
                overview.has_synced,
                _TEXTS.person_step,
                "admin/people",
            ),
            _phone_item(overview),
        )
        return () if all(item.is_done for item in items) else items

    def _calls(self, tenant: WebTenant, connected: int) -> Translatable:
        """Return a text on the calls that the tenant's accounts make to Google; empty if calls are not limited."""
        admin = self._dependencies.admin
        sources = len([source for source in tenant.sources if source is not Source.DIRECTORY]) or 1
        estimate = CallEstimate(connected, sources, admin.sync_interval, admin.calls_per_minute)
        if estimate.limit is None or not connected:
            return ""
        values = {
            "accounts": connected,
            "calls": sources,
            "minutes": f"{admin.sync_interval / 60:g}",
            "rate": f"{estimate.calls_per_minute:.1f}",
            "limit": estimate.limit,
            "fitting": estimate.fitting_interval or 0,
        }
        return Phrase(_TEXTS.too_many_calls if estimate.fitting_interval else _TEXTS.calls, values)


def _phone_item(overview: _Overview) -> ChecklistItem:
    """Return the checklist's step "First phone works", which says what to do about the phones that do not work."""
    # The phone with the worst problem determines the hint.
    worst = next(filter(overview.summary.phones_in, _PHONE_PATHS), None)
    path, hint = (_PHONE_PATHS[worst], _TEXTS.phone_hints[worst]) if worst else ("admin/phones", "")
    return ChecklistItem(overview.has_working_phone, _TEXTS.phone_step, path, hint)


class AdminActivity:
    """The page of the activity log."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def routes(self) -> tuple[Route, ...]:
        return (
            get("/<tenant>/admin/activity", self.show, RequiredRole.ADMIN),
            post("/<tenant>/admin/activity", self.show, RequiredRole.ADMIN),
            get("/<tenant>/admin/activity/csv", self.download, RequiredRole.ADMIN),
        )

    async def show(self, visit: Visit) -> HttpResponse:
        """``/{tenant}/admin/activity``: show a page of the log."""
        acts, table = await visit.store.read(_read_log, visit.tenant.name, visit.query, visit.form)
        return await visit.page(
            "admin_activity.html",
            table=table,
            acts=acts,
            act_words=record_texts.act_words,
            actor_words=record_texts.actor_words,
            keep_days=round(visit.tenant.activity_keep / 86400),
        )

    async def download(self, visit: Visit) -> HttpResponse:
        """``/{tenant}/admin/activity/csv``: send the whole log, the oldest entries first."""
        octets = await visit.store.read(_activity_csv, visit.tenant.name)
        when = datetime.fromtimestamp(self._layout.now(), UTC).astimezone()
        name = f"{visit.tenant.name}-activity-{when:%Y-%m-%d}.csv"
        return HttpResponse(200, octets, "text/csv; charset=utf-8", attachment(name))


def _read_log(
    connection: Connection, tenant: str, query: Mapping[str, str], form: Mapping[str, str]
) -> tuple[Iterable[str], Table[ActivityEntry]]:
    """Return the acts in the log, and the page of the log that a query asks for.

    The database finds the page's entries, because a log may be too long to read all entries.  The filter is an act, the
    search finds persons and phones, and the sorting ``when`` begins with the oldest entries.
    """
    acts = activity.count_acts(connection, tenant)
    wanted = TableQuery.of(query, form, ("when",), acts)
    act, person, oldest_first = wanted.show, wanted.find, wanted.sort == "when"
    log = activity.read_page(connection, tenant, act=act, person=person, number=wanted.page, oldest_first=oldest_first)
    shown = replace(wanted, page=log.number)
    return acts, Table(log.entries, shown, log.pages, log.total, sum(acts.values()), counts={})


def _activity_csv(connection: Connection, tenant: str) -> bytes:
    return csv_of_texts(activity.table(activity.read_since(connection, tenant, 0.0)))


def _overview(connection: Connection, tenant: WebTenant, now: float) -> _Overview:
    known = accounts.read_all(connection, tenant.name)
    marks, held = leavers.read(connection, tenant.name), leavers.read_held(connection, tenant.name)
    stayed = [account for account in known if account.id not in marks]
    logins = phones.read_by_tenant(connection, tenant.name)
    return _Overview(
        connected=sum(account.is_connected for account in known),
        has_synced=any(account.last_sync is not None for account in known),
        testing=tuple(_testing(known, now)),
        summary=summarize(known, logins, now).get(tenant.name, Summary()),
        needing_action=sum(bool(row.action) for row in read_people(connection, tenant, now)),
        reminded=tuple((account.address, reason) for account in stayed if (reason := reminder(account, now))),
        has_working_phone=any(login.worked_at is not None for login in logins),
        alarm=tenants.read_alarm(connection, tenant.name),
        held=held.count if held else 0,
        is_unused=not accounts.has_any(connection),
        days=sync_history.summarize_tenant(connection, tenant.name, now),
        gateways=_gateways(connection),
        sites=frozenset(
            phones.site_of(login.last_address)
            for login in logins
            # The address may have belonged to somebody else before.
            if login.last_address and (login.last_seen or 0.0) > now - phones.REFUSAL_SECONDS
        ),
    )


def _certificate(expires_at: float | None, near_expiry: float | None, now: float) -> Alert:
    """Return a notice on the validity of the LDAP certificate.

    The notice is about a problem only if the certificate must be renewed.

    :param expires_at: expiry in seconds since the epoch, or None if there is no certificate.
    :param near_expiry: the value of `expires_at` if the expiry is near, or else None.
    """
    if expires_at is None:
        return Alert("quiet", "", _TEXTS.no_certificate, document="certificates")
    kind, sentence = "good", _TEXTS.certificate_valid
    if expires_at <= now:
        kind, sentence = "bad", _TEXTS.certificate_expired
    elif near_expiry is not None:
        kind, sentence = "warn", _TEXTS.certificate_expires
    sentence_with_time = Phrase(sentence, {"when": Timestamp(expires_at)})
    return Alert(kind, _TEXTS.renew_certificate, sentence_with_time, document="certificates" if kind != "good" else "")


def _testing(known: Iterable[Account], now: float) -> Iterable[Alert]:
    """Yield a notice if the consent of an account shows that the Google client is in "Testing"."""
    ends = [account.refresh_expires_at for account in known if is_of_testing(account)]
    coming = [when for when in ends if when is not None and when > now]
    text, values = _TEXTS.testing.sentence, dict[str, object](people=len(ends))
    if coming:
        text, values["when"] = _TEXTS.testing_with_next, Timestamp(min(coming))
    if ends:
        yield Alert("warn", _TEXTS.testing.title, Phrase(text, values), _AUDIENCE, document=_TEXTS.testing.document)


def _gateways(connection: Connection) -> tuple[KnownGateway, ...]:
    """Return the gateways that share the database, or an empty tuple if only one gateway is known."""
    if not database_of(connection).runs_beside:
        return ()
    known = gateways.without_replaced(gateways.read_all(connection))
    return known if len(known) > 1 else ()


def _watched(connection: Connection, tenant: str) -> tuple[list[str], Sequence[PhoneLogin]]:
    known = accounts.read_all(connection, tenant)[:_WATCHED]
    return [account.sub for account in known], phones.read_by_tenant(connection, tenant)[:_WATCHED]
