# SPDX-License-Identifier: MIT
"""``init`` makes a valid configuration file from a handful of answers."""

from __future__ import annotations

import json
import os
import pwd
import socket
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ldapgw.cli import init, main, site
from ldapgw.contact import Source
from ldapgw.server.certificates import AuthorityFiles
from ldapgw.server.config import Config, Tls, load
from ldapgw.server.config.forms import File
from ldapgw.server.state_dir import OpenStateDir, StateDir
from ldapgw.server.tls import certificate_names, read_certificates
from tests.support.certificates import issue

ROOT = "root@acme.example"
NOTHING_SAID = "\n" * 12


@pytest.fixture(autouse=True)
def _state_dir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the command from the proposed folder of the machine, and from its ports, which may be in use."""
    monkeypatch.setattr("ldapgw.cli.init._is_free", lambda _port: True)
    monkeypatch.setattr("ldapgw.cli.init.STATE_DIR", str(tmp_path / "state"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "etc" / "ldapgw.toml"


def run(file: Path, *options: str, admin: str = ROOT, answers: str = NOTHING_SAID) -> Result:
    """Run the command; by default, all proposals are accepted.

    :param admin: the administrator's address, which is given as an option; empty: the command asks for the address.
    """
    given = ("--admin", admin, *options) if admin else options
    return CliRunner().invoke(main, ["--config", str(file), "init", *given], input=answers)


def written(file: Path, *options: str, admin: str = ROOT, answers: str = NOTHING_SAID) -> Config:
    result = run(file, *options, admin=admin, answers=answers)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"Wrote {file}.\n"
    return load(str(file))


def test_the_address_alone_is_enough(file: Path) -> None:
    """All other settings follow from the address; the file has the comments of the sample and no open setting."""
    config = written(file, admin="", answers=f"{ROOT}\n{NOTHING_SAID}")
    (tenant,) = config.tenant
    assert (tenant.name, tenant.title, tenant.base_dn) == ("acme", "Acme", "dc=acme,dc=example")
    assert (tenant.admins, tenant.allowed_users, tenant.region) == ((ROOT,), ("@acme.example",), "DE")
    assert (tenant.client_id, tenant.client_secret_file) == ("", None)
    assert tenant.sources == (Source.CONTACTS, Source.DIRECTORY)
    assert (config.web.public_url, config.state_dir) == (
        "https://phonebook.acme.example",
        str(file.parents[1] / "state"),
    )
    text = file.read_text()
    assert "set this" not in text
    assert text.startswith("# The configuration of ldapgw, as written by ldapgw init.\n")
    assert "# How the gateway compares names and numbers" in text
    assert file.stat().st_mode & 0o777 == 0o640


def test_answers_that_end_too_early(file: Path) -> None:
    """Without a terminal an option has to give the answer; no file is written."""
    result = run(file, answers="acme\n")
    assert result.exit_code == 1
    assert result.stderr.endswith("ldapgw: standard input has ended before this answer; give the answer as --title\n")
    assert not file.exists()


def test_the_database_and_the_key_are_made(file: Path, tmp_path: Path) -> None:
    """The database and the key exist from the beginning, so the gateway refuses to start without them."""
    config = written(file)
    assert {path.name for path in (tmp_path / "state").iterdir()} == {"ldapgw.db", "ldapgw.key", "tls"}
    assert not config.new_store
    OpenStateDir(StateDir(tmp_path / "state", new_store=config.new_store)).close()


def test_a_key_from_elsewhere(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a key in a setting the command makes no key file."""
    monkeypatch.setenv("LDAPGW__ENCRYPTION_KEY", "0123456789-0123456789_0123456789-0123456789=")
    written(file, "--encryption", "none")
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["ldapgw.db"]


def test_a_database_that_cannot_be_made(file: Path, tmp_path: Path) -> None:
    """The command writes no configuration file, which would say that there is a database."""
    (tmp_path / "state").touch()
    result = run(file)
    assert (result.exit_code, file.exists()) == (1, False)
    assert f"ldapgw: state_dir = {tmp_path / 'state'}: is not a folder\n" in result.stderr


def test_a_household(file: Path) -> None:
    """A consumer's address belongs to no company, so only this address is allowed."""
    (tenant,) = written(file, admin="Jane.Doe@gmail.com").tenant
    assert (tenant.name, tenant.base_dn) == ("jane-doe", "dc=jane-doe")
    assert tenant.allowed_users == ("Jane.Doe@gmail.com",)
    assert tenant.sources == (Source.CONTACTS,)


def test_a_host_name_is_an_address(file: Path) -> None:
    config = written(file, "--public-url", "phonebook.acme.example")
    assert config.web.public_url == "https://phonebook.acme.example"


@pytest.mark.parametrize(
    ("allowed", "answer", "seconds"),
    [("@acme.example", "14d", 14 * 86400), ("@acme.example", "", 0), ("bob@acme.example", None, 0)],
)
def test_people_who_leave_a_workspace(file: Path, allowed: str, answer: str | None, seconds: float) -> None:
    """The command asks about people who leave only if a domain may connect; by default nobody is removed."""
    given = ("--tenant", "acme", "--title", "Acme", "--base-dn", "dc=acme", "--allow", allowed)
    result = run(file, *given, answers=NOTHING_SAID if answer is None else f"{answer}\n{NOTHING_SAID}")
    assert (result.exit_code, load(str(file)).tenant[0].remove_leavers) == (0, seconds)
    assert ("people have left Google Workspace" in result.stderr) is (answer is not None)


def test_every_answer_has_an_option(file: Path, tmp_path: Path) -> None:
    client = tmp_path / "client.json"
    client.write_text(json.dumps({"web": {"client_id": "1-a", "client_secret": "hush"}}))
    given = {
        "--admin": ROOT,
        "--tenant": "beta",
        "--title": 'Béta "& Söhne" \\ KG',
        "--base-dn": "o=beta",
        "--allow": "bob@beta.example, @beta.example *",
        "--remove-leavers": "14d",
        "--region": "CH",
        "--public-url": "https://phonebook.beta.example",
        "--encryption": "proxy",
        "--web-port": "8000",
        "--ldap-port": "3389",
        "--client-secret-file": str(client),
        "--state-dir": "state",
    }
    config = written(file, *(part for pair in given.items() for part in pair), admin="", answers="")
    (tenant,) = config.tenant
    assert (tenant.name, tenant.title, tenant.base_dn) == ("beta", given["--title"], "o=beta")
    assert tenant.allowed_users == ("bob@beta.example", "@beta.example", "*")
    assert (tenant.region, tenant.client_id, tenant.remove_leavers) == ("CH", "1-a", 14 * 86400)
    assert config.web.public_url == "https://phonebook.beta.example"
    assert config.state_dir == str(file.parent / "state")


def test_what_cannot_be_is_asked_again(file: Path, tmp_path: Path) -> None:
    certificate, key = issue().write(tmp_path)
    answers = (
        f"nobody\n{ROOT}\nTWO WORDS\nacme\n\n\n\n1h\n\nXX\nAT\nhttp://phonebook.example/\n\n\nnone.json\n\nTLS\nfiles\n"
        f"none.pem\n{certificate}\n{key}\n\n\n"
    )
    result = run(file, admin="", answers=answers)
    assert result.exit_code == 0, result.output
    for said in (
        "expected an e-mail address",
        'such as "acme"',
        'such as "14d"',
        'such as "DE"',
        "expected an https:// address",
        "no such file",
    ):
        assert said in result.stderr
    assert load(str(file)).tenant[0].region == "AT"


@pytest.mark.parametrize(("url", "told"), [("https://phonebook.lan", True), ("https://phonebook.beta.example", False)])
def test_a_page_whose_redirect_uri_google_refuses_is_written_and_told(file: Path, url: str, told: bool) -> None:
    """A private name gets a warning, and a person at the terminal may give another address."""
    result = run(file, "--public-url", url, admin="", answers=f"{ROOT}\n{NOTHING_SAID}")
    assert (result.exit_code, load(str(file)).web.public_url) == (0, url)
    assert ("! web.public_url: Google refuses redirect URIs" in result.stderr) is told
    file.unlink()
    better = f"n\nhttps://phonebook.acme.example\n{NOTHING_SAID}" if told else NOTHING_SAID
    result = run(file, admin="", answers=f"{ROOT}\n\n\n\n\n\n\n{url}\n{better}")
    chosen = "https://phonebook.acme.example" if told else url
    assert (result.exit_code, load(str(file)).web.public_url) == (0, chosen)
    assert ("Google refuses redirect URIs" in result.stderr) is told


@pytest.mark.parametrize(
    ("option", "value"),
    [("--admin", "nobody"), ("--tenant", "A B"), ("--allow", "a,b"), ("--region", "XX"), ("--public-url", "ftp://a")],
)
def test_an_option_that_cannot_be(file: Path, option: str, value: str) -> None:
    assert run(file, option, value, admin="", answers="").exit_code == 2
    assert not file.exists()


def test_a_file_that_is_there_stays(file: Path) -> None:
    file.parent.mkdir()
    file.write_text("mine")
    result = run(file, admin="", answers="")
    assert (result.exit_code, file.read_text()) == (1, "mine")
    assert result.stderr == f"ldapgw: {file}: already exists; edit it, or choose another file with --config\n"


def test_a_place_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    file = tmp_path / "file" / "ldapgw.toml"
    result = run(file)
    assert result.exit_code == 1
    assert f"ldapgw: {file}: cannot be written: " in result.stderr


def test_a_client_file_of_another_kind(file: Path, tmp_path: Path) -> None:
    """The command examines the file at once, and a person at the terminal may name another file."""
    client = tmp_path / "client.json"
    client.write_text(json.dumps({"installed": {}}))
    result = run(file, "--client-secret-file", str(client))
    assert result.exit_code == 2
    assert "is for a Desktop client" in result.stderr
    assert not file.exists()
    result = run(file, admin="", answers=f"{ROOT}\n\n\n\n\n\n\n\n\n{client}\n\n{NOTHING_SAID}")
    assert "is for a Desktop client" in result.stderr
    assert (result.exit_code, load(str(file)).tenant[0].client_id) == (0, "")


def test_a_client_file_that_is_too_large(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command reads no more than the largest file that it needs."""
    monkeypatch.setattr(site, "MAX_FILE_SIZE", 1_000_000)
    client = tmp_path / "client.json"
    client.write_text(json.dumps({"web": {"client_id": "1-a", "client_secret": "hush"}}) + " " * 1_000_000)
    result = run(file, "--client-secret-file", str(client))
    assert (result.exit_code, file.exists()) == (2, False)
    assert f"{client}: is larger than 1 MB" in "".join(result.stderr.split("\n"))


@pytest.mark.parametrize("has_client", [True, False])
def test_what_to_do_next(file: Path, tmp_path: Path, has_client: bool) -> None:
    """The command mentions the link only if there is no client yet."""
    client = tmp_path / "client.json"
    client.write_text(json.dumps({"web": {"client_id": "1-a", "client_secret": "hush"}}))
    chosen = str(client) if has_client else ""
    result = run(file, "--client-secret-file", chosen)
    assert f"ldapgw --config {file} check" in result.stderr
    assert ("admin-link" in result.stderr) is not has_client


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can create a folder of another user")
@pytest.mark.parametrize("is_usual", [True, False])
def test_what_to_do_next_with_a_service(
    file: Path, public_folder: Path, is_usual: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner of the state directory runs the commands.

    The service runs the gateway if the file is the usual file.
    """
    if is_usual:
        monkeypatch.setattr(init, "CONFIG_FILE", str(file))
    start = "sudo systemctl start ldapgw" if is_usual else f"sudo -u nobody ldapgw --config {file} run"
    state = public_folder / "state"
    state.mkdir(mode=0o700)
    os.chown(state, pwd.getpwnam("nobody").pw_uid, -1)
    assert run(file, "--state-dir", str(state)).stderr.endswith(f"""\
Next:
  sudo -u nobody ldapgw --config {file} check
  {start}
  sudo -u nobody ldapgw --config {file} admin-link    # opens the page that takes the OAuth client
""")


@pytest.mark.parametrize(
    ("url", "encryption", "web", "web_tls"),
    [
        ("http://localhost:8000", None, ("tcp:8000",), ()),
        ("http://localhost", None, ("tcp:8080",), ()),
        ("https://phonebook.acme.example:8443", "proxy", ("tcp:8080",), ()),
        ("https://phonebook.acme.example:8443", "create", ("tcp:8080",), ("tcp:8443",)),
        ("https://phonebook.acme.example", "create", ("tcp:80",), ("tcp:443",)),
    ],
)
def test_ports(file: Path, url: str, encryption: str | None, web: tuple[str, ...], web_tls: tuple[str, ...]) -> None:
    """A page that the gateway itself serves has the port of its address; port 80 redirects to port 443."""
    options = ("--public-url", url, "--ldap-port", "3389")
    config = written(file, *options, *(("--encryption", encryption) if encryption else ()))
    assert (config.web.listen, config.web.listen_tls) == (web, web_tls)
    ldaps = ("tcp:3636",) if encryption == "create" else ()
    assert (config.ldap.listen, config.ldap.listen_tls) == (("tcp:3389",), ldaps)
    assert (config.tls is not None, config.ldap.require_tls) == (encryption == "create",) * 2


def test_the_other_port_of_the_page_is_a_free_one(file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The command does not ask for the port of redirects, so the command avoids a port in use."""
    monkeypatch.undo()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):  # another program has it
            other.bind(("", 8080))
            other.listen()
        options = ("--public-url", "https://book.acme.example:8443", "--encryption", "create")
        options += ("--state-dir", str(tmp_path / "state"))
        [listen] = written(file, *options).web.listen
    assert listen in {f"tcp:{port}" for port in range(8081, 8090)}


def test_an_address_without_encryption_is_changed_for_a_certificate(file: Path) -> None:
    """The gateway then serves the page by HTTPS, and the command says so."""
    result = run(file, "--public-url", "http://localhost:8443", "--encryption", "create")
    assert "! web.public_url is https://localhost:8443, because the gateway serves the page by HTTPS" in result.stderr
    config = load(str(file))
    assert (config.web.public_url, config.web.listen_tls) == ("https://localhost:8443", ("tcp:8443",))


def test_the_port_of_the_page_is_proposed_and_is_missed(file: Path) -> None:
    """The given port is in the proposed address; a warning says if an address lacks the port."""
    options = ("--web-port", "18443")
    assert written(file, *options).web.public_url == "https://phonebook.acme.example:18443"
    file.unlink()
    result = run(file, *options, "--public-url", "https://book.acme.example")
    assert (
        "! web.public_url: means port 443, but web.listen_tls has port 18443; write :18443 after the host, unless port "
        "443 is passed on to the gateway"
    ) in result.stderr.splitlines()


def test_a_certificate_is_made(file: Path, tmp_path: Path) -> None:
    """The certificate is for the page's host, by which phones reach the page and LDAP."""
    result = run(file, "--public-url", "https://book.acme.example")
    assert "Made a private authority" in result.stderr
    assert "http://book.acme.example/acme/ca.crt" in result.stderr
    no_address, no_tls = [line for line in result.stderr.splitlines() if line.startswith("!")]
    assert no_address.startswith("! web.public_url: this machine finds no address of book.acme.example (")
    assert no_tls == (
        "! Phones that know no TLS can't sign in (Alcatel-Lucent Enterprise, Cisco SPA, Escene, Gigaset N510, Htek, "
        "Mitel, VTech); if you have such phones, set ldap.require_tls = false."
    )
    files = AuthorityFiles.within(tmp_path / "state" / "tls")
    assert AuthorityFiles.of(load(str(file)).tls) == files
    assert certificate_names(read_certificates(files.certificate.read_bytes())[0])[0] == "book.acme.example"


_NO_ADDRESS = "finds no address of phonebook.acme.example"


@pytest.mark.parametrize(
    ("host", "days", "lines"),
    [
        ("phonebook.acme.example", 90, [_NO_ADDRESS, "private authority"]),
        ("other.example", 90, ["not for phonebook.acme.example", _NO_ADDRESS, "private authority"]),
        ("phonebook.acme.example", 5, ["expires on", _NO_ADDRESS, "private authority"]),
    ],
)
def test_a_certificate_that_is_there(file: Path, tmp_path: Path, host: str, days: int, lines: list[str]) -> None:
    """The command examines the chain, the name and the end of the certificate, warns, and writes the file."""
    certificate, key = issue(host=host, days=days).write(tmp_path)
    given = ("--encryption", "files", "--certificate", str(certificate), "--private-key", str(key))
    result = run(file, *given)
    problems = [line for line in result.stderr.splitlines() if line.startswith("! ") and "know no TLS" not in line]
    assert len(problems) == len(lines)
    assert all(words in problem for words, problem in zip(lines, problems, strict=True))
    assert load(str(file)).tls == Tls(certificate=File(certificate), private_key=File(key))


def test_a_key_of_another_certificate(file: Path, tmp_path: Path) -> None:
    """The gateway could not start with this key, so no file is written."""
    certificate, _ = issue().write(tmp_path)
    _, key = issue(which=5).write(tmp_path, "other-")
    given = ("--encryption", "files", "--certificate", str(certificate), "--private-key", str(key))
    result = run(file, *given)
    assert (result.exit_code, file.exists()) == (1, False)
    assert "does not belong to the first certificate" in result.stderr


@pytest.mark.parametrize(("encryption", "said"), [("none", "are not encrypted"), ("proxy", "has to encrypt phones")])
def test_what_is_not_encrypted_here(file: Path, encryption: str, said: str) -> None:
    result = run(file, "--encryption", encryption)
    assert (result.exit_code, load(str(file)).tls) == (0, None)
    assert said in result.stderr
