# SPDX-License-Identifier: MIT
"""Three gateways, one of which syncs fifty accounts all the time while phones search, and what can happen to them.

The gateway that syncs is killed, cut off and stopped, and all of them are left without a database.  Times are those
that the documentation promises; machines that are busy with something else may miss them.
Only processes can be killed and stopped, and only PostgreSQL ends the sessions of those that are.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from random import Random
from threading import Event, Thread

import pytest

from ldapgw.store import phones
from ldapgw.store.database import Mode
from ldapgw.store.leader_session import IDLE_SECONDS, IN_TRANSACTION_SECONDS
from tests.support.postgresql import needs_postgresql
from tests.support.site.companies import CONNECTIONS, TENANTS, Companies, now
from tests.support.site.running import Process, wait_until

IS_GOOD = "SIGHUP: the new configuration is good; the gateway starts anew"

pytestmark = [needs_postgresql, pytest.mark.soak]

# A change is found at all gateways within this time after its commit.
VISIBLE_SECONDS = 2.0
# Three gateways on two processors build 10,000 contacts anew, while phones search.
REBUILT_SECONDS = 30.0
# Another gateway syncs within this time after the leader was killed, was stopped, or was stopped in a transaction.
KILLED_SECONDS, STOPPED_SECONDS, STOPPED_IN_TRANSACTION_SECONDS = 3.0, 15.0, 35.0
# An account is synced this often, at the least.
SYNCED_SECONDS = 8.0


def tell(what: str, seconds: list[float]) -> None:
    """A figure of the report (pytest -s)."""
    ordered = sorted(seconds)
    sys.stdout.write(
        f"\n{what}: {len(ordered)}, median {ordered[len(ordered) // 2]:.3f} s, longest {ordered[-1]:.3f} s\n"
    )


def let_run(seconds: float) -> None:
    """Let the callers and the gateways go on for a time."""
    until = time.monotonic() + max(seconds, 0.0)
    wait_until(lambda: time.monotonic() >= until, "the time is over", max(seconds, 0.0) + 10)


def serve(companies: Companies, without: int = 0) -> None:
    """No search has failed since the last call, at all gateways but one."""
    for at, caller in enumerate(companies.callers, 1):
        failures, durations = caller.take()
        if at != without:
            assert failures == []
            assert durations


def begin_anew(companies: Companies, at: int) -> None:
    """Forget the failures of one caller, whose gateway was away."""
    caller = companies.callers[at - 1]
    caller.take()
    wait_until(lambda: caller.take()[1], "the caller finds something")


def is_right(companies: Companies) -> None:
    """Google has seen one call of an account at a time, and only the leader has written."""
    assert companies.calls_at_once() == []
    assert [one for one in companies.written() if not one.leads] == []
    wait_until(companies.all_know, "all gateways serve what Google has")


@pytest.fixture(scope="module", name="companies")
def _companies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Companies]:
    with closing(Companies(tmp_path_factory.mktemp("companies"))) as companies:
        companies.start()
        companies.start_callers()
        yield companies


@pytest.fixture(autouse=True)
def _anew(companies: Companies) -> None:
    """Each test begins with three gateways that serve."""
    assert sorted(companies.gateways) == [1, 2, 3]
    for at in companies.gateways:
        begin_anew(companies, at)


def leader_of(companies: Companies) -> int:
    """The number of the gateway that leads, when a gateway leads and syncs."""
    began = now()

    def syncs() -> bool:
        return any(call.is_answered and call.gateway == companies.leader() for call in companies.calls(began))

    wait_until(syncs, "a gateway leads")
    return companies.leader()


def wait_for_takeover(companies: Companies, former: int, at: float) -> float:
    """Wait until another gateway has asked Google for contacts; how long after a time it did."""
    found: list[float] = []

    def is_taken_over() -> bool:
        found[:] = [call.begun for call in companies.calls(at) if call.gateway != former]
        return bool(found)

    wait_until(is_taken_over, "another gateway syncs")
    return min(found) - at


def wait_until_all_synced(companies: Companies, former: int, at: float) -> None:
    """Wait until another gateway has synced all accounts."""

    def synced() -> set[str]:
        return {call.account for call in companies.calls(at) if call.gateway != former and call.is_answered}

    wait_until(lambda: synced() == set(companies.addresses), "another gateway syncs all accounts")


def test_steady(companies: Companies) -> None:
    """For a minute the leader syncs each account every eight seconds or more often."""
    wait_until(companies.leader, "a gateway leads")
    leader = companies.leader()
    serve(companies)
    began = now()
    let_run(60)
    durations = [each for caller in companies.callers for each in caller.take()[1]]
    synced = Counter(call.account for call in companies.calls(began) if call.is_answered and call.path == CONNECTIONS)
    sys.stdout.write(f"\nsyncs of an account: {min(synced.values())} to {max(synced.values())}\n")
    tell("searches", durations)
    assert synced.keys() == set(companies.addresses)
    assert min(synced.values()) >= 60 // SYNCED_SECONDS
    assert {call.gateway for call in companies.calls(began)} == {companies.leader()} == {leader}
    serve(companies)
    is_right(companies)


def test_the_leader_is_killed(companies: Companies) -> None:
    """Ten times: phones at the others notice nothing, and another gateway syncs within three seconds."""
    waited: list[float] = []
    for _ in range(10):
        wait_until(companies.all_know, "all gateways serve what Google has")
        victim = leader_of(companies)
        for account in range(0, len(companies.addresses), 5):
            companies.change(account)
        killed_at = now()
        companies.stop_gateway(victim, signal.SIGKILL)
        waited.append(wait_for_takeover(companies, victim, killed_at))
        wait_until_all_synced(companies, victim, killed_at)
        serve(companies, without=victim)
        companies.start_gateway(victim)
        begin_anew(companies, victim)
    tell("another gateway syncs after", waited)
    assert max(waited) <= KILLED_SECONDS
    is_right(companies)


@pytest.mark.parametrize(
    ("is_in_transaction", "is_reset"),
    [(False, False), (True, False), (True, True)],
    ids=["between transactions, goes on", "in a transaction, goes on", "in a transaction, reset"],
)
def test_the_leader_is_cut_off(companies: Companies, is_in_transaction: bool, is_reset: bool) -> None:
    """From its database, which says nothing for two minutes: it serves on, and another gateway syncs.

    It calls Google no more by the time at which another gateway may lead.
    """
    former = leader_of(companies)
    proxy = companies.proxies[former]
    hold(companies, former, proxy.go_silent, proxy.go_on, is_in_transaction=is_in_transaction)
    began = now()
    try:
        waited = wait_for_takeover(companies, former, began)
        wait_until_all_synced(companies, former, began)
        changes = [companies.change(account) for account in range(0, len(companies.addresses), 5)]
        companies.wait_until_found(changes, {1, 2, 3} - {former})
        let_run(began + 120 - now())
        serve(companies)
        assert not [call for call in companies.calls(began + IDLE_SECONDS) if call.gateway == former]
        if is_reset:
            proxy.reset()
    finally:
        healed = now()
        proxy.go_on()
    found = companies.wait_until_found(changes, (former,))
    tell("another gateway syncs after", [waited])
    tell("caught up after", [at - healed for at in found.values()])
    assert waited <= (STOPPED_IN_TRANSACTION_SECONDS if is_in_transaction else STOPPED_SECONDS)
    assert max(found.values()) - healed <= VISIBLE_SECONDS
    assert "Traceback" not in companies.gateways[former].said
    is_right(companies)


@pytest.mark.parametrize("is_in_transaction", [False, True], ids=["between transactions", "in a transaction"])
def test_the_leader_is_stopped(companies: Companies, is_in_transaction: bool) -> None:
    """For a minute: the server ends its session, another gateway syncs, and the stopped one writes nothing."""
    former = leader_of(companies)
    gateway = companies.gateways[former]
    stop, go_on = partial(gateway.send, signal.SIGSTOP), partial(gateway.send, signal.SIGCONT)
    hold(companies, former, stop, go_on, is_in_transaction=is_in_transaction)
    stopped_at = now()
    try:
        waited = wait_for_takeover(companies, former, stopped_at)
        let_run(stopped_at + 60 - now())
    finally:
        go_on()
    wait_until(lambda: gateway.said.count("does not sync any more") > 0, "it says that it syncs no more")
    begin_anew(companies, former)
    let_run(5)
    serve(companies)
    tell("another gateway syncs after", [waited])
    assert waited <= (STOPPED_IN_TRANSACTION_SECONDS if is_in_transaction else STOPPED_SECONDS)
    assert "Traceback" not in gateway.said
    assert not [one for one in companies.written(stopped_at) if one.name == f"gateway{former}"]
    is_right(companies)


def hold(
    companies: Companies, at: int, stop: Callable[[], object], go_on: Callable[[], object], *, is_in_transaction: bool
) -> None:
    """Stop the leader, or cut it off, where its session is idle or has written in a transaction that has not ended."""
    session = (
        "SELECT pid FROM pg_locks lead JOIN pg_stat_activity USING (pid) WHERE lead.locktype = 'advisory' "
        f"AND application_name = 'gateway{at}' AND state {'<>' if is_in_transaction else '='} 'idle' "
        "AND (state = 'idle' OR EXISTS (SELECT FROM "
        "pg_locks written WHERE written.pid = lead.pid AND mode = 'RowExclusiveLock'))"
    )

    def is_stopped() -> bool:
        stop()
        if companies.execute(session):
            return True
        go_on()
        return False

    wait_until(is_stopped, "the leader is stopped")


def test_a_long_transaction_does_not_cost_the_lead(companies: Companies) -> None:
    """The transaction of a sync takes a minute, and a session may be idle in one for half: the same gateway syncs on.

    Each statement takes less than the time after which a gateway takes the server for one that hangs.
    """
    former = leader_of(companies)
    [[account]] = companies.execute(f"SELECT id FROM account WHERE address = '{companies.addresses[0]}'")
    sleepy = {
        "account": f"UPDATE ON account FOR EACH ROW WHEN (NEW.id = {account} AND OLD.generation <> NEW.generation)",
        **{
            table: f"INSERT OR UPDATE ON {table} FOR EACH ROW WHEN (NEW.account_id = {account})"
            for table in ("contact", "source", "sync_attempt", "sync_day")
        },
    }
    companies.execute(
        "CREATE FUNCTION note.sleep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(13); RETURN NULL; "
        "END $$;"
        + "".join(f"CREATE TRIGGER sleep AFTER {event} EXECUTE FUNCTION note.sleep();" for event in sleepy.values())
    )
    began, ages = now(), [0.0]
    change = companies.change(0)

    def is_over() -> bool:
        rows = companies.execute(
            "SELECT extract(epoch FROM clock_timestamp() - xact_start)::float8 FROM pg_locks JOIN pg_stat_activity "
            "USING (pid) WHERE locktype = 'advisory' AND objid = 3 AND xact_start IS NOT NULL"
        )
        ages.extend(age for (age,) in rows)
        return max(ages) > 2 * IN_TRANSACTION_SECONDS and not rows

    wait_until(is_over, "a transaction was long enough")
    companies.execute("".join(f"DROP TRIGGER sleep ON {table};" for table in sleepy))
    tell("longest transaction of a sync", [max(ages)])
    companies.wait_until_found([change])
    assert {call.gateway for call in companies.calls(began)} == {former} == {companies.leader()}
    serve(companies)
    is_right(companies)


def test_changes_are_found(companies: Companies) -> None:
    """A hundred contacts that change, a hundred logins that are added and removed again, each of them by itself.

    All gateways find the contact, accept the login, and then refuse it and end its connections, within two seconds
    after the commit.
    """
    contacts: list[float] = []
    for round_ in range(10):
        changes = [companies.change(account, 2) for account in range(round_ % 5, len(companies.addresses), 5)]
        found = companies.wait_until_found(changes)
        committed = companies.committed(changes)
        contacts += [found[change] - committed[change] for change in changes]
    tell("contacts found after", contacts)
    accepted, refused, ended = [], [], []
    with closing(companies.open_database()) as database:
        for number in range(100):
            name, at = f"hall{number}", number % len(companies.gateways) + 1
            by_command = number % 10 == 0
            if by_command:
                password = companies.add_phone(name, at)
            else:
                password = name
                database.call(Mode.BESIDE, phones.add, companies.new_phone(name))
            committed_at = now()
            accepted.append(companies.wait_until_accepted(name, password) - committed_at)
            connections = companies.connect(name, password)
            if by_command:
                companies.remove_phone(name, at)
            else:
                assert database.call(Mode.BESIDE, phones.remove, name)
            committed_at = now()
            refused.append(companies.wait_until_refused(name, password) - committed_at)
            ended.append(companies.wait_until_ended(connections) - committed_at)
    tell("logins accepted after", accepted)
    tell("logins refused after", refused)
    tell("connections ended after", ended)
    assert [len(each) for each in (contacts, accepted, refused)] == [100, 100, 100]
    assert max(contacts + accepted + refused + ended) <= VISIBLE_SECONDS
    serve(companies)
    is_right(companies)


def outages(gateway: Process, begun_at: int) -> tuple[int, int]:
    """Count the lines about a database that is away, and that is back, since a place of the gateway's log."""
    said = gateway.said[begun_at:]
    return said.count("phones are served from memory"), said.count("the database can be used again")


def has_told(gateway: Process, begun_at: int) -> bool:
    """Return True if the log says that the database was away and is back."""
    return min(outages(gateway, begun_at)) > 0


def find_a_change(companies: Companies) -> float:
    """Change a contact of each tenant, and wait for it; how long after its commit all gateways found it."""
    changes = [companies.change(account, 3) for account in range(len(TENANTS))]
    found = companies.wait_until_found(changes)
    committed = companies.committed(changes)
    return max(found[change] - committed[change] for change in changes)


def test_the_database_goes_away(companies: Companies) -> None:
    """It crashes five times, is away for a minute, and loses the process that tells of changes: phones notice nothing.

    The log has at most one line each way for each outage, and exactly one for the long one.
    """
    places = {at: len(gateway.said) for at, gateway in companies.gateways.items()}
    waited: list[float] = []
    for _ in range(5):
        companies.server.stop(immediately=True)
        companies.server.start()
        waited.append(find_a_change(companies))
    for at, gateway in companies.gateways.items():
        assert max(outages(gateway, places[at])) <= 5

    places = {at: len(gateway.said) for at, gateway in companies.gateways.items()}
    companies.server.stop()
    let_run(60)
    serve(companies)
    companies.server.start()
    waited.append(find_a_change(companies))
    for at, gateway in companies.gateways.items():
        wait_until(partial(has_told, gateway, places[at]), "it is told once each way")
        assert outages(gateway, places[at]) == (1, 1)

    [[pid], *_] = companies.execute("SELECT pid FROM pg_stat_activity WHERE query = 'LISTEN ldapgw'")
    os.kill(pid, signal.SIGKILL)
    waited.append(find_a_change(companies))
    tell("changes found after", waited)
    assert max(waited) <= VISIBLE_SECONDS
    for gateway in companies.gateways.values():
        assert "Traceback" not in gateway.said
    serve(companies)
    is_right(companies)


def test_a_transaction_is_held_open(companies: Companies) -> None:
    """For ten seconds, while a thousand others are committed: each is found in time, and the held one after its end."""
    others = [f"other{number}" for number in range(1000)]
    with closing(companies.open_database()) as database:
        with database.begin(exclusively=False) as held:
            database.lift_time_limit(held)  # on a slow machine it takes longer than a transaction may be idle
            # Each refusal of a login comes later than the one before, so another login is refused than is awaited.
            for name in ("held", "refused"):
                phones.add(held, companies.new_phone(name))
            began = now()
            for name in others:
                database.call(Mode.BESIDE, phones.add, companies.new_phone(name))
            committed = now()
            # To ask for all of them takes longer.
            let_run(committed + VISIBLE_SECONDS - now())
            assert companies.all_bind(others)
            assert not any(companies.binds(at, "refused") for at in companies.gateways)
            let_run(began + 10 - now())
        committed = now()
        wait_until(lambda: companies.all_bind(["held"]), "all know the phone")
        waited = now() - committed
        tell("login found after", [waited])
        assert waited <= VISIBLE_SECONDS
        for name in ["held", "refused", *others]:
            database.call(Mode.BESIDE, phones.remove, name)
    serve(companies)
    is_right(companies)


# One search at a gateway finds the number of changes of each contact of two accounts of a tenant.
Versions = tuple[int, ...]


def test_a_backup_is_restored(companies: Companies) -> None:
    """While the gateways run: each serves the former logins in time, then the former contacts, and never a mixture."""
    backup = str(companies.folder / "backup.db")

    def run(command: str) -> None:
        done = companies.sites[1].ldapgw(command, backup, "--yes")
        assert done.returncode == 0, done.stderr

    # Of each tenant two accounts, whose books are built one after the other.
    accounts = {tenant: (at, at + len(TENANTS)) for at, tenant in enumerate(TENANTS)}
    contacts = (1, 2, 3, 4)

    def versions(at: int, tenant: str) -> Versions:
        return companies.versions(at, tenant, accounts[tenant], contacts)

    def serves_all(wanted: dict[str, Versions]) -> bool:
        return all(versions(at, tenant) == wanted[tenant] for tenant in TENANTS for at in companies.gateways)

    def change_all() -> dict[str, Versions]:
        changes = [
            companies.change(account, contact) for pair in accounts.values() for account in pair for contact in contacts
        ]
        companies.wait_until_found(changes)
        return {tenant: versions(1, tenant) for tenant in TENANTS}

    with closing(companies.open_database()) as database:
        database.call(Mode.BESIDE, phones.add, companies.new_phone("before"))
        old = change_all()
        run("backup")
        new = change_all()
        database.call(Mode.BESIDE, phones.add, companies.new_phone("after"))
        database.call(Mode.BESIDE, phones.remove, "before")
    companies.wait_until_accepted("after", "after")
    companies.wait_until_refused("before", "before")
    companies.sites[1].turn("inject-fault", name="error_unavailable_503")
    seen: list[tuple[float, int, str, Versions]] = []
    over = Event()

    def look() -> None:
        while not over.is_set():
            for tenant in TENANTS:
                seen.extend((now(), at, tenant, versions(at, tenant)) for at in companies.gateways)

    looking = Thread(target=look)
    looking.start()
    try:
        run("restore")
        restored = now()
        known = companies.wait_until_accepted("before", "before"), companies.wait_until_refused("after", "after")
        wait_until(lambda: serves_all(old), "all gateways serve the former contacts")
        let_run(5)
    finally:
        over.set()
        looking.join()
        companies.sites[1].turn("clear-faults")
    tell("logins restored after", [each - restored for each in known])
    assert max(known) <= restored + VISIBLE_SECONDS
    last = max(when for when, _, tenant, versions in seen if versions == new[tenant])
    tell("contacts restored after", [last - restored])
    assert [each for each in seen if each[3] not in (old[each[2]], new[each[2]])] == []
    assert last <= restored + REBUILT_SECONDS
    serve(companies)
    for address in companies.addresses:
        assert companies.sites[1].ldapgw("sync", address).returncode == 0
    wait_until(companies.all_know, "all gateways serve what Google has")
    for gateway in companies.gateways.values():
        assert "Traceback" not in gateway.said


def test_an_hour(companies: Companies) -> None:
    """For an hour a gateway is killed, ended, paused or reloaded, or the database restarts, again and again.

    No search fails, except at a gateway that is away.
    """
    random, until = Random(40), now() + 3600
    happened: Counter[str] = Counter()
    searches: list[float] = []
    while now() < until:
        event, at = random.choice(("killed", "ended", "paused", "reloaded", "database")), random.choice((1, 2, 3))
        gateway, is_away = companies.gateways[at], event in ("killed", "ended", "paused")
        happened[event] += 1
        changes = [companies.change(random.randrange(len(companies.addresses)))]
        if event == "paused":
            gateway.send(signal.SIGSTOP)
            let_run(random.uniform(1, 40))
            gateway.send(signal.SIGCONT)
        elif is_away:
            companies.stop_gateway(at, signal.SIGKILL if event == "killed" else signal.SIGTERM)
            let_run(random.uniform(0, 10))
            companies.start_gateway(at)
        elif event == "reloaded":
            before = gateway.said.count(IS_GOOD)
            gateway.send(signal.SIGHUP)
            wait_until(lambda: gateway.said.count(IS_GOOD) > before, "the configuration is good")  # noqa: B023
        else:
            companies.server.stop(immediately=True)
            companies.server.start()
        companies.wait_until_found(changes)
        for number, caller in enumerate(companies.callers, 1):
            failures, durations = caller.take()
            assert failures == [] or (is_away and number == at), (event, at, number)
            searches += durations
        if is_away:
            begin_anew(companies, at)
    sys.stdout.write(f"\n{dict(happened)}\n")
    tell("searches", searches)
    assert not any("Traceback" in gateway.said for gateway in companies.gateways.values())
    is_right(companies)
