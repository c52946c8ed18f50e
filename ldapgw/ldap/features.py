# SPDX-License-Identifier: MIT
"""What this wire can do, for the root DSE (RFC 4512 5.1): listed if and only if it works."""

from __future__ import annotations

from ldapgw import __version__
from ldapgw.directory.dit import Features
from ldapgw.ldap.controls import KINDS
from ldapgw.ldap.messages import CANCEL, START_TLS, WHO_AM_I

# RFC 3673: "+", all operational attributes.  RFC 4529: "@inetOrgPerson".  RFC 4526: "(&)" and "(|)".
_FEATURES = ("1.3.6.1.4.1.4203.1.5.1", "1.3.6.1.4.1.4203.1.5.2", "1.3.6.1.4.1.4203.1.5.3")


def features(*, tls: bool) -> Features:
    """What the root DSE says.

    :param tls: whether there is a certificate; without one StartTLS and PLAIN do not work.
    """
    return Features(
        vendor_version=__version__,
        controls=tuple(sorted(KINDS)),
        extensions=tuple(sorted((CANCEL, WHO_AM_I))),
        before_tls=(START_TLS,) if tls else (),
        features=_FEATURES,
        sasl_mechanisms=("PLAIN",) if tls else (),
    )
