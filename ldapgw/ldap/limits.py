# SPDX-License-Identifier: MIT
"""Limits on the requests and the resources of one client, with a reason for each figure.

The limits in `Limits` come from the configuration; the constants are fixed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# The maximum number of levels of a filter, and so the maximum depth of the decoder's recursion.  RFC 4511 allows any
# number of levels; a filter that a person writes has three levels, a generated filter has ten.
FILTER_DEPTH: Final = 50
# The maximum number of terms and substring parts of one filter.  Each term and each part costs a look-up in the index;
# the longest filter of a phone that we know has 40 terms.
FILTER_TERMS: Final = 1000
# The maximum number of octets of one filter, and of the assertion value of a Compare.  The longest filter of a phone
# that we know has 2 KiB.
FILTER_OCTETS: Final = 4 << 10
# The maximum estimated cost of preparing a filter (`ldapgw.directory.filter`).  Preparing a filter of this cost takes
# some 6 ms.  The limit allows two hundred names or fifty numbers in one filter; the costliest filter of a phone that we
# know costs 40.
FILTER_EFFORT: Final = 1000
# The maximum number of attributes in one request.  TrueNAS requests 35; another server, whose limit is 16, refused this
# request.
ATTRIBUTES: Final = 256
# The maximum number of controls of one request.  No client sends more than three.
CONTROLS: Final = 32

# The maximum number of requests of a session that may wait for its running search.  At the limit, the server stops
# reading from the connection.  OpenLDAP has the same limit (conn_max_pending).
WAITING: Final = 100
# The maximum number of octets of messages that are joined before the messages are written.
JOINED: Final = 32 << 10
# The maximum number of octets that one call writes to a plain socket.  In most cases, the octets are three pages of
# encoded messages, which the call writes without joining the pages first.  A client that reads nothing costs less than
# 256 KiB: 128 KiB in the gateway, and 128 KiB in the kernel.  The kernel takes octets only while less than 64 KiB are
# unsent (`ldapgw.server.listener`), but may then take another 64 KiB at once.  Under TLS, a call writes at most 64 KiB,
# and only while Twisted's buffer has less than 64 KiB.
GATHERED: Final = 128 << 10
# The time, in seconds, that the new requests of one login or network may take in one turn of the reactor
# (`ldapgw.ldap.turns`).  The unfinished work of the login or network may take the same time again.  The time is enough
# for the searches of several phones, so a phone is answered at once although forty other phones list the whole
# directory.
SLICE: Final = 0.001
# The time, in seconds, that all new requests together may take in one turn.  All unfinished work together may take the
# same time, so a turn takes at most about 10 ms.
TURN: Final = 0.005

# The time, in seconds, in which the rest of a message has to arrive.  A phone sends a request in one packet.
MESSAGE_TIMEOUT: Final = 30.0
# The time, in seconds, in which a client has to take the output, at most 128 KiB, for which an ISDN line needs 16 s.
WRITE_TIMEOUT: Final = 30.0
# The time, in seconds, for a TLS handshake.  Old phones need 2 to 3 s for RSA.
HANDSHAKE_TIMEOUT: Final = 10.0
# The time, in seconds, that a search may run without sending an entry if the client has closed its half of the
# connection.  The client may be gone, which only a failed write shows.
GONE_TIMEOUT: Final = 1.0
# The time, in seconds, for sending the last octets and for receiving the client's TLS close notification.  After this
# time, the connection is aborted.  The gateway stops within five seconds (`ldapgw.server.reactor`).
CLOSE_TIMEOUT: Final = 2.0


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits in the configuration's ``[ldap]`` table.

    :ivar max_message: the maximum number of octets of one request, its header included.
    :ivar size_limit: the maximum number of entries in one answer.
    :ivar time_limit: seconds for one search.
    :ivar idle_timeout: seconds without a request after which a connection is closed.
    :ivar max_connections: the maximum number of connections in all.
    :ivar max_connections_per_address: the maximum number of connections from one IPv4 address or one IPv6 /64 network.
    """

    max_message: int
    size_limit: int
    time_limit: float
    idle_timeout: float
    max_connections: int
    max_connections_per_address: int
