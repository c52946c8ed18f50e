# SPDX-License-Identifier: MIT
"""The attacks, each in a process of its own: it opens connections, and goes on until the bench stops it."""

from __future__ import annotations

import multiprocessing
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection

from bench.phone import Target
from ldapgw.ber import INTEGER, SEQUENCE, boolean, integer, octets, tlv
from tests.support import pdu

Findings = dict[str, float]
# The connections from one address: fewer than the gateway allows.
_PER_ADDRESS = 200
_HELLO = bytes.fromhex("16030100")


class Orders:
    """The bench's orders to an attack."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def ready(self) -> None:
        """Tell the bench that the attack has begun."""
        self._pipe.send("ready")

    def go_on(self, seconds: float = 0.0) -> bool:
        """Wait for so many seconds, and return whether the attack goes on."""
        return not self._pipe.poll(seconds)


Attack = Callable[[Target, int, Orders], Findings]


class Attacker:
    """An attack that runs in a process of its own."""

    def __init__(self, attack: Attack, target: Target, count: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_run, args=(attack, target, count, theirs), daemon=True)
        self._process.start()
        theirs.close()
        assert self._pipe.recv() == "ready"

    @property
    def has_ended(self) -> bool:
        """Return whether the attack has ended by itself."""
        return self._pipe.poll()

    def stop(self) -> Findings:
        """Stop the attack, and return its findings."""
        if not self.has_ended:
            self._pipe.send("stop")
        found: Findings = self._pipe.recv()
        self._process.join()
        return found


def _run(attack: Attack, target: Target, count: int, pipe: Connection) -> None:
    pipe.send(attack(target, count, Orders(pipe)))


@contextmanager
def _crowd(target: Target, count: int, *, tls: bool = False, receives: int = 0) -> Iterator[list[socket.socket]]:
    """Open so many connections, from as many addresses as the gateway's limit for one address needs."""
    crowd: list[socket.socket] = []
    try:
        for at in range(count):
            number = at // _PER_ADDRESS
            one = target.connect(f"127.1.{number // 250}.{1 + number % 250}", tls=tls)
            if receives:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
            crowd.append(one)
        yield crowd
    finally:
        for one in crowd:
            one.close()


def _is_open(one: socket.socket) -> bool:
    """Return whether the server has left a connection open; the server's answers are thrown away."""
    one.setblocking(False)
    try:
        while one.recv(1 << 16):
            pass
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def idle(target: Target, count: int, orders: Orders) -> Findings:
    """Bind, and then send nothing."""
    with _crowd(target, count) as crowd:
        for one in crowd:
            one.sendall(target.bind())
        for one in crowd:
            one.recv(1 << 12)
        orders.ready()
        while orders.go_on(1.0):
            pass
        return {"held": sum(map(_is_open, crowd))}


def dribble(target: Target, count: int, orders: Orders) -> Findings:
    """Send half a message, and one more octet every five seconds."""
    with _crowd(target, count) as crowd:
        begun = time.monotonic()
        for one in crowd:
            one.sendall(b"\x30\x82\x10\x00\x02\x01\x01")
        orders.ready()
        return _gone(crowd, begun, orders, b"\x00", 5.0)


def half_handshakes(target: Target, count: int, orders: Orders) -> Findings:
    """Send the beginning of a TLS handshake."""
    with _crowd(target, count, tls=True) as crowd:
        begun = time.monotonic()
        for one in crowd:
            one.sendall(_HELLO)
        orders.ready()
        return _gone(crowd, begun, orders, b"", 60.0)


def _gone(crowd: list[socket.socket], begun: float, orders: Orders, more: bytes, every: float) -> Findings:
    """Wait until the server has closed all connections; return how many it has closed, and when the last one.

    :param more: the octets that each connection sends every so many seconds.
    """
    waiting = {one.fileno(): one for one in crowd}
    poll = select.epoll()
    for number in waiting:
        poll.register(number, select.EPOLLIN | select.EPOLLRDHUP)
    last, due = 0.0, begun + every
    while waiting and orders.go_on():
        for number, _ in poll.poll(0.2):
            if not _is_open(waiting[number]):
                poll.unregister(number)
                del waiting[number]
                last = time.monotonic() - begun
        if time.monotonic() >= due:
            due += every
            for one in waiting.values():
                with suppress(OSError):
                    one.send(more)
    poll.close()
    return {"closed": len(crowd) - len(waiting), "last": last}


def read_nothing(target: Target, count: int, orders: Orders) -> Findings:
    """Search for everything twenty times on each connection, and read no answer."""
    everything = b"".join(pdu.message(number, pdu.search(target.base, 2)) for number in range(2, 22))
    with _crowd(target, count, receives=4096) as crowd:
        for one in crowd:
            one.sendall(target.bind() + everything)
        orders.ready()
        while orders.go_on(1.0):
            pass
        return {}


def _bombs() -> Iterator[bytes]:
    long = tlv(INTEGER, b"\x7f" * 60_000)
    yield tlv(SEQUENCE, long + pdu.search())
    yield tlv(SEQUENCE, tlv(INTEGER, b"\x7f" * 250_000) + pdu.search())
    yield pdu.message(1, tlv(0x60, long + octets(b"") + octets(b"", 0x80)))
    limits = boolean(value=False) + pdu.PRESENT + tlv(SEQUENCE, b"")
    yield pdu.message(1, tlv(0x63, octets(b"") + b"\x0a\x01\0" * 2 + long + integer(0) + limits))
    yield pdu.message(1, b"\x50" + long[1:])
    nested = pdu.PRESENT
    for _ in range(12_000):
        nested = tlv(0xA2, nested)
    yield pdu.message(1, pdu.search(filter_=nested))
    for header in ("30847fffffff", "3084ffffffff", "3080", "300702010163847fffff", "30ff", "1f7f"):
        yield bytes.fromhex(header) + bytes(1000)


def bombs(target: Target, count: int, orders: Orders) -> Findings:
    """Send INTEGERs and lengths beyond all measure, one after the other."""
    sent, all_bombs = 0, tuple(_bombs())
    orders.ready()
    while orders.go_on():
        for bomb in all_bombs:
            with target.connect("127.6.6.6") as one, suppress(OSError):
                one.settimeout(0.05)
                one.sendall(bomb)
                one.recv(1 << 12)
            sent += 1
    return {"sent": sent}


def guess(target: Target, count: int, orders: Orders) -> Findings:
    """Send wrong passwords from one address, as fast as they are answered."""
    answered = 0
    with _crowd(target, count) as crowd:
        for one in crowd:
            one.sendall(target.bind("wrong"))
        orders.ready()
        begun = time.monotonic()
        while orders.go_on():
            ready, _, _ = select.select(crowd, [], [], 0.1)
            for one in ready:
                if not one.recv(1 << 12):
                    crowd.remove(one)
                    continue
                answered += 1
                one.sendall(target.bind("wrong"))
        return {"rate": answered / (time.monotonic() - begun)}
