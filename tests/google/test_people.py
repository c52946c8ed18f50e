# SPDX-License-Identifier: MIT
"""Listings read all pages with the right parameters, and give a sync token only at the end."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from twisted.internet.defer import Deferred, ensureDeferred, execute

from ldapgw.contact import Source
from ldapgw.errors import BadResponse, GoogleUnavailable, QuotaExceeded, SourceUnavailable, SyncTokenExpired
from ldapgw.google import people
from ldapgw.google.listing_page import PersonPage, Persons
from ldapgw.google.people import LISTINGS, People, fingerprint
from tests.support.results import result_of
from tests.support.spoilt_persons import PERSONS

from .double import ENDPOINTS, NOW, Google, clock_at, ok
from .samples import SAMPLES, answer

_FIELDS = "metadata,names,nicknames,phoneNumbers,emailAddresses,organizations,addresses,urls,sipAddresses"
_COMMON = {"pageSize": ["1000"], "prettyPrint": ["false"], "requestSyncToken": ["true"]}
PARAMS = {
    Source.CONTACTS: _COMMON
    | {
        "personFields": [f"{_FIELDS},memberships"],
        "sources": ["READ_SOURCE_TYPE_CONTACT", "READ_SOURCE_TYPE_PROFILE"],
    },
    Source.OTHER_CONTACTS: _COMMON | {"readMask": ["metadata,names,emailAddresses,phoneNumbers"]},
    Source.DIRECTORY: _COMMON
    | {
        "readMask": [_FIELDS],
        "sources": ["DIRECTORY_SOURCE_TYPE_DOMAIN_CONTACT", "DIRECTORY_SOURCE_TYPE_DOMAIN_PROFILE"],
    },
}


FULL = ["connections_full_first_page", "connections_full_last_page"]


def service(google: Google) -> People:
    return People(google.http, ENDPOINTS, clock_at(NOW), execute)


async def authorized(call: Callable[[str], Awaitable[Any]]) -> Any:
    return await call("ya29.EXAMPLE")


def as_they_are(persons: Persons) -> Persons:
    return tuple(persons)


def listing(
    google: Google, source: Source = Source.CONTACTS, sync_token: str | None = None, **more: Any
) -> list[PersonPage[Persons]]:
    """Return all pages of a listing. The service gets `more`."""

    async def collect() -> list[PersonPage[Persons]]:
        return [page async for page in service(google).pages(source, authorized, sync_token, as_they_are, **more)]

    return result_of(collect())


def shape(page: PersonPage[Persons]) -> tuple[int, str, int | None]:
    return len(page.content), page.next_sync_token, page.total


@pytest.mark.parametrize("source", list(Source))
def test_request(source):
    """A full sync sends exactly these parameters, and the token in a header."""
    google = Google(ok({"nextSyncToken": "S"}))
    listing(google, source)
    (request,) = google.requests
    assert (request.method, request.url, request.args) == (
        "GET",
        ENDPOINTS.people_api + LISTINGS[source].path,
        PARAMS[source],
    )
    assert request.headers["authorization"] == "Bearer ya29.EXAMPLE"


def test_whose_quota():
    """A header names the user of the quota, so sync tokens stay valid."""
    google = Google(ok({"nextSyncToken": "S"}))
    listing(google, quota_user="1001")
    result_of(service(google).labels(authorized, None, quota_user="1002"))
    result_of(service(google).labels(authorized, None))
    assert google.requests[0].args == PARAMS[Source.CONTACTS]
    assert [request.headers.get("x-goog-quota-user") for request in google.requests] == ["1001", "1002", None]


@pytest.mark.parametrize("source", Source)
def test_photos(source):
    """The request adds only photos to the mask, and has another fingerprint than requests without photos."""
    google = Google(ok({"nextSyncToken": "S"}))
    listing(google, source, photos=True)
    (request,) = google.requests
    [mask] = {"personFields", "readMask"} & PARAMS[source].keys()
    assert request.args == PARAMS[source] | {mask: [f"{PARAMS[source][mask][0]},photos"]}
    assert fingerprint(source, photos=True) not in FINGERPRINTS


def test_full():
    """The second page is requested with the same parameters and the page token."""
    google = Google(*map(answer, FULL))
    pages = listing(google)
    assert list(map(shape, pages)) == [(9, "", 17), (8, "EJ3x-EXAMPLE-SYNC-0001==", 17)]
    assert pages[0].content == tuple(SAMPLES["connections_full_first_page"]["body"]["connections"])
    assert [request.args for request in google.requests] == [
        PARAMS[Source.CONTACTS],
        PARAMS[Source.CONTACTS] | {"pageToken": ["GgkKBAgBEgAgAQ-EXAMPLE-PAGE2"]},
    ]


LISTED = {
    "an empty account": (
        ["connections_full_empty_account"], Source.CONTACTS, None, [(0, "EJ3x-EXAMPLE-SYNC-EMPTY==", None)]),
    "an empty page that is not the last": (
        ["connections_empty_page_with_next", "connections_full_last_page"], Source.CONTACTS, None,
        [(0, "", 17), (8, "EJ3x-EXAMPLE-SYNC-0001==", 17)]),
    "other contacts": (["other_contacts_full"], Source.OTHER_CONTACTS, None, [(4, "EXAMPLE-OTHER-SYNC-1", 4)]),
    "the directory": (
        ["directory_full_first_page", "directory_full_last_page"], Source.DIRECTORY, None,
        [(2, "", None), (1, "EXAMPLE-DIR-SYNC-1", None)]),
    "changes": (["connections_incremental"], Source.CONTACTS, "OLD==", [(4, "EJ3x-EXAMPLE-SYNC-0002==", None)]),
    "no change": (
        ["connections_incremental_nothing_changed"], Source.CONTACTS, "OLD==",
        [(0, "EJ3x-EXAMPLE-SYNC-0003==", None)]),
    "changes of other contacts": (
        ["other_contacts_incremental"], Source.OTHER_CONTACTS, "OLD==", [(1, "EXAMPLE-OTHER-SYNC-2", 3)]),
    "changes of the directory": (
        ["directory_incremental"], Source.DIRECTORY, "OLD==", [(1, "EXAMPLE-DIR-SYNC-2", None)]),
}  # fmt: skip


@pytest.mark.parametrize(("names", "source", "sync_token", "shapes"), LISTED.values(), ids=LISTED)
def test_samples(names, source, sync_token, shapes):
    """The table has Google's pages. An incremental sync adds the sync token to the same parameters."""
    google = Google(*map(answer, names))
    assert list(map(shape, listing(google, source, sync_token))) == shapes
    assert google.requests[0].args == PARAMS[source] | ({"syncToken": [sync_token]} if sync_token else {})


@pytest.mark.parametrize(
    "bodies",
    [
        [{"nextPageToken": 5}],
        [{"nextSyncToken": ["S"]}],
        [{"nextSyncToken": "S" * (16 * 1024 + 1)}],
        [{"nextPageToken": "P" * (16 * 1024 + 1)}],
        [{"connections": {}, "nextSyncToken": "S"}],
        [{"connections": None, "nextSyncToken": "S"}],
        [{"nextSyncToken": "S\0"}],
        [{"nextPageToken": "\ud83d"}],
        [[]],
        ["text"],
        [None],
    ],
    ids=lambda bodies: json.dumps(bodies)[:40],
)
def test_wrong_shape(bodies):
    """A page of another shape, or with a token that is no text or too long, is a bad response."""
    with pytest.raises(BadResponse):
        listing(Google(*map(ok, bodies)))


@pytest.mark.parametrize("spoilt", PERSONS.values(), ids=PERSONS)
def test_spoilt_persons(spoilt):
    """A spoilt person does not affect other persons, even with quotation marks and brackets in texts."""
    good = {"resourceName": "people/c1", "nicknames": [{"value": '[{"}]\\'}]}
    encoded = json.dumps(good).encode()
    body = b'{"connections":[%s,%s,%s],"nextSyncToken":"S","totalItems":3}' % (encoded, spoilt, encoded)
    [page] = listing(Google((200, {}, body)))
    assert (page.content[0], page.content[2], shape(page)) == (good, good, (3, "S", 3))


@pytest.mark.parametrize("tokens", ["AA", "ABA", "ABB"])
def test_page_token_twice(tokens):
    """A repeated page token is an error, because Google has been seen to repeat a page without end."""
    google = Google(*(ok({"nextPageToken": token}) for token in tokens))
    with pytest.raises(BadResponse, match="the same page token twice"):
        listing(google)
    assert len(google.requests) == len(tokens)


@pytest.mark.parametrize(
    ("last", "token"), [({}, ""), ({"connections": []}, ""), ({"nextSyncToken": ""}, ""), ({"nextSyncToken": "S"}, "S")]
)
def test_early_sync_token(last, token):
    """A sync token before the last page is dropped, because the changes of later pages would be lost."""
    google = Google(ok({"nextPageToken": "A", "nextSyncToken": "EARLY"}), ok(last))
    assert [page.next_sync_token for page in listing(google)] == ["", token]


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b'{"connections": [', b"[" * 1_000_000, b"\xff", b'"\\ud800"'], ids=lambda b: b[:9]
)
def test_not_json(body):
    """A body that is no JSON object is refused."""
    with pytest.raises(BadResponse, match="not a page"):
        listing(Google((200, {}, body)))


@pytest.mark.parametrize(
    ("total", "expected"),
    [(17, 17), (0, 0), (-1, None), (True, None), ("17", None), (1.5, None), (None, None), (2**31, None)],
)
def test_total(total, expected):
    """A value that is no count gives None."""
    assert listing(Google(ok({"totalItems": total, "nextSyncToken": "S"})))[0].total == expected


def test_too_many_pages():
    """The client gives up after the largest number of pages."""
    google = Google(*(ok({"nextPageToken": str(page)}) for page in range(people.MOST_PAGES + 2)))
    with pytest.raises(BadResponse, match="more than 500 pages"):
        listing(google)
    assert len(google.requests) == people.MOST_PAGES


@pytest.mark.parametrize(
    ("pages", "name", "source", "sync_token", "error", "retry_after", "full_sync"),
    [
        ([], "error_expired_sync_token_400", Source.CONTACTS, "OLD", SyncTokenExpired, None, None),
        ([], "error_invalid_argument_400", Source.CONTACTS, "OLD", SyncTokenExpired, None, None),
        ([], "error_invalid_argument_400", Source.CONTACTS, None, BadResponse, None, None),
        ([], "error_directory_consumer_400", Source.DIRECTORY, None, SourceUnavailable, None, None),
        ([], "error_resource_exhausted_429_retry_after", Source.CONTACTS, None, QuotaExceeded, 30.0, True),
        ([], "error_resource_exhausted_429_retry_after", Source.CONTACTS, "OLD", QuotaExceeded, 30.0, False),
        ([], "error_bad_gateway_502_html", Source.CONTACTS, None, GoogleUnavailable, None, None),
        (FULL[:1], "error_invalid_argument_400", Source.CONTACTS, "OLD", BadResponse, None, None),
        (FULL[:1], "error_expired_sync_token_400", Source.CONTACTS, "OLD", SyncTokenExpired, None, None),
        (FULL[:1], "error_resource_exhausted_429", Source.CONTACTS, None, QuotaExceeded, None, False),
        (FULL[:1], "error_unavailable_503", Source.CONTACTS, None, GoogleUnavailable, None, None),
    ],
)
def test_refused(pages, name, source, sync_token, error, retry_after, full_sync):
    """A refusal raises, also behind the first page, and never looks like an empty page.

    Only the first page of a full listing has a quota of its own; a page token may be to blame for an invalid argument.
    """
    with pytest.raises(error) as caught:
        listing(Google(*map(answer, [*pages, name])), source, sync_token)
    found = type(caught.value), caught.value.retry_after, getattr(caught.value, "full_sync", None)
    assert found == (error, retry_after, full_sync)


def labels(google, sync_token=None):
    found = result_of(service(google).labels(authorized, sync_token))
    assert found.is_complete
    return found.names, found.deleted, found.next_sync_token


def test_labels():
    """The result has the account's own groups with clean names, and leaves out Google's groups."""
    google = Google(answer("contact_groups_list"))
    names, gone, token = labels(google)
    assert names == {
        "contactGroups/4a1b2c3d0e5f6071": 'Kunden, Süd & "Ost"',
        "contactGroups/5b2c3d4e0f607182": "🏠 Haus",
        "contactGroups/6c3d4e5f00718293": "leer",
    }
    assert (gone, token) == (frozenset(), SAMPLES["contact_groups_list"]["body"].get("nextSyncToken", ""))
    (request,) = google.requests
    assert (request.url, request.args) == (
        "https://people.googleapis.com/v1/contactGroups",
        {"groupFields": ["groupType,metadata,name"], "pageSize": ["1000"], "prettyPrint": ["false"]},
    )


USER = {"groupType": "USER_CONTACT_GROUP"}


def test_labels_paged():
    """Groups may come in pages, may be malformed, and may lack a sync token."""
    google = Google(
        ok({"contactGroups": [{"resourceName": "contactGroups/a", "name": " A\n", **USER}], "nextPageToken": "2"}),
        ok({"contactGroups": [{"resourceName": 5, "name": "B", **USER}, {"resourceName": "contactGroups/c", **USER}]}),
    )
    assert labels(google) == ({"contactGroups/a": "A"}, frozenset(), "")


@pytest.mark.parametrize(
    "pages",
    [
        [{}],
        [{"contactGroups": []}],
        [{"contactGroups": [{"resourceName": "contactGroups/a", "name": "A", **USER}], "totalItems": 2}],
        [
            {"contactGroups": [{"resourceName": "contactGroups/a"}], "totalItems": 2, "nextPageToken": "2"},
            {"contactGroups": [{"resourceName": "contactGroups/a"}], "totalItems": 2},
        ],
    ],
    ids=["no list", "an empty list", "one of two", "the same page twice"],
)
def test_labels_that_are_not_all(pages):
    """A full list is incomplete if Google counts more labels. A list with a sync token may be empty."""
    found = result_of(service(Google(*map(ok, pages))).labels(authorized, None))
    listed = {"contactGroups/a": "A"} if "'A'" in str(pages) else {}
    assert (found.is_complete, found.names) == (False, listed)
    assert labels(Google(ok({"nextSyncToken": "S"})), "OLD") == ({}, frozenset(), "S")


def test_labels_that_changed():
    """A list with a sync token has renamed and deleted labels."""
    gone = {"metadata": {"deleted": True}}
    google = Google(
        ok(
            {
                "contactGroups": [
                    {"resourceName": "contactGroups/a", "name": "New", **USER},
                    {"resourceName": "contactGroups/b", **gone},
                    {"resourceName": "contactGroups/starred", "groupType": "SYSTEM_CONTACT_GROUP", "name": "starred"},
                ],
                "nextSyncToken": "NEXT",
            }
        )
    )
    assert labels(google, "OLD") == ({"contactGroups/a": "New"}, frozenset({"contactGroups/b"}), "NEXT")
    assert google.requests[0].args["syncToken"] == ["OLD"]


def test_off_thread():
    """The caller's function decodes the pages."""
    asked = []

    def elsewhere(function, *args):
        asked.append(function)
        return execute(function, *args)

    reader = People(Google(ok({"nextSyncToken": "S"})).http, ENDPOINTS, clock_at(NOW), elsewhere)
    result_of(reader.labels(authorized, None))
    assert len(asked) == 1


def test_the_next_pages_are_fetched_while_pages_are_decoded():
    """At most three pages are in memory. The pages come in Google's order, in any order of decoding."""
    texts = [{"connections": [{"etag": name}], "nextPageToken": f"after {name}"} for name in "abcd"]
    google = Google(*map(ok, [*texts, {"connections": [{"etag": "e"}], "nextSyncToken": "S"}]))
    decoding, found = [], []

    def elsewhere(function, *args):
        decoding.append((Deferred(), partial(function, *args)))
        return decoding[-1][0]

    async def collect():
        pages = People(google.http, ENDPOINTS, clock_at(NOW), elsewhere).pages(
            Source.CONTACTS, authorized, None, as_they_are
        )
        async for page in pages:
            found.extend(person["etag"] for person in page.content)

    end = ensureDeferred(collect())
    seen = []
    for at in (0, 2, 1, 4, 3):
        seen.append((at, len(google.requests), "".join(found)))
        page, decode = decoding[at]
        page.callback(decode())
    assert seen == [(0, 3, ""), (2, 4, "a"), (1, 4, "a"), (4, 5, "abc"), (3, 5, "abc")]
    assert (found, end.called) == ([*"abcde"], True)


@pytest.mark.parametrize("name", ['a "nextPageToken":"x" b', '\\"nextPageToken":"x"', "\\"])
def test_a_page_token_is_the_page_s_own(name):
    """The text of a person never serves as a page token."""
    first = {"nextPageToken": "P", "connections": [{"etag": name}]}
    google = Google(ok(first), ok({"connections": [{"etag": "b"}], "nextSyncToken": "S"}))
    assert [page.content[0]["etag"] for page in listing(google)] == [name, "b"]
    assert [request.args.get("pageToken") for request in google.requests] == [None, ["P"]]


def test_two_page_tokens_are_no_page():
    """The early fetch may have followed the wrong token, so the page is refused."""
    google = Google(ok({"nextPageToken": "P", "connections": [{"nextPageToken": "Q"}]}), ok({"nextSyncToken": "S"}))
    with pytest.raises(BadResponse, match="two page tokens in one page"):
        listing(google)


def test_page_hides_persons():
    """The repr of a page holds no person and no token."""
    assert repr(PersonPage(({"names": "Ada"},), "S", 1)) == "PersonPage(total=1)"


def test_fingerprint(monkeypatch):
    """The fingerprint differs by source, and changes with any parameter."""
    before = {source: fingerprint(source) for source in Source}
    assert len({*before.values(), fingerprint(None)}) == 4
    listing_now = LISTINGS[Source.CONTACTS]
    changed = people.Listing(listing_now.path, listing_now.key, listing_now.total, (*listing_now.params, ("a", "1")))
    monkeypatch.setattr(people, "LISTINGS", {**LISTINGS, Source.CONTACTS: changed})
    assert fingerprint(Source.CONTACTS) != before[Source.CONTACTS]
    assert fingerprint(Source.DIRECTORY) == before[Source.DIRECTORY]


# The fingerprints belong to the sources in their order, and to the labels.
FINGERPRINTS = ["412c49fff2eeb4fc", "84977060e28d9137", "607441b6dabda27b", "08d883b9e9d3aee0"]


def test_fingerprint_of_stored_tokens():
    """Tokens of earlier versions stay valid. A page size changes the fingerprint."""
    assert [fingerprint(source) for source in (*Source, None)] == FINGERPRINTS
    assert fingerprint(Source.CONTACTS, 200) not in FINGERPRINTS


@pytest.mark.parametrize("source", list(Source))
def test_calls_are_observed_by_source(source):
    """The observer also gets the calls for labels."""
    seen = []
    google = Google(ok({"nextSyncToken": "S"}), ok({"nextSyncToken": "S"}))
    people = People(google.http, ENDPOINTS, clock_at(NOW), execute, lambda *call: seen.append(call))

    async def list_all() -> None:
        async for _ in people.pages(source, authorized, None, as_they_are):
            pass
        await people.labels(authorized, None)

    result_of(list_all())
    assert seen == [(source.value, 200, 0.0), ("labels", 200, 0.0)]
