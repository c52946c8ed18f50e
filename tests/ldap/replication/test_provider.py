# SPDX-License-Identifier: MIT
"""Content synchronization (RFC 4533) on the wire: what a replica holds is what is published."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock

from ldapgw.ber import ENUMERATED, SEQUENCE, integer, octets, tlv
from ldapgw.contact import Sharing
from ldapgw.directory.access import NOBODY, Access, Viewer
from ldapgw.directory.catalog import Freshness
from ldapgw.errors import ResultCode
from ldapgw.ldap.messages import FinishedSearch
from ldapgw.ldap.replication import change_log
from ldapgw.ldap.replication.provider import SYNC_DONE, SYNC_REQUEST, Provider
from ldapgw.ldap.replication.replica_entry import Csn
from ldapgw.ldap.server import LdapFactory
from ldapgw.ldap.session import DirectoryPort
from tests.support import pdu
from tests.support.examples import examples
from tests.support.phonebook.replicated import BRANCH, HASH, VAULT, Copy, Site, contact, phone
from tests.support.phonebook.wire import BASE, LIMITS, Client, Contexts, turn

ALICE = f"ou=alice@acme.example,{BASE}"
ONLY, PERSIST = 1, 3
CONTAINERS = [BASE, f"ou=phones,{BASE}"]


@dataclass
class Gateway:
    """A server whose snapshots a test publishes."""

    site: Site = field(default_factory=Site)
    used: list[tuple[str, str, str]] = field(default_factory=list)
    limits: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.clock = Clock()
        self.viewers: dict[str, Viewer] = {"branch": BRANCH.viewer, "vault": VAULT.viewer}
        self.viewers["desk1"] = Viewer("cn=desk1", (Access("acme"),))
        self.seen: list[FinishedSearch] = []
        port = DirectoryPort(
            lambda: self.site.snapshot.dit,
            lambda name, password, *_: self.viewers.get(name) if password == b"secret" else None,
            lambda _address: NOBODY,
            b"key",
            observers=(self.seen.append,),
        )
        self.factory = LdapFactory(port, replace(LIMITS, **self.limits), self.clock, Contexts(), require_tls=False)
        self.provider = Provider(self.factory, self.site.logs, lambda *use: self.used.append(use))

    def publish(self) -> None:
        """Tell the provider of what was published, and let it work."""
        self.provider.snapshot_changed()
        self.work()

    def work(self) -> None:
        for _ in range(200):
            turn(self.clock)
        assert not [call for call in self.clock.getDelayedCalls() if call.getTime() <= self.clock.seconds()]

    def client(self, login: str = "branch", host: str = "127.0.0.1", *, secure: bool = False) -> Client:
        client = Client(self.factory, host, secure=secure)
        [bound] = client.ask(pdu.bind(login, b"secret"), 99)
        assert bound.code == 0
        return client

    def sync(self, client: Client, mode: int, cookie: bytes | None = None, **kw: object) -> list[pdu.Response]:
        """Ask for synchronization; what came at once."""
        client.deliver(pdu.message(1, request(**kw), pdu.controls(sync_control(mode, cookie))))
        self.work()
        return client.received()


def sync_control(mode: int, cookie: bytes | None = None, *, critical: bool = True) -> bytes:
    value = tlv(SEQUENCE, integer(mode, ENUMERATED) + (octets(cookie) if cookie is not None else b""))
    return pdu.control(SYNC_REQUEST, critical=critical, value=value)


def request(
    base: str = BASE, scope: int = 2, filter_: bytes = pdu.PRESENT, attributes: tuple[str, ...] = ("*", "+"), **kw: bool
) -> bytes:
    return pdu.search(base, scope, filter_, attributes, **kw)


@pytest.fixture(name="gateway")
def _gateway() -> Gateway:
    gateway = Gateway()
    gateway.site.set("alice", Sharing.SHARED, [contact(at) for at in range(40)])
    gateway.site.set("bob", Sharing.PRIVATE, [contact(at) for at in range(3)])
    return gateway


def expected(gateway: Gateway, *more: str) -> list[str]:
    books = [
        f"uid={entry.uid.decode()},{ALICE}" for part in gateway.site.books["alice"].segments.contacts for entry in part
    ]
    return sorted([*CONTAINERS, ALICE, *books, *more])


def name_of_first(copy: Copy) -> bytes:
    """The name of Alice's first contact that may change."""
    [name] = [attributes["cn"][0] for dn, attributes in copy.entries.values() if dn == f"uid=c1,{ALICE}"]
    return name


def test_refresh_only(gateway: Gateway) -> None:
    """A replica gets all that it holds, parents first, and a cookie with the result."""
    copy, client = Copy(), gateway.client()
    said = copy.take(gateway.sync(client, ONLY, b"rid=007"))
    assert (copy.dns(), set(said), said[-1]) == (expected(gateway), {"add", "done 0"}, "done 0")
    assert copy.cookie is not None
    assert copy.cookie.startswith(b"rid=007,csn=20")
    assert gateway.used == [(BRANCH.viewer, "127.0.0.1", f"whole content, {len(copy.dns())} entries", 1)]
    # The next one has nothing to do, and says so in the way that deletes nothing.
    assert copy.take(gateway.sync(client, ONLY, copy.cookie)) == ["done 0"]
    assert copy.dns() == expected(gateway)
    assert gateway.used[-1][2] == "resumed, 0 changes"
    # No observer of searches hears of a replica.
    assert gateway.seen == []


def test_refresh_and_persist(gateway: Gateway) -> None:
    """After the refresh stage the changes of each published snapshot come, the last of them with a cookie."""
    copy, client = Copy(), gateway.client()
    said = copy.take(gateway.sync(client, PERSIST))
    assert (said[-1], copy.dns()) == ("all", expected(gateway))
    gateway.site.change("alice", [contact(1, "New Name"), contact(100)], ["c2"])
    gateway.publish()
    assert copy.take(client.received()) in (
        ["delete", "modify", "add with cookie"],
        ["delete", "add", "modify with cookie"],
    )
    assert copy.dns() == expected(gateway)
    assert name_of_first(copy) == b"New Name"
    # A snapshot that changes nothing of it is not heard of.
    gateway.site.change("bob", [contact(7)])
    gateway.publish()
    assert client.received() == []
    gateway.site.change("alice", [], ["c3"])
    gateway.publish()
    assert copy.take(client.received()) == ["delete with cookie"]


def test_several_snapshots_are_sent_as_one(gateway: Gateway) -> None:
    """Several snapshots that the logs had no time for count as one change."""
    copy, client = Copy(), gateway.client()
    copy.take(gateway.sync(client, PERSIST))
    for at in range(3):
        gateway.site.change("alice", [contact(1, f"Name {at}")])
        gateway.provider.snapshot_changed()
    gateway.work()
    assert copy.take(client.received()) == ["modify with cookie"]


def test_abandon_and_cancel(gateway: Gateway) -> None:
    """The persist stage ends when the replica says so; then nothing comes any more."""
    client = gateway.client()
    gateway.sync(client, PERSIST)
    [canceled, done] = client.ask(pdu.cancel(1), 2)
    assert (canceled.code, done.code) == (ResultCode.CANCELED, 0)
    gateway.sync(client, PERSIST)
    assert client.ask(pdu.abandon(1), 3) == []
    gateway.site.change("alice", [contact(1, "New Name")])
    gateway.publish()
    assert client.received() == []
    # The session goes on.
    assert client.ask(pdu.WHO_AM_I, 4)[0].value == f"dn:{BRANCH.viewer.login}".encode()


def test_resume(gateway: Gateway) -> None:
    """A replica that was away gets what has changed, and deleted entries by their UUIDs."""
    copy = Copy()
    copy.take(gateway.sync(gateway.client(), ONLY))
    gateway.site.change("alice", [contact(1, "New Name"), contact(100)], ["c2", "c3"])
    gateway.publish()
    gateway.site.change("alice", [contact(1, "Newer Name"), contact(2)], ["c100", "c4"])
    gateway.publish()
    said = copy.take(gateway.sync(gateway.client(), PERSIST, copy.cookie))
    assert (said, copy.dns()) == (["3 deleted", "add", "add", "delta"], expected(gateway))


def test_deleted_parent_has_a_later_message_than_its_children(gateway: Gateway) -> None:
    """OpenLDAP deletes the entries of one message in an order of its own."""
    copy = Copy()
    copy.take(gateway.sync(gateway.client(), ONLY))
    gateway.site.share("alice", Sharing.PRIVATE)
    gateway.publish()
    said = copy.take(gateway.sync(gateway.client(), ONLY, copy.cookie))
    assert (said, copy.dns()) == (["40 deleted", "1 deleted", "done 0"], sorted(CONTAINERS))


def test_many_deleted_entries_have_several_messages(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ldapgw.ldap.replication.provider.MAX_DELETED", 3)
    copy = Copy()
    copy.take(gateway.sync(gateway.client(), ONLY))
    gateway.site.change("alice", [], [f"c{at}" for at in range(8)])
    gateway.publish()
    assert copy.take(gateway.sync(gateway.client(), ONLY, copy.cookie)) == [
        "3 deleted", "3 deleted", "2 deleted", "done 0",
    ]  # fmt: skip
    assert copy.dns() == expected(gateway)


@pytest.fixture(params=[-3600.0, 3600.0], ids=["earlier", "later"])
def other(request: pytest.FixtureRequest, gateway: Gateway) -> Gateway:
    """Another gateway, whose clock differs."""
    return Gateway(Site(now=gateway.site.now + request.param))


def test_cookie_of_another_gateway(gateway: Gateway, other: Gateway) -> None:
    """With the same content, a replica need not get all; with other content, all replaces what it has."""
    copy = Copy()
    for made in (other, gateway):
        made.site.set("alice", Sharing.SHARED, [contact(at) for at in range(5)])
    copy.take(gateway.sync(gateway.client(), ONLY))
    assert copy.take(other.sync(other.client(), ONLY, copy.cookie)) == ["done 0"]
    # The other gateway's changes have later numbers than all that the replica has.
    other.site.change("alice", [contact(1, "Changed")])
    other.publish()
    assert copy.take(other.sync(other.client(), ONLY, copy.cookie)) == ["add", "done 0"]
    assert copy.take(gateway.sync(gateway.client(), ONLY, copy.cookie))[-2:] == ["add", "done 0"]
    assert copy.dns() == expected(gateway)


def test_cookie_of_another_gateway_from_before_changes(gateway: Gateway, other: Gateway) -> None:
    """Both have had the content that the replica has, so either sends what has changed since, by later numbers."""
    copy = Copy()
    for made in (other, gateway):
        made.site.set("alice", Sharing.SHARED, [contact(at) for at in range(5)])
        made.sync(made.client(), ONLY)  # begins the log
    copy.take(gateway.sync(gateway.client(), ONLY))
    for asked in (other, gateway, other):
        for made in (other, gateway):
            made.site.change("alice", [contact(1, f"At {id(asked)}")], ["c2"])
            made.publish()
        said = copy.take(asked.sync(asked.client(), ONLY, copy.cookie))
        assert said[-2:] == ["add", "done 0"]
        assert len(said) <= 3
        assert copy.dns() == expected(asked)
        for made in (other, gateway):
            made.site.change("alice", [contact(2)])
            made.publish()
        assert copy.take(other.sync(other.client(), ONLY, copy.cookie)) == ["add", "done 0"]


def test_unknown_cookie_gets_everything(gateway: Gateway) -> None:
    """A cookie that the log does not reach back to: the replica deletes what does not come."""
    copy = Copy(cookie=b"rid=001,csn=" + str(Csn(1, 1)).encode())
    copy.entries[bytes(16)] = "uid=gone", {}
    said = copy.take(gateway.sync(gateway.client(), PERSIST, copy.cookie))
    assert (said[-1], copy.dns()) == ("all", expected(gateway))


def test_cookie_of_the_future(gateway: Gateway) -> None:
    """A replica a day ahead has a wrong clock; OpenLDAP would ignore all changes with earlier numbers."""
    cookie = b"csn=" + str(Csn(int((gateway.site.now + 86401) * 1e6), 1)).encode()
    [done] = gateway.sync(gateway.client(), ONLY, cookie)
    assert (done.code, done.controls) == (ResultCode.UNWILLING_TO_PERFORM, ())


def test_too_many_changes(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """A replica that is slower than its changes has to begin again; one that comes later gets everything."""
    monkeypatch.setattr(change_log, "MAX_CHANGES", 3)
    copy, client = Copy(), gateway.client()
    copy.take(gateway.sync(client, PERSIST))
    gateway.site.change("alice", [contact(at, "Changed") for at in range(5)])
    gateway.publish()
    [done] = client.received()
    assert (done.code, done.kind, done.controls) == (ResultCode.SYNC_REFRESH_REQUIRED, 0x65, ())
    copy.is_persistent = False
    said = copy.take(gateway.sync(client, ONLY, copy.cookie))
    assert (len(said), copy.dns()) == (len(expected(gateway)) + 1, expected(gateway))


def test_not_loaded(gateway: Gateway) -> None:
    """An empty refresh would empty the replica."""
    stale = Site()
    stale.snapshot = replace(stale.snapshot, freshness=Freshness.STALE)
    for site in (Site(loaded=False), Site(context=replace(gateway.site.context, name="gone")), stale):
        starting = Gateway(site)
        [done] = starting.sync(starting.client(), PERSIST)
        assert (done.code, done.controls) == (ResultCode.BUSY, ())


def test_no_work_without_replicas(gateway: Gateway) -> None:
    """Until a replica asks, a new snapshot has the change logs do nothing."""
    gateway.provider.snapshot_changed()
    assert gateway.clock.getDelayedCalls() == []


def test_phones_do_not_replicate(gateway: Gateway) -> None:
    """A control that is not critical is ignored (RFC 4511 4.1.11), a critical one fails the search."""
    phone_client, nobody = gateway.client("desk1"), Client(gateway.factory)
    for client in (phone_client, nobody):
        [refused] = client.ask(request(), 2, pdu.controls(sync_control(ONLY)))
        assert (refused.code, refused.controls) == (ResultCode.INSUFFICIENT_ACCESS_RIGHTS, ())
    answers = phone_client.ask(request(), 3, pdu.controls(sync_control(ONLY, critical=False)))
    assert [dict(one.attributes).get("userPassword") for one in answers] == [None] * len(answers)
    assert (answers[-1].code, answers[-1].controls, len(answers)) == (0, (), 43)


def test_replicas_do_not_search(gateway: Gateway) -> None:
    """The login of a replica finds nothing by a search."""
    client = gateway.client()
    assert [one.code for one in client.ask(request(), 2)] == [ResultCode.INSUFFICIENT_ACCESS_RIGHTS]
    assert client.ask(pdu.compare(ALICE, "ou", b"x"), 3)[0].code == ResultCode.INSUFFICIENT_ACCESS_RIGHTS


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"base": ALICE}, ResultCode.UNWILLING_TO_PERFORM),
        ({"base": ""}, ResultCode.UNWILLING_TO_PERFORM),
        ({"base": "x"}, ResultCode.INVALID_DN_SYNTAX),
        ({"scope": 1}, ResultCode.UNWILLING_TO_PERFORM),
        ({"filter_": tlv(0x87, b"cn")}, ResultCode.UNWILLING_TO_PERFORM),
        ({"filter_": tlv(0xA3, octets(b"objectClass") + octets(b"person"))}, ResultCode.UNWILLING_TO_PERFORM),
        ({"size": 5}, ResultCode.UNWILLING_TO_PERFORM),
        ({"types_only": True}, ResultCode.UNWILLING_TO_PERFORM),
    ],
)
def test_only_everything_is_replicated(gateway: Gateway, asked: dict[str, object], code: ResultCode) -> None:
    """Of a part of the tree, nobody would know the changes."""
    [done] = gateway.sync(gateway.client(), ONLY, None, **asked)
    assert (done.code, SYNC_DONE in dict(done.controls)) == (code, False)


def test_spellings_of_the_request(gateway: Gateway) -> None:
    asked = {"base": BASE.upper(), "filter_": tlv(0x87, b"OBJECTCLASS"), "attributes": ()}
    assert len(gateway.sync(gateway.client(), ONLY, None, **asked)) == len(expected(gateway)) + 1


def test_other_controls(gateway: Gateway) -> None:
    """Pages of a synchronization have no meaning; ManageDsaIT, which OpenLDAP sends, has one."""
    page = pdu.control("1.2.840.113556.1.4.319", critical=True, value=tlv(SEQUENCE, integer(5) + octets(b"")))
    [refused] = gateway.client().ask(request(), 2, pdu.controls(sync_control(ONLY), page))
    assert refused.code == ResultCode.UNWILLING_TO_PERFORM
    manage = pdu.control("2.16.840.1.113730.3.4.2", critical=True)
    client = gateway.client()
    client.deliver(pdu.message(2, request(), pdu.controls(sync_control(ONLY), manage)))
    gateway.work()
    assert client.received()[-1].code == 0


def test_wanted_attributes(gateway: Gateway) -> None:
    """A replica that leaves passwords to the gateway gets no hashes."""
    gateway.site.logins["desk1"] = phone("desk1")
    gateway.site.publish()
    answers = gateway.sync(gateway.client(), ONLY, None, attributes=("cn", "TELEPHONENUMBER", "@device", "+"))
    by_dn = {one.dn: dict(one.attributes) for one in answers}
    hashes = [attributes for attributes in by_dn.values() if "userPassword" in attributes]
    assert (hashes, "mail" in by_dn[f"uid=c1,{ALICE}"], "telephoneNumber" in by_dn[f"uid=c1,{ALICE}"]) == (
        [],
        False,
        True,
    )
    everything = gateway.sync(gateway.client(), ONLY)
    assert [one.dn for one in everything if "userPassword" in dict(one.attributes)] == [f"cn=desk1,ou=phones,{BASE}"]


def test_slow_replica_holds_nothing_up(gateway: Gateway) -> None:
    """While the replica does not read, nothing is encoded for it; later it gets all."""
    gateway.site.set("alice", Sharing.SHARED, [contact(at) for at in range(2000)])
    client, copy = gateway.client(), Copy()
    client.transport.full_at = 50_000
    answers = gateway.sync(client, PERSIST)
    assert 20 < len(answers) < 500
    gateway.site.change("alice", [contact(1, "Changed meanwhile")], ["c2"])
    gateway.publish()
    assert client.received() == []
    while answers:
        copy.take(answers)
        client.transport.producer.resumeProducing()
        gateway.work()
        answers = client.received()
    assert (copy.dns(), copy.is_persistent) == (expected(gateway), True)
    assert name_of_first(copy) == b"Changed meanwhile"


def test_error_of_the_logs(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, json_log: list[dict[str, object]]
) -> None:
    """An error of our own is logged, and ends nothing: the changes come with the next ones."""
    client, copy = gateway.client(), Copy()
    copy.take(gateway.sync(client, PERSIST))
    with monkeypatch.context() as patch:
        patch.setattr(Site, "snapshot", property(lambda _: 1 / 0), raising=False)
        gateway.publish()
    assert [(line["event"], line["kind"], line["count"]) for line in json_log] == [
        ("request_failed", "ZeroDivisionError", 1)
    ]
    gateway.site.change("alice", [contact(1, "Later")])
    gateway.publish()
    assert copy.take(client.received()) == ["modify with cookie"]


def test_gone_replica(gateway: Gateway) -> None:
    """A connection that is closed is not woken."""
    client = gateway.client()
    gateway.sync(client, PERSIST)
    client.protocol.connectionLost()
    gateway.site.change("alice", [contact(1, "Later")])
    gateway.publish()


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["store", "delete", "rebuild", "share", "label", "login", "look", "away"]),
        st.integers(0, 12),
        st.sampled_from(["alice", "bob"]),
    ),
    max_size=25,
)


@settings(max_examples=examples(60), deadline=None, suppress_health_check=list(HealthCheck))
@given(STEPS, st.sampled_from(["branch", "vault"]))
def test_any_history(steps: list[tuple[str, int, str]], login: str) -> None:
    """A replica's copy equals a new replica's copy after any changes and any absence."""
    gateway = Gateway()
    site = gateway.site
    labelled = {"labels": ("contactGroups/1",)}
    for key in ("alice", "bob"):
        site.set(key, Sharing.SHARED, [contact(at, **labelled) for at in range(3)], {"contactGroups/1": "Sales"})
    copy, client = Copy(), gateway.client(login)
    copy.take(gateway.sync(client, PERSIST))
    for what, number, key in steps:
        if what == "store":
            site.change(key, [contact(number, f"Name {len(site.books[key])}"), contact(number + 1)])
        elif what == "delete":
            site.change(key, [], [f"c{number}", f"c{number + 1}"])
        elif what == "rebuild":
            site.set(key, site.books[key].sharing, [contact(at) for at in range(number)], {"contactGroups/1": "Sales"})
        elif what == "share":
            sharings = (Sharing.SHARED, Sharing.PRIVATE, Sharing.CALLERS, Sharing("group:sales"))
            site.share(key, sharings[number % 4], site.books[key].shared_label)
        elif what == "label":
            site.share(key, site.books[key].sharing, "Sales" if number % 2 else "")
        elif what == "login":
            if not site.logins.pop(f"p{number}", None):
                site.logins[f"p{number}"] = phone(f"p{number}", key, HASH.replace("11", f"{number:02}"))
            site.publish()
        elif what == "away":
            client.protocol.connectionLost()
            client = gateway.client(login)
            copy.is_persistent = False
            copy.take(gateway.sync(client, PERSIST, copy.cookie))
        gateway.publish()
        copy.take(client.received())
    fresh = Copy()
    fresh.take(gateway.sync(gateway.client(login), ONLY))
    assert {uuid: strip(entry) for uuid, entry in copy.entries.items()} == {
        uuid: strip(entry) for uuid, entry in fresh.entries.items()
    }


def strip(entry: tuple[str, dict[str, tuple[bytes, ...]]]) -> tuple[str, dict[str, tuple[bytes, ...]]]:
    """An entry without its CSN, which says when this replica got it."""
    dn, attributes = entry
    return dn, {name: values for name, values in attributes.items() if name != "entryCSN"}
