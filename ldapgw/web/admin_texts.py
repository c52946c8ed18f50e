# SPDX-License-Identifier: MIT
"""The texts of the administration: alarms, the certificate, calls to Google and reminders.  Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ldapgw.google.people import CallEstimate
from ldapgw.phrase import Phrase, Texts, Timestamp, Translatable, read_texts
from ldapgw.store.account_status import is_of_testing
from ldapgw.store.accounts import Account, ErrorStatus

# The reminder of an expiring consent appears this long before the end.
EXPIRY_REMINDER_SECONDS = 3 * 86400.0
_AUDIENCE = "https://console.cloud.google.com/auth/audience"


class _AlertText(Texts, frozen=True):
    """A problem, and what to do."""

    title: str
    sentence: str


class _TestingText(_AlertText, frozen=True):
    """The problem that the Google client is in "Testing".

    :ivar sentence_with_next: the sentence if the end of a consent is known.
    """

    sentence_with_next: str


class _CertificateTexts(Texts, frozen=True):
    """The validity of the LDAP certificate."""

    none: str
    expired: str
    expires: str
    valid: str


class StepText(Texts, frozen=True):
    """The text of a step of the first set-up."""

    title: str
    hint: str


class _ChecklistTexts(Texts, frozen=True):
    """The steps of the first set-up."""

    client: StepText
    certificate: StepText
    address: StepText
    person: StepText
    phone: StepText


class _OverviewTexts(Texts, frozen=True):
    """The texts of the administration's first page."""

    certificate: str
    new_store: _AlertText
    checklist: _ChecklistTexts


class Question(Texts, frozen=True):
    """The question before an act on people or phones."""

    title: str
    sentence: str
    button: str
    is_danger: bool = True


class _PeopleTexts(Texts, frozen=True):
    """The texts of the pages about people.

    :ivar owner_page: stands for the address of a page that only its owner sees.
    :ivar outcomes: how the end of an account went.
    :ivar filters: the titles of the table's filters.
    :ivar questions: by act.
    """

    owner_page: str
    outcomes: Mapping[str, str]
    filters: Mapping[str, str]
    questions: Mapping[str, Question]


class _PhoneTexts(Texts, frozen=True):
    """The texts of the pages about phones.

    :ivar same_file: the title of the filter for the phones whose passwords are in one ZIP file.
    :ivar filters: the titles of the table's other filters.
    :ivar questions: by act.
    """

    bad_name: str
    taken: str
    no_model: str
    no_owner: str
    same_file: str
    filters: Mapping[str, str]
    questions: Mapping[str, Question]


class _GoogleTexts(Texts, frozen=True):
    """The errors of the form for the OAuth client at Google."""

    incomplete: str
    desktop: str
    no_client_file: str
    rejected: str
    unconfirmed: str
    unverified: str


class _AdminTexts(Texts, frozen=True):
    """The texts of the administration.

    :ivar alarms: by the code of a tenant's alarm.
    :ivar reminders: by an error that the account's owner must resolve on the account page; ``consent_ends`` is for a
        consent that ends soon.
    """

    calls: str
    too_many_calls: str
    not_admitted: str
    alarms: Mapping[str, _AlertText]
    database: _AlertText
    testing: _TestingText
    reminders: Mapping[str, str]
    certificate: _CertificateTexts
    overview: _OverviewTexts
    people: _PeopleTexts
    phones: _PhoneTexts
    google: _GoogleTexts


TEXTS = read_texts("web/texts/admin", _AdminTexts)


@dataclass(frozen=True, slots=True)
class CertificateStatus:
    """The validity of the certificate: the CSS class of the colour, and a sentence."""

    kind: str
    sentence: Translatable


def reminder(account: Account, now: float) -> Translatable:
    """Why an account's owner must be reminded, in a few words; empty if no reminder is needed."""
    if not account.is_connected:
        return ""
    if account.error is not None and account.error.code in TEXTS.reminders:
        return TEXTS.reminders[account.error.code]
    expiry = account.refresh_expires_at
    if expiry is not None and expiry - now < EXPIRY_REMINDER_SECONDS:
        return Phrase(TEXTS.reminders["consent_ends"], {"when": Timestamp(expiry)})
    return ""


def calls_text(estimate: CallEstimate) -> Translatable:
    """Return how many calls the accounts make, and the interval that fits; empty where calls are not limited."""
    if estimate.limit is None or not estimate.accounts:
        return ""
    values = {
        "accounts": estimate.accounts,
        "calls": estimate.sources,
        "minutes": f"{estimate.interval / 60:g}",
        "rate": f"{estimate.calls_per_minute:.1f}",
        "limit": estimate.limit,
        "fitting": estimate.fitting_interval or 0,
    }
    return Phrase(TEXTS.too_many_calls if estimate.fitting_interval else TEXTS.calls, values)


def certificate_status(expires_at: float | None, near_expiry: float | None, now: float) -> CertificateStatus:
    """The validity of the LDAP certificate.

    :param expires_at: expiry in seconds since the epoch; None: no certificate.
    :param near_expiry: the same, but None if the expiry is not near.
    """
    if expires_at is None:
        return CertificateStatus("quiet", TEXTS.certificate.none)
    values = {"when": Timestamp(expires_at)}
    if expires_at <= now:
        return CertificateStatus("bad", Phrase(TEXTS.certificate.expired, values))
    if near_expiry is not None:
        return CertificateStatus("warn", Phrase(TEXTS.certificate.expires, values))
    return CertificateStatus("good", Phrase(TEXTS.certificate.valid, values))


@dataclass(frozen=True, slots=True)
class Alert:
    """A problem that concerns the whole tenant, said once.

    :ivar kind: the CSS class of the colour: ``bad`` or ``warn``.
    :ivar link: address at Google where the problem can be fixed; empty: none.
    :ivar since: in seconds since the epoch; None: not known.
    """

    kind: str
    title: Translatable
    sentence: Translatable
    link: str = ""
    since: float | None = None


DATABASE_ALERT = Alert("bad", TEXTS.database.title, TEXTS.database.sentence)


def testing_alert(accounts: Sequence[Account], now: float) -> Alert | None:
    """The alert that the Google client is in "Testing"; None: no consent says so."""
    ends = [account.refresh_expires_at for account in accounts if is_of_testing(account)]
    if not ends:
        return None
    coming = [when for when in ends if when is not None and when > now]
    values: dict[str, object] = {"people": len(ends)}
    text = TEXTS.testing.sentence
    if coming:
        text, values["when"] = TEXTS.testing.sentence_with_next, Timestamp(min(coming))
    return Alert("warn", TEXTS.testing.title, Phrase(text, values), _AUDIENCE)


def tenant_alert(alarm: ErrorStatus) -> Alert:
    """The alert of a tenant's alarm."""
    text = TEXTS.alarms.get(alarm.code) or _AlertText(alarm.code, "")
    return Alert("bad", text.title, text.sentence, alarm.link, alarm.since)
