# SPDX-License-Identifier: MIT
"""A sync takes effect whole or not at all, with each kind of answer from Google."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from ldapgw.contact import Source
from ldapgw.errors import (
    ApiDisabled,
    BadResponse,
    ClientRejected,
    ConsentRevoked,
    GoogleError,
    GoogleUnavailable,
    NetworkFailure,
    PageTooLarge,
    QuotaExceeded,
    SuspiciousShrink,
)
from ldapgw.store.accounts import ErrorStatus
from tests.support.stage.paths import CONNECTIONS, GROUPS, OTHERS, TOKEN
from tests.support.stage.sync import ALICE, ALL_SOURCES, INTERVAL, NOW, Stage, connected_stage, member, person

# Two pages.
PERSONS = 1010


@dataclass(frozen=True)
class Case:
    """A fault, where it happens, whether the sync is a full one, and what it ends with; None: well."""

    fault: str
    error: type[GoogleError] | None
    full: bool = True
    path: str = CONNECTIONS
    times: int | None = None
    after: int = 0


CASES = [
    Case("broken_cut_off", NetworkFailure),
    Case("broken_connection_lost", NetworkFailure),
    Case("broken_not_json", BadResponse),
    Case("broken_not_json", BadResponse, full=False),
    Case("broken_wrong_shape", BadResponse),
    Case("broken_too_large", PageTooLarge),
    Case("broken_too_large_pages", None),
    Case("broken_too_large_pages", None, full=False),
    Case("broken_long_sync_token", BadResponse),
    Case("broken_long_sync_token", BadResponse, full=False),
    Case("broken_no_list", SuspiciousShrink),
    Case("broken_no_list", None, full=False, times=1),
    Case("broken_loop", BadResponse),
    Case("broken_loop", BadResponse, full=False),
    Case("broken_page_token", BadResponse),
    Case("broken_no_sync_token", None),
    Case("broken_no_sync_token", None, full=False),
    Case("broken_twice", None),
    Case("broken_empty_page", None, times=1),
    Case("broken_empty_page", None, full=False, times=1),
    Case("error_invalid_argument_400", BadResponse),
    Case("error_invalid_argument_400", None, full=False, times=1),
    Case("error_expired_sync_token_400", None, full=False, times=1),
    Case("error_expired_sync_token_400", BadResponse, full=False),
    Case("error_expired_sync_token_410", BadResponse),
    Case("error_service_disabled_403", ApiDisabled),
    Case("error_rate_limit_403_old_style", QuotaExceeded),
    Case("error_resource_exhausted_429", QuotaExceeded),
    Case("error_internal_500", GoogleUnavailable),
    Case("error_bad_gateway_502_html", GoogleUnavailable, full=False),
    Case("error_unauthenticated_401", BadResponse),
    Case("error_unauthenticated_401", None, times=1),
    Case("broken_not_json", None, path=GROUPS),
    Case("broken_loop", None, path=GROUPS),
    Case("broken_no_list", None, path=GROUPS),
    Case("broken_short_list", None, path=GROUPS),
    Case("broken_cut_off", NetworkFailure, path=GROUPS),
    Case("error_internal_500", None, path=GROUPS, full=False),
    Case("error_resource_exhausted_429", QuotaExceeded, path=GROUPS, full=False),
    Case("error_expired_sync_token_400", None, path=GROUPS, full=False, times=1),
    Case("token_error_503_html", GoogleUnavailable, path=TOKEN),
    Case("broken_not_json", BadResponse, path=TOKEN),
    Case("broken_cut_off", NetworkFailure, path=TOKEN),
    Case("token_error_invalid_client_secret", ClientRejected, path=TOKEN),
    Case("token_error_deleted_client", ClientRejected, path=TOKEN),
    Case("token_error_invalid_grant_revoked", ConsentRevoked, path=TOKEN),
    Case("token_error_invalid_grant_reauth", ConsentRevoked, path=TOKEN),
    Case("token_error_admin_policy", ConsentRevoked, path=TOKEN),
]


# Fewer persons than Google counts.
TAKEN = ("broken_short_list", "broken_few_missing", "broken_no_list")
# The sandbox's clock stands still here: an empty page would have the token of the page that it stands before.
SAME_TOKEN = ("broken_empty_page",)
CASES += [
    replace(case, after=1)
    for case in CASES
    if case.full and case.path == CONNECTIONS and case.fault not in (*TAKEN, *SAME_TOKEN)
]


def name(case: Case) -> str:
    page = " on the second page" if case.after else ""
    return (
        f"{case.fault} at {case.path} of a {'full sync' if case.full else 'delta'}{' once' if case.times else ''}{page}"
    )


@pytest.fixture(scope="module")
def book() -> Stage:
    """A synced account with two pages of persons and a label; each case leaves it as it should be, and goes on."""
    stage = connected_stage()
    stage.world.add_label(ALICE, "Kunden")
    for number in range(PERSONS):
        stage.world.add_person(ALICE, {"organizations": [{"name": f"Company {number:04}"}]})
    stage.sync()
    return stage


@pytest.mark.long  # test_job has a failure of each call
@pytest.mark.parametrize("case", CASES, ids=name)
def test_whole_or_not_at_all(book: Stage, case: Case) -> None:
    """A failure changes nothing, tokens included; the next sync brings what this one should have brought."""
    stage = book
    stage.world.faults.clear()
    stage.sync(full=True)
    state = stage.sync_states(), stage.records(), stage.labels_of()
    first = next(iter(stage.world.persons_of(ALICE)))["resourceName"]
    stage.world.change_person(ALICE, first, person(f"After {len(case.fault)}"))
    added = stage.world.add_person(ALICE, person("Somebody New"))
    if case.path == TOKEN:
        stage.clock.advance(3600)
    stage.world.faults.inject(case.fault, path=case.path, times=case.times, after=case.after)
    labels = stage.labels_of()
    if case.error is not None:
        with pytest.raises(case.error) as caught:
            stage.sync(full=case.full)
        assert type(caught.value) is case.error
        assert (stage.sync_states(), stage.records(), stage.labels_of()) == state
        stage.world.faults.clear()
        stage.sync(full=case.full)
    elif case.fault == "broken_no_list" and case.path == CONNECTIONS:
        # A delta without a list is a quiet one; Google told of the changes, and we could not know.
        assert not stage.sync(full=case.full)
        stage.sync(full=True)
    else:
        assert stage.sync(full=case.full)
    assert stage.labels_of() == labels
    known = {uid: content for uid, _, content, _, _ in stage.records().values()}
    assert set(known) == {one["resourceName"].removeprefix("people/") for one in stage.world.persons_of(ALICE)}
    assert b"After" in (known[first.removeprefix("people/")] or b"")
    stage.world.delete_person(ALICE, added)


@pytest.mark.parametrize("fault", TAKEN)
def test_a_last_page_that_is_cut_takes_nobody_away(book: Stage, fault: str) -> None:
    """Less than a tenth is missing; the next listing that is whole brings what it lacked."""
    stage = book
    stage.world.faults.clear()
    stage.sync()
    before = stage.records().keys()
    stage.world.faults.inject(fault, path=CONNECTIONS, after=1)
    stage.sync(full=True)
    assert stage.records().keys() == before
    stage.world.faults.clear()
    stage.sync(full=True)
    assert stage.records().keys() == {
        one["resourceName"].removeprefix("people/") for one in stage.world.persons_of(ALICE)
    }


def become_a_contact(stage: Stage, other: str, contact: dict[str, Any]) -> str:
    """Save an "other contact" as a contact, which Google does not report as the end of the "other contact"."""
    (source,) = stage.world.person(ALICE, other)["metadata"]["sources"]
    name = stage.world.add_person(ALICE, contact)
    saved = stage.world.person(ALICE, name)
    twin = {**saved["metadata"], "sources": [{**source, "type": "CONTACT"}]}
    stage.world.persons_of(ALICE).put({**saved, "metadata": twin})
    return name


def test_who_becomes_a_contact_is_no_other_contact_any_more() -> None:
    """Google does not always tell that; and it does tell when somebody is one again."""
    stage = connected_stage(sources=(Source.CONTACTS, Source.OTHER_CONTACTS))
    _, moves = (
        stage.world.add_person(ALICE, {"emailAddresses": [{"value": f"{who}@x.example"}]}, "other_contacts")
        for who in ("stays", "moves")
    )
    stage.sync()
    assert stage.names() == ["moves@x.example", "stays@x.example"]
    name = become_a_contact(stage, moves, person("Mo Ves"))
    assert stage.sync()
    assert stage.names() == ["Mo Ves", "stays@x.example"]
    stage.sync(full=True)
    assert stage.names() == ["Mo Ves", "stays@x.example"]
    stage.world.delete_person(ALICE, name)
    stage.world.change_person(ALICE, moves, {"emailAddresses": [{"value": "again@x.example"}]})
    assert stage.sync()
    assert stage.names() == ["again@x.example", "stays@x.example"]


@pytest.mark.parametrize("filtered", [{"excluded_labels": ("Private",)}, {"labels": ("Customers",)}], ids=str)
def test_a_contact_that_labels_leave_out_is_no_other_contact_either(filtered: dict[str, Any]) -> None:
    """A contact without a name, a number or an address hides nobody."""
    stage = connected_stage(sources=(Source.CONTACTS, Source.OTHER_CONTACTS), **filtered)
    private, _ = (stage.world.add_label(ALICE, name) for name in ("Private", "Customers"))
    others = [
        stage.world.add_person(ALICE, {"emailAddresses": [{"value": f"{who}@x.example"}]}, "other_contacts")
        for who in ("empty", "private")
    ]
    stage.sync()
    assert stage.names() == ["empty@x.example", "private@x.example"]
    become_a_contact(stage, others[0], {"nicknames": []})
    become_a_contact(stage, others[1], person("Pri Vat") | member(private))
    assert stage.sync()
    assert stage.names() == ["empty@x.example"]
    stage.sync(full=True)
    assert stage.names() == ["empty@x.example"]


IMPOSSIBLE = [
    ("error_invalid_argument_400", "bad_response"),
    ("broken_wrong_shape", "bad_response"),
    ("broken_cut_off", "network"),
    ("error_internal_500", "google_unavailable"),
    ("error_resource_exhausted_429", "quota"),
]
LIMIT = {
    "quota": {
        "limit": "CriticalReadsPerMinutePerProjectPerUser",
        "metric": "people.googleapis.com/critical_read_requests",
    }
}


@pytest.mark.parametrize(("fault", "code"), IMPOSSIBLE, ids=[fault for fault, _ in IMPOSSIBLE])
def test_other_contacts_that_cannot_be_had_keep_no_contact_away(fault: str, code: str) -> None:
    """It is said so, and since when; they are asked for less and less often, and at once when a person asks."""
    stage = connected_stage(sources=(Source.CONTACTS, Source.OTHER_CONTACTS))
    other = stage.world.add_person(ALICE, {"emailAddresses": [{"value": "other@x.example"}]}, "other_contacts")
    stage.world.add_person(ALICE, person("Ada Riese"))
    stage.sync()
    state = stage.sync_states()[Source.OTHER_CONTACTS]
    stage.world.add_person(ALICE, person("Bo Neu"))
    stage.world.delete_person(ALICE, other)
    stage.world.faults.inject(fault, path=OTHERS)
    assert stage.sync(full=True)
    assert stage.names() == ["Ada Riese", "Bo Neu", "other@x.example"]
    assert stage.account().error == ErrorStatus(code, NOW, facts={"source": "other_contacts", **LIMIT.get(code, {})})
    after = stage.sync_states()[Source.OTHER_CONTACTS]
    assert (after.sync_token, after.full_sync_at) == (state.sync_token, state.full_sync_at)
    stage.calls()
    asked = []
    for _ in range(24):
        stage.clock.advance(INTERVAL)
        stage.sync()
        asked.append(OTHERS in stage.calls())
    assert 3 <= sum(asked) <= 8
    stage.world.faults.clear()
    assert not stage.sync()
    assert stage.sync(full=True)
    assert (stage.account().error, stage.names()) == (None, ["Ada Riese", "Bo Neu"])


def test_other_contacts_alone_that_cannot_be_had_fail_the_sync() -> None:
    """Nothing else came, so nothing went well."""
    stage = connected_stage(sources=(Source.OTHER_CONTACTS,))
    stage.world.faults.inject("error_internal_500", path=OTHERS)
    with pytest.raises(GoogleUnavailable):
        stage.sync()


def test_other_contacts_that_are_wanted_no_more_are_no_trouble() -> None:
    """Neither without the scope nor without the source."""
    stage = connected_stage(sources=(Source.CONTACTS, Source.OTHER_CONTACTS))
    stage.world.faults.inject("error_internal_500", path=OTHERS)
    stage.sync()
    assert stage.account().error is not None
    stage.configure(sources=(Source.CONTACTS,))
    stage.sync()
    assert stage.account().error is None


@pytest.mark.parametrize(("count", "others", "lost"), [(19, 11, 19), (20, 60, 15)], ids=["too small alone", "alone"])
def test_a_source_is_guarded_alone_and_as_a_part_of_its_book(count: int, others: int, lost: int) -> None:
    """Full syncs are spread, so that mostly one source alone is listed in full; the directory is another book."""
    stage = connected_stage(sources=ALL_SOURCES)
    mail = "{}@x.example".format
    names = [stage.world.add_person(ALICE, {"emailAddresses": [{"value": mail(number)}]}) for number in range(count)]
    for number in range(others):
        stage.world.add_person(ALICE, {"emailAddresses": [{"value": mail(f"o{number}")}]}, "other_contacts")
        stage.world.add_person(ALICE, {"emailAddresses": [{"value": mail(f"d{number}")}]}, "directory")
    stage.sync()
    for name in names[:lost]:
        stage.world.delete_person(ALICE, name)
    stage.world.faults.inject("error_expired_sync_token_400", path=CONNECTIONS, times=1)
    with pytest.raises(SuspiciousShrink) as caught:
        stage.sync()
    assert dict(caught.value.facts) == {"before": count + others, "lost": lost}
    assert stage.account().contacts == count + 2 * others


def test_a_book_of_two_sources_is_guarded_as_one() -> None:
    """Each of them may be too small to be doubted alone."""
    stage = connected_stage(sources=(Source.CONTACTS, Source.OTHER_CONTACTS))
    kept: list[tuple[str, str]] = []
    for source in ("contacts", "other_contacts"):
        mail = "{}@x.example".format
        for number in range(15):
            added = stage.world.add_person(ALICE, {"emailAddresses": [{"value": mail(number)}]}, source)
            kept.append((source, added))
    stage.sync()
    for _, added in [*kept[:8], *kept[15:23]]:
        stage.world.delete_person(ALICE, added)
    with pytest.raises(SuspiciousShrink) as caught:
        stage.sync(full=True)
    assert dict(caught.value.facts) == {"before": 30, "lost": 16}
    assert stage.account().contacts == 30
    assert stage.sync(full=True, accept_shrink=True)
    assert stage.account().contacts == 14
