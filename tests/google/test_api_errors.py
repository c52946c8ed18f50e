# SPDX-License-Identifier: MIT
"""The tests give each error of the People API a single meaning."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ldapgw.contact import Source
from ldapgw.errors import (
    AccessTokenRejected,
    ApiDisabled,
    BadResponse,
    ClientRejected,
    GoogleError,
    GoogleRefused,
    GoogleUnavailable,
    QuotaExceeded,
    ScopeMissing,
    SourceUnavailable,
    SyncTokenExpired,
)
from ldapgw.google.api_errors import read_refusal
from ldapgw.google.http import GoogleResponse
from tests.support.examples import examples

from .samples import SAMPLES, answer, any_json

CONSOLE = "https://console.developers.google.com/apis/api/people.googleapis.com/overview?project=123456789012"
URLS = {
    "people/me/connections": Source.CONTACTS,
    "otherContacts": Source.OTHER_CONTACTS,
    "people:listDirectoryPeople": Source.DIRECTORY,
}


def read(
    status: int, body: object, source: Source | None = Source.CONTACTS, *, incremental: bool = False
) -> GoogleError:
    octets = body if isinstance(body, bytes) else json.dumps({"error": body}).encode()
    return read_refusal(GoogleResponse(status, octets, 30.0), source, incremental=incremental)


SENT = [
    ("error_expired_sync_token_400", SyncTokenExpired, "HTTP 400 EXPIRED_SYNC_TOKEN"),
    ("error_expired_sync_token_400_precondition", SyncTokenExpired, "HTTP 400 EXPIRED_SYNC_TOKEN"),
    ("error_expired_sync_token_410", SyncTokenExpired, "HTTP 410"),
    ("error_invalid_argument_400", BadResponse, "HTTP 400"),
    ("error_directory_consumer_400", SourceUnavailable, "HTTP 400"),
    ("error_unauthenticated_401", AccessTokenRejected, "HTTP 401 ACCESS_TOKEN_EXPIRED"),
    ("error_service_disabled_403", ApiDisabled, "HTTP 403 SERVICE_DISABLED accessNotConfigured"),
    ("error_scope_insufficient_403", ScopeMissing,
     "HTTP 403 ACCESS_TOKEN_SCOPE_INSUFFICIENT insufficientPermissions"),
    ("error_permission_denied_directory_403", SourceUnavailable, "HTTP 403"),
    ("error_rate_limit_403_old_style", QuotaExceeded, "HTTP 403 rateLimitExceeded"),
    ("error_resource_exhausted_429", QuotaExceeded, "HTTP 429 RATE_LIMIT_EXCEEDED"),
    ("error_resource_exhausted_429_retry_after", QuotaExceeded, "HTTP 429"),
    ("error_internal_500", GoogleUnavailable, "HTTP 500"),
    ("error_unavailable_503", GoogleUnavailable, "HTTP 503"),
    ("error_bad_gateway_502_html", GoogleUnavailable, "HTTP 502"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "error", "detail"), SENT)
def test_samples(name, error, detail):
    """The table has Google's errors with the requests that caused them."""
    request = SAMPLES[name]["request"]
    (source,) = (source for end, source in URLS.items() if request["url"].endswith(end))
    status, _, body = answer(name)
    found = read_refusal(GoogleResponse(status, body), source, incremental="syncToken" in request["query"])
    assert (type(found), found.detail.partition(":")[0]) == (error, detail)


def test_all_samples_read():
    """The table above has every sample of an error."""
    assert {name for name, _, _ in SENT} == {name for name in SAMPLES if name.startswith("error_")}


def info(reason: object) -> dict[str, object]:
    return {"details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}]}


@pytest.mark.parametrize(
    ("status", "body", "source", "incremental", "error"),
    [
        (400, {"status": "INVALID_ARGUMENT"}, Source.CONTACTS, True, SyncTokenExpired),
        (400, {"status": "FAILED_PRECONDITION"}, Source.CONTACTS, True, SyncTokenExpired),
        (400, b"<html>", Source.CONTACTS, True, SyncTokenExpired),
        (400, info("EXPIRED_SYNC_TOKEN"), Source.CONTACTS, False, BadResponse),
        (410, {}, Source.CONTACTS, False, BadResponse),
        (400, {"status": "FAILED_PRECONDITION"}, Source.DIRECTORY, False, SourceUnavailable),
        (400, {"status": "FAILED_PRECONDITION"}, Source.DIRECTORY, True, SyncTokenExpired),
        (400, {"status": "FAILED_PRECONDITION"}, Source.CONTACTS, False, BadResponse),
        (400, {"status": "INVALID_ARGUMENT"}, Source.DIRECTORY, False, BadResponse),
        (403, {"status": "PERMISSION_DENIED"}, Source.CONTACTS, False, GoogleRefused),
        (403, {"status": "RESOURCE_EXHAUSTED"}, Source.CONTACTS, False, QuotaExceeded),
        (403, {"status": "RESOURCE_EXHAUSTED"}, Source.DIRECTORY, False, QuotaExceeded),
        (403, {"errors": [{"reason": "dailyLimitExceeded"}]}, None, False, QuotaExceeded),
        (403, {"errors": [{"reason": "userRateLimitExceededUnreg"}]}, Source.OTHER_CONTACTS, True, QuotaExceeded),
        (403, {"errors": [{"reason": "domainPolicy"}]}, Source.CONTACTS, False, GoogleRefused),
        (403, info("CONSUMER_SUSPENDED"), Source.CONTACTS, False, ClientRejected),
        (403, info("USER_PROJECT_DENIED"), Source.DIRECTORY, False, ClientRejected),
        (409, {"status": "ABORTED"}, Source.CONTACTS, False, GoogleUnavailable),
        (408, {}, Source.CONTACTS, False, GoogleUnavailable),
        (499, {"status": "CANCELLED"}, Source.DIRECTORY, False, GoogleUnavailable),
        (403, b"", Source.DIRECTORY, True, SourceUnavailable),
        (403, info("ACCESS_TOKEN_SCOPE_INSUFFICIENT"), Source.DIRECTORY, False, ScopeMissing),
        (403, info("SERVICE_DISABLED"), Source.DIRECTORY, False, ApiDisabled),
        (403, {"errors": [{"reason": "accessNotConfigured"}]}, None, False, ApiDisabled),
        (403, {"errors": [{"reason": "userRateLimitExceeded"}]}, Source.DIRECTORY, False, QuotaExceeded),
        (403, {"errors": [{"reason": "quotaExceeded"}]}, None, False, QuotaExceeded),
        (401, b"", None, False, AccessTokenRejected),
        (401, {"errors": [{"reason": "authError"}]}, Source.CONTACTS, True, AccessTokenRejected),
        (404, {}, Source.CONTACTS, False, BadResponse),
        (404, b"not found", Source.CONTACTS, True, BadResponse),
        (301, b"", Source.CONTACTS, True, BadResponse),
        (204, b"", Source.CONTACTS, False, BadResponse),
        (400, b"[" * 100_000, Source.CONTACTS, False, BadResponse),
        (500, {"errors": [{"reason": "backendError"}]}, Source.CONTACTS, False, GoogleUnavailable),
        (429, b"", Source.CONTACTS, True, QuotaExceeded),
        (400, info("RATE_LIMIT_EXCEEDED") | {"errors": [{"reason": "authError"}]}, None, False, QuotaExceeded),
        (400, info("NEW_REASON") | {"errors": [{"reason": "authError"}]}, None, False, AccessTokenRejected),
        (403, {"errors": [{"reason": "forbidden"}, {"reason": "authError"}]}, Source.CONTACTS, False, GoogleRefused),
        (403, {"errors": [{"reason": "forbidden"}]}, None, False, SourceUnavailable),
        (403, {"status": "PERMISSION_DENIED"}, Source.OTHER_CONTACTS, True, SourceUnavailable),
        (404, {"code": 404}, Source.OTHER_CONTACTS, False, SourceUnavailable),
        (404, b"", None, False, SourceUnavailable),
        (404, b"not found", Source.OTHER_CONTACTS, False, BadResponse),
        (403, b"<html>Sorry, your network may be sending automated queries", Source.DIRECTORY, False, BadResponse),
        (403, b"<html>", None, True, BadResponse),
    ],
    ids=lambda value: str(value)[:60],
)
def test_decision(status, body, source, incremental, error):
    """The new reason counts before the old reason, and then the code. The name of the status decides nothing."""
    assert type(read(status, body, source, incremental=incremental)) is error


@pytest.mark.parametrize("status", [403, 429, 503])
def test_retry_after(status):
    """An error that allows a later retry has the waiting time."""
    assert read(status, {"errors": [{"reason": "rateLimitExceeded"}]}).retry_after == 30.0


SHOWN = (CONSOLE, "https://console.cloud.google.com/x", "https://x.googleapis.com/")
NOT_SHOWN = (
    *("http://console.developers.google.com/", "https://google.com.evil.example/", "https://evilgoogle.com/"),
    *("https://google.com/", "https://evil.example/.google.com", "https://evil.example#.google.com"),
    *("https://evil.example\\.google.com/", "https://console.google.com@evil.example/", "https://[::1.google.com/"),
    *("https://a@console.google.com/", "https://console.google.com:8443/", "https://console.google.com/ x"),
    *('https://console.google.com/"onclick=', "https://console.google.com/é", "javascript:alert(1)"),
    *("https://console.google.com/" + "x" * 500, None, {"url": CONSOLE}),
)


@pytest.mark.parametrize("url", [*SHOWN, *NOT_SHOWN], ids=str)
def test_activation_url(url):
    """An administrator gets only a page that surely is Google's."""
    error = info("SERVICE_DISABLED")
    error["details"][0]["metadata"] = {"activationUrl": url}
    found = read(403, error)
    assert isinstance(found, ApiDisabled)
    assert found.activation_url == (url if url in SHOWN else "")


def test_detail_holds_words_alone():
    """The log gets a text from the server only if the text is a short word."""
    assert read(400, info("bad reason\nwith a line")).detail == "HTTP 400"
    assert read(400, info("X" * 61)).detail == "HTTP 400"


JSON = any_json("error", "errors", "details", "reason", "@type", "metadata", "message", "activationUrl")


@settings(max_examples=examples(200), deadline=None)
@given(JSON, st.sampled_from([400, 401, 403, 410, 418, 429, 500]), st.booleans())
def test_any_body(body, status, incremental):
    """Any JSON value gives an error of the gateway."""
    assert isinstance(read(status, json.dumps(body).encode(), Source.DIRECTORY, incremental=incremental), GoogleError)


@pytest.mark.parametrize(
    ("metadata", "names", "is_of_project"),
    [
        ({"quota_limit": "ReadsPerMinutePerProject", "quota_metric": "people.googleapis.com/reads"}, True, True),
        (
            {"quota_limit": "ReadsPerMinutePerProjectPerUser", "quota_metric": "people.googleapis.com/reads"},
            True,
            False,
        ),
        ({"quota_limit": "for alice@example.com", "quota_metric": 7}, False, False),
        ({}, False, False),
        (None, False, False),
    ],
)
def test_a_quota_has_googles_names(metadata, names, is_of_project):
    """The error has only words that look like names of quotas.

    The limit tells whether the whole project is affected.
    """
    error = info("RATE_LIMIT_EXCEEDED")
    error["details"][0]["metadata"] = metadata
    body = json.dumps({"error": error}).encode()
    found = read_refusal(GoogleResponse(429, body), Source.CONTACTS, incremental=True)
    assert isinstance(found, QuotaExceeded)
    assert found.is_of_project is is_of_project
    expected = {"limit": metadata["quota_limit"], "metric": metadata["quota_metric"]} if names else {}
    assert found.facts == expected
    assert found.detail == "HTTP 429 RATE_LIMIT_EXCEEDED" + (" ({limit} {metric})".format(**expected) if names else "")
