# SPDX-License-Identifier: MIT
"""What each part that exists for speed buys: the gateway beside one that runs without it.

``scripts/bench parts`` prints a table; the docstring or comment of each part has its figure.
"""
