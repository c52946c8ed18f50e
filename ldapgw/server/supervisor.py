# SPDX-License-Identifier: MIT
"""Several processes that serve one gateway on the same ports: starts them, replaces those that die, and stops all.

The supervisor loads the books and opens the ports, and forks the processes of the gateway, which share the memory of
the books until they write to it.  It serves nobody itself.  Each process has a socket of its own for each port
(``SO_REUSEPORT``), among which the kernel spreads the connections.  The sockets stay open in the supervisor, so that
connections wait for the process that takes the place of one that has died.

At SIGHUP a process of its own tries the changed configuration.  If it is good, all processes of the gateway stop
accepting connections and end; the sockets stay open, so that the supervisor can execute the program anew with them.
After another SIGHUP meanwhile, the configuration is tried once more.

Where systemd watches over the service (``WatchdogSec=``), the processes show signs of life to the supervisor, which
ends one that hangs, and itself tells systemd that the service is alive.

`Supervisor.run` returns in each process of the gateway with its `Seat`, and in the supervisor when all have ended.
Mutable: `Supervisor`.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from twisted.logger import Logger

from ldapgw.server.config.kept import KeptConfig
from ldapgw.server.process_link import make_pair
from ldapgw.server.service_manager import ServiceManager

# A process that dies soon after its start is replaced later each time.
FIRST_PAUSE: Final = 0.1
MAX_PAUSE: Final = 30.0
# A process that has lived for so many seconds has started well.
GOOD_SECONDS: Final = 30.0
# The processes end within 4.5 seconds of SIGTERM (`ldapgw.server.reactor`); what hangs is killed.
KILL_SECONDS: Final = 4.8
# At a reload, for clients that have connected and not asked yet.
GRACE_SECONDS: Final = 1.0

# Has a process of the gateway accept no more connections, and end when those that it has had time to ask.
DRAIN_SIGNAL: Final = signal.SIGUSR1

_SIGNALS: Final = frozenset((signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGHUP))

log = Logger()


@dataclass(frozen=True, slots=True)
class Seat:
    """The place of a process in its gateway.

    :ivar number: 1: it syncs, writes and serves the page; the others serve LDAP only.
    :ivar sockets: the sockets of this process that listen on LDAP ports, by endpoint.
    :ivar links: sockets to the other processes: in the first to each of the others, elsewhere one to the first.
    :ivar lifeline: a pipe that ends with the supervisor.
    :ivar alive: a sign of life; call it once the process serves, and then twice in `ServiceManager.watchdog_seconds`.
    :ivar is_first_start: whether no process was in this place before.
    """

    number: int
    count: int
    sockets: Mapping[str, socket.socket]
    links: tuple[socket.socket, ...]
    lifeline: int
    alive: Callable[[], None]
    is_first_start: bool

    @property
    def is_first(self) -> bool:
        return self.number == 1


@dataclass(slots=True)
class _Place:
    """What the supervisor knows of a place.

    :ivar pid: 0: no process is there.
    :ivar signs: the end of a pipe that has an octet for each sign of life; the first one says that the process serves.
    :ivar is_serving: whether the first sign of life has come.
    :ivar signed_at: when the last sign of life was read.
    :ivar is_aborted: whether the process has been sent SIGABRT, because it hangs.
    :ivar has_started: whether any process in this place has served.
    :ivar starts_at: when to fork the next one.
    """

    number: int
    pid: int = 0
    signs: int = -1
    is_serving: bool = False
    signed_at: float = 0.0
    is_aborted: bool = False
    forked_at: float = 0.0
    starts_at: float = 0.0
    pause: float = FIRST_PAUSE
    has_started: bool = False


class Supervisor:
    """Forks and supervises the processes of a gateway; no other thread may run.

    :param sockets: for each process, the sockets that listen on LDAP ports, by endpoint.
    :param seconds: a monotonic clock, in seconds.
    :param examine: tries the changed configuration, and returns whether it is good, and therefore kept; called in a
        process of its own.
    :param manager: is told how the service is.
    :param ends_at_hangup: whether SIGHUP says that a terminal was closed.
    :ivar is_reload: whether the processes have ended so that the program can be executed anew.
    :ivar kept: the configuration that was tried last.
    :ivar is_asked: whether SIGHUP has come since.
    """

    def __init__(
        self,
        sockets: Sequence[Mapping[str, socket.socket]],
        seconds: Callable[[], float],
        examine: Callable[[KeptConfig], bool],
        manager: ServiceManager,
        *,
        ends_at_hangup: bool,
    ) -> None:
        self._examine = examine
        self._ends_at_hangup = ends_at_hangup
        self._examiner = 0
        self.is_reload = self.is_asked = False
        self.kept = KeptConfig()
        self._count = count = len(sockets)
        self._sockets = sockets
        self._seconds = seconds
        self._manager = manager
        self._watches_at = seconds()
        self._places = [_Place(number) for number in range(1, count + 1)]
        self._pairs = [make_pair() for _ in range(count - 1)]
        self._lifeline, self._lifeline_end = os.pipe()
        self._status = 0
        self._ends_at: float | None = None

    def run(self) -> Seat | int:
        """Fork the processes and wait until all have ended.

        :returns: in a process of the gateway, its place; in the supervisor, the exit status.
        """
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS | {DRAIN_SIGNAL})
        while True:
            now = self._seconds()
            for place in self._places:
                if not place.pid and place.starts_at <= now and self._ends_at is None and self._may_start(place):
                    seat = self._fork(place)
                    if seat is not None:
                        # SIGHUP to all processes, as pkill sends it, is for the supervisor alone.
                        signal.signal(signal.SIGHUP, signal.SIG_IGN)
                        signal.pthread_sigmask(signal.SIG_SETMASK, (mask | {DRAIN_SIGNAL}) - {signal.SIGHUP})
                        return seat
            if self._ends_at is not None and not any(place.pid for place in self._places):
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)
                return self._status
            self._wait()

    def _may_start(self, place: _Place) -> bool:
        """Whether a process may start: at the first start, one after the other, so that a problem is told once."""
        return all(before.has_started for before in self._places[: place.number - 1])

    def _fork(self, place: _Place) -> Seat | None:
        """Fork a process; returns its seat in the process itself, None in the supervisor."""
        sys.stdout.flush()
        sys.stderr.flush()
        signs, sign = os.pipe()
        os.set_blocking(signs, False)
        os.set_blocking(sign, False)
        pid = os.fork()
        if pid:
            os.close(sign)
            place.pid, place.signs, place.forked_at = pid, signs, self._seconds()
            place.is_serving = place.is_aborted = False
            return None
        os.close(signs)
        os.close(self._lifeline_end)
        for other in self._places:
            if other.signs >= 0:
                os.close(other.signs)

        def alive() -> None:
            with suppress(OSError):  # the supervisor has ended, or does not read
                os.write(sign, b".")

        is_first = place.number == 1
        links = tuple(pair[0] for pair in self._pairs) if is_first else (self._pairs[place.number - 2][1],)
        for pair in self._pairs:
            for end in pair:
                if end not in links:
                    end.close()
        own = self._sockets[place.number - 1]
        for sockets in self._sockets:
            if sockets is not own:
                for one in sockets.values():
                    one.close()
        return Seat(place.number, self._count, own, links, self._lifeline, alive, not place.has_started)

    def _wait(self) -> None:
        """Wait for a signal, for a process that has started, or until something is due; and act on it."""
        now = self._seconds()
        due = [place.starts_at for place in self._places if not place.pid and self._ends_at is None]
        if self._ends_at is not None:
            due.append(self._ends_at)
        elif self._manager.watchdog_seconds is not None:
            due.append(self._watches_at)
        # While a process starts, its pipe is looked at; signals can wait so long.
        starting = [place.signs for place in self._places if place.pid and not place.is_serving]
        seconds = max(0.0, min(due) - now) if due else None
        if starting:
            readable, _, _ = select.select(starting, [], [], min(seconds, 0.05) if seconds is not None else 0.05)
            for place in self._places:
                if place.signs in readable:
                    self._read_signs(place)
            received = signal.sigtimedwait(_SIGNALS, 0)
        else:
            received = signal.sigtimedwait(_SIGNALS, seconds) if seconds is not None else signal.sigwaitinfo(_SIGNALS)
        if received is not None and received.si_signo == signal.SIGHUP and not self._ends_at_hangup:
            self.is_asked = True
            self._start_examiner()
        elif received is not None and received.si_signo != signal.SIGCHLD:
            self._end()
        self._reap()
        self._watch()
        if self._ends_at is not None and self._seconds() >= self._ends_at:
            self._signal_all(signal.SIGKILL)
            self._ends_at = self._seconds() + KILL_SECONDS

    def _read_signs(self, place: _Place) -> None:
        with suppress(BlockingIOError):
            if not os.read(place.signs, 1 << 16):
                return
            place.signed_at = self._seconds()
            place.is_serving = True
            if not place.has_started:
                place.has_started = True
                if all(one.has_started for one in self._places):
                    self._manager.ready()

    def _watch(self) -> None:
        """Tell systemd that the service is alive, and end processes that hang."""
        limit, now = self._manager.watchdog_seconds, self._seconds()
        if limit is None or self._ends_at is not None or now < self._watches_at:
            return
        self._watches_at = now + limit / 2
        self._manager.alive()
        for place in self._places:
            if place.pid and place.is_serving:
                self._read_signs(place)
                if now - place.signed_at >= limit:
                    log.error(
                        "process {process} of {count} hangs",
                        event="process_hangs",
                        process=place.number,
                        count=self._count,
                    )
                    os.kill(place.pid, signal.SIGKILL if place.is_aborted else signal.SIGABRT)
                    place.is_aborted = True

    def _reap(self) -> None:
        """Take note of processes that have ended."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            if pid == self._examiner:
                self._examiner = 0
                if self.is_asked:
                    self._start_examiner()
                elif self._ends_at is None and status == 0:
                    self._drain()
                elif self._ends_at is None:
                    self._manager.ready()
            place = next((one for one in self._places if one.pid == pid), None)
            if place is not None:
                self._ended(place, os.waitstatus_to_exitcode(status))

    def _ended(self, place: _Place, code: int) -> None:
        place.pid = 0
        self._read_signs(place)
        os.close(place.signs)
        place.signs = -1
        if self._ends_at is not None:
            return
        if not place.has_started:  # it has said why
            self._status = code if code > 0 else 1
            self._end()
            return
        lived = self._seconds() - place.forked_at
        place.pause = FIRST_PAUSE if lived >= GOOD_SECONDS else min(place.pause * 2, MAX_PAUSE)
        place.starts_at = self._seconds() + place.pause
        log.error(
            "process {process} of {count} has ended ({reason}); another one takes its place",
            event="process_ended",
            process=place.number,
            count=self._count,
            reason=f"signal {-code}" if code < 0 else f"status {code}",
        )

    def _start_examiner(self) -> None:
        """Fork the process that tries the changed configuration, unless one does or the gateway ends."""
        if self._examiner or self._ends_at is not None:
            return
        sys.stdout.flush()
        sys.stderr.flush()
        self.is_asked = False
        self.kept.close()
        self.kept = KeptConfig()
        self._manager.reloading(self._seconds())
        self._examiner = os.fork()
        if not self._examiner:
            os.close(self._lifeline_end)
            os._exit(0 if self._examine(self.kept) else 1)

    def _drain(self) -> None:
        """End the processes so that none of their clients notices, but those that are connected for long."""
        log_start()
        self.is_reload = True
        self._ends_at = self._seconds() + GRACE_SECONDS + KILL_SECONDS
        self._signal_all(DRAIN_SIGNAL)

    def _end(self) -> None:
        if self._ends_at is None or self.is_reload:
            self.is_reload = False
            self._manager.stopping()
            self._ends_at = self._seconds() + KILL_SECONDS
            self._signal_all(signal.SIGTERM)
            if self._examiner:
                os.kill(self._examiner, signal.SIGKILL)

    def _signal_all(self, number: int) -> None:
        for place in self._places:
            if place.pid:
                os.kill(place.pid, number)


def log_start() -> None:
    """Say that a reload begins."""
    log.info("SIGHUP: the configuration is read again", event="reload_started")
