# SPDX-License-Identifier: MIT
"""The values of ``publication.toml``, which only the place knows where ldapgw is published.

A document has each passage with such a value between the comments ``.. publication: NAME`` and ``.. publication: end``.
`written` makes these passages anew; a test compares.  The module needs nothing but Python, so that the build of a
package can use it.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).parents[2]
FILE = ROOT / "publication.toml"
# The maintainer's address of the Debian package until there is one: names under "example" belong to nobody.
_NO_CONTACT = "maintainers@ldapgw.example"
_PASSAGE = re.compile(r"(?ms)^\.\. publication: (?!end$)([a-z-]+)\n.*?^\.\. publication: end\n")


@dataclass(frozen=True, slots=True)
class Publication:
    """The place of publication; a value that is not known is empty.

    :param home: the URL of the project's web page.
    :param source: the address that ``git clone`` takes.
    :param docs: the URL of the site of the documentation, without a slash at the end.
    :param contact: the e-mail address of the maintainers.
    :param key: the fingerprint of the key that signs releases.
    """

    home: str = ""
    source: str = ""
    docs: str = ""
    contact: str = ""
    key: str = ""

    def page(self, path: str) -> str:
        """Return the address of a page of the documentation: its URL on the site, or else its file in the source.

        :param path: the document as a path from the root, such as ``docs/how-to/monitoring.rst#alerts``.
        """
        return f"{self.docs}/{path.removeprefix('docs/').replace('.rst', '.html', 1)}" if self.docs else path

    @property
    def browsable(self) -> str:
        """The address of the repository for browsers; empty if ``source`` is not for browsers."""
        return self.source.removesuffix(".git") if _is_url(self.source) else ""


def read(file: Path = FILE) -> Publication:
    """Read the values.

    :raises ValueError: when a value has a wrong form; the message names the key.
    """
    values = Publication(**tomllib.loads(file.read_text()))
    for name, form, expected in _FORMS:
        if (value := getattr(values, name)) and not form(value):
            raise ValueError(f'{file.name}: {name} = "{value}": expected {expected}')
    return values


def _is_url(text: str) -> bool:
    return urlsplit(text).scheme == "https" and bool(urlsplit(text).netloc) and not text.endswith("/")


_FORMS: tuple[tuple[str, Callable[[str], object], str], ...] = (
    ("home", _is_url, "an https URL without a slash at the end"),
    ("source", re.compile(r"[\w.+:@/~-]+").fullmatch, "an address that git clone takes"),
    ("docs", _is_url, "an https URL without a slash at the end"),
    ("contact", re.compile(r"[^\s@]+@[^\s@]+").fullmatch, "an e-mail address"),
    ("key", re.compile(r"[0-9A-F]{40}").fullmatch, "40 hexadecimal digits in upper case"),
)


def documents() -> list[Path]:
    """Return the documents that may have passages."""
    return sorted([*ROOT.glob("*.rst"), *(ROOT / "docs").rglob("*.rst")])


def written(document: str, values: Publication) -> str:
    """Return a document with its passages for some values."""

    def passage(found: re.Match[str]) -> str:
        return f".. publication: {found[1]}\n\n{PASSAGES[found[1]](values)}\n.. publication: end\n"

    return _PASSAGE.sub(passage, document)


def written_setup(text: str, values: Publication) -> str:
    """Return ``setup.cfg`` with the addresses that package indexes show."""
    text = re.sub(r"(?m)^((url|maintainer_email) = .*|project_urls =(\n    .*)*)\n", "", text)
    lines = _lines("{} = {}\n", {"url": values.home, "maintainer_email": values.contact})
    urls = _lines("    {} = {}\n", {"Documentation": values.docs, "Source": values.browsable})
    return text.replace("license = MIT\n", lines + ("project_urls =\n" + urls) * bool(urls) + "license = MIT\n", 1)


def written_control(text: str, values: Publication) -> str:
    """Return ``debian/control`` with the addresses that Debian's tools show."""
    text = re.sub(r"(?m)^(Homepage|Vcs-\w+): .*\n", "", text)
    text = re.sub(r"(?m)^(Maintainer: .*) <.*>$", rf"\1 <{values.contact or _NO_CONTACT}>", text)
    named = {"Homepage": values.home, "Vcs-Browser": values.browsable, "Vcs-Git": values.source}
    lines = _lines("{}: {}\n", named)
    return re.sub(r"(?m)^Rules-Requires-Root: .*\n", rf"\g<0>{lines}", text)


def _lines(form: str, values: Mapping[str, str]) -> str:
    """Return a line for each value that is not empty."""
    return "".join(form.format(name, value) for name, value in values.items() if value)


def written_containerfile(text: str, values: Publication) -> str:
    """Return ``Containerfile`` with the address that is in the image's labels."""
    return re.sub(r"(?m)^ARG SOURCE=.*$", f"ARG SOURCE={values.source}", text)


def written_alerts(text: str, values: Publication) -> str:
    """Return alerts, or their tests, with links to the page that explains them."""
    page = values.page("docs/how-to/monitoring.rst")
    return re.sub(r"(?<=runbook_url: )\S*how-to/monitoring\.\w+(?=#)", page, text)


def written_pages(text: str, values: Publication) -> str:
    """Return the module of the gateway's pages with the address of the documentation's site."""
    return re.sub(r'(?m)^SITE = ".*"$', f'SITE = "{values.docs}"', text)


# These functions write files that are no documents.
OTHERS: Mapping[str, Callable[[str, Publication], str]] = {
    "setup.cfg": written_setup,
    "debian/control": written_control,
    "Containerfile": written_containerfile,
    "etc/prometheus/ldapgw.rules.yml": written_alerts,
    "etc/prometheus/ldapgw.rules.test.yml": written_alerts,
    "ldapgw/web/rendering.py": written_pages,
}


def _clone(values: Publication) -> str:
    if values.source:
        return f"::\n\n    git clone {values.source} ldapgw\n    cd ldapgw\n"
    return (
        "Go to your copy of the repository, or unpack the source distribution of a release and go to its folder::\n\n"
        "    tar --extract --file ldapgw-*.tar.gz && cd ldapgw-*/\n"
    )


def _site(values: Publication) -> str:
    if values.docs:
        return f"Read the documentation at `{values.docs} <{values.docs}/>`__.\n"
    return "To read the documentation as a searchable site, run ``scripts/docs serve``.\n"


def _report(values: Publication) -> str:
    if values.contact:
        return f"Please write to the maintainers in private: `{values.contact} <mailto:{values.contact}>`__.\n"
    return 'Please write to the maintainers in private: use "Report a vulnerability" on the project\'s page.\n'


def _key(values: Publication) -> str:
    if values.key:
        groups = " ".join(re.findall("....", values.key))
        return f"The key's fingerprint is ``{groups}``.\n"
    return "The page from which you download a release has the key and its fingerprint.\n"


PASSAGES: Mapping[str, Callable[[Publication], str]] = {
    "clone": _clone,
    "site": _site,
    "report": _report,
    "key": _key,
}


def ask(values: Publication) -> Publication:
    """Ask on the terminal for the values that are empty; an empty answer leaves a value empty."""
    return Publication(**{name: value or input(f"{name}: ").strip() for name, value in asdict(values).items()})


def _store(values: Publication) -> None:
    text = FILE.read_text()
    for name, value in asdict(values).items():
        text = re.sub(rf'(?m)^{name} = ".*"$', f"{name} = {json.dumps(value)}".replace("\\", r"\\"), text)
    FILE.write_text(text)


def main(arguments: list[str]) -> None:
    """Print a value, or ask for values; then write the documents and the other files."""
    if arguments and arguments[0] in {field.name for field in fields(Publication)}:
        sys.stdout.write(getattr(read(), arguments[0]) + "\n")
        return
    if arguments == ["--ask"]:
        _store(ask(read()))
    values = read()
    for document in documents():
        text = document.read_text()
        if (new := written(text, values)) != text:
            document.write_text(new)
    for name, write in OTHERS.items():
        (ROOT / name).write_text(write((ROOT / name).read_text(), values))


if __name__ == "__main__":
    main(sys.argv[1:])
