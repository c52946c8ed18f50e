# SPDX-License-Identifier: MIT
"""The pages: connect, see how the sync does, share, disconnect.

`app` has the routes, and is the door.  `consent` takes a person to Google and back; `session` and `csrf` know who is at
the browser and whether a form is theirs; `pages` turns values into HTML.  Handlers take a `Call` and give an `Answer`
(`exchange`): only `app`, `exchange` and `site` touch Twisted's requests.
"""
