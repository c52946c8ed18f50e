# SPDX-License-Identifier: MIT
"""The documents say what the program does: they are held against it, in both directions."""

from __future__ import annotations

import configparser
import dataclasses
import html
import importlib.util
import json
import re
import runpy
import shlex
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from itertools import takewhile
from pathlib import Path
from typing import Any, get_type_hints
from urllib.parse import urlsplit

import click
import msgspec
import pytest
from docutils import nodes

from ldapgw import __version__
from ldapgw.cli import main
from ldapgw.cli.root import usual_words
from ldapgw.contact import Sharing, Source
from ldapgw.directory.access import BookAccess
from ldapgw.errors import GoogleError, ResultCode
from ldapgw.google.sandbox.controls import CONTROLS
from ldapgw.google.sandbox.faults import FAULTS
from ldapgw.phones.explain.model import MatchKind, MissReason, NumberReading
from ldapgw.phones.explain.query import QueryKind
from ldapgw.phones.hints import Hint
from ldapgw.phones.provisioning.vendors import all_vendors
from ldapgw.server.config import Config, load
from ldapgw.server.config.forms import read_form
from ldapgw.server.config.tables import Google, Ldap, Table, Tenant, Web, all_tables
from ldapgw.server.config.written import toml_text
from ldapgw.server.listener import OTHER_DESCRIPTORS
from ldapgw.store.account_status import _TEXTS, STALE_SECONDS, account_to_json
from ldapgw.store.accounts import Account
from ldapgw.store.sync_state import DIRECTORY_SHRUNK, INCOMPLETE, NO_SYNC_TOKEN
from ldapgw.web.rendering import DOCUMENTS
from tests.google.service_account import key_file
from tests.support import architecture, command_index, publication, rst, vendor_pages
from tests.support.checkout import ROOT, project_files
from tests.support.command_index import commands
from tests.support.settings import REFERENCE, SAMPLE, settings, titles, written_reference, written_sample

DOCS = (ROOT / "docs").resolve()  # the tests of the compiled modules reach it through a link
UNIT = ROOT / "etc" / "ldapgw.service"
MENUS = ("index", "how-to/pbx", "how-to/vendors", "reference/commands", "decisions/README")
DECISIONS = sorted((DOCS / "decisions").glob("[0-9]*.rst"))


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


# --- documents as such ------------------------------------------------------------------------------------------------


def test_documents_parse() -> None:
    """The parser has nothing to say of a document."""
    assert {name_of(path): said for path in rst.documents() if (said := rst.problems(path))} == {}


def test_links_lead_somewhere() -> None:
    """A link within the project leads to a file."""
    wrong = [(name_of(path), link) for path in rst.documents() for link in rst.local_links(path) if not link.exists()]
    assert wrong == []


def test_passages_about_the_publication_are_up_to_date() -> None:
    """The documents and the other files have the values of publication.toml."""
    values, advice = publication.read(), "run scripts/publication"
    for path in publication.documents():
        document = path.read_text()
        assert document == publication.written(document, values), advice
    for name, write in publication.OTHERS.items():
        assert (ROOT / name).read_text() == write((ROOT / name).read_text(), values), f"{name}: {advice}"


def test_a_publication_is_written_everywhere() -> None:
    """Each value has its place, and is taken out again when the value is empty."""
    known = publication.Publication(
        home="https://ldapgw.example",
        source="https://git.example/ldapgw.git",
        docs="https://docs.example",
        contact="security@ldapgw.example",
        key="0123456789ABCDEF" * 2 + "01234567",
    )
    texts = [path.read_text() for path in publication.documents()]
    written = "".join(publication.written(text, known) for text in texts)
    assert "git clone https://git.example/ldapgw.git ldapgw" in written
    assert "<https://docs.example/>" in written
    assert "<mailto:security@ldapgw.example>" in written
    assert "0123 4567 89AB" in written
    others = {name: write((ROOT / name).read_text(), known) for name, write in publication.OTHERS.items()}
    for name, write in publication.OTHERS.items():
        assert write(others[name], known) == others[name]
        unknown = publication.Publication()
        assert write(others[name], unknown) == write((ROOT / name).read_text(), unknown)
    parser = configparser.ConfigParser()
    parser.read_string(others["setup.cfg"])
    assert parser["metadata"]["url"] == "https://ldapgw.example"
    assert parser["metadata"]["maintainer_email"] == known.contact
    assert parser["metadata"]["project_urls"].split() == [
        *("Documentation", "=", "https://docs.example", "Source", "=", "https://git.example/ldapgw")
    ]
    control = dict(line.split(": ", 1) for line in others["debian/control"].partition("\n\n")[0].splitlines())
    assert (control["Homepage"], control["Vcs-Git"]) == (known.home, known.source)
    assert control["Vcs-Browser"] == "https://git.example/ldapgw"
    assert control["Maintainer"] == f"The ldapgw maintainers <{known.contact}>"
    assert f"\nARG SOURCE={known.source}\n" in others["Containerfile"]
    assert f'\nSITE = "{known.docs}"\n' in others["ldapgw/web/rendering.py"]
    for name in ("etc/prometheus/ldapgw.rules.yml", "etc/prometheus/ldapgw.rules.test.yml"):
        pages = set(re.findall(r"runbook_url: (\S+)#ldapgw\w+\n", others[name]))
        assert pages == {"https://docs.example/how-to/monitoring.html"}
    assert known.page("docs/how-to/monitoring.rst#alerts") == "https://docs.example/how-to/monitoring.html#alerts"
    assert publication.Publication().page("docs/faq.rst") == "docs/faq.rst"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_pages_link_to_documents(name: str) -> None:
    """Each exists, with the title and the section that the gateway's pages name."""
    document = DOCUMENTS[name]
    page, _, section = document.path.partition("#")
    path = DOCS / page.replace(".html", ".rst")
    if section:
        assert section == nodes.make_id(rst.section(path, document.title)[0].astext())
    else:
        assert document.title == rst.read(path).get("title")


def test_a_publication_of_a_wrong_form_is_refused(tmp_path: Path) -> None:
    """The message names the key."""
    file = tmp_path / "publication.toml"
    for key, value in {"home": "http://a.example", "docs": "https://a.example/", "contact": "me", "key": "abc"}.items():
        file.write_text(f'{key} = "{value}"')
        with pytest.raises(ValueError, match=f'^publication.toml: {key} = "{value}": expected '):
            publication.read(file)


def test_no_document_has_a_placeholder_for_an_address() -> None:
    """A reader can type each command as it is."""
    lines = ((path, line) for path in rst.documents() for line in rst.shell_lines(rst.read(path)))
    assert [(name_of(path), line) for path, line in lines if line.startswith("git clone URL")] == []


def test_every_picture_is_shown() -> None:
    """A picture that no document shows is not kept, and none is missing."""
    shown = {picture for path in rst.documents() for picture in rst.pictures(path)}
    assert set((DOCS / "images").iterdir()) == shown


def test_pictures_are_small() -> None:
    """All of them are at most 2 MB, so that a copy of the project and its site stay small; each at most 600 kB."""
    sizes = [path.stat().st_size for path in (DOCS / "images").iterdir()]
    assert (max(sizes) <= 600_000, sum(sizes) <= 2_000_000) == (True, True)


def test_the_index_names_every_page() -> None:
    """A reader who begins at the index finds all pages, many by a list of their own."""
    lists = [DOCS / f"{name}.rst" for name in MENUS]
    linked = {link.resolve() for page in lists for link in rst.local_links(page)}
    assert set(DOCS.rglob("*.rst")) - set((DOCS / "project").iterdir()) - {DOCS / "index.rst"} <= linked


def test_the_site_names_the_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """On top of its menu and in the titles of its pages."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    configured = runpy.run_path(str(DOCS / "conf.py"))
    assert (configured["version"], configured["release"]) == (__version__, __version__)
    assert configured["html_title"] == f"ldapgw {__version__}"


def test_vendor_pages_are_written_from_the_settings() -> None:
    """Steps, settings and the table are those of the pages and commands; scripts/vendor-pages writes them anew."""
    written = {path.resolve(): text for path, text in vendor_pages.pages().items()}
    assert {path: path.read_text() for path in written} == written
    assert set((DOCS / "how-to" / "vendors").iterdir()) == {path for path in written if path.parent.name == "vendors"}


def test_each_vendor_page_has_a_drawing_of_its_own() -> None:
    """With words in its place that tell what is on it."""
    pages = sorted((DOCS / "how-to" / "vendors").iterdir())
    assert [rst.pictures(path) for path in pages] == [[DOCS / "images" / f"screen-{path.stem}.svg"] for path in pages]
    for path in pages:
        [image] = rst.read(path).findall(nodes.image)
        drawing = (DOCS / "images" / f"screen-{path.stem}.svg").read_text()
        assert f"<title>{html.escape(image['alt'])}</title>" in drawing
    for vendor in all_vendors().values():
        place = vendor_pages.place(vendor)
        assert place == vendor_pages.TITLE or place.lower() in vendor.setup_steps[-1].text.lower(), vendor.key


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.stem)
def test_a_decision_has_four_parts(path: Path) -> None:
    """Each says why, what, what else there was, and how one would notice; on a page."""
    expected = ["Context", "Choice", "Rejected", "How we would notice that it was wrong"]
    assert rst.titles(path) == expected
    assert len(path.read_text().splitlines()) <= 60
    assert rst.read(path)["title"].startswith(path.name[:4] + ": ")


def test_decisions_are_numbered_and_listed() -> None:
    """No number is there twice, and the list has all, with the pages of reasons behind; there are few."""
    assert len({path.name[:4] for path in DECISIONS}) == len(DECISIONS) <= 30
    listed = [link.resolve() for link in rst.local_links(DOCS / "decisions" / "README.rst")]
    assert listed[: len(DECISIONS)] == DECISIONS
    assert sorted(listed[len(DECISIONS) :]) == sorted((DOCS / "explanation" / "why").iterdir())


def test_changelog_fragments_have_their_names() -> None:
    """A fragment's name says the issue and the kind of the change."""
    name = re.compile(r"README\.rst|[0-9]{4}\.(highlight|upgrade|feature|bugfix|phone|security|removal)\.rst")
    wrong = [path.name for path in (ROOT / "changes").iterdir() if not name.fullmatch(path.name)]
    assert wrong == []


# These words belong to the writer's machine; they are put together here, so that this file has none of them.
FOREIGN = re.compile(
    "|".join(("/wo" + "rk/", "/ro" + "ot/", "py" + "pi", "index" + "-url", r"\b(google|phones|style)\." + "md"))
)


def test_no_file_speaks_of_somebodys_machine() -> None:
    """No path, address or note of where the project was written is in it."""
    found = [
        f"{name_of(path)}:{number}: {line.strip()[:80]}"
        for path in project_files()
        for number, line in enumerate(path.read_bytes().decode("utf-8", "replace").splitlines(), 1)
        if FOREIGN.search(line.lower())
    ]
    assert found == []


def test_the_list_of_modules_is_up_to_date() -> None:
    """The architecture has a line for each module: the first sentence of the module's docstring."""
    assert architecture.folders() == set(architecture.FOLDERS)
    document = architecture.DOCUMENT.read_text()
    assert document == architecture.written(document), (
        "docs/explanation/architecture.rst is out of date: run scripts/architecture"
    )


# --- settings ---------------------------------------------------------------------------------------------------------


def test_every_table_has_a_section() -> None:
    """The sections of the reference are the tables of the file."""
    others = {"Environment variables", "How keys depend on each other"}
    found = [title for title in rst.titles(REFERENCE) if title not in others]
    assert found == [title.strip("`") for title in titles().values()]


def test_the_reference_and_the_sample_are_up_to_date() -> None:
    """The reference and the sample have the defaults and the sentences of the table of settings."""
    document = REFERENCE.read_text()
    assert (document, SAMPLE.read_text()) == (written_reference(document), written_sample()), "run scripts/settings"


@pytest.mark.parametrize("table", all_tables().values())
def test_defaults_are_written_as_the_file_has_them(table: type[Table]) -> None:
    hints = get_type_hints(table, include_extras=True)
    for key, field in settings(table).items():
        if not field.required and field.default is not None:
            raw = tomllib.loads(f"key = {toml_text(field.default)}")["key"]
            assert raw == "" or msgspec.convert(raw, hints[key], dec_hook=read_form) == field.default, key


def sample(tmp_path: Path, text: str) -> Config:
    """Load a version of the sample, with the files that it names beside it."""
    web = {"client_id": "123-abc.apps.googleusercontent.com", "client_secret": "secret", "redirect_uris": []}
    (tmp_path / "client_secret.json").write_text(json.dumps({"web": web}))
    (tmp_path / "service-account.json").write_bytes(key_file())
    file = tmp_path / "ldapgw.toml"
    file.write_text(text)
    return load(str(file))


def test_the_sample_sets_only_the_marked_keys(tmp_path: Path) -> None:
    """The sample loads as it is. The marked keys have no default, or say who may connect."""
    config = sample(tmp_path, SAMPLE.read_text())
    (tenant,) = config.tenant
    client = (tenant.client_secret_file, tenant.client_id, tenant.client_secret)
    assert client == (str(tmp_path / "client_secret.json"), "123-abc.apps.googleusercontent.com", "secret")
    assert config == Config(
        state_dir="/var/lib/ldapgw",
        database=config.database,
        web=Web(public_url="https://phonebook.example.com"),
        tenant=(
            Tenant(
                name="acme",
                base_dn="dc=acme,dc=example",
                allowed_users=("@acme.example",),
                client_secret_file=client[0],
                client_id=client[1],
                client_secret=client[2],
            ),
        ),
    )


def test_the_sample_loads_uncommented(tmp_path: Path) -> None:
    """Every key that is commented out is right too; what is in files of secrets stands there besides."""
    lines = re.sub(r"(?m)^#(?=[a-z_]+ = |\[)", "", SAMPLE.read_text()).splitlines()
    config = sample(tmp_path, "\n".join(line for line in lines if not re.match(r"\w+_(secret|password)_file", line)))
    assert config.tls is not None
    assert config.tenant[0].client_id


def test_the_unit_fits() -> None:
    """The systemd unit runs a command that is there, on the state_dir of the sample, and lets nobody else in."""
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.read(UNIT)
    service = unit["Service"]
    words = shlex.split(service["ExecStart"])
    assert words[0].endswith("/bin/ldapgw")
    parse(words[1:])
    assert f"/var/lib/{service['StateDirectory']}" == tomllib.loads(SAMPLE.read_text())["state_dir"]
    assert service["StateDirectoryMode"] == "0700"
    assert (service["Type"], service["Restart"]) == ("notify", "on-failure")
    assert f"--config {unit['Unit']['ConditionPathExists']} " in service["ExecStart"]
    assert service["AmbientCapabilities"] == service["CapabilityBoundingSet"] == "CAP_NET_BIND_SERVICE"
    connections = sum(settings(table)["max_connections"].default for table in (Ldap, Web))
    assert int(service["LimitNOFILE"]) >= connections + OTHER_DESCRIPTORS


def test_the_template_is_the_unit_of_several_gateways() -> None:
    """Each has a configuration and a state directory of its own; all else is as in the unit of one."""
    lines = UNIT.with_name("ldapgw@.service").read_text().splitlines()
    without = [line.replace(" (gateway %i)", "").replace("-%i", "").replace("%i", "ldapgw") for line in lines]
    assert [line for line in without if not line.startswith("#")] == [
        line for line in UNIT.read_text().splitlines() if not line.startswith("#")
    ]


def test_the_man_pages(tmp_path: Path) -> None:
    """A page for each command with all of its options, one for the configuration with all keys."""
    spec = importlib.util.spec_from_file_location("man_pages", DOCS / "_site" / "man_pages.py")
    assert spec is not None
    assert spec.loader is not None
    man_pages = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(man_pages)
    man_pages.write_pages(tmp_path)
    pages = {path.name: path.read_text().replace("\\-", "-").replace("\\(aq", "'") for path in tmp_path.iterdir()}
    context = click.Context(main)
    commands = {name: main.get_command(context, name) for name in main.list_commands(context)}
    assert pages.keys() == {"ldapgw.1", "ldapgw.toml.5", *(f"ldapgw-{name}.1" for name in commands)}
    for name, command in commands.items():
        inner = command.commands.values() if isinstance(command, click.Group) else ()
        for one in (command, *inner):
            options = [option for option in one.params if isinstance(option, click.Option)]
            assert all(spelling in pages[f"ldapgw-{name}.1"] for option in options for spelling in option.opts)
            assert one.help.splitlines()[0] in pages[f"ldapgw-{name}.1"]
    for table in all_tables().values():
        assert all(f"\n.B \\fB{key}\\fP\n" in pages["ldapgw.toml.5"] for key in settings(table)), table
    assert pages["ldapgw-phones.1"].count("ldapgw phones add desk1 --account alice@acme.example --model yealink") == 2


def test_the_backup_s_unit() -> None:
    """The timer's unit backs up into a folder that it may write, which the how-to names, and is shut in as the gateway.

    The unit has no capability, and its end removes nothing of the gateway, which runs as the same user.
    """
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.read(UNIT.with_name("ldapgw-backup.service"))
    words = shlex.split(unit["Service"]["ExecStart"])
    assert words[0].endswith("/bin/ldapgw")
    parse(words[1:])
    folder = words[words.index("backup") + 1]
    service = unit["Service"]
    assert (service["User"], service["CapabilityBoundingSet"]) == ("ldapgw", "")
    assert service["ReadWritePaths"] == f"-{folder}"
    gateway, backup = (
        {line for line in file.read_text().partition("\nNoNewPrivileges=")[2].splitlines() if "=" in line}
        for file in (UNIT, UNIT.with_name("ldapgw-backup.service"))
    )
    assert gateway - backup == {"RemoveIPC=yes", "SystemCallFilter=setpriority", "WantedBy=multi-user.target"}
    assert f"``{folder}``" in (DOCS / "how-to" / "upgrade.rst").read_text()


def installing(name: str, title: str) -> list[str]:
    """The lines of a section that unpack the source distribution or install with pip."""
    lines = rst.shell_lines(rst.section(DOCS / "how-to" / name, title))
    return [line for line in lines if line.startswith(("tar ", "sudo /opt/ldapgw/bin/pip "))]


def test_units_are_unpacked_for_pip() -> None:
    """An installation with pip has no checkout, but each unit that a page tells to install."""
    lines = [line for path in rst.documents() for line in rst.shell_lines(rst.read(path)) if "/systemd/system" in line]
    told = {word for line in lines for word in shlex.split(line, comments=True) if word.startswith("etc/")}
    patterns = [word for word in shlex.split(installing("install-other.rst", "pip")[0]) if word.startswith("*")]
    assert told == {name_of(unit) for ending in ("service", "timer") for unit in UNIT.parent.glob(f"*.{ending}")}
    assert {name for name in told if not any(fnmatch(f"ldapgw-1.0.0/{name}", one) for one in patterns)} == set()


def test_an_upgrade_has_the_commands_of_the_installation() -> None:
    """Wheels stay wheels, and a checkout a checkout."""
    lines = (line for way in ("pip", "Checkout") for line in installing("install-other.rst", way))
    wanted = [line for line in lines if "--file ldapgw-*.tar.gz && cd" not in line]
    assert installing("upgrade.rst", "Upgrade")[: len(wanted)] == wanted


# --- commands ---------------------------------------------------------------------------------------------------------

COMMANDS = DOCS / "reference" / "commands"


def options_of(command: click.Command) -> set[str]:
    """The options of a command but --help, without their short forms."""
    options = (param for param in command.params if isinstance(param, click.Option))
    return {opt for option in options for opt in option.opts if opt.startswith("--")}


def arguments_of(command: click.Command) -> list[str]:
    """The arguments of a command as its usage line names them."""
    return [
        "|".join(param.type.choices) if isinstance(param.type, click.Choice) else param.human_readable_name.strip("[].")
        for param in command.params
        if isinstance(param, click.Argument)
    ]


def parse(words: list[str]) -> None:
    """Read a command line as click will.

    :raises click.UsageError: when it is no command of ours.
    """
    context, words = click.Context(main, info_name="ldapgw"), usual_words(words)
    command: click.Command = main
    while isinstance(command, click.Group):
        _, words, _ = command.make_parser(context).parse_args(list(words))
        if not words and command.invoke_without_command:
            return
        name, *words = words
        found = command.get_command(context, name)
        if found is None:
            raise click.UsageError(f"no such command: {name}")
        context, command = click.Context(found, parent=context, info_name=name), found
    command.make_context(context.info_name, words, parent=context.parent).close()


def reference(name: str) -> nodes.Element:
    """The page of a command, or the command's section of its group's page."""
    page = COMMANDS / f"{name.split()[0]}.rst"
    return rst.read(page) if rst.read(page)["title"] == name else rst.section(page, name)


def test_every_command_is_documented() -> None:
    """Each has a page, or a section of its group's page, and no page is of anything else."""
    pages = sorted(COMMANDS.iterdir())
    assert [page.stem for page in pages] == sorted({name.split()[0] for name in commands()})
    titles = {title for page in pages for title in (rst.read(page)["title"], *rst.titles(page)) if title[0].islower()}
    assert titles - {"phones"} == commands().keys()


def test_the_index_of_commands_is_up_to_date() -> None:
    """The index has the sections and the sentences of the program's help."""
    document = command_index.DOCUMENT.read_text()
    assert document == command_index.written(document), "run python -m tests.support.command_index"


@pytest.mark.parametrize("name", commands())
def test_usage_is_documented(name: str) -> None:
    """A command's usage line has its arguments in order, and all of its options."""
    usage = " ".join(next(iter(rst.literal_blocks(reference(name)))).split())
    assert usage.startswith(f"ldapgw {name}")
    bare = re.sub(r"\[--[^]]*\]|--[a-z]+ \S+", "", usage.removeprefix(f"ldapgw {name}"))
    assert set(re.findall(r"--[a-z-]+", usage)) == options_of(commands()[name])
    assert bare.replace(" …", "").replace("[", "").replace("]", "").split() == arguments_of(commands()[name])


@pytest.mark.parametrize("name", commands())
def test_options_are_documented(name: str) -> None:
    """A command's table has its options, no more and no less."""
    told = {row[0].literals[0].split()[0] for row in rst.rows(reference(name))}
    assert told == options_of(commands()[name])


def test_options_of_all_commands_are_documented() -> None:
    """Options before the command are documented too."""
    document = rst.read(command_index.DOCUMENT)
    told = {row[0].literals[0].split()[0] for row in rst.rows(document)}
    assert told == options_of(main) | {"--help"}


def our_lines() -> set[str]:
    """The lines of code in all documents that run our command, behind its name."""
    return {
        ours[1]
        for path in rst.documents()
        for line in rst.shell_lines(rst.read(path))
        if (ours := re.match(r"(?:sudo (?:-u ldapgw )?)?ldapgw (.*)", line))
        and not (path.resolve().parent == COMMANDS and ("[" in line or line.isupper() or "|" in line))
    }


def test_command_lines_work() -> None:
    """A document's command lines are commands with their options and arguments."""
    wrong = {}
    for line in our_lines():
        # A file that a document speaks of is not here.
        words = shlex.split(line.replace("[--config FILE] COMMAND", "--config FILE check"))
        words = list(takewhile(lambda word: not word.startswith(("<", ">")), words))
        try:
            parse(["-" if word.endswith((".csv", ".password")) else word for word in words])
        except click.ClickException as error:
            wrong[line] = error.message
    assert wrong == {}


def test_commands_in_sentences_are_there() -> None:
    """Commands that sentences speak of exist, and so do their options."""
    known = commands()
    groups = {name.split()[0] for name in known}
    for path in rst.documents():
        for piece in rst.code(rst.read(path)):
            if not piece.startswith("ldapgw ") or piece.endswith(" COMMAND") or re.search("version|help|-v$", piece):
                continue
            words = piece.removeprefix("ldapgw --config FILE").removeprefix("ldapgw").split()
            name = " ".join(words[:2]) if " ".join(words[:2]) in known else words[0]
            assert name in known or name in groups, f"{path.name}: {piece}"
            used = {word for word in words if word.startswith("--")}
            assert used <= (options_of(known[name]) if name in known else set()), f"{path.name}: {piece}"


def test_scripts_are_there() -> None:
    """A script that a document tells to run is there and can be run."""
    lines = (line for path in rst.documents() for line in rst.shell_lines(rst.read(path)))
    told = {line.split()[0] for line in lines if line.startswith("scripts/")}
    assert [script for script in told if not (ROOT / script).stat().st_mode & 0o111] == []


def test_the_readme_begins_with_the_two_commands() -> None:
    """The README's first block that can be typed is the demo and the tests."""
    blocks = rst.literal_blocks(rst.section(ROOT / "README.rst", "Try it"))
    assert blocks[-1].splitlines() == ["scripts/demo", "scripts/test"]


# --- codes, objects, the sandbox --------------------------------------------------------------------------------------

MESSAGES = DOCS / "how-to" / "messages.rst"


def first_column(path: Path, title: str) -> list[str]:
    return [row[0].literals[0] for row in rst.rows(rst.section(path, title))]


def every_google_error(kind: type[GoogleError] = GoogleError) -> Iterator[type[GoogleError]]:
    yield kind
    for sub in kind.__subclasses__():
        yield from every_google_error(sub)


def test_error_codes_are_documented() -> None:
    """All codes that an account can have, and no others, are explained."""
    told = set(first_column(MESSAGES, "Errors of an account"))
    assert told == set(_TEXTS.messages)
    assert {kind.code for kind in every_google_error()} <= told


def an_account() -> Account:
    """An account with all warnings: a consent that ends, and no sync since long ago."""
    empty: dict[str, Any] = dict.fromkeys(field.name for field in dataclasses.fields(Account))
    known = {"tenant": "acme", "address": "alice@acme.example", "sharing": Sharing.PRIVATE, "connected_at": 0.0}
    odd = {Source.CONTACTS: {INCOMPLETE: {"listed": 5, "total": 6}, NO_SYNC_TOKEN: {}}}
    odd[Source.DIRECTORY] = {DIRECTORY_SHRUNK: {"lost": 3, "before": 20}}
    return Account(**empty | known | {"refresh_expires_at": 604799.0, "sources": {}, "skipped": {}, "warnings": odd})


def test_warning_codes_are_documented() -> None:
    """Warnings that an account can have are explained."""
    told = account_to_json(an_account(), tuple(Source), "page", STALE_SECONDS + 2.0, certificate_ends=0.0)
    known = {warning["code"] for warning in told["warnings"]}
    assert known == {"testing_client", "stale", "certificate_expiry", INCOMPLETE, NO_SYNC_TOKEN, DIRECTORY_SHRUNK}
    assert known | {"consent_ends", "rejected_login"} == set(first_column(MESSAGES, "Warnings of an account"))


def test_account_objects_are_documented() -> None:
    """The members of an account object, no more and no less, are explained."""
    table = rst.rows(rst.section(COMMANDS / "accounts.rst", "Account objects"))
    told = [literal for row in table for literal in row[0].literals]
    assert sorted(told) == sorted(account_to_json(an_account(), tuple(Source), "page", 0.0))


def test_result_codes_are_right() -> None:
    """LDAP's result codes go by their names and numbers."""
    for row in rst.rows(rst.section(MESSAGES, "LDAP result codes")):
        if found := re.fullmatch(r"(\w+) \((\d+)\)", row[0].text):
            assert ResultCode(int(found[2])).name.replace("_", "") == found[1].upper()


def test_filters_for_phones_are_documented() -> None:
    """The filters that ``phones add`` prints are those of the page about phones."""
    told = {
        row[0].text: row[1].literals
        for row in rst.rows(rst.section(DOCS / "reference" / "directory.rst", "A phone's settings"))
    }
    other = all_vendors()["other"]
    assert (told["Name filter"], told["Number filter"]) == ((other.name_filter,), (other.number_filter,))


def test_reasons_are_documented() -> None:
    """Each reason for which a contact is not found, each way of matching and each note."""
    assert first_column(DOCS / "how-to" / "not-found.rst", "The reasons") == [reason.value for reason in MissReason]
    told = set(rst.code(rst.section(COMMANDS / "explain.rst", "Explanation objects")))
    assert {*MatchKind, *NumberReading, *QueryKind, *BookAccess} - {BookAccess.PRIVATE, BookAccess.OTHER_GROUP} <= told


def test_the_hosts_behind_a_proxy_are_documented() -> None:
    """The gateway calls these hosts; hosts that only browsers open are left out."""
    google = Google()
    called = (google.token_endpoint, google.revocation_endpoint, google.people_api, google.admin_api, google.jwks_uri)
    told = rst.section(DOCS / "how-to" / "proxy.rst", "To Google, through a proxy")
    hosts = {one.astext() for one in told.findall(nodes.literal) if re.fullmatch(r"[*a-z0-9.]+\.com", one.astext())}
    assert hosts == {urlsplit(url).netloc for url in called} | {"*.googleusercontent.com", "*.ggpht.com"}


def test_hints_are_documented() -> None:
    """Each code, in the order of their gravity."""
    rows = rst.rows(rst.section(DOCS / "reference" / "phones.rst", "What the hints mean"))
    assert [row[0].literals[0] for row in rows] == [hint.value for hint in Hint]


def test_the_sandbox_is_documented() -> None:
    """All controls and all faults of the sandbox, and no others, are explained."""
    cells = first_column(DOCS / "reference" / "sandbox.rst", "Making something go wrong")
    assert sorted(cells) == sorted([*CONTROLS, *FAULTS])


def test_the_version_is_in_one_place() -> None:
    """No other file says which version it is."""
    assert f'"{__version__}"' in (ROOT / "ldapgw" / "__init__.py").read_text()
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert setup["metadata"]["version"] == "attr: ldapgw.__version__"
