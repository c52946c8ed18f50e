# SPDX-License-Identifier: MIT
"""The sandbox: a stand-in for Google, for trying things out, for the demo and for tests.

The door is `app.sandbox`; what it serves is a `world.World`, which tests turn by hand.
Nothing here imports the gateway but its errors: the two agree by Google's documentation, not by sharing code.
"""
