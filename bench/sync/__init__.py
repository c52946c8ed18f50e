# SPDX-License-Identifier: MIT
"""What a sync costs, and what phones notice of it: a large first one, some changes, a start with all of it stored.

`google` has the contacts, in a process of its own and ready to be sent; `watching` is a phone that goes on searching;
`runs` puts them together; ``scripts/bench sync`` prints the table.
"""
