# SPDX-License-Identifier: MIT
"""The world of the stage: a real store and the sandbox Google, in memory, with a clock in the test's hands."""
