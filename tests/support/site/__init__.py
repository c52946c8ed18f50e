# SPDX-License-Identifier: MIT
"""The world of the site: the program as a person runs it, with real sockets, a real database and real clients."""
