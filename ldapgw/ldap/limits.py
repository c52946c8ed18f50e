# SPDX-License-Identifier: MIT
"""How much one client may ask of us, each figure with its reason.

What can be set is in `Limits` and comes from the configuration.  The rest is fixed here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# RFC 4511 allows any nesting; a person's filter has three levels, a generated one ten.  Decoding recurses this deep.
FILTER_DEPTH: Final = 50
# Terms and substring parts of one filter.  The longest seen has 40; each costs a look at the index.
FILTER_TERMS: Final = 1000
# Octets of one filter, and of what Compare asks for.  The longest filter seen from a phone has 2 KiB.
FILTER_OCTETS: Final = 4 << 10
# What it costs to make a filter ready (`ldapgw.directory.filter`): some 6 ms.  It is enough for two hundred names or
# fifty numbers in one filter; the costliest seen from a phone takes 40.
FILTER_EFFORT: Final = 1000
# Names of attributes.  TrueNAS asks for 35, which a limit of 16 elsewhere turned away.
ATTRIBUTES: Final = 256
# Nobody sends more than three.
CONTROLS: Final = 32

# Requests that wait behind a running search before we stop reading; OpenLDAP's conn_max_pending.
WAITING: Final = 100
# Answers are joined up to this size before they are written.  Blocks of entries that are ready are gathered: up to the
# second size (three, most often) for a plain socket, up to 64 KiB under TLS.  No more is written before a plain socket
# has taken that, or under TLS while Twisted's buffer has 64 KiB.  The kernel takes more while less than 64 KiB are not
# sent (`ldapgw.server.listener`), and then as much again.  So a client that reads nothing costs less than 256 KiB.
JOINED: Final = 32 << 10
GATHERED: Final = 128 << 10
# Seconds of work on all unfinished searches together in one reactor turn, and on what comes in while there are none:
# with both spent in one turn, nobody waits longer than about 10 ms for us.
SLICE: Final = 0.005
# Seconds of work on one of several before it is another's turn: enough for a phone's search, so that it is answered at
# once although forty others want everything.
SHORT_SLICE: Final = 0.001

# Seconds.  A phone sends a request in one packet; who takes longer than this holds a connection and no more.
MESSAGE_TIMEOUT: Final = 30.0
# Seconds until what was written must have been taken, 128 KiB at most: less than an ISDN line's pace.
WRITE_TIMEOUT: Final = 30.0
# Seconds.  Old phones need 2 to 3 for an RSA handshake.
HANDSHAKE_TIMEOUT: Final = 10.0
# Seconds for the last octets to leave, and for the client's TLS goodbye, before the connection is cut; a server that is
# told to stop has five in all.
LINGER: Final = 2.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What the configuration's ``[ldap]`` table sets.

    :ivar max_message: octets of one request, its header included.
    :ivar size_limit: most entries in one answer.
    :ivar time_limit: seconds for one search.
    :ivar idle_timeout: seconds without a request after which a connection is closed.
    :ivar max_connections: in all.
    :ivar max_connections_per_address: from one IPv4 address or one IPv6 /64 network.
    """

    max_message: int
    size_limit: int
    time_limit: float
    idle_timeout: float
    max_connections: int
    max_connections_per_address: int
