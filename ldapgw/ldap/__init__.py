# SPDX-License-Identifier: MIT
"""The wire: LDAP as RFC 4511 has it, for phones that never read it.

Three temperatures.  Octets (`framing`, `decode`, `encode`) and rules (`session`, `bind`, `controls`) are pure;
`connection` and `protocol` alone know Twisted, `fence` alone knows ldaptor.  The public door is `protocol.LdapFactory`.
"""
