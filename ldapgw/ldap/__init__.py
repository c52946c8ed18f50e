# SPDX-License-Identifier: MIT
"""The LDAP server: RFC 4511 over TCP, TLS and UNIX sockets, read-only.

Read `session` first, which has the state machine that turns requests into steps.  Then read `connection`, which
performs the steps, and `fast_path`, which answers most searches without steps.

`decoder` turns octets into the values of `messages`; `encoder` and `search_response` turn results into octets.
`controls` and `search_controls` add paging, sorting and list views; another package may add a control to the server,
and answer the searches that have the control (`search_controls.AnsweringControl`).  `turns` collects the requests that
arrive in one turn of the reactor, and answers the collected requests through the `connection_core` of each connection.
`admission` limits connections, wrong passwords and log lines, and `limits` has the values of all limits.

Only `server`, `connection`, `socket_io` and `turns` use Twisted.  The rest of the program uses
`server.LdapFactory` and `session.DirectoryPort`.
"""
