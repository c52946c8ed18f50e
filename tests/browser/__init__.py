# SPDX-License-Identifier: MIT
"""The pages as people see them: a real browser, a running gateway, and the sandbox in Google's place."""
