# SPDX-License-Identifier: MIT
"""The sandbox: a stand-in for Google for demos and tests.

`app.sandbox` serves the state in a `world.World`, which tests can also change directly.  The sandbox imports only the
errors of the gateway.  Apart from these, sandbox and gateway share no code, so that each follows Google's documentation
independently.
"""
