# SPDX-License-Identifier: MIT
"""The packages are working gateways: built, installed somewhere else, and started there.

Only an installation elsewhere shows that a package lacks no file.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tarfile
import time
import venv
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email import message_from_string
from importlib import metadata
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ldapgw import __version__
from tests.support import released, rst
from tests.support.checkout import ROOT, project_files
from tests.support.released import NEWER, VERSION, Release, copy_checkout, run

PLUGIN = "twisted/plugins/ldapgw_plugin.py"
# Only for writing new migrations, in a checkout.
NOT_INSTALLED = {"ldapgw/store/migrations/script.py.mako", "ldapgw/web/locale/ldapgw.pot"}

# Seconds; an idle machine needs a twentieth of them.
PATIENCE = 120.0
# Seconds that a gateway has for its end.
FAREWELL = 5.0

needs_ldapsearch = pytest.mark.skipif(
    shutil.which("ldapsearch") is None and "CI" not in os.environ, reason="ldapsearch (Debian's ldap-utils) is missing"
)


# --- built ------------------------------------------------------------------------------------------------------------


# Each builds or installs the package.
pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source distribution, built in a copy of the checkout: building leaves things behind."""
    copy = copy_checkout(tmp_path_factory.mktemp("checkout"))
    build = "import sys; from setuptools.build_meta import build_sdist; build_sdist(sys.argv[1])"
    run(sys.executable, "-c", build, copy / "dist", cwd=copy)
    (built,) = (copy / "dist").iterdir()
    return built


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel, built out of the source distribution: nothing that it needs is missing there."""
    folder = tmp_path_factory.mktemp("wheel")
    options = ("--quiet", "--disable-pip-version-check", "--no-deps", "--no-index", "--no-build-isolation")
    run(sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", folder / "dist", sdist, cwd=folder)
    (built,) = (folder / "dist").iterdir()
    return built


def project_names() -> set[str]:
    return {str(path.relative_to(ROOT)) for path in project_files()}


def test_the_sdist_is_the_project(sdist: Path) -> None:
    """A source distribution has all files but pictures: sources, tests, documents, scripts."""
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert sdist.name == f"ldapgw-{__version__}.tar.gz"
    pictures = {name for name in project_names() if name.startswith("docs/images/")}
    assert project_names() - held - {".gitignore"} == pictures


def assert_has_the_packages(wheel: Path) -> None:
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert held == {name for name in project_names() if name.startswith("ldapgw/")} - NOT_INSTALLED | {PLUGIN}


def test_the_wheel_has_the_packages_and_no_more(wheel: Path) -> None:
    """Templates, static files, migrations, py.typed and the plugin are in the wheel; tests and left-overs are not."""
    assert_has_the_packages(wheel)


def test_modules_of_an_earlier_build_are_not_packed(sdist: Path, tmp_path: Path) -> None:
    """A checkout that was used has the modules of other commits in its folder ``build``, compiled ones too."""
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    checkout = tmp_path / sdist.name.removesuffix(".tar.gz")
    modules = ("ldapgw/left_over.py", "ldapgw/store/migrations/versions/9999_newer.py", "twisted/plugins/former.py")
    unfinished = f"bdist.{sysconfig.get_platform()}/wheel/ldapgw/left_over.py"
    for stale in (*(f"lib/{module}" for module in modules), "lib/0123abcd__mypyc.so", unfinished):
        path = checkout / "build" / stale
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    build = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"
    run(sys.executable, "-c", build, tmp_path / "dist", cwd=checkout)
    (built,) = (tmp_path / "dist").iterdir()
    assert_has_the_packages(built)


def test_the_wheel_says_what_it_is(wheel: Path) -> None:
    """Version, description, command, and the Pythons that a release has wheels for are in its metadata."""
    archive = zipfile.ZipFile(wheel)
    folder = f"ldapgw-{__version__}.dist-info"
    about = message_from_string(archive.read(f"{folder}/METADATA").decode())
    assert about["Version"] == __version__
    assert "/opt/python/cp31[1-4]-cp31[1-4]/" in (ROOT / "scripts/wheels").read_text()
    pythons = [name for name in about.get_all("Classifier", []) if " :: Python :: 3." in name]
    assert pythons == [f"Programming Language :: Python :: 3.{minor}" for minor in range(11, 15)]
    assert about.get_payload() == (ROOT / "README.rst").read_text()
    assert "ldapgw = ldapgw.cli:main" in archive.read(f"{folder}/entry_points.txt").decode()


def requirements(of: list[str], extras: set[str]) -> Iterator[tuple[str, frozenset[str]]]:
    """Distributions by their names, each with the extras that are asked of it."""
    for text in of:
        needed = Requirement(text)
        if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras | {""}):
            yield needed.name.lower().replace("_", "-"), frozenset(needed.extras)


def required_by(wheel: Path) -> list[str]:
    written = zipfile.ZipFile(wheel).read(f"ldapgw-{__version__}.dist-info/METADATA").decode()
    return message_from_string(written).get_all("Requires-Dist", [])


def needed_by(wheel: Path) -> set[str]:
    """The distributions that an installation with PostgreSQL has besides."""
    found: set[tuple[str, frozenset[str]]] = set()
    todo = list(requirements(required_by(wheel), {"postgresql"}))
    while todo:
        name, extras = one = todo.pop()
        if one not in found:
            found.add(one)
            todo += requirements(metadata.requires(name) or [], set(extras))
    return {name for name, _ in found}


def test_everything_that_is_imported_is_required(wheel: Path) -> None:
    """The package requires by name what it imports: a library may cease to bring another one.

    The database's other engine, and its driver, are in an extra.
    """
    required = {name for name, _ in requirements(required_by(wheel), {"postgresql"})}
    homes = metadata.packages_distributions()
    for package in {name.partition(".")[0] for path in (ROOT / "ldapgw").rglob("*.py") for name in imports(path)}:
        if package not in sys.stdlib_module_names and package != "ldapgw":
            assert {home.lower().replace("_", "-") for home in homes[package]} & required, package


def test_what_is_installed_has_checksums(wheel: Path) -> None:
    """Each library that is needed, in the version that CI uses; run scripts/lock if one is missing or another one."""
    constrained = [line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines()[1:]]
    versions = {canonicalize_name(name): version for name, version in constrained}
    assert {one.name: str(one.specifier) for one in locked()} == {
        name: f"=={versions[name]}" for name in map(canonicalize_name, needed_by(wheel))
    }
    assert [line for line in locked_lines() if not re.search(r"--hash=sha256:[0-9a-f]{64}\b", line)] == []


def locked_lines() -> list[str]:
    return (ROOT / "requirements.txt").read_text().replace("\\\n", "").splitlines()[2:]


def locked() -> list[Requirement]:
    """Return the requirements of ``requirements.txt`` for this Python."""
    pinned = [Requirement(line.partition(" --hash")[0]) for line in locked_lines()]
    return [one for one in pinned if one.marker is None or one.marker.evaluate()]


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


# --- installed --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Installation:
    """An environment with the wheel in it.

    :ivar folder: to work in; outside of the checkout.
    """

    prefix: Path
    folder: Path

    def program(self, name: str) -> Path:
        return self.prefix / "bin" / name


@pytest.fixture(scope="module")
def installation(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    return install(wheel, tmp_path_factory.mktemp("elsewhere"))


def install(wheel: Path, folder: Path) -> Installation:
    """A wheel in an environment that is otherwise empty, but sees the packages of this one.

    They are seen by a path file that names their folder.  Path files in that folder do not count then, so the checkout,
    which is installed there for editing, stays out of sight.
    """
    prefix = folder / "venv"
    venv.create(prefix, symlinks=True)
    python = prefix / "bin" / "python"
    options = ("--quiet", "--disable-pip-version-check", "--no-deps", "--no-index")
    run(sys.executable, "-m", "pip", "--python", python, "install", *options, wheel, cwd=folder)
    packages = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip())
    ours = dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))
    (packages / "dependencies.pth").write_text("\n".join(ours) + "\n")
    twistd = prefix / "bin" / "twistd"
    twistd.write_text(f"#!{python}\nfrom twisted.scripts.twistd import run\nrun()\n")
    twistd.chmod(0o755)
    return Installation(prefix, folder)


@dataclass(frozen=True, slots=True)
class Site:
    """A configuration on free ports of this machine."""

    file: Path
    web: int
    ldap: int


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A gateway's configuration."""
    with socket.socket() as one, socket.socket() as other:
        for free in (one, other):
            free.bind(("127.0.0.1", 0))
        web, ldap = one.getsockname()[1], other.getsockname()[1]
    file = tmp_path / "ldapgw.toml"
    file.write_text(f"""
state_dir = "state"
[ldap]
listen = ["tcp:{ldap}:interface=127.0.0.1"]
[web]
listen = ["tcp:{web}:interface=127.0.0.1"]
public_url = "http://localhost:{web}"
[[tenant]]
name = "acme"
base_dn = "dc=acme,dc=example"
client_id = "123-abc.apps.googleusercontent.com"
client_secret = "secret"
allowed_users = ["@acme.example"]
""")
    file.chmod(0o640)
    return Site(file, web, ldap)


def test_the_installed_package_is_meant(installation: Installation) -> None:
    """The tests below are about the installed copy: it is this one that Python finds."""
    found = run(installation.program("python"), "-c", "import ldapgw; print(ldapgw.__file__)", cwd=installation.folder)
    assert Path(found.strip()).is_relative_to(installation.prefix)


def test_the_command_is_installed(installation: Installation) -> None:
    """``ldapgw`` and ``python -m ldapgw`` are the command."""
    told = f"ldapgw {__version__} (not compiled)\n"
    assert run(installation.program("ldapgw"), "--version", cwd=installation.folder) == told
    assert run(installation.program("python"), "-m", "ldapgw", "--version", cwd=installation.folder) == told


def test_twistd_finds_the_plugin(installation: Installation) -> None:
    """``twistd --help`` lists the gateway, with nothing rebuilt by hand."""
    told = run(installation.program("twistd"), "--help", cwd=installation.folder)
    assert "    ldapgw " in told


def test_check_finds_a_fresh_installation_well(installation: Installation, site: Site) -> None:
    """``ldapgw check`` has nothing to mend but that it is not compiled: migrations and all are there."""
    command = (installation.program("ldapgw"), "--config", site.file, "check", "--json")
    report = json.loads(run(*command, cwd=installation.folder))
    assert report["redirect_uri"] == f"http://localhost:{site.web}/oauth/callback"
    assert [item["item"] for item in report["items"] if item["state"] != "ok"] == ["installation"]


@contextmanager
def serving(installation: Installation, site: Site, *command: object) -> Iterator[subprocess.Popen[bytes]]:
    """A gateway that has answered."""
    log = site.file.with_name("log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=installation.folder,
            env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until_healthy(process, site, log)
        yield process
    finally:
        process.kill()
        process.wait()


def wait_until_healthy(process: subprocess.Popen[bytes], site: Site, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            process.wait(0.05)
        except subprocess.TimeoutExpired:
            try:
                with urlopen(f"http://127.0.0.1:{site.web}/healthz") as answer:
                    assert answer.status == 200
                    return
            except URLError:
                continue
        break
    pytest.fail(f"the gateway does not serve:\n{log.read_text()}")


@needs_ldapsearch
@pytest.mark.parametrize("door", ["twistd", "ldapgw"])
def test_both_doors_serve(installation: Installation, site: Site, door: str) -> None:
    """``twistd ldapgw`` and ``ldapgw run`` serve the page and the directory, and end within seconds of a SIGTERM."""
    commands = {
        "twistd": ("--nodaemon", "--pidfile=", "ldapgw", "--config", site.file),
        "ldapgw": ("--config", site.file, "run"),
    }
    search = ("ldapsearch", "-x", "-LLL", "-H", f"ldap://127.0.0.1:{site.ldap}", "-s", "base", "-b", "", "+")
    with serving(installation, site, installation.program(door), *commands[door]) as process:
        answer = run(*search, cwd=site.file.parent)
        with urlopen(f"http://127.0.0.1:{site.web}/acme/") as page:
            assert b"Connect Google contacts" in page.read()
        process.send_signal(signal.SIGTERM)
        process.wait(FAREWELL)
    assert "namingContexts: dc=acme,dc=example\n" in answer
    assert f"vendorVersion: {__version__}\n" in answer
    # Once all has ended, twistd ends by the signal that it got.
    assert process.returncode == {"twistd": -signal.SIGTERM, "ldapgw": 0}[door]
    assert "Traceback" not in site.file.with_name("log").read_text()


# --- prepared ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({}, set()),
        (
            {"SOAK": "true"},
            {
                *("build-essential debhelper python3-dev python3-venv", "buildah", "crun", "lintian", "mmdebstrap"),
                "systemd-container",
            },
        ),
    ],
    ids=["usual", "soak"],
)
def test_what_a_fresh_machine_lacks_is_told(tmp_path: Path, variables: dict[str, str], told: set[str]) -> None:
    """A user who is not root is told of Debian's packages, for a release's tests only if these are to run."""
    (tmp_path / "bin").mkdir()
    for name in ("cat", "dirname", "rm"):
        (tmp_path / "bin" / name).symlink_to(shutil.which(name) or "")
    for name, answer in {"id": "echo 1000", "python3": '[ "$1" = -c ]', "sh": "exit 1"}.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{answer}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / "scripts").mkdir()
    script = shutil.copy(ROOT / "scripts/setup", tmp_path / "scripts")
    done = subprocess.run(
        ["/bin/sh", script],
        env={"PATH": str(tmp_path / "bin")} | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    packages = set(re.findall(r" To have it: sudo apt-get install (.*)", done.stdout))
    usual = {"ldap-utils", "slapd", "gcc libc6-dev libldap-dev libsasl2-dev python3-dev", "nodejs npm", "chromium"}
    usual |= {"tinyproxy", "postgresql", "haproxy", "pgbouncer"}
    last = "setup: python3-venv is missing; run: sudo apt-get install python3-venv\n"
    assert (done.returncode, done.stderr) == (1, last)
    assert packages == usual | told


# --- released ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", name="release")
def _release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return released.released(tmp_path_factory)


def test_a_release_is_whole(release: Release) -> None:
    """Packages, documentation, components, notes; a commit that was tested, a tag and checksums that are signed."""
    names = {path.name.replace(VERSION, "V") for path in release.made.iterdir()}
    beside = {"ldapgw-V-py3-none-any.whl", "ldapgw-V.tar.gz", "ldapgw-V-docs.tar.gz", "ldapgw-V.cdx.json"}
    assert names >= beside | {"SHA256SUMS", "SHA256SUMS.asc"}
    assert len(verify(release.made, release.signing).splitlines()) == len(names) - 2
    bill = json.loads((release.made / f"ldapgw-{VERSION}.cdx.json").read_text())
    main = bill["metadata"]["component"]
    assert (main["name"], main["version"], main["licenses"][0]["license"]["id"]) == ("ldapgw", VERSION, "MIT")
    components = {canonicalize_name(one["name"]): one["version"] for one in bill["components"]}
    assert components == {one.name: str(one.specifier).removeprefix("==") for one in locked()}
    (direct,) = [one["dependsOn"] for one in bill["dependencies"] if one["ref"] == main["bom-ref"]]
    assert "Twisted" in {name.partition("==")[0] for name in direct}
    with tarfile.open(release.made / f"ldapgw-{VERSION}-docs.tar.gz") as docs:
        assert f"docs-{VERSION}/index.html" in docs.getnames()
        pages = {name: docs.extractfile(name).read().decode() for name in ("index.html", "versions.js")}  # type: ignore[union-attr]
    assert f"url=docs-{NEWER}/" in pages["index.html"]
    assert pages["versions.js"] == f'globalThis.versions = ["{NEWER}","{VERSION}","1.10.0","1.9.0"];\n'
    with tarfile.open(release.made / f"ldapgw-{VERSION}.tar.gz") as archive:
        notes = archive.extractfile(f"ldapgw-{VERSION}/CHANGES.rst")
        assert notes is not None
        assert f"\n{VERSION} (" in notes.read().decode()
        fragments = [name for name in archive.getnames() if name.startswith(f"ldapgw-{VERSION}/changes/")]
    assert [name.rpartition("/")[2] for name in fragments] == ["README.rst"]
    commits = f"Release {VERSION}\nAll of it\n"
    assert (release.checkout / "build/tested").read_text() == commits
    assert run("git", "log", "--format=%s", cwd=release.checkout) == commits
    assert run("git", "diff", "HEAD", "--name-only", cwd=release.checkout) == ""
    run("env", *release.signing, "git", "verify-tag", f"v{VERSION}", cwd=release.checkout)
    assert run("git", "describe", cwd=release.checkout) == f"v{VERSION}\n"


@pytest.fixture(scope="module")
def signing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The variables with which a release is signed."""
    home = tmp_path_factory.mktemp("signing") / "gnupg"
    yield released.make_key(home)
    released.end_agents(home)


def verify(made: Path, signing: tuple[str, str]) -> str:
    """Check a release with the commands of the installation page; what ``sha256sum`` says."""
    (block,) = rst.literal_blocks(rst.section(ROOT / "docs/how-to/install-other.rst", "Verify a release"))
    return run("env", *signing, "sh", "-ec", block, cwd=made)


@pytest.mark.soak  # whoever makes a release begins with a dry run (CONTRIBUTING.rst)
def test_a_dry_run_leaves_the_checkout_as_it_was(tmp_path: Path) -> None:
    """Its commit, its tag, and what it changed are gone; its tests have not run."""
    released.release(tmp_path, "PYTHONS=", "DEB=no", "IMAGE=no", dry=True)
    assert run("git", "diff", "HEAD", "--name-only", cwd=tmp_path) == ""
    assert run("git", "log", "--format=%s", cwd=tmp_path) == "All of it\n"
    assert run("git", "tag", "--list", f"v{VERSION}", cwd=tmp_path) == ""
    assert not (tmp_path / "build/tested").exists()


@pytest.mark.skipif(
    bool(released.MISSING_FOR_IMAGE) and "CI" not in os.environ,
    reason=f"needs {', '.join(released.MISSING_FOR_IMAGE)}",
)
def test_the_image_is_released(release: Release) -> None:
    """As a file that ``docker load`` reads; ``tests/test_containers.py`` runs it."""
    with tarfile.open(release.made / f"ldapgw-{VERSION}-image.tar.gz") as archive:
        manifest = archive.extractfile("manifest.json")
        assert manifest is not None
        (described,) = json.load(manifest)
    assert f"docker.io/library/ldapgw:{VERSION}" in described["RepoTags"]


@needs_ldapsearch
def test_a_compiled_wheel_serves(release: Release, tmp_path: Path, site: Site) -> None:
    """Without a compiler; ``check`` has nothing to say of it."""
    (wheel,) = release.made.glob(f"ldapgw-{VERSION}-cp{sys.version_info.major}{sys.version_info.minor}-*manylinux*.whl")
    installation = install(wheel, tmp_path)
    ldapgw = installation.program("ldapgw")
    assert run(ldapgw, "--version", cwd=tmp_path) == f"ldapgw {VERSION} (compiled)\n"
    report = json.loads(run(ldapgw, "--config", site.file, "check", "--json", cwd=tmp_path))
    assert [item for item in report["items"] if item["state"] != "ok"] == []
    search = ("ldapsearch", "-x", "-LLL", "-H", f"ldap://127.0.0.1:{site.ldap}", "-s", "base", "-b", "", "+")
    with serving(installation, site, ldapgw, "--config", site.file, "run"):
        assert f"vendorVersion: {VERSION}\n" in run(*search, cwd=tmp_path)


OTHER_WHEEL = "ldapgw-{}-cp314-cp314-manylinux_2_28_aarch64.whl"


def released_in(checkout: Path, wheel: Path) -> Path:
    """Return the folder of a release in a checkout that has only the files for ``scripts/release --add``."""
    made = checkout / "dist" / __version__
    made.mkdir(parents=True)
    (checkout / "scripts").mkdir()
    shutil.copy(ROOT / "scripts/release", checkout / "scripts")
    shutil.copy(wheel, made)
    return made


def add(checkout: Path, folder: Path, *variables: str) -> subprocess.CompletedProcess[str]:
    command = ("env", *variables, checkout / "scripts/release", "--add", folder.name, __version__)
    return subprocess.run(command, cwd=folder.parent, capture_output=True, text=True, check=False)


def test_wheels_of_other_machines_are_added(wheel: Path, signing: tuple[str, str], tmp_path: Path) -> None:
    """The signed checksums of a release then have those that were compiled for other Pythons and processors."""
    made = released_in(tmp_path / "checkout", wheel)
    other = tmp_path / "compiled" / OTHER_WHEEL.format(__version__)
    other.parent.mkdir()
    shutil.copy(wheel, other)
    for _ in range(2):
        done = add(tmp_path / "checkout", other.parent, *signing)
        assert (done.returncode, done.stderr) == (0, "")
        assert {path.name for path in made.iterdir()} == {wheel.name, other.name, "SHA256SUMS", "SHA256SUMS.asc"}
        assert set(verify(made, signing).splitlines()) == {f"{wheel.name}: OK", f"{other.name}: OK"}
    unsigned = add(tmp_path / "checkout", other.parent)
    told = "release: RELEASE_KEY names no key of gpg to sign with\n"
    assert (unsigned.returncode, unsigned.stdout, unsigned.stderr) == (1, "", told)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (None, "there are no wheels in {folder}"),
        (OTHER_WHEEL.format(VERSION), "{folder}/{name} is no compiled wheel of {version}"),
        ("ldapgw-{version}-py3-none-any.whl", "{folder}/{name} is no compiled wheel of {version}"),
        (OTHER_WHEEL, "{folder}/{name} is not compiled from {made}/ldapgw-{version}.tar.gz"),
    ],
    ids=["none", "version", "pure", "modules"],
)
def test_wheels_that_are_not_of_the_release(wheel: Path, tmp_path: Path, name: str | None, told: str) -> None:
    """Nothing is added if one wheel is not, by its name or its modules."""
    made = released_in(tmp_path / "checkout", wheel)
    folder = tmp_path / "compiled"
    folder.mkdir()
    name = name and name.replace("{}", __version__).format(version=__version__)
    if name is not None:
        shutil.copy(wheel, folder / OTHER_WHEEL.format(__version__).replace("cp314", "cp313"))
        with zipfile.ZipFile(wheel) as archive, zipfile.ZipFile(folder / name, "w") as changed:
            for one in archive.namelist():
                changed.writestr(one, archive.read(one) + (b"\n" if one == "ldapgw/errors.py" else b""))
    done = add(tmp_path / "checkout", folder)
    line = told.format(folder=folder, name=name, version=__version__, made=made)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"release: {line}\n")
    assert [path.name for path in made.iterdir()] == [wheel.name]


@pytest.mark.parametrize(
    ("pythons", "told"),
    [
        ("no-python", "there is no Python no-python; name the interpreters in PYTHONS"),
        (None, "there is no Python /opt/python/cp31[1-4]-cp31[1-4]/bin/python; name the interpreters in PYTHONS"),
    ],
    ids=["wrong", "none"],
)
@pytest.mark.skipif(Path("/opt/python").exists(), reason="is the image manylinux")
def test_wheels_without_a_python(tmp_path: Path, pythons: str | None, told: str) -> None:
    """Nothing is compiled if one of the interpreters is missing."""
    sdist = tmp_path / "ldapgw-1.0.0.tar.gz"
    sdist.write_text("")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        [ROOT / "scripts/wheels", sdist, tmp_path / "wheels"],
        cwd=tmp_path,
        env={"PATH": path} | ({} if pythons is None else {"PYTHONS": f"{sys.executable} {pythons}"}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"wheels: {told}\n")
    assert not (tmp_path / "wheels").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "give a version, such as 1.0.0: scripts/release [--dry-run] VERSION"),
        (("1.0",), "give a version, such as 1.0.0: scripts/release [--dry-run] VERSION"),
        (("1.0.0",), "the checkout has changes; commit them first"),
    ],
    ids=["none", "short", "changes"],
)
def test_a_release_that_is_refused(tmp_path: Path, arguments: tuple[str, ...], told: str) -> None:
    """Before anything is built."""
    copy = copy_checkout(tmp_path)
    run("git", "init", "--quiet", cwd=copy)
    done = subprocess.run([copy / "scripts/release", *arguments], cwd=copy, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"release: {told}\n")


def test_a_release_without_a_wheel_for_its_image(tmp_path: Path) -> None:
    """The release ends before its tests if no wheel that it makes fits the image."""
    copy = copy_checkout(tmp_path / "checkout")
    run("git", "init", "--quiet", cwd=copy)
    (copy / "scripts/setup").write_text("#!/bin/sh\n")  # what it installs is not needed
    (tmp_path / "buildah").symlink_to("/bin/false")  # it is only looked for
    done = subprocess.run(
        ["scripts/release", "--dry-run", VERSION],
        cwd=copy,
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONS": "", "DEB": "no", "IMAGE_WHEELS": "wheels"},
        capture_output=True,
        text=True,
        check=False,
    )
    told = "the container image needs a wheel for cp3[0-9]+; name such a Python in PYTHONS, or leave IMAGE_WHEELS unset"
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(f"release: {told}\n", done.stderr)


def test_a_debian_package_needs_a_clone(tmp_path: Path) -> None:
    """A source distribution is told from a clone before anything is built."""
    (tmp_path / "scripts").mkdir()
    script = shutil.copy(ROOT / "scripts/deb", tmp_path / "scripts")
    done = subprocess.run([script], cwd=tmp_path, capture_output=True, text=True, check=False)
    told = f"the package takes its files and its version from git, and {tmp_path} is no clone; clone the repository"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"deb: {told}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["scripts"]


def try_to_start(folder: Path, tries: int, *command: object) -> subprocess.CompletedProcess[str]:
    """Start a program as a release does, where the environment names a proxy that is not there.

    :param tries: how often the release asks whether the program is ready.
    """
    text = (ROOT / "scripts/release").read_text()
    functions = re.findall(r"^(?:say|fail|start)\(\) \{(?: .* \}|\n(?:.*\n)*?\})$", text, re.MULTILINE)
    assert len(functions) == 3
    values = f"bin={Path(sys.executable).parent} version={__version__} tries={tries}"
    script = "\n".join(["set -eu", values, *functions, 'start "the program" "not compiled" "$@"'])
    return subprocess.run(
        ["sh", "-c", script, "sh", *map(str, command)],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "http_proxy": "http://127.0.0.1:9", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


def test_a_release_asks_its_gateway_without_a_proxy(tmp_path: Path) -> None:
    """The proxy of the environment is for downloads."""
    done = try_to_start(tmp_path, 100, sys.executable, "-m", "ldapgw")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_release_does_not_wait_forever(tmp_path: Path) -> None:
    """If a gateway never gets ready, the release ends it, and fails with the gateway's log and a line."""
    program = tmp_path / "program"
    program.write_text(f"""#!/bin/sh
[ "$1" != --version ] || {{ echo "ldapgw {__version__} (not compiled)"; exit; }}
echo "still starting"
echo $$ >pid
exec sleep 600
""")
    program.chmod(0o755)
    done = try_to_start(tmp_path, 2, program)
    told = "still starting\nrelease: the program is not ready after 2 tries\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", told)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
