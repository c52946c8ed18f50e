# SPDX-License-Identifier: MIT
"""The tests of the command line run commands on a gateway's files."""
