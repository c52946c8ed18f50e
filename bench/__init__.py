# SPDX-License-Identifier: MIT
"""Measurements of the gateway on loopback: ``scripts/bench NAME`` runs the bench of the module NAME.

Each bench puts a load on servers under test, which are in `servers`, with stores that `seed` fills with made-up people;
the rows of its tables are figures with goals (`report`).  Searches come from `asking`; `load` sends as many of them as
a server can answer, while `phone` sends them as a person types.  `comparison` compares servers round by round.
"""
