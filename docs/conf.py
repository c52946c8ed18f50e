# SPDX-License-Identifier: MIT
"""How Sphinx makes the site of the documentation: ``scripts/docs`` builds it.

The documents can be read as they are too, in the repository: they link each other by their files' names, and use no
directive or role that only Sphinx has.  ``pages`` turns these links into links between the site's pages.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path[:0] = [str(DOCS / "_site"), str(DOCS.parent)]

project = "ldapgw"
# The package itself imports nothing but the standard library.
version = release = import_module("ldapgw").__version__
author = "the ldapgw authors"
project_copyright = "the ldapgw authors, MIT license"
extensions = ["pages", "sphinx_copybutton"]
exclude_patterns = ["_site"]
nitpicky = True
# What is shown is configuration of phones and commands: none is a language that Pygments colors well.
highlight_language = "none"
smartquotes = False
show_warning_types = True

html_theme = "furo"
html_title = f"ldapgw {version}"
html_static_path = ["_site/static"]
html_css_files = ["site.css"]
html_js_files = [("site.js", {"defer": "defer"})]
html_favicon = "../ldapgw/web/static/favicon.ico"
html_search_scorer = str(DOCS / "_site" / "scorer.js")
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
# The blue and the typeface of the gateway's web pages (ldapgw/web/static/style.css).
_TYPEFACE = {"font-stack": 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif'}
html_theme_options = {
    "navigation_with_keys": True,
    "light_css_variables": {"color-brand-primary": "#1d5bc4", "color-brand-content": "#1d5bc4", **_TYPEFACE},
    "dark_css_variables": {"color-brand-primary": "#86b4ff", "color-brand-content": "#86b4ff", **_TYPEFACE},
}
html_logo = "../ldapgw/web/static/icon.svg"
