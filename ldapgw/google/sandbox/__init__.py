# SPDX-License-Identifier: MIT
"""The sandbox: a stand-in for Google for demos and tests.

`app.sandbox` serves the state in a `world.World`, which tests can also change directly.  The sandbox imports nothing of
the gateway but its errors: both follow Google's documentation, and they share no code.
"""
