# SPDX-License-Identifier: MIT
"""The tests cover the refused logins of a phone, the logins for the administrator only, and the stored refusals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from cryptography.fernet import Fernet
from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from ldapgw.contact import Sharing
from ldapgw.directory.access import Access, Viewer
from ldapgw.directory.catalog import Catalog, PhoneAccess, PhoneBind, Snapshot
from ldapgw.directory.dit import Dit
from ldapgw.directory.dn import Dn
from ldapgw.directory.naming_context import phone_dn
from ldapgw.directory.special_entries import Features
from ldapgw.errors import StoreError
from ldapgw.ldap.connection import PLAIN_ON_TLS_PORT, UNKNOWN_AUTHORITY
from ldapgw.ldap.decoder import TLS_ON_PLAIN_PORT
from ldapgw.phones.refused_logins import (
    MASK,
    MAX_ELSEWHERE,
    MAX_NOTED,
    MAX_SHOWN,
    MAX_UNKNOWN,
    POLL_SECONDS,
    WRITE_SECONDS,
    NewRefusals,
    RefusedLogins,
    UnknownLogin,
    house_words,
    shown_name,
)
from ldapgw.store import accounts, phones, provisioning
from ldapgw.store.accounts import NewGrant
from ldapgw.store.database import CHUNK
from ldapgw.store.phones import LastBind, NumberMode, PhoneLogin, Refusal, site_of, wrong_password
from ldapgw.store.provisioning import MAX_UNFIT_CLIENTS, Mistake, UnfitClient
from ldapgw.store.secrets import SecretBox
from ldapgw.store.worker import Store, on_threads
from tests.support.stage.databases import open_in_memory
from tests.support.work import calls

TLS, PLAIN, UNKNOWN = Mistake.TLS_ON_PLAIN_PORT, Mistake.PLAIN_ON_TLS_PORT, Mistake.UNKNOWN_AUTHORITY
NOW = 1790000000.0
BASES = {"acme": "dc=acme,dc=example", "globex": "dc=globex,dc=example"}
HERE, NEAR, AWAY = "10.0.0.17", "10.0.0.99", "203.0.113.9"
HASH = "sha256$" + "0" * 32 + "$" + "1" * 64


def access(name: str, tenant: str = "acme") -> PhoneAccess:
    dn = phone_dn(name, Dn.parse(BASES[tenant]))
    return PhoneAccess(name, HASH, Viewer(str(dn), (Access(tenant),)))


class Scene:
    """The scene has a store with phones, their catalog, and the refused logins."""

    def __init__(self, bases: dict[str, str]) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.database = open_in_memory()
        served = [access("desk1"), access("desk2"), access("lab", "globex")]
        with self.database.begin() as connection:
            for one in served:
                tenant = one.viewer.access[0].tenant
                phones.add(connection, PhoneLogin(one.name, tenant, None, NumberMode.VALUES, HASH, NOW))
        snapshot = Snapshot(Dit((), Features("1")), {one.name: one for one in served})
        self.catalog = Catalog(snapshot, {}, self.clock.seconds)
        self.store: Any = Store(on_threads(self.database, maybeDeferred, maybeDeferred))
        self.fails = False
        self.writes = 0
        self.written_clients: list[int] = []
        self.told: list[str] = []
        self.logged: list[str] = []
        self.refused = self.restarted(bases)

    def restarted(self, bases: dict[str, str]) -> RefusedLogins:
        return RefusedLogins(
            clock=self.clock,
            store=self,  # type: ignore[arg-type]
            find_login=self.catalog.find_login,
            last_login=self.catalog.last_login,
            logins=lambda: self.catalog.snapshot.logins,
            bases=bases,
            on_refusal=self.told.append,
            is_shared=True,
        )

    def run(self, *args: Any) -> Deferred[Any]:
        self.writes += 1
        if args[0] is provisioning.add_unfit_clients:
            self.written_clients.append(len(args[1]))
        return fail(StoreError("disk I/O error")) if self.fails else self.store.run(*args)

    def read(self, *args: Any) -> Deferred[Any]:
        return fail(StoreError("disk I/O error")) if self.fails else self.store.read(*args)

    def bind(self, name: str, address: str) -> None:
        """Log in with the right password, which is stored soon after."""
        self.catalog._seen[name] = PhoneBind(address, HASH, self.clock.seconds(), True)

    def store_binds(self) -> None:
        seen = self.catalog.take_seen_phones()
        with self.database.begin() as connection:
            binds = {name: LastBind(bind.when, bind.address, bind.password_hash) for name, bind in seen.items()}
            phones.store_last_binds(connection, binds)

    def refuse(self, name: str = "desk1", address: str = HERE, times: int = 1) -> None:
        for _ in range(times):
            self.refused.note(name, address)
        self.wait()

    def wait(self, seconds: float = POLL_SECONDS) -> None:
        for _ in range(round(seconds / POLL_SECONDS)):
            self.clock.advance(POLL_SECONDS)

    def stored(self, name: str = "desk1") -> PhoneLogin:
        with self.database.begin() as connection:
            login = phones.read_by_name(connection, name)
        assert login is not None
        return login

    def stored_clients(self) -> tuple[UnfitClient, ...]:
        """Return the stored clients that used a wrong port."""
        with self.database.begin() as connection:
            return provisioning.read_unfit_clients(connection, self.clock.seconds())

    def wrong(self, name: str = "desk1") -> Refusal | None:
        """Return the refusal that the phone's page shows."""
        return wrong_password(self.refused.latest(self.stored(name)), self.clock.seconds())

    def observe(self, event: dict[str, Any]) -> None:
        if event["log_namespace"].startswith("ldapgw"):
            self.logged.append(event["log_format"].format(**event))


@pytest.fixture
def scene(request: pytest.FixtureRequest) -> Iterator[Scene]:
    scene = Scene(getattr(request, "param", BASES))
    globalLogPublisher.addObserver(scene.observe)
    scene.refused.startService()
    yield scene
    scene.fails = False
    scene.refused.stopService()
    globalLogPublisher.removeObserver(scene.observe)
    scene.database.close()
    assert not scene.clock.getDelayedCalls()


@pytest.mark.parametrize("scene", [{"acme": "dc=acme,dc=example"}], indirect=True)
def test_clients_that_cannot_connect(scene: Scene) -> None:
    """Each address appears once with its mistake, the latest first. Such clients are not unknown names."""
    scene.refused.note_unfit_client(UNKNOWN_AUTHORITY, "192.0.2.1")
    for _ in range(2):
        scene.refused.note_unfit_client(TLS_ON_PLAIN_PORT, "192.0.2.2")
    other = replace(scene.refused.take_unsent().unfit_clients[0], address="192.0.2.3")
    of_a_later_version = replace(other, name="a mistake of a later version")
    scene.refused.add_received(NewRefusals(unfit_clients=(other, of_a_later_version)))
    shown = [(client.address, client.count, mistake) for client, mistake in scene.refused.unfit_clients("acme", ())]
    assert shown == [("192.0.2.3", 1, UNKNOWN), ("192.0.2.2", 2, TLS), ("192.0.2.1", 1, UNKNOWN)]
    assert scene.refused.unknown("acme", ()) == ()


def test_clients_that_cannot_connect_are_stored_once_a_minute(scene: Scene) -> None:
    """The first client is stored at once, and the last twenty after a minute or at the stop.

    Clients of other gateways are not stored.
    """
    first = UnfitClient("192.0.2.1", TLS, NOW)
    scene.refused.note_unfit_client(TLS_ON_PLAIN_PORT, first.address)
    scene.refused.add_received(NewRefusals(unfit_clients=(UnknownLogin(TLS_ON_PLAIN_PORT, "", "192.0.2.9", 1, NOW),)))
    scene.wait()
    assert (scene.writes, scene.stored_clients()) == (1, (first,))
    numbers = [*range(25), 5, *range(25, 30)]
    for number in numbers:
        scene.refused.note_unfit_client(PLAIN_ON_TLS_PORT, f"203.0.113.{number}")
        scene.wait()
    assert (scene.writes, scene.stored_clients()) == (1, (first,))
    scene.wait(WRITE_SECONDS - len(numbers))
    kept = [*enumerate(numbers, 1)][-MAX_UNFIT_CLIENTS:]
    last = tuple(UnfitClient(f"203.0.113.{number}", PLAIN, NOW + at) for at, number in reversed(kept))
    assert (scene.writes, scene.stored_clients()) == (2, last)
    assert scene.written_clients == [1, MAX_UNFIT_CLIENTS]
    scene.wait(2 * WRITE_SECONDS)
    assert scene.writes == 2
    scene.refused.note_unfit_client(TLS_ON_PLAIN_PORT, first.address)
    scene.refused.stopService()
    again = replace(first, at=scene.clock.seconds())
    assert (scene.writes, scene.stored_clients()) == (3, (again, *last[:-1]))


def test_a_wrong_password_until_the_right_one(scene: Scene) -> None:
    """The page shows the time, the address and the count. A good login from there ends the message at once."""
    assert scene.wrong() is None
    scene.refuse(times=2)
    assert scene.wrong() == Refusal(NOW, HERE, 2)
    scene.refuse("cn=desk1,ou=phones,dc=acme,dc=example", NEAR)
    assert scene.wrong() == Refusal(NOW + 1, NEAR, 3)
    assert scene.told == ["cn=desk1,ou=phones,dc=acme,dc=example"] * 2
    scene.bind("desk1", HERE)
    assert scene.wrong() is None
    scene.wait()
    scene.store_binds()
    assert (scene.stored().refused, scene.wrong("desk2")) == (None, None)
    scene.refuse()
    assert scene.wrong() == Refusal(NOW + 3, HERE, 1)


def test_a_page_that_read_the_phone_before(scene: Scene) -> None:
    """The page shows the refusal even if the phone was read before the write."""
    read = scene.stored()
    scene.refuse()
    assert scene.stored().refused == Refusal(NOW, HERE, 1)
    assert scene.refused.latest(read).refused == Refusal(NOW, HERE, 1)


def test_it_is_stored_at_once_and_then_once_a_minute(scene: Scene) -> None:
    """The refusal survives a restart, and the count goes on."""
    scene.refuse()
    assert (scene.stored().refused, scene.writes) == (Refusal(NOW, HERE, 1), 1)
    for _ in range(30):
        scene.refuse()
    assert (scene.writes, scene.wrong()) == (1, Refusal(NOW + 30, HERE, 31))
    scene.wait(WRITE_SECONDS)
    assert (scene.writes, scene.stored().refused) == (2, Refusal(NOW + 30, HERE, 31))
    scene.refuse()
    scene.refused.stopService()
    assert (scene.writes, scene.stored().refused) == (3, Refusal(NOW + 91, HERE, 32))
    scene.refused = scene.restarted(BASES)
    scene.refused.startService()
    assert scene.wrong() == Refusal(NOW + 91, HERE, 32)
    scene.refuse()
    assert scene.wrong() == Refusal(NOW + 92, HERE, 33)


def test_a_disk_that_fails(scene: Scene) -> None:
    """The page shows the refusal nevertheless. The store gets the refusals and clients later."""
    scene.fails = True
    scene.refused.note_unfit_client(TLS_ON_PLAIN_PORT, "192.0.2.1")
    scene.refuse()
    assert (scene.stored().refused, scene.wrong(), scene.stored_clients()) == (None, Refusal(NOW, HERE, 1), ())
    scene.wait()
    scene.fails = False
    scene.wait()
    assert scene.stored().refused == Refusal(NOW, HERE, 1)
    assert scene.stored_clients() == (UnfitClient("192.0.2.1", TLS, NOW),)


def test_guesses_from_elsewhere_are_for_the_administrator(scene: Scene) -> None:
    """Not for a phone that has logged in from another site, whether that is stored or not; for a day."""
    scene.bind("desk1", HERE)
    scene.refuse(address=AWAY, times=2)
    scene.store_binds()
    scene.refuse(address=AWAY)
    assert (scene.wrong(), scene.writes) == (None, 0)
    [told] = scene.refused.elsewhere("acme")
    assert (told.phone, told.refused) == ("desk1", Refusal(NOW + 1, AWAY, 3))
    assert scene.refused.elsewhere("globex") == ()
    scene.refused.forget(access("desk1").viewer.login)
    assert scene.refused.elsewhere("acme") == ()
    scene.refuse(address=AWAY)
    scene.clock.advance(phones.REFUSAL_SECONDS + 1)
    assert scene.refused.elsewhere("acme") == ()


def test_a_good_login_elsewhere_ends_nothing(scene: Scene) -> None:
    """Somebody may have tried the password at the gateway, and the phone still has the wrong password."""
    scene.refuse()
    scene.bind("desk1", AWAY)
    scene.store_binds()
    assert scene.wrong() == Refusal(NOW, HERE, 1)
    scene.clock.advance(phones.REFUSAL_SECONDS)
    assert scene.wrong() is None


def test_a_new_password_ends_it(scene: Scene) -> None:
    """Refusals from before the new password do not count, even if judged later."""
    scene.refuse(times=3)
    with scene.database.begin() as connection:
        phones.set_password(connection, "desk1", "sha256$00$00", NOW)
    assert scene.wrong() is None
    scene.refuse()
    assert (scene.wrong(), scene.stored().refused) == (None, None)
    scene.refused.forget(access("desk1").viewer.login)
    scene.refused.forget(access("lab", "globex").viewer.login)


def test_the_log_names_the_phone(scene: Scene, json_log: list[dict[str, object]]) -> None:
    """The log has a line a minute, with tenant and account."""
    with scene.database.begin() as connection:
        grant = NewGrant("sub", "alice@acme.example", frozenset(), "at", NOW, "rt", None)
        alice = accounts.connect(
            connection, SecretBox([Fernet.generate_key()]), "acme", grant, Sharing.PRIVATE, NOW, shared_label=""
        )
        phones.set_accounts(connection, "desk1", [alice])
    scene.refuse(times=3)
    scene.refuse(times=2)
    scene.wait(WRITE_SECONDS)
    assert scene.logged == [
        "wrong password for phone desk1 from 10.0.0.17, 3 times",
        "wrong password for phone desk1 from 10.0.0.17, 2 times",
    ]
    line = {"event": "wrong_password", "tenant": "acme", "account": alice, "phone": "desk1", "address": HERE}
    assert json_log == [
        {**line, "message": message, "count": count} for message, count in zip(scene.logged, (3, 2), strict=True)
    ]


@pytest.mark.parametrize(
    ("names", "lines"),
    [
        (["desk9"], [": desk9"]),
        (["cn=desk9,ou=phones,dc=acme,dc=example"], [": cn=desk9,ou=phones,dc=acme,dc=example"]),
        (["Tr0ub4dor&3"], [", which may be a password and is not logged"]),
        (["anna@acme.example"], [", which may be a password and is not logged"]),
        (["desk7", "desk8", "desk9"], [": desk7", ": desk9, the last of 2"]),
    ],
    ids=["a name", "a DN", "a password", "a person", "several"],
)
def test_the_log_has_unknown_names(scene: Scene, names: list[str], lines: list[str]) -> None:
    """The log has a line a minute for each address. A line names a mistyped login, but no secret."""
    for name in names:
        scene.refuse(name)
    scene.wait(WRITE_SECONDS)
    assert scene.logged == [f"login with an unknown name from {HERE}{line}" for line in lines]


def test_a_judge_that_fails_is_logged_and_goes_on(scene: Scene) -> None:
    """The timer runs on after an error."""

    def fail_once(_login: str) -> None:
        scene.told.append("once")
        if len(scene.told) == 1:
            raise KeyError

    scene.refused._on_refusal = fail_once
    scene.refuse()
    scene.refuse()
    assert scene.told == ["once", "once"]
    assert "internal error while refused logins were handled" in scene.logged


@pytest.mark.parametrize("scene", [{"acme": BASES["acme"]}], indirect=True)
def test_unknown_names_of_the_only_tenant(scene: Scene) -> None:
    """The page lists the last twenty names with their counts, the latest first. Long names are cut."""
    for number in range(MAX_UNKNOWN + 5):
        scene.refuse(f"room{number}")
    scene.refuse("desk01", times=2)
    scene.refuse("cn=desk1,ou=people,dc=acme,dc=example", NEAR)
    scene.refuse("desk01", AWAY)
    scene.refuse(f"cn=desk9,ou={'phones-' * 20},dc=acme,dc=example")
    long, desk01, people, *rest = scene.refused.unknown("acme", ())
    assert (long.name, long.tenant) == (f"cn=desk9,ou={'phones-' * 20}"[:MAX_SHOWN], "acme")
    assert desk01 == UnknownLogin("desk01", "", AWAY, 3, NOW + 27)
    assert people == UnknownLogin("cn=desk1,ou=people,dc=acme,dc=example", "acme", NEAR, 1, NOW + 26)
    assert [one.name for one in rest] == [f"room{number}" for number in range(24, 7, -1)]
    assert "desk01" not in repr(desk01)


def test_unknown_names_of_several_tenants(scene: Scene) -> None:
    """The base decides the tenant. A name without a known base goes to the tenant whose phone is near."""
    scene.refuse("cn=desk9,ou=phones,dc=acme,dc=example", AWAY)
    scene.refuse("hall", HERE)
    scene.refuse("cn=x,dc=elsewhere", AWAY)
    scene.refuse("cn=broken,,", AWAY)
    assert [one.name for one in scene.refused.unknown("acme", ())] == ["cn=desk9,ou=phones,dc=acme,dc=example"]
    assert [one.name for one in scene.refused.unknown("globex", {site_of(NEAR)})] == ["hall"]


def test_a_flood_is_bounded(scene: Scene) -> None:
    """Names between two judgements and phones elsewhere are limited. Known names are still counted."""
    for number in range(2 * MAX_NOTED):
        scene.refused.note(f"name{number}", HERE)
    scene.refused.note("name0", HERE)
    assert len(scene.refused._noted) == MAX_NOTED
    assert scene.refused._noted["name0", HERE][1] == 2
    scene.wait()
    names = [f"p{number}" for number in range(MAX_ELSEWHERE + 1)]
    logins = {name: access(name) for name in names}
    scene.catalog.publish(replace(scene.catalog.snapshot, logins=logins), ())
    for name in names:
        scene.bind(name, HERE)
        scene.refused.note(name, AWAY)
    scene.wait()
    assert [one.phone for one in scene.refused.elsewhere("acme")] == names[:0:-1]


def calls_in_turns(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that gets the number of function calls of each later turn of the reactor."""
    in_turn: list[int] = []
    call_later = scene.clock.callLater

    def count(delay: float, work: Callable[..., Any], *args: Any) -> Any:
        return call_later(delay, lambda: in_turn.append(calls(lambda: work(*args))))

    monkeypatch.setattr(scene.clock, "callLater", count)
    scene.wait()
    in_turn.clear()
    return in_turn


@pytest.mark.parametrize("scene", [{"acme": BASES["acme"]}], indirect=True)
def test_a_flood_of_unknown_names_is_judged_in_small_turns(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each turn of the reactor judges few names. Names beyond the shown number are not judged."""
    names = [f"cn=room{number},{'ou=a+ou=b+' * 8}ou=c,dc=acme,dc=example" for number in range(6 * MAX_UNKNOWN)]
    in_turn = calls_in_turns(scene, monkeypatch)
    for name in names:
        scene.refused.note(name, HERE)
    scene.wait()
    assert [one.name for one in scene.refused.unknown("acme", ())] == [name[:MAX_SHOWN] for name in names[:-21:-1]]
    one = calls(lambda: shown_name(names[0], WORDS))
    assert max(in_turn) < 20 * one
    assert sum(in_turn) < (len(names) + 3 * MAX_UNKNOWN) * one


@pytest.mark.parametrize("scene", [{"acme": BASES["acme"]}], indirect=True)
def test_names_of_a_flood_that_are_not_judged_are_masked(scene: Scene) -> None:
    """The masked names are counted by address."""
    scene.refused.note("desk01", AWAY)
    for number in range(4 * MAX_UNKNOWN):
        scene.refused.note(f"hunter{number}", HERE)
    scene.wait()
    found = [(one.name, one.address, one.count) for one in scene.refused.unknown("acme", ())]
    assert found == [(MASK, HERE, 4 * MAX_UNKNOWN), (MASK, AWAY, 1)]


WORDS = house_words(["desk1", "Anna-Lab", "4930123450", "dc=acme,dc=example"])
NAMES = (
    *("desk12", "Desk01", "desk101", "reception", "Empfang 2", "EG-Flur", "201", "room 2041", "2nd-floor", "Büro3"),
    *("deskXX", "receptionEG"),
    *("Konferenzraum", "Besprechungsraum 2", "serverraum", "Pausenraum1", "Sitzungszimmer EG", "T46S", "Yealink W52P"),
    *("anna", "LAB-7", "4930123456", "p17", "ACME\\desk1", "snom D785"),
    *("alice.smith@acme.example", "bob7@gmail.example", "805ec0123456", "SEP805EC0123456", "80:5e:c0:12:34:56"),
    *("80-5E-C0-12-34-56", "SEP001565123456", "00-15-65-12-34-56"),
    *("cn=desk7,ou=people,dc=acme,dc=example", "uid=anna,ou=staff,dc=elsewhere,dc=local", ""),
)
PASSWORDS = (
    *("hunter2", "monkey123", "password", "Passwort1", "anna1985!", "sunshine", "dragon", "McDonald", "qwerty1"),
    *("k3jd9sp2xw0a7v5mq1zt", "Summer2024", "sommer2024", "a1b2c3d4", "desk1:secret", "kJdPsX", "p%ss", "P@ssw0rd"),
    *("correcthorsebatterystaple", "correct horse", "desk1 hunter2", "<script>", "1234567890123456", "19851224"),
    *("123456", "1234567", "cn=hunter2,ou=phones,dc=acme,dc=example", "cn=k3jd9sp2xw,dc=acme", "cn=broken,,", "a=b=c"),
    *("desk123456", "ab1234", "hunter2@home", "hunter2@x.y", "Acme2024", "anna1985", "room2041", "123456789012"),
    *("Summer2024=", "aGVsbG8tMTIzNDU=", "hunter2=1", "Passw0rd=ok", "hunter2=desk1", "cn=desk1,hunter2=phones"),
    *("cn=", "cn=desk1,ou=", "cn=desk1+hunter2=1,ou=phones", "cn=-", "--------", "T4S6"),
)


@pytest.mark.parametrize("name", NAMES)
def test_what_looks_like_a_name_of_the_house_is_shown(name: str) -> None:
    """Shown names are words of phones' names with short numbers, extensions, addresses, and DNs of such names."""
    assert shown_name(name, WORDS) == name


@pytest.mark.parametrize("name", PASSWORDS)
def test_what_may_be_a_password_is_masked(name: str) -> None:
    """The mask hides even the length. A word with a short number is masked if no phone has such a name."""
    assert shown_name(name, WORDS) == MASK


def test_the_digits_of_a_house_are_those_of_whole_parts() -> None:
    """Neither a MAC address nor its end counts as a word. A phone's number allows numbers of the same length."""
    macs = ("805ec0123456", "SEP805EC0123456", "80:5e:c0:12:34:56", "80-5E-C0-12-34-56", "lab 805ec0123457")
    words = house_words([*macs, "anna1234567", "4930 123450"])
    assert words - house_words(()) == {"anna", "0000", "000000"}
    assert [shown_name(name, words) for name in ("1234567", "eca2024", "123456")] == [MASK, MASK, "123456"]


def test_the_words_of_a_house_are_those_of_its_phones(scene: Scene) -> None:
    """Names like the name of a new phone are shown from then on."""
    scene.refuse("hunter2")
    scene.refuse("annex2", AWAY)
    names = ("desk1", "annex1")
    scene.catalog.publish(replace(scene.catalog.snapshot, logins={name: access(name) for name in names}), ())
    scene.refuse("annex3")
    sites = {site_of(HERE), site_of(AWAY)}
    assert [one.name for one in scene.refused.unknown("acme", sites)] == ["annex3", MASK, MASK]


@pytest.mark.parametrize("scene", [{"acme": BASES["acme"]}], indirect=True)
def test_the_words_of_many_phones_are_read_in_small_turns(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a change of the logins, each turn of the reactor reads the words of few names."""
    names = [f"annex{number}" for number in range(1000, 1000 + 10 * CHUNK)]
    logins = dict.fromkeys(names, access("desk1"))
    scene.catalog.publish(replace(scene.catalog.snapshot, logins=logins), ())
    in_turn = calls_in_turns(scene, monkeypatch)
    scene.refuse("annex77", HERE)
    assert [one.name for one in scene.refused.unknown("acme", ())] == ["annex77"]
    assert max(in_turn) < 2 * calls(lambda: house_words(names[:CHUNK]))


@pytest.mark.parametrize("scene", [{"acme": BASES["acme"]}], indirect=True)
def test_masked_names_are_apart_by_their_addresses(scene: Scene) -> None:
    """Only the address distinguishes masked names."""
    scene.refuse("hunter2", HERE)
    scene.refuse("monkey123", AWAY)
    scene.refuse("hunter3", HERE, times=2)
    found = [(one.name, one.address, one.count) for one in scene.refused.unknown("acme", ())]
    assert found == [(MASK, HERE, 3), (MASK, AWAY, 1)]
