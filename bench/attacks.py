# SPDX-License-Identifier: MIT
"""The attacks, each in a process of its own: it opens connections, and goes on until the bench stops it."""

from __future__ import annotations

import multiprocessing
import select
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection

from bench.phone import Target
from bench.servers import BASE
from ldapgw.ber import INTEGER, SEQUENCE, boolean, integer, octets, tlv
from tests.support import pdu
from tests.support.descriptors import find_readable

# The connections from one address: fewer than the gateway allows.
_PER_ADDRESS = 200

# An attack gets its target, the number of its connections, and a pipe: the attack writes to the pipe once it has begun,
# and the pipe has something to read once the bench stops the attack.  The attack returns its findings.
Findings = Mapping[str, float]
Attack = Callable[[Target, int, Connection], Findings]


class Attacker:
    """An attack that runs in a process of its own."""

    def __init__(self, attack: Attack, target: Target, count: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_run, args=(attack, target, count, theirs), daemon=True)
        self._process.start()
        theirs.close()
        self._pipe.recv()

    @property
    def has_ended(self) -> bool:
        return self._pipe.poll()

    def stop(self) -> Findings:
        if not self.has_ended:
            self._pipe.send("stop")
        found: Findings = self._pipe.recv()
        self._process.join()
        return found


def _run(attack: Attack, target: Target, count: int, pipe: Connection) -> None:
    pipe.send(attack(target, count, pipe))


@contextmanager
def _crowd(target: Target, count: int, *, tls: bool = False, receives: int = 0) -> Iterator[list[socket.socket]]:
    """Open so many connections, from as many addresses as the gateway's limit for one address needs."""
    with ExitStack() as stack:
        crowd: list[socket.socket] = []
        for at in range(count):
            number = at // _PER_ADDRESS
            crowd.append(target.connect(f"127.1.{number // 250}.{1 + number % 250}", tls=tls))
            stack.enter_context(crowd[-1])
            if receives:
                crowd[-1].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
        yield crowd


def _hold(
    target: Target,
    count: int,
    pipe: Connection,
    *,
    first: bytes = b"",
    more: bytes = b"",
    binds: bool = False,
    tls: bool = False,
    reads: bool = True,
) -> Findings:
    """Open connections, and hold them until the server has closed all of them.

    :param first: the octets that each connection sends first, behind a bind if `binds`.
    :param more: the octets that each connection sends every five seconds.
    :param reads: whether answers are read and thrown away; otherwise there is little room for them.
    :returns: how many connections were held, and how many the server closed; and when it closed the last one, in
        seconds.
    """
    with _crowd(target, count, tls=tls, receives=0 if reads else 4096) as crowd, select.epoll() as poll:
        begun = time.monotonic()
        for one in crowd:
            one.sendall((target.bind() if binds else b"") + first)
            poll.register(one, select.EPOLLRDHUP | (select.EPOLLIN if reads else 0))
        pipe.send("begun")
        waiting = {one.fileno(): one for one in crowd}
        last, due = 0.0, begun + 5.0
        while waiting and not pipe.poll():
            for number, _ in poll.poll(0.2):
                if not _is_open(waiting[number]):
                    poll.unregister(number)
                    del waiting[number]
                    last = time.monotonic() - begun
            if more and time.monotonic() >= due:
                due += 5.0
                for one in waiting.values():
                    with suppress(OSError):
                        one.send(more)
        return {"held": len(waiting), "closed": count - len(waiting), "last": last}


def _is_open(one: socket.socket) -> bool:
    """Read all answers, and return whether the server has left the connection open."""
    one.setblocking(False)
    try:
        while one.recv(1 << 16):
            pass
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


_SEARCHES = b"".join(pdu.message(number, pdu.search(BASE, 2)) for number in range(2, 22))

# Clients that bind and then send nothing; that send half a message, then one octet at a time; that begin a TLS
# handshake; and that search for everything twenty times and read no answer.
idle: Attack = partial(_hold, binds=True)
dribble: Attack = partial(_hold, first=b"\x30\x82\x10\x00\x02\x01\x01", more=b"\x00")
half_handshakes: Attack = partial(_hold, first=b"\x16\x03\x01\x00", tls=True)
read_nothing: Attack = partial(_hold, binds=True, first=_SEARCHES, reads=False)


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


def bombs(target: Target, _count: int, pipe: Connection) -> Findings:
    """Send INTEGERs and lengths beyond all measure, one after the other."""
    sent, all_bombs = 0, tuple(_bombs())
    pipe.send("begun")
    while not pipe.poll():
        for bomb in all_bombs:
            with target.connect("127.6.6.6") as one, suppress(OSError):
                one.settimeout(0.05)
                one.sendall(bomb)
                one.recv(1 << 12)
            sent += 1
    return {"sent": sent}


def guess(target: Target, count: int, pipe: Connection) -> Findings:
    """Send wrong passwords from one address, as fast as they are answered."""
    answered = 0
    with _crowd(target, count) as crowd:
        for one in crowd:
            one.sendall(target.bind("wrong"))
        pipe.send("begun")
        begun = time.monotonic()
        while not pipe.poll():
            for one in find_readable(crowd, 0.1):
                if not one.recv(1 << 12):
                    crowd.remove(one)
                    continue
                answered += 1
                one.sendall(target.bind("wrong"))
        return {"rate": answered / (time.monotonic() - begun)}
