# SPDX-License-Identifier: MIT
"""The web pages: connect a Google account, watch its sync, share contacts, set up phones, administer a tenant.

`app` routes requests to the page classes in the ``*_pages`` modules, and all of them share `layout`, which identifies
visitors and checks forms.  `consent` runs the OAuth consent, and `rendering` renders the templates.
Handlers take a `Visit` (`layout`), which has an `HttpRequest`, and return an `HttpResponse` (`http`); only `app`,
`http` and `site` use Twisted's requests.
"""
