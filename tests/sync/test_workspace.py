# SPDX-License-Identifier: MIT
"""Accounts that appear because a Workspace has delegated its users' contacts to a service account."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import select, update
from twisted.internet.defer import Deferred
from twisted.logger import formatEvent, globalLogPublisher

from ldapgw.contact import Sharing, Source
from ldapgw.errors import DelegationRefused, GoogleError
from ldapgw.google.delegation import GROUPS_SCOPE, USERS_SCOPE, DelegationRefusal, read_key_file
from ldapgw.google.oauth import SCOPE_OF
from ldapgw.google.sandbox import delegation as sandbox
from ldapgw.google.workspace import WorkspaceUser
from ldapgw.server.config import load
from ldapgw.server.google import TenantDelegations
from ldapgw.store import accounts, leavers, revocations, tables, tenants
from ldapgw.store.leavers import LeaverReason
from ldapgw.store.secrets import SecretBox
from ldapgw.store.tables import metadata
from ldapgw.store.tenants import DelegatedUser, DelegationSettings, DelegationTrial, EnteredDelegation
from ldapgw.sync.workspace import (
    READ_SECONDS,
    RETRY_SECONDS,
    SHORT_LIST,
    SHORT_SECONDS,
    DelegatedTenant,
    Delegation,
    WorkspaceReader,
    select_users,
    try_delegation,
)
from tests.support.google_changes import rename_account
from tests.support.results import result_of
from tests.support.site.command_line import ACME, HEAD
from tests.support.stage.paths import CONNECTIONS, GROUPS
from tests.support.stage.sync import ALICE, BOB, CAROL, CLIENT, NOW, Stage, person

DOMAIN = "acme.example"
EMAIL = "phonebook@acme-phones.iam.gserviceaccount.com"
ADMIN_SCOPES = (USERS_SCOPE, GROUPS_SCOPE)
EVERYBODY = DelegationSettings(ALICE, users=("@acme.example",))


@dataclass
class Workspace(Stage):
    """Alice administers the Workspace of Alice and Bob; Carol has an account of her own."""

    sources: tuple[Source, ...] = (Source.CONTACTS, Source.OTHER_CONTACTS)
    google_groups: tuple[str, ...] = ()
    sharing: Sharing = Sharing.PRIVATE
    allowed: tuple[str, ...] = ("*",)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.world.workspaces.register(EMAIL)
        self.authorize(*SCOPE_OF.values())
        self.world.set_user(ALICE, admin=True)
        for address, name in ((ALICE, "Ada"), (BOB, "Ben")):
            self.world.set_user(address, signed_in=True)
            self.world.add_person(address, person(name))
        self.unknown: set[str] = set()
        self.tenant = DelegatedTenant(self.sources, self.sharing, "", self.google_groups, self.allowed)
        self.delegated["acme"] = self.tenant
        self.reader = WorkspaceReader(
            clock=self.clock,
            leader=self.leader,
            oauth=self.oauth,
            directory=self.workspace,
            pacer=self.job.pacer,
            tenants=self.delegated,
            delegations=self.delegations,
            is_unknown=self.unknown.__contains__,
        )

    def authorize(self, *scopes: str) -> None:
        self.world.workspaces.authorize(EMAIL, DOMAIN, {*scopes, *ADMIN_SCOPES})

    def delegate(self, settings: DelegationSettings = EVERYBODY) -> None:
        """Configure the service account, and read the Workspace."""
        self.delegations["acme"] = Delegation(read_key_file(sandbox.key_file(self.world)), settings)
        self.in_time(self.reader.read_due())

    def begin(self, settings: DelegationSettings = EVERYBODY) -> None:
        """Start the scheduler, configure the service account, and sync the users' accounts."""
        self.start()
        self.delegate(settings)
        self.follow()

    def try_out(self, **selection: tuple[str, ...]) -> DelegationTrial | str:
        """Try the service account, and return the result, or the refusal or the error code."""
        trial = try_delegation(
            oauth=self.oauth,
            directory=self.workspace,
            people=self.people,
            delegation=Delegation(read_key_file(sandbox.key_file(self.world)), DelegationSettings(ALICE, **selection)),
            tenant=self.tenant,
        )
        try:
            return result_of(trial)
        except DelegationRefused as error:
            return error.refusal
        except GoogleError as error:
            return error.code

    def read(self, seconds: float = READ_SECONDS) -> None:
        """Read the Workspace after some time, and sync what is due."""
        self.clock.advance(seconds)
        self.in_time(self.reader.read_due())
        self.follow()

    def follow(self) -> None:
        if self.scheduler.running:
            self.in_time(self.scheduler.refresh())
            self.clock.advance(1)

    def replace_bob(self) -> None:
        """Give Bob another address, and his former address to a successor."""
        rename_account(self.world, BOB, "robert@acme.example")
        self.world.add_account(BOB, "Bob", "The Second", hd=DOMAIN)
        self.world.accounts[BOB].sub = "117000000000000000001"
        self.world.set_user(BOB, signed_in=True)
        self.world.add_person(BOB, person("Other"))

    @property
    def status(self) -> tenants.WorkspaceStatus:
        return self.database.run(tenants.read_workspace, "acme")

    @property
    def reasons(self) -> dict[str, LeaverReason]:
        """Why people count as leavers, by address."""
        marks = self.database.run(leavers.read, "acme")
        return {found.address: marks[found.id].reason for found in self.known if found.id in marks}

    @property
    def groups(self) -> tuple[tenants.GroupStatus, ...]:
        return self.database.run(tenants.read_groups, "acme")

    def subs(self, *addresses: str) -> list[str]:
        return [self.world.account(address).sub for address in addresses]

    @property
    def known(self) -> tuple[accounts.Account, ...]:
        return self.database.run(accounts.read_all, "acme")


@pytest.fixture
def stage() -> Workspace:
    """A Workspace whose users are known and synced."""
    stage = Workspace()
    stage.begin()
    return stage


def user(address: str, unit: str = "/", **flags: bool) -> WorkspaceUser:
    flags = {"is_suspended": False, "is_archived": False, "is_guest": False, **flags}
    return WorkspaceUser(
        id=address.partition("@")[0], address=address, name="", org_unit=unit, customer_id="C1", **flags
    )


@pytest.mark.parametrize(
    ("settings", "covered"),
    [
        ({"users": ("*",)}, "ann bob cyd Dan eve"),
        ({"users": ("@acme.example",)}, "ann cyd Dan eve"),
        ({"users": ("BOB@other.example", "dan@acme.example")}, "bob Dan"),
        ({"org_units": ("/Sales",)}, "ann cyd"),
        ({"org_units": ("/",)}, "ann bob cyd Dan eve"),
        ({"groups": ("phones@acme.example",)}, "eve"),
        ({"org_units": ("/Sales/",), "groups": ("phones@acme.example",), "exclude": ("Ann@acme.example",)}, "cyd eve"),
    ],
)
def test_whose_contacts_are_read(settings: dict[str, tuple[str, ...]], covered: str) -> None:
    """Units have the units below them; upper and lower case do not matter; suspended users and guests are left out."""
    users = (
        user("ann@acme.example", "/Sales"),
        user("bob@other.example", "/Salesmen"),
        user("cyd@acme.example", "/Sales/East"),
        user("Dan@acme.example"),
        user("eve@acme.example"),
        user("sus@acme.example", "/Sales", is_suspended=True),
        user("old@acme.example", is_archived=True),
        user("gus@acme.example", "/Sales", is_guest=True),
    )
    members = {"eve", "sus"} if "groups" in settings else set[str]()
    selected, others = select_users(DelegationSettings(ALICE, **settings), users, members)
    assert selected == tuple(DelegatedUser(each.id, each.address) for each in users if each.id in covered.split())
    expected = {each.id: LeaverReason.MOVED for each in users if each.id not in covered.split()}
    assert others == expected | {"sus": LeaverReason.SUSPENDED, "old": LeaverReason.SUSPENDED}


def test_accounts_appear_by_themselves(stage: Workspace) -> None:
    """They are synced, private as new books are, and nobody consented; a person of another Workspace has none."""
    assert [(found.address, found.sharing, found.uses_delegation) for found in stage.known] == [
        (ALICE, Sharing.PRIVATE, True),
        (BOB, Sharing.PRIVATE, True),
    ]
    assert [found.sub for found in stage.known] == [stage.world.account(each).sub for each in (ALICE, BOB)]
    assert (stage.names(ALICE), stage.names(BOB)) == (["Ada"], ["Ben"])
    assert (stage.status.users, stage.status.read_at, stage.status.error_code) == (2, NOW, "")
    stage.read()  # again, nothing has changed
    assert [found.connected_at for found in stage.known] == [NOW, NOW]


def test_only_the_allowed_scopes_are_used() -> None:
    """A scope that the Workspace does not allow costs its own source alone, until the scope is allowed."""
    stage = Workspace()
    stage.world.add_person(ALICE, {"names": [{"displayName": "Otto"}], **NUMBER}, "other_contacts")
    stage.authorize(SCOPE_OF[Source.CONTACTS])
    stage.begin()
    assert stage.status.scopes == {SCOPE_OF[Source.CONTACTS]}
    assert stage.names(ALICE) == ["Ada"]
    stage.authorize(*SCOPE_OF.values())
    stage.read()
    assert (stage.names(ALICE), stage.account(ALICE).error) == (["Ada", "Otto"], None)


NUMBER = {"phoneNumbers": [{"value": "+49301234567"}]}


def test_a_workspace_that_cannot_be_read(caplog_twisted: list[str]) -> None:
    """Is told once, asked again after ten minutes, and changes nothing; then all goes on by itself."""
    stage = Workspace()
    stage.world.workspaces.authorize(EMAIL, DOMAIN, ())
    stage.delegate()
    stage.read(RETRY_SECONDS)
    assert (stage.known, stage.status.error_code, stage.status.error_since) == (
        (),
        DelegationRefusal.NOT_AUTHORIZED,
        NOW,
    )
    (line,) = (line for line in caplog_twisted if "cannot be read" in line)
    assert line.startswith("tenant acme: the users of its Workspace cannot be read: not_authorized unauthorized_client")
    stage.authorize(*SCOPE_OF.values())
    stage.read(RETRY_SECONDS)
    assert (len(stage.known), stage.status.error_code) == (2, "")


def test_a_clock_that_is_set_back_delays_no_read() -> None:
    """The next read was planned while the clock was ahead by a year."""
    stage = Workspace()
    stage.delegate()
    stage.world.set_user(BOB, suspended=True)
    stage.clock.rightNow -= 365 * 86400
    stage.read(seconds=1)
    assert stage.reasons == {BOB: LeaverReason.SUSPENDED}


def test_who_has_left() -> None:
    """Suspended, deleted, moved out: their contacts stay for the time being, and are no longer asked for."""
    stage = Workspace()
    for name in ("dora", "emil", "fred"):
        stage.world.add_account(f"{name}@acme.example", name, "X", hd=DOMAIN)
        stage.world.set_user(f"{name}@acme.example", signed_in=True, org_unit="/Sales")
        stage.world.add_person(f"{name}@acme.example", person(f"Of {name}"))
    stage.begin(DelegationSettings(ALICE, org_units=("/Sales",)))
    stage.world.set_user("dora@acme.example", suspended=True)
    stage.world.set_user("emil@acme.example", org_unit="/Old")
    stage.world.delete_account("fred@acme.example")
    stage.read()
    assert stage.reasons == {
        "dora@acme.example": LeaverReason.SUSPENDED,
        "emil@acme.example": LeaverReason.MOVED,
        "fred@acme.example": LeaverReason.DELETED,
    }
    assert [(found.next_sync, found.error and found.error.facts["by"]) for found in stage.known] == [
        (None, "suspended"),
        (None, "moved"),
        (None, "deleted"),
    ]
    assert stage.names("dora@acme.example") == ["Of dora"]
    stage.world.set_user("dora@acme.example", suspended=False)
    stage.world.set_user("emil@acme.example", org_unit="/Sales")
    stage.read()
    assert stage.reasons == {"fred@acme.example": LeaverReason.DELETED}
    assert [found.error for found in stage.known][:2] == [None, None]


def test_a_list_that_lacks_most_people() -> None:
    """It counts for nobody, unless it stays like that for a week."""
    stage = Workspace()
    addresses = stage.add_users(30)
    stage.delegate()
    assert len(stage.known) == 32
    for address in addresses:
        stage.world.delete_account(address)
    stage.read()
    assert (stage.reasons, stage.status.error_code) == ({}, SHORT_LIST)
    stage.read(SHORT_SECONDS)
    assert (len(stage.reasons), stage.status.error_code) == (30, "")


def test_people_who_have_consented_keep_their_consent() -> None:
    """Until Google ends it: then the service account takes over; and a consent outlives the delegation."""
    stage = Workspace()
    alice = stage.connect(ALICE)
    stage.begin()
    assert (stage.account(ALICE).connected_at, stage.account(ALICE).uses_delegation) == (alice.connected_at, False)
    assert stage.account(ALICE).delegated
    stage.world.revoke(ALICE)
    stage.clock.advance(2 * READ_SECONDS)
    stage.follow()
    stage.world.add_person(ALICE, person("New"))
    stage.follow()
    stage.clock.advance(2 * stage.interval)
    assert (stage.account(ALICE).uses_delegation, stage.account(ALICE).error) == (True, None)
    assert stage.names(ALICE) == ["Ada", "New"]
    stage.connect(BOB)
    stage.delegations.clear()
    stage.read()
    assert [(found.address, found.delegated, found.error and found.error.facts) for found in stage.known] == [
        (ALICE, False, {"by": "delegation"}),
        (BOB, False, None),
    ]
    assert stage.account(ALICE).next_sync is None
    stage.connect(ALICE)
    assert stage.account(ALICE).next_sync is not None


def test_a_consent_to_a_former_client_is_revoked_when_the_service_account_takes_over() -> None:
    """The service account reads the contacts as soon as the consent is of no use, and the grant does not stay."""
    stage = Workspace()
    stage.connect(ALICE)
    stage.begin()
    held = stage.database.run(accounts.read_tokens, stage.secret_box, stage.account(ALICE).id)
    stage.execute(update(tables.account).where(tables.account.c.address == ALICE).values(client_id="999-former"))
    stage.clock.advance(2 * stage.interval)
    assert (stage.account(ALICE).uses_delegation, stage.account(ALICE).error) == (True, None)
    due = stage.database.run(revocations.read_due, stage.secret_box, 2 * NOW)
    assert [(each.client_id, each.token) for each in due] == [("999-former", held.refresh_token)]


def test_a_refused_client_stops_no_delegated_account() -> None:
    """Nor does a refused service account stop those who have consented: each has a circuit breaker of its own."""
    stage = Workspace()
    stage.world.add_person(CAROL, person("Cleo"))
    stage.connect(CAROL)
    stage.begin()
    stage.world.set_client(CLIENT.client_id, state="deleted")
    for address, name in ((ALICE, "Zoe"), (CAROL, "Zoe")):
        stage.world.add_person(address, person(name))
        stage.world.expire_access_tokens(address)
    stage.clock.advance(2 * stage.interval)
    assert stage.trouble(CAROL).code == "client_rejected"
    assert (stage.names(ALICE), stage.account(ALICE).error) == (["Ada", "Zoe"], None)
    stage.world.set_client(CLIENT.client_id, state="ok")
    stage.world.workspaces.set_state(EMAIL, "disabled")
    stage.world.expire_access_tokens()
    stage.clock.advance(2 * READ_SECONDS)
    assert stage.trouble(ALICE).facts == {"by": "delegation", "refusal": DelegationRefusal.SERVICE_ACCOUNT_DISABLED}
    assert (stage.names(CAROL), stage.account(CAROL).error) == (["Cleo", "Zoe"], None)


def test_an_api_that_is_off_for_the_service_account_concerns_no_consent(caplog_twisted: list[str]) -> None:
    """The People API may be on for the OAuth client, which is of another Google project."""
    stage = Workspace()
    stage.connect(CAROL)
    stage.begin()
    caplog_twisted.clear()
    for address in (ALICE, BOB):
        stage.world.faults.inject("error_service_disabled_403", account=address)
    stage.clock.advance(2 * stage.interval)
    assert [found.error and found.error.code for found in stage.known] == ["api_disabled", "api_disabled", None]
    assert [found.alarm for found in stage.known] == [None, None, None]
    (told,) = caplog_twisted
    assert told.startswith("tenant acme: Google refuses the service account: api_disabled HTTP 403 SERVICE_DISABLED ")
    stage.world.faults.clear()
    stage.restart()
    stage.clock.pump([stage.interval] * 6)
    assert [found.error for found in stage.known] == [None, None, None]


def test_a_requested_sync_that_fetches_nothing_does_not_hide_that_the_api_is_off(stage: Workspace) -> None:
    """The sync has made no call, so the account waits as before; the first call that succeeds ends the wait."""
    for source in stage.sources:
        stage.database.run(revocations.switch_off, stage.account(BOB).id, source)
    stage.world.faults.inject("error_service_disabled_403")
    stage.clock.advance(2 * stage.interval)
    before = stage.trouble(BOB)
    stage.request(BOB)
    account = stage.account(BOB)
    assert (before.code, account.error, account.syncing) == ("api_disabled", before, False)
    stage.world.faults.clear()
    stage.request(ALICE)
    stage.clock.advance(stage.interval)
    assert [found.error for found in stage.known] == [None, None]


def test_the_end_of_an_outage_for_delegated_accounts_ends_no_alarm(caplog_twisted: list[str]) -> None:
    """Google has answered the service account, and still rejects the OAuth client."""
    stage = Workspace()
    stage.connect(CAROL)
    others = stage.add_users(3)
    for address in others:
        stage.world.set_user(address, signed_in=True)
    stage.begin()
    stage.world.set_client(CLIENT.client_id, state="deleted")
    stage.world.expire_access_tokens(CAROL)
    stage.clock.advance(2 * stage.interval)
    since = stage.trouble(CAROL).since
    for address in others:
        stage.world.faults.inject("error_unavailable_503", account=address)
    stage.clock.pump([10] * 120)
    stage.world.faults.clear()
    stage.clock.pump([10] * 120)
    assert (stage.trouble(CAROL).code, stage.trouble(CAROL).since) == ("client_rejected", since)
    assert [found.error for found in stage.known if found.address != CAROL] == [None] * 5
    assert "tenant acme: Google accepts the OAuth client again" not in caplog_twisted


def test_a_client_that_google_refuses_to_all_its_accounts_is_rejected() -> None:
    """Delegated accounts do not count, because Google refuses nothing to the service account."""
    stage = Workspace()
    stage.connect(CAROL)
    stage.begin()
    stage.world.expire_access_tokens(CAROL)
    stage.world.faults.inject("token_error_unauthorized_client", account=CAROL)
    stage.clock.advance(2 * stage.interval)
    assert stage.trouble(CAROL).code == "client_rejected"


def test_another_user_with_an_old_address_gets_a_book_of_their_own(stage: Workspace) -> None:
    """Users are known by their ids: an address may pass to a successor, and a user may get another address."""
    former = stage.account(BOB).sub
    stage.replace_bob()
    stage.read()
    assert {found.address: found.sub for found in stage.known}["robert@acme.example"] == former
    assert (stage.names("robert@acme.example"), stage.names(BOB)) == (["Ben"], ["Other"])


def test_an_address_that_passes_between_two_lists(stage: Workspace) -> None:
    """The contacts of the successor get into no book until the successor is listed."""
    stage.replace_bob()
    stage.world.add_person("robert@acme.example", person("New"))
    stage.world.expire_access_tokens()
    stage.clock.advance(2 * stage.interval)
    assert stage.names(BOB) == ["Ben", "New"]


def test_groups_of_google() -> None:
    """Nested members belong; after an error the last members stay; phones see the change without a restart."""
    stage = Workspace(google_groups=("sales@acme.example",))
    stage.world.workspaces.set_group("inner@acme.example", "Inner", [BOB, "guest@other.example"])
    stage.world.workspaces.set_group("sales@acme.example", "Sales", [ALICE, "inner@acme.example"])
    stage.delegate()
    (found,) = stage.groups
    assert (found.address, found.members, found.error_code) == ("sales@acme.example", {*stage.subs(ALICE, BOB)}, "")
    result_of(stage.publisher.refresh())
    state = stage.publisher._books.state
    assert state.google_groups["acme"] == {"sales@acme.example": {*stage.subs(ALICE, BOB)}}
    stage.world.workspaces.delete_group("sales@acme.example")
    stage.read()
    (found,) = stage.groups
    assert (found.members, found.error_code) == ({*stage.subs(ALICE, BOB)}, DelegationRefusal.NO_GROUP)
    assert stage.reasons == {}


def test_a_group_that_decides_whose_contacts_are_read() -> None:
    """If the group cannot be read, nobody counts as a leaver."""
    stage = Workspace()
    stage.world.workspaces.set_group("phones@acme.example", "Phones", [BOB])
    stage.delegate(DelegationSettings(ALICE, groups=("Phones@acme.example",)))
    assert [found.address for found in stage.known] == [BOB]
    stage.world.workspaces.delete_group("phones@acme.example")
    stage.read()
    assert (stage.reasons, stage.status.error_code) == ({}, "bad_response")


def test_the_list_of_users_and_the_calls_of_their_syncs_take_turns() -> None:
    """The gateway counts both for the service account's project; 12 calls in a minute are 60/11 seconds apart."""
    stage = Workspace(sources=(Source.CONTACTS,), calls_per_minute=12)
    stage.begin()
    turns = []
    for _ in range(4):
        calls = stage.calls()
        turns.append(tuple(calls.get(path, 0) for path in ("/admin/directory/v1/users", GROUPS, CONNECTIONS)))
        stage.clock.advance(6)
    assert turns == [(1, 0, 0), (0, 1, 0), (0, 1, 0), (0, 0, 1)]


@pytest.mark.long  # a virtual hour of a thousand accounts
def test_a_thousand_users_keep_the_quota() -> None:
    """Their first syncs wait for their turns; no minute has more calls than the project's quota."""
    stage = Workspace(calls_per_minute=120, in_turns=True)
    stage.world.calls_per_minute = 120
    for address in stage.add_users(998):
        stage.world.set_user(address, signed_in=True)
    stage.scheduler.startService()
    stage.delegate()
    for _ in range(60):
        Deferred.fromCoroutine(stage.scheduler.refresh())
        for _ in range(60):
            stage.clock.advance(1)
    assert len(stage.known) == 1000
    assert {(found.error, found.last_sync is None) for found in stage.known} == {(None, False)}
    assert max(stage.world.calls_by_minute.values()) <= 120


def test_a_trial_reads_as_a_user() -> None:
    """The trial counts the selected users, and calls Google as one of them; the first refusal ends the trial."""
    stage = Workspace()
    stage.authorize(SCOPE_OF[Source.CONTACTS])
    allowed = frozenset((SCOPE_OF[Source.CONTACTS],))
    stage.world.workspaces.set_group("phones@acme.example", "Phones", [BOB])
    before = dict(stage.world.calls)
    assert stage.try_out(users=("*",)) == DelegationTrial(2, allowed)
    assert {path: calls - before.get(path, 0) for path, calls in stage.world.calls.items()} == {
        "/token": 4,  # one for each source, one for the list, and one for Bob
        "/admin/directory/v1/users": 1,
        "/v1/people/me/connections": 1,
    }
    assert stage.try_out(groups=("Phones@acme.example",)) == DelegationTrial(1, allowed)
    assert stage.try_out(users=("nobody@acme.example",)) == DelegationTrial(0, allowed)
    assert stage.try_out(groups=("none@acme.example",)) == DelegationRefusal.NO_GROUP
    stage.world.set_user(BOB, signed_in=False)
    assert stage.try_out(users=("*",)) == DelegationTrial(2, allowed)  # read as Alice
    assert stage.try_out(users=(BOB,)) == DelegationRefusal.SOME_SCOPES
    for fault, code in (
        ("workspace_not_an_admin_403", DelegationRefusal.NOT_AN_ADMIN),
        ("error_service_disabled_403", "api_disabled"),
        ("delegation_bad_key", DelegationRefusal.BAD_KEY),
        ("delegation_503", "google_unavailable"),
    ):
        stage.world.faults.inject(fault, times=1)
        assert stage.try_out(users=("*",)) == code
    stage.world.set_user(ALICE, admin=False)
    assert stage.try_out(users=("*",)) == DelegationRefusal.NOT_AN_ADMIN


def test_no_secret_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Logs at any level, values, errors and the database show no key, signed request or token, also after refusals."""
    stage, told, tokens, signed = Workspace(), list[str](), set[str](), set[str]()
    issue, request = stage.world.grants.issue_access, stage.line.request

    def issue_access(*args: Any, **options: Any) -> str:
        tokens.add(token := issue(*args, **options))
        return token

    def observe_request(method: str, url: str, **options: Any) -> Any:
        body = options.get("data") or b""
        signed.update(parse_qs(body.decode() if isinstance(body, bytes) else body).get("assertion", ()))
        return request(method, url, **options)

    def observe(event: dict[str, Any]) -> None:
        told.append(f"{formatEvent(event)} {event!r}")

    monkeypatch.setattr(stage.world.grants, "issue_access", issue_access)
    monkeypatch.setattr(stage.line, "request", observe_request)
    key_file = sandbox.key_file(stage.world)
    globalLogPublisher.addObserver(observe)
    try:
        stage.begin()
        for fault in (
            *("delegation_bad_key", "delegation_unexplained", "token_error_unknown", "workspace_not_an_admin_403"),
            *("workspace_not_json", "error_unauthenticated_401", "error_permission_denied_directory_403"),
        ):
            stage.world.faults.inject(fault, times=2)
            stage.world.expire_access_tokens()
            stage.read()
            stage.clock.advance(2 * stage.interval)
        stage.world.workspaces.replace_key()
        stage.world.expire_access_tokens()
        stage.read()
        stage.clock.advance(2 * stage.interval)
        told += [repr(stage.try_out(users=("*",))), *map(repr, (stage.account(ALICE), stage.account(ALICE).error))]
    finally:
        globalLogPublisher.removeObserver(observe)
    entered = EnteredDelegation("acme", key_file.decode(), EVERYBODY, NOW)
    stage.database.run(tenants.enter_delegation, stage.secret_box, entered)
    stage.database.run(tenants.enter_delegation, SecretBox([Fernet.generate_key()]), replace(entered, tenant="beta"))
    (tmp_path / "key.json").write_bytes(key_file)
    text = f"""{HEAD}{ACME}[[tenant.delegation]]\nkey_file = "key.json"\nadministrator = "{ALICE}"\nusers = ["*"]"""
    (tmp_path / "ldapgw.toml").write_text(text)
    config = load(str(tmp_path / "ldapgw.toml"))
    delegations = TenantDelegations(stage.store, stage.secret_box, config.tenant)
    globalLogPublisher.addObserver(observe)
    result_of(delegations.refresh())
    globalLogPublisher.removeObserver(observe)
    told += [repr(delegations), repr(stage.delegations), repr(entered), repr(config)]
    with stage.database.begin() as connection:
        told += [repr(row) for table in metadata.sorted_tables for row in connection.execute(select(table))]
    shown = "\n".join(told)
    assert all(word in shown for word in ("bad_key", EMAIL, "delegation_undecryptable"))
    pem = json.loads(key_file)["private_key"].splitlines()[1:-1]
    assert (len(pem) > 20, len(tokens) > 10, len(signed) > 10) == (True, True, True)
    assert [secret for secret in (*pem, *tokens, *signed) if secret in shown] == []
    assert not any(assertion.rpartition(".")[2] in shown for assertion in signed)


def test_a_request_reads_nobody_who_has_left(stage: Workspace) -> None:
    """Neither a person's request nor a cached token reads the contacts of somebody whom the settings exclude."""
    stage.delegate(DelegationSettings(ALICE, users=("@acme.example",), exclude=(BOB,)))
    stage.follow()
    stage.world.add_person(BOB, person("Secret"))
    stage.request(BOB)
    stage.clock.advance(2 * stage.interval)
    assert (stage.names(BOB), stage.trouble(BOB).facts) == (["Ben"], {"by": "moved"})
    rename_account(stage.world, BOB, "robert@acme.example")  # the former address becomes an alias
    stage.read()
    assert (stage.reasons, stage.names(BOB)) == ({BOB: LeaverReason.MOVED}, ["Ben"])


def test_new_exceptions_count_before_the_next_list(stage: Workspace) -> None:
    """Also if the Workspace cannot be read: a token is got only for a user whom the settings include."""
    settings = DelegationSettings(ALICE, users=("@acme.example",), exclude=(BOB,))
    stage.delegations["acme"] = Delegation(stage.delegations["acme"].service_account, settings)
    stage.world.add_person(BOB, person("Secret"))
    stage.world.expire_access_tokens()
    stage.clock.advance(2 * stage.interval)
    assert (stage.names(BOB), stage.trouble(BOB).facts) == (["Ben"], {"by": "moved"})


def test_a_service_account_serves_only_who_may_connect() -> None:
    """A key that another company has allowed too opens nothing to a tenant that admits nobody from there."""
    stage = Workspace(allowed=("@globex.example", "root@acme.example"))
    stage.delegate(DelegationSettings(ALICE, users=("*",)))
    assert stage.known == ()


def test_a_disconnected_account_comes_back_private() -> None:
    """The former sharing was decided for contacts that are gone; another person's page shows the account no more."""
    stage = Workspace()
    bob = stage.connect(BOB, sharing=Sharing.SHARED)
    stage.execute(update(tables.account).values(owner="another"))
    stage.database.run(accounts.disconnect, bob.id)
    stage.delegate()
    found = stage.account(BOB)
    assert (found.sharing, found.owner, found.uses_delegation) == (Sharing.PRIVATE, None, True)


def test_guests_and_suspended_users_are_in_no_group() -> None:
    """Also where everybody in the company is a member."""
    stage = Workspace(google_groups=("all@acme.example",))
    stage.world.workspaces.set_group("all@acme.example", "All", ["*"])
    stage.world.set_user(BOB, suspended=True)
    stage.delegate()
    (found,) = stage.groups
    assert found.members == {*stage.subs(ALICE)}


def test_a_short_list_and_an_empty_group_change_nothing() -> None:
    """The members of a group stay, and nobody counts as moved out of a group that is suddenly empty."""
    stage = Workspace(google_groups=("sales@acme.example",))
    addresses = stage.add_users(30)
    stage.world.workspaces.set_group("sales@acme.example", "Sales", addresses)
    stage.delegate(DelegationSettings(ALICE, groups=("sales@acme.example",)))
    (before,) = stage.groups
    stage.world.workspaces.set_group("sales@acme.example", "Sales", [])
    stage.read()
    assert (stage.reasons, stage.status.error_code) == ({}, "bad_response")
    stage.world.workspaces.set_group("sales@acme.example", "Sales", addresses)
    for address in addresses:
        stage.world.delete_account(address)
    stage.read(RETRY_SECONDS)
    (after,) = stage.groups
    assert stage.status.error_code == SHORT_LIST
    assert len(before.members) == 30
    assert after.members == before.members or not after.members


def test_an_unknown_service_account_has_not_ended() -> None:
    """If it cannot be decrypted, or was not read yet, the accounts and the marks of leavers stay."""
    stage = Workspace()
    stage.delegate()
    stage.world.set_user(BOB, suspended=True)
    stage.read()
    stage.unknown.add("acme")
    stage.delegations.clear()
    stage.read()
    assert ([found.delegated for found in stage.known], stage.reasons) == ([True, True], {BOB: LeaverReason.SUSPENDED})


def test_a_group_without_its_scope_costs_the_group_alone() -> None:
    stage = Workspace(google_groups=("sales@acme.example",))
    stage.world.workspaces.authorize(EMAIL, DOMAIN, {*SCOPE_OF.values(), USERS_SCOPE})
    stage.delegate()
    (found,) = stage.groups
    assert (len(stage.known), found.error_code) == (2, DelegationRefusal.NOT_AUTHORIZED)
    assert stage.try_out(users=("*",)) == DelegationRefusal.SOME_SCOPES
