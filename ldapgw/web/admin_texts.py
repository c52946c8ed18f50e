# SPDX-License-Identifier: MIT
"""The texts of the administration: alarms, the certificate, calls to Google and reminders.  Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ldapgw.google.people import CallEstimate
from ldapgw.phrase import Phrase, Timestamp, Translatable, gettext_noop
from ldapgw.store.account_status import is_of_testing
from ldapgw.store.accounts import Account
from ldapgw.store.tenants import Alarm

# The reminder of an expiring consent appears this long before the end.
EXPIRY_REMINDER_SECONDS = 3 * 86400.0
# Errors that the account's owner must resolve on the account page.
_OWNER_ERRORS = frozenset({"consent_revoked", "scope_missing", "suspicious_shrink"})

# By the code of a tenant's alarm: the problem, and what to do.
ALARM_TEXTS: Mapping[str, tuple[str, str]] = {
    "client_rejected": (
        gettext_noop("Google rejects your OAuth client"),
        gettext_noop(
            "No account can sync. Phones still find the contacts from the last sync. Compare the client ID and secret "
            "with the Google console, or enter the client again."
        ),
    ),
    "api_disabled": (
        gettext_noop("The People API isn’t enabled"),
        gettext_noop(
            "No account can sync. Phones still find the contacts from the last sync. Enable the Google People API in "
            "the client’s project. The gateway tries again within an hour, or as soon as you sync an account."
        ),
    ),
}


_CALLS = gettext_noop(
    "When nothing changes, the gateway makes %(rate)s calls to Google per minute (%(accounts)s accounts × "
    "%(calls)s every %(minutes)s minutes). Google allows %(limit)s."
)
_TOO_MANY_CALLS = gettext_noop(
    "When nothing changes, the gateway would make %(rate)s calls to Google per minute (%(accounts)s accounts × "
    "%(calls)s every %(minutes)s minutes). Google allows only %(limit)s, so syncs are delayed. An interval of "
    "%(fitting)s minutes would fit."
)


_AUDIENCE = "https://console.cloud.google.com/auth/audience"
_TESTING = gettext_noop(
    "Google ends each person’s access 7 days after they connect (people affected: %(people)s). In the Google console, "
    "click “Publish app” under Audience. Then ask everyone to reconnect."
)
_TESTING_NEXT = gettext_noop(
    "Google ends each person’s access 7 days after they connect (people affected: %(people)s; the next access ends on "
    "%(when)s). In the Google console, click “Publish app” under Audience. Then ask everyone to reconnect."
)

NOT_ADMITTED = gettext_noop(
    "This person is no longer in allowed_users, but is still synced. Disconnect or remove them, or add them to the "
    "configuration again."
)


@dataclass(frozen=True, slots=True)
class CertificateStatus:
    """The validity of the certificate: the CSS class of the colour, and a sentence."""

    kind: str
    sentence: Translatable


def reminder(account: Account, now: float) -> Translatable:
    """Why an account's owner must be reminded, in a few words; empty if no reminder is needed."""
    if not account.is_connected:
        return ""
    if account.error is not None and account.error.code in _OWNER_ERRORS:
        return {
            "consent_revoked": gettext_noop("needs to reconnect"),
            "scope_missing": gettext_noop("needs to check the box for contacts"),
            "suspicious_shrink": gettext_noop("needs to confirm the removal of many contacts"),
        }[account.error.code]
    expiry = account.refresh_expires_at
    if expiry is not None and expiry - now < EXPIRY_REMINDER_SECONDS:
        return Phrase(gettext_noop("needs to reconnect before %(when)s"), {"when": Timestamp(expiry)})
    return ""


def calls_text(estimate: CallEstimate) -> Translatable:
    """How many calls the accounts make, and which interval would fit; empty where calls are not limited."""
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
    return Phrase(_TOO_MANY_CALLS if estimate.fitting_interval else _CALLS, values)


def certificate_status(expires_at: float | None, near_expiry: float | None, now: float) -> CertificateStatus:
    """The validity of the LDAP certificate.

    :param expires_at: expiry in seconds since the epoch; None: no certificate.
    :param near_expiry: the same, but None if the expiry is not near.
    """
    if expires_at is None:
        return CertificateStatus("quiet", gettext_noop("There’s no certificate, so phones connect without encryption."))
    values = {"when": Timestamp(expires_at)}
    if expires_at <= now:
        return CertificateStatus("bad", Phrase(gettext_noop("It expired on %(when)s. Renew it."), values))
    if near_expiry is not None:
        return CertificateStatus("warn", Phrase(gettext_noop("It expires on %(when)s. Renew it."), values))
    return CertificateStatus("good", Phrase(gettext_noop("It is valid until %(when)s."), values))


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


DATABASE_ALERT = Alert(
    "bad",
    gettext_noop("The gateway can’t use its database"),
    gettext_noop(
        "Nothing can be synced or changed. Phones still find the contacts from the last sync. The gateway’s log "
        "has the details."
    ),
)


def testing_alert(accounts: Sequence[Account], now: float) -> Alert | None:
    """The alert that the Google client is in "Testing"; None: no consent says so."""
    ends = [account.refresh_expires_at for account in accounts if is_of_testing(account)]
    if not ends:
        return None
    coming = [when for when in ends if when is not None and when > now]
    values: dict[str, object] = {"people": len(ends)}
    text = _TESTING
    if coming:
        text, values["when"] = _TESTING_NEXT, Timestamp(min(coming))
    return Alert("warn", gettext_noop("Your Google client is in “Testing”"), Phrase(text, values), _AUDIENCE)


def tenant_alert(alarm: Alarm) -> Alert:
    """The alert of a tenant's alarm."""
    title, sentence = ALARM_TEXTS.get(alarm.code, (alarm.code, ""))
    return Alert("bad", title, sentence, alarm.link, alarm.since)
