# SPDX-License-Identifier: MIT
"""The networks that identify clients, and the token buckets that limit how often a client may do something.

A client is identified by an IPv4 address or by an IPv6 /64, because one IPv6 host has a whole /64 to itself.

Mutable: `TokenBuckets`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Final

# A client on a UNIX socket is on the same machine, so the loopback address stands for the client.
LOCAL: Final = "127.0.0.1"

# The maximum number of buckets that are remembered.  For a further bucket, the least recently used bucket is forgotten.
# A forgotten bucket counts as full.
MAX_BUCKETS: Final = 20_000


def normalize_address(host: str) -> str:
    """Return an IP address without its zone; an IPv4-mapped address (``::ffff:192.0.2.1``) becomes 192.0.2.1."""
    if ":" not in host:
        return host
    address = IPv6Address(host.partition("%")[0])
    return str(address.ipv4_mapped or address)


@lru_cache(maxsize=256)
def is_loopback(address: str) -> bool:
    """Return whether a normalized address belongs to a client on this machine."""
    return ip_address(address).is_loopback


def is_in_local_network(address: str) -> bool:
    """Return whether a normalized address is not routed in the internet (RFC 6890)."""
    return not ip_address(address).is_global


def network_of(host: str) -> str:
    """Return the network of an address: the normalized address of an IPv4 client, or the /64 of an IPv6 client."""
    address = normalize_address(host)
    return str(IPv6Network((address, 64), strict=False)) if ":" in address else address


class TokenBuckets:
    """Token buckets, one for each key, which fill at a steady rate; at most `MAX_BUCKETS` buckets are remembered.

    :param capacity: the tokens of a full bucket, with which each bucket begins.
    :param interval: seconds in which a bucket gains one token.
    :param seconds: returns the time in seconds.
    """

    __slots__ = ("_buckets", "_capacity", "_interval", "_seconds")

    def __init__(self, capacity: float, interval: float, seconds: Callable[[], float]) -> None:
        self._capacity = capacity
        self._interval = interval
        self._seconds = seconds
        # For each key, the tokens in its bucket, and the time at which the tokens were counted.
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: str, count: float = 1.0) -> float:
        """Take tokens.

        :returns: 0 if the tokens were taken.  Otherwise no token was taken, and the result is the time in seconds until
            the bucket has `count` tokens.
        """
        tokens = self._tokens(key)
        if tokens >= count:
            self._put(key, tokens - count)
            return 0.0
        self._put(key, tokens)
        return (count - tokens) * self._interval

    def add(self, key: str, count: float) -> None:
        """Add tokens to a bucket; a negative count removes tokens, even more than the bucket has."""
        self._put(key, self._tokens(key) + count)

    def _tokens(self, key: str) -> float:
        now = self._seconds()
        tokens, counted_at = self._buckets.get(key, (self._capacity, now))
        return min(self._capacity, tokens + max(0.0, now - counted_at) / self._interval)

    def _put(self, key: str, tokens: float) -> None:
        self._buckets.pop(key, None)
        if tokens < self._capacity:
            self._buckets[key] = tokens, self._seconds()
        if len(self._buckets) > MAX_BUCKETS:
            self._buckets.popitem(last=False)
