# SPDX-License-Identifier: MIT
"""Three gateways that sync fifty accounts all the time while phones search, and all that can happen to them.

They are killed, cut off, stopped, and left without a database.  Times are those that the documentation promises;
machines that are busy with something else may miss them.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from itertools import cycle, islice
from threading import Event, Thread

import pytest

from ldapgw.store import phones
from ldapgw.store.changes import CLOCK_MARGIN_SECONDS
from ldapgw.store.gateways import LEASE_SECONDS
from tests.cluster.companies import DATABASE, TENANTS, Companies, now
from tests.cluster.promises import (
    REPLACED_SECONDS,
    VISIBLE_SECONDS,
    begin_anew,
    check_changes,
    check_steady,
    is_right,
    let_run,
    serve,
    tell,
)
from tests.support.postgresql import needs_postgresql
from tests.support.site.running import Process, wait_until

pytestmark = [needs_postgresql, pytest.mark.soak]


@pytest.fixture(scope="module", name="companies")
def _companies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Companies]:
    companies = Companies(tmp_path_factory.mktemp("companies"))
    try:
        companies.start()
        companies.start_callers()
        yield companies
    finally:
        companies.end()


@pytest.fixture(autouse=True)
def _anew(companies: Companies) -> None:
    """Each test begins with three gateways that serve."""
    assert sorted(companies.gateways) == [1, 2, 3]
    for at in companies.gateways:
        begin_anew(companies, at)


def wait_for_takeover(companies: Companies, tenants: list[str], former: int, at: float) -> list[float]:
    """Wait until other gateways have synced all accounts of tenants; how long each account has waited."""
    orphans = {companies.addresses[account] for account in companies.accounts_of(tenants)}

    def first_calls() -> dict[str, float]:
        found: dict[str, float] = {}
        for call in companies.calls(at):
            if call.gateway != former and call.is_answered and call.account in orphans:
                found.setdefault(call.account, call.begun)
        return found

    wait_until(lambda: first_calls().keys() == orphans, "other gateways sync the accounts")
    return [begun - at for begun in first_calls().values()]


def test_steady(companies: Companies) -> None:
    """For a minute each account is synced every four seconds or more often, each tenant by one gateway of its own."""
    check_steady(companies, 60)


def test_gateways_are_killed(companies: Companies) -> None:
    """Ten times, one after the other: phones at the others notice nothing, and its accounts are synced by them."""
    waited: list[float] = []
    for victim in islice(cycle((1, 2, 3)), 10):
        tenants = companies.tenants_of(victim)
        for account in companies.accounts_of(tenants):
            companies.change(account)
        killed_at = now()
        companies.stop_gateway(victim, signal.SIGKILL)
        waited += wait_for_takeover(companies, tenants, victim, killed_at)
        serve(companies, without=victim)
        companies.start_gateway(victim)
        begin_anew(companies, victim)
    tell("orphans synced after", waited)
    assert max(waited) <= REPLACED_SECONDS
    is_right(companies)


@pytest.mark.parametrize("is_reset", [False, True], ids=["goes on", "reset"])
def test_a_gateway_is_cut_off(companies: Companies, is_reset: bool) -> None:
    """From its database, which says nothing for 30 seconds: it serves on, and others sync its accounts."""
    wait_until(lambda: companies.tenants_of(3), "the third gateway has a tenant", 200)
    tenants = companies.tenants_of(3)
    began = now()
    companies.proxy.go_silent()
    try:
        waited = wait_for_takeover(companies, tenants, 3, began)
        changes = [companies.change(account) for account in companies.accounts_of(tenants)]
        companies.wait_until_found(changes, (1, 2))
        let_run(began + 30 - now())
        serve(companies)
        assert not [call for call in companies.calls(began + LEASE_SECONDS) if call.gateway == 3]
        if is_reset:
            companies.proxy.reset()
    finally:
        healed = now()
        companies.proxy.go_on()
    found = companies.wait_until_found(changes, (3,))
    tell("orphans synced after", waited)
    tell("caught up after", [at - healed for at in found.values()])
    assert max(waited) <= REPLACED_SECONDS
    assert max(found.values()) - healed <= VISIBLE_SECONDS
    assert "Traceback" not in companies.gateways[3].said
    is_right(companies)


@pytest.mark.parametrize("where", ["call", "transaction"])
def test_a_gateway_is_stopped(companies: Companies, where: str) -> None:
    """For twice the time of a lease, in a call or in a transaction: its lease is over then, and it writes nothing."""
    wait_until(lambda: companies.tenants_of(2), "the second gateway has a tenant", 200)
    gateway = companies.gateways[2]
    tenants = companies.tenants_of(2)
    if where == "call":
        wait_until(lambda: any(call.ended is None for call in companies.calls() if call.gateway == 2), "a call")
        gateway.send(signal.SIGSTOP)
    else:
        stop_in_transaction(companies, gateway)
    stopped_at = now()
    try:
        waited = wait_for_takeover(companies, tenants, 2, stopped_at)
        let_run(stopped_at + 2 * LEASE_SECONDS - now())
    finally:
        gateway.send(signal.SIGCONT)
    wait_until(lambda: "is over" in gateway.said, "it says that its lease is over")
    begin_anew(companies, 2)
    let_run(5)
    serve(companies)
    tell("orphans synced after", waited)
    assert max(waited) <= REPLACED_SECONDS
    assert "Traceback" not in gateway.said
    is_right(companies)


def stop_in_transaction(companies: Companies, gateway: Process) -> None:
    """Stop the second gateway where it has locked its lease for a sync."""
    in_transaction = (
        "SELECT pid FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE application_name = 'gateway2' "
        "AND state = 'idle in transaction' AND mode = 'RowShareLock' AND relation = 'sync_lease'::regclass"
    )

    def is_stopped() -> bool:
        gateway.send(signal.SIGSTOP)
        if companies.execute(in_transaction):
            return True
        gateway.send(signal.SIGCONT)
        return False

    wait_until(is_stopped, "it is stopped in a transaction")


def test_changes_are_found(companies: Companies) -> None:
    """A hundred each of contacts, new logins and revoked logins, at all gateways, within two seconds."""
    check_changes(companies)


def outages(gateway: Process, begun_at: int) -> tuple[int, int]:
    """How often a gateway has said that the database is away, and that it is back, since a place of its log."""
    said = gateway.said[begun_at:]
    return said.count("phones are served from memory"), said.count("the database can be used again")


def has_told(gateway: Process, begun_at: int) -> bool:
    """Whether the log says that the database was away and is back."""
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
            phones.add(held, companies.new_phone("held"))
            began = now()
            for name in others:
                database.run_beside(phones.add, companies.new_phone(name))
            committed = now()
            # To ask for all of them takes longer.
            let_run(committed + VISIBLE_SECONDS - now())
            assert companies.all_bind(others)
            assert not any(companies.binds(at, "held") for at in companies.gateways)
            let_run(began + 10 - now())
        committed = now()
        wait_until(lambda: companies.all_bind(["held"]), "all know the phone")
        waited = now() - committed
        tell("login found after", [waited])
        assert waited <= VISIBLE_SECONDS
        for name in ["held", *others]:
            database.run_beside(phones.remove, name)
    serve(companies)
    is_right(companies)


# How often contacts of two accounts of a tenant were changed, as one search finds them at a gateway.
Versions = tuple[int, ...]
# Takes a copy of the database; returns what puts the copy back.
Way = Callable[[Companies], Callable[[], None]]


def backed_up(companies: Companies) -> Callable[[], None]:
    """With our own commands."""
    backup = str(companies.folder / "backup.db")

    def run(command: str) -> None:
        done = companies.sites[1].ldapgw(command, backup, "--yes")
        assert done.returncode == 0, done.stderr

    run("backup")
    return lambda: run("restore")


def dumped(companies: Companies) -> Callable[[], None]:
    """With PostgreSQL's, into a new database that takes the place of the other one."""
    dump = str(companies.folder / "companies.dump")
    companies.server.run_program("pg_dump", "--format=custom", f"--file={dump}", DATABASE)

    def come_back() -> None:
        companies.server.execute("CREATE DATABASE restored")
        companies.server.run_program("pg_restore", "--exit-on-error", "--dbname=restored", dump)
        companies.server.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")
        companies.server.execute(f"ALTER DATABASE restored RENAME TO {DATABASE}")

    return come_back


def copied(companies: Companies) -> Callable[[], None]:
    """The files of the server, which does not run meanwhile."""
    come_back = companies.server.copy()
    let_run(CLOCK_MARGIN_SECONDS)  # a copy is older than what clocks may differ by
    return come_back


@pytest.mark.parametrize("way", [backed_up, dumped, copied])
def test_an_older_database_comes_back(companies: Companies, way: Way) -> None:
    """While the gateways run: each of them serves the former contacts and logins in time, and never a mixture."""
    # Of each tenant two accounts, whose books are built one after the other.
    accounts = {tenant: (at, at + len(TENANTS)) for at, tenant in enumerate(TENANTS)}
    contacts = (1, 2, 3, 4)

    def versions(at: int, tenant: str) -> Versions:
        return companies.versions(at, tenant, accounts[tenant], contacts)

    def change_all() -> dict[str, Versions]:
        changes = [
            companies.change(account, contact) for pair in accounts.values() for account in pair for contact in contacts
        ]
        companies.wait_until_found(changes)
        return {tenant: versions(1, tenant) for tenant in TENANTS}

    with closing(companies.open_database()) as database:
        database.run_beside(phones.add, companies.new_phone("before"))
        old = change_all()
        come_back = way(companies)
        new = change_all()
        database.run_beside(phones.add, companies.new_phone("after"))
        database.run_beside(phones.remove, "before")
    companies.wait_until_accepted("after", "after")
    companies.wait_until_refused("before", "before")
    companies.turn("inject-fault", {"name": "error_unavailable_503"})
    seen: list[tuple[float, int, str, Versions]] = []
    over = Event()

    def look() -> None:
        while not over.is_set():
            for tenant in TENANTS:
                seen.extend((now(), at, tenant, versions(at, tenant)) for at in companies.gateways)

    looking = Thread(target=look)
    looking.start()
    try:
        come_back()
        restored = now()
        known = companies.wait_until_accepted("before", "before"), companies.wait_until_refused("after", "after")
        let_run(10)
    finally:
        over.set()
        looking.join()
        companies.turn("clear-faults", {})
    tell("logins restored after", [each - restored for each in known])
    assert max(known) <= restored + VISIBLE_SECONDS
    last = max(when for when, _, tenant, versions in seen if versions == new[tenant])
    tell("contacts restored after", [last - restored])
    late = [each for each in seen if each[0] > restored + VISIBLE_SECONDS]
    assert {versions == old[tenant] for _, _, tenant, versions in late} == {True}
    assert [each for each in seen if each[3] not in (old[each[2]], new[each[2]])] == []
    serve(companies)
    for address in companies.addresses:
        assert companies.sites[1].ldapgw("sync", address).returncode == 0
    wait_until(companies.all_know, "all gateways serve what Google has")
    for gateway in companies.gateways.values():
        assert "Traceback" not in gateway.said
