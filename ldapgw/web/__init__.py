# SPDX-License-Identifier: MIT
"""The web pages: connect a Google account, watch its sync, share contacts, set up phones, administer a tenant.

`app` routes requests to the page classes in the ``*_pages`` modules, and all page classes share `layout`.  `consent`
runs the OAuth consent, `sessions` identifies visitors and checks forms, and `rendering` renders the templates.
Handlers take a `Visit` (`layout`), which has an `HttpRequest`, and return an `HttpResponse` (`http`); only `app`,
`http` and `site` use Twisted's requests.
"""
