# SPDX-License-Identifier: MIT
"""Where pages of persons are best read while phones search: the reason why a process reads them.

``python -m bench.aside`` runs each way in a server of its own, with somebody who searches in this process, and
prints a table.
"""
