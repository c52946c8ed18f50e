# SPDX-License-Identifier: MIT
"""The container image of a release, run as a container; and what describes its use.

Only the built image, run as a container, shows that its files, users and signals fit each other.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from configparser import ConfigParser
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
import yaml
from docutils import nodes

from ldapgw.server.config import Config, load
from ldapgw.server.endpoints import certificate_url, phone_server
from tests.support import rst
from tests.support.base_image import NAME
from tests.support.checkout import ROOT
from tests.support.program import run
from tests.support.released import VERSION, released
from tests.support.site.running import PATIENCE, free_ports, listens, running_program, wait_until

pytestmark = pytest.mark.long  # validators of the field, and an image

BIN = Path(sys.executable).parent
MONITORING = ROOT / "etc" / "kubernetes" / "monitoring.yaml"
# The validator knows only Kubernetes' own kinds.
KUBERNETES = sorted({*(ROOT / "etc" / "kubernetes").glob("*.yaml")} - {MONITORING})

# Octets of all files of the image that the base does not have.
MOST_OCTETS = 150_000_000
# The kernel parameter with the first port on which users without a capability may listen.
UNPRIVILEGED = "net.ipv4.ip_unprivileged_port_start"
# Seconds that a gateway has for its end.
FAREWELL = 5.0
COMPILERS = ("as", "c++", "cc", "gcc", "ld", "make", "pip")

# crun needs cgroup 2; where the host has version 1 beside it, crun sees only version 2.
CRUN = """
if ! [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    umount --recursive --lazy /sys/fs/cgroup
    mount -t cgroup2 none /sys/fs/cgroup
fi
exec crun --cgroup-manager=disabled "$@"
"""


# --- What describes the image and its use -----------------------------------------------------------------------------


def test_the_containerfile() -> None:
    """Without a finding of hadolint's."""
    run(BIN / "hadolint", ROOT / "Containerfile")


def test_the_labels_of_the_image() -> None:
    """They are those of the package; a release names its version, its commit and its repository."""
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="(.*)"', (ROOT / "Containerfile").read_text()))
    for name in ("version", "revision", "source"):
        assert labels.pop(name) == f"${{{name.upper()}}}"
    package = ConfigParser()
    package.read(ROOT / "setup.cfg")
    names = {"title": "name", "description": "description", "licenses": "license"}
    assert labels == {label: package["metadata"][name] for label, name in names.items()}


@pytest.mark.parametrize(("answer", "status"), [(200, 0), (503, 1)])
def test_the_health_check(answer: int, status: int) -> None:
    """It asks the gateway itself, even if the environment names a proxy, and fails if the gateway isn't ready."""
    (text,) = re.findall(r"HEALTHCHECK .*\n +CMD (\[.*\])\n", (ROOT / "Containerfile").read_text())
    command = json.loads(text)
    with answering(answer) as (port, asked):
        proxy = f"http://127.0.0.1:{port}"
        command[-1] = command[-1].replace("127.0.0.1:8080", f"127.0.0.1:{port}")
        environment = {**os.environ, "http_proxy": proxy, "HTTP_PROXY": proxy, "no_proxy": ""}
        done = subprocess.run(command, env=environment, capture_output=True, check=False, timeout=60)
    assert (done.returncode, asked) == (status, ["/readyz"])


@contextmanager
def answering(status: int) -> Iterator[tuple[int, list[str]]]:
    """An HTTP server that answers with a status: its port, and the targets of the requests so far."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(status)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def log_message(self, *_arguments: object) -> None:
            """Nothing is printed."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_port, asked
        finally:
            server.shutdown()
            thread.join()


def test_the_compose_file(tmp_path: Path) -> None:
    """It is one by the Compose Specification's schema, and one with a slip in it would not be."""
    schema = ("--builtin-schema", "vendor.compose-spec")
    run(BIN / "check-jsonschema", *schema, ROOT / "compose.yaml")
    wrong = tmp_path / "compose.yaml"
    wrong.write_text((ROOT / "compose.yaml").read_text().replace("read_only: true", "readonly: true"))
    with pytest.raises(AssertionError, match="'readonly'"):
        run(BIN / "check-jsonschema", *schema, wrong)


@pytest.mark.parametrize("file", KUBERNETES, ids=lambda file: file.name)
def test_the_manifests(file: Path) -> None:
    """By Kubernetes' schemas, where unknown keys are refused too."""
    told = run(BIN / "kubernetes-validate", "--strict", file)
    assert told.count(" passed for resource ") == len(list(yaml.safe_load_all(file.read_text())))


def test_a_manifest_with_a_slip(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text((ROOT / "etc/kubernetes/single.yaml").read_text().replace("readOnlyRootF", "readonlyRootF"))
    with pytest.raises(AssertionError, match="readonlyRootFilesystem"):
        run(BIN / "kubernetes-validate", "--strict", wrong)


def test_the_settings_of_the_compose_file(tmp_path: Path) -> None:
    """The sample's, with those of the file: a configuration, also with the lines for PostgreSQL."""
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    sample = (ROOT / "etc/container/ldapgw.env").read_text()
    found = loaded(tmp_path, compose_environment(tmp_path, sample))
    haproxy, caddy = (
        compose["services"][name]["networks"]["default"]["ipv4_address"] + "/32" for name in ("haproxy", "caddy")
    )
    assert list(map(str, found.ldap.proxy_protocol)) == [haproxy]
    assert list(map(str, found.web.trusted_proxies)) == [haproxy, caddy]
    found = loaded(tmp_path, compose_environment(tmp_path, re.sub(r"(?m)^#(?=\w+=)", "", sample)))
    assert found.database == "postgresql+psycopg://ldapgw:hush@postgresql/ldapgw"
    assert (found.new_store, found.encryption_key) == (False, KEY)


def test_a_proxy_on_the_host(tmp_path: Path) -> None:
    """Its address, which the page about containers tells, is that of the network's gateway, and counts."""
    blocks = rst.section(ROOT / "docs/how-to/container.rst", "HTTPS for the web pages").findall(nodes.literal_block)
    (told,) = (block.astext() for block in blocks if block.astext().startswith("LDAPGW__"))
    sample = (ROOT / "etc/container/ldapgw.env").read_text()
    found = loaded(tmp_path, compose_environment(tmp_path, f"{sample}\n{told}\n"))
    (network,) = yaml.safe_load((ROOT / "compose.yaml").read_text())["networks"]["default"]["ipam"]["config"]
    assert list(map(str, found.web.trusted_proxies)) == [network["gateway"] + "/32"]


def test_ports_for_tls(tmp_path: Path) -> None:
    """The files of the documentation fit the settings beside them, and the image and the manifests have the ports.

    The settings of phones name the ports that are published.
    """
    blocks = rst.section(ROOT / "docs/how-to/container.rst", "TLS for phones and pages").findall(nodes.literal_block)
    texts = [block.astext() for block in blocks]
    settings, own_authority = (text for text in texts if text.startswith("LDAPGW__"))
    sample = (ROOT / "etc/container/ldapgw.env").read_text()
    found = loaded(tmp_path, compose_environment(tmp_path, f"{sample}\n{settings}\n{own_authority}\n"))
    assert certificate_url(found, "acme") == "http://phonebook.example.com/acme/ca.crt"
    assert found.tls is not None
    assert {str(Path(file).parent) for file in (found.tls.certificate, found.tls.private_key)} == {"/etc/ldapgw/tls"}
    overrides = [text for text in texts if text.startswith("services:")]
    for text in overrides:
        file = tmp_path / "compose.override.yaml"
        file.write_text(text)
        run(BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", file)
    single, proxied = (yaml.safe_load(text)["services"] for text in overrides)
    assert (single["gateway"]["ports"], proxied["haproxy"]["ports"]) == (["636:636", "443:8443"], ["636:1636"])
    assert (phone_server(found).port, phone_server(found).tls_port, found.web.listen_tls) == (389, 636, ("tcp:8443",))
    assert "EXPOSE 389 636 8080 8443\n" in (ROOT / "Containerfile").read_text()
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    assert (services["gateway"]["ports"][0], services["haproxy"]["ports"]) == ("${GATEWAY_LDAP:-389}:389", ["389:1389"])
    for kind in ("single", "cluster"):
        ports = {port["name"]: port["containerPort"] for port in container_of(kind)["ports"]}
        assert ports == {"ldap": 389, "ldaps": 636, "page": 8080, "https": 8443}
    volumes = [one["volumes"] for some in (single, proxied) for name, one in some.items() if name != "haproxy"]
    assert volumes == [["./tls:/etc/ldapgw/tls:ro"]] * 3
    assert '--publish 636:636 --publish 443:8443 --volume "$PWD/tls:/etc/ldapgw/tls:ro"' in texts
    proxy = (ROOT / "etc/container/haproxy.cfg").read_text()
    assert re.findall(r"bind :(\d+)\n    server gateway gateway:(\d+)", proxy) == [("1389", "389"), ("1636", "636")]


def test_the_gateway_may_listen_on_the_ports_of_phones() -> None:
    """Its user is not root and has no capability, so the container lowers the first unprivileged port."""
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    told = [services[name]["sysctls"] for name in ("gateway", "gateway-2")]
    for kind in ("single", "cluster"):
        sysctls = workload_of(kind)["spec"]["template"]["spec"]["securityContext"]["sysctls"]
        told.append([f"{one['name']}={one['value']}" for one in sysctls])
    page = (ROOT / "docs/how-to/container.rst").read_text()
    told.append(re.findall(r"--sysctl (\S+)", page))
    assert told == [[f"{UNPRIVILEGED}=0"]] * 5


def test_the_containers_that_the_commands_name() -> None:
    """They exist: a service of the compose file, or the container that ``docker run`` creates; no block has both."""
    blocks = [block.astext() for block in rst.read(ROOT / "docs/how-to/container.rst").findall(nodes.literal_block)]
    text, by_hand = "\n".join(blocks), r"docker (?:exec|cp|stop|rm) (\w+)"
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    named = set(re.findall(r"docker compose (?:exec|cp|up .*--wait) ([\w-]+)", text))
    assert (named & services.keys(), named - services.keys()) == ({"gateway"}, set())
    assert set(re.findall(by_hand, text)) == set(re.findall(r"docker run .*--name (\S+)", text)) == {"ldapgw"}
    assert [block for block in blocks if re.search(by_hand, block) and "docker compose" in block] == []


def compose_environment(folder: Path, own: str) -> dict[str, str]:
    """The variables of the gateway of the compose file, by the rules of the Compose Specification.

    :param own: the contents of ``ldapgw.env``.
    """
    (folder / "ldapgw.env").write_text(own)
    gateway = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["gateway"]
    files = [folder / name if name == "ldapgw.env" else ROOT / name for name in gateway["env_file"]]
    named = [dict(re.findall(r"(?m)^(\w+)=(.*)$", file.read_text())) for file in files]
    return {name: text for some in (*named, gateway["environment"]) for name, text in some.items()}


@pytest.mark.parametrize("kind", ["single", "cluster"])
def test_the_settings_of_the_manifests(tmp_path: Path, kind: str) -> None:
    """The config map's, with those of the pod: a configuration whose state is in the pod's volume."""
    found = loaded(tmp_path, manifest_environment(kind))
    assert (found.encryption_key, found.state_dir) == (KEY, "/var/lib/ldapgw/state")
    assert found.database.is_on_server == (kind == "cluster")
    (folder,) = (one["mountPath"] for one in container_of(kind)["volumeMounts"] if one["name"] == "state")
    (volume,) = (claim["metadata"]["name"] for claim in workload_of(kind)["spec"]["volumeClaimTemplates"])
    assert (folder, volume) == ("/var/lib/ldapgw", "state")


def manifest_environment(kind: str, edit: Callable[[str], str] = str) -> dict[str, str]:
    """The variables of a gateway in Kubernetes.

    :param edit: what is done to the manifest of the settings before.
    """
    config_map, *_ = yaml.safe_load_all(edit((ROOT / "etc/kubernetes/ldapgw.yaml").read_text()))
    return {**config_map["data"], **{one["name"]: one["value"] for one in container_of(kind).get("env", ())}}


def workload_of(kind: str) -> Any:
    """The first manifest of a file."""
    workload, *_ = yaml.safe_load_all((ROOT / f"etc/kubernetes/{kind}.yaml").read_text())
    return workload


def container_of(kind: str) -> Any:
    (container,) = workload_of(kind)["spec"]["template"]["spec"]["containers"]
    return container


@pytest.mark.parametrize("kind", ["single", "cluster"])
def test_the_other_settings_of_the_manifests(tmp_path: Path, kind: str) -> None:
    """Two settings are commented out: Prometheus in the network of the pods, and no new beginning."""
    found = loaded(tmp_path, manifest_environment(kind, lambda text: re.sub(r"(?m)^  #(?=LDAPGW__)", "  ", text)))
    assert (found.new_store, *map(str, found.web.trusted_proxies)) == (False, "10.244.0.0/16")
    assert (found.web.metrics_networks.contains("10.244.3.7"), found.web.metrics_networks.contains("8.8.8.8")) == (
        True,
        False,
    )


@pytest.mark.parametrize("kind", ["single", "cluster"])
def test_the_time_of_a_first_start(kind: str) -> None:
    """It is long: a start that is broken off begins anew."""
    container = container_of(kind)
    assert container["startupProbe"]["periodSeconds"] * container["startupProbe"]["failureThreshold"] >= 3600


@pytest.mark.parametrize("kind", ["single", "cluster"])
def test_the_monitor_finds_the_metrics(kind: str) -> None:
    """The monitor chooses the pods and the port for metrics, and the job has the name that the alerts expect."""
    monitor = yaml.safe_load(MONITORING.read_text())
    assert (monitor["apiVersion"], monitor["kind"]) == ("monitoring.coreos.com/v1", "PodMonitor")
    spec, labels = monitor["spec"], workload_of(kind)["spec"]["template"]["metadata"]["labels"]
    assert spec["selector"]["matchLabels"].items() <= labels.items()
    assert f'up{{job="{labels[spec["jobLabel"]]}"}}' in (ROOT / "etc/prometheus/ldapgw.rules.yml").read_text()
    assert spec["podMetricsEndpoints"] == [{"port": "page"}]


def test_the_ingress_of_the_documentation(tmp_path: Path) -> None:
    """By Kubernetes' schema; it serves the page's service, and no metrics."""
    blocks = rst.section(ROOT / "docs/how-to/container.rst", "Kubernetes").findall(nodes.literal_block)
    (text,) = (block.astext() for block in blocks if "kind: Ingress" in block.astext())
    (tmp_path / "ingress.yaml").write_text(text)
    run(BIN / "kubernetes-validate", "--strict", tmp_path / "ingress.yaml")
    manifests = list(yaml.safe_load_all((ROOT / "etc/kubernetes/ldapgw.yaml").read_text()))
    services = {one["metadata"]["name"]: one["spec"]["ports"] for one in manifests if one["kind"] == "Service"}
    (rule,) = yaml.safe_load(text)["spec"]["rules"]
    backends = {path["path"]: path["backend"]["service"] for path in rule["http"]["paths"]}
    assert backends["/"]["port"]["name"] in [port["name"] for port in services[backends["/"]["name"]]]
    assert backends["/metrics"]["name"] not in services


@pytest.mark.skipif(os.geteuid() != 0 and "CI" not in os.environ, reason="only root can give files to the image's user")
def test_the_steps_of_the_installation_page(tmp_path: Path) -> None:
    """Up to the start, as they are written: the services have secrets, for the user of the image alone."""
    blocks = rst.section(ROOT / "docs/how-to/install.rst", "Container image").findall(nodes.literal_block)
    prepare, start = [block.astext() for block in blocks]
    checkout = tmp_path / "ldapgw"
    for file in (ROOT / "compose.yaml", *(ROOT / "etc/container").iterdir()):
        copy = checkout / file.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)
    sudo = tmp_path / "bin" / "sudo"
    sudo.parent.mkdir()
    sudo.write_text('#!/bin/sh\nexec "$@"\n')
    sudo.chmod(0o755)
    path = f"{sudo.parent}:{os.environ['PATH']}"
    run("sh", "-ec", prepare, cwd=checkout, PATH=path)

    compose = yaml.safe_load((checkout / "compose.yaml").read_text())
    gateway = compose["services"]["gateway"]
    secrets = [checkout / compose["secrets"][name]["file"] for name in gateway["secrets"]]
    assert [(one.stat().st_uid, one.stat().st_mode & 0o777) for one in secrets] == [(10389, 0o400)] * 2
    environment = compose_environment(tmp_path, (checkout / "ldapgw.env").read_text())
    inside = {name: text.replace("/run/secrets", str(checkout / "secrets")) for name, text in environment.items()}
    assert load(str(checkout / "etc/container/ldapgw.toml"), inside).encryption_key == secrets[0].read_text().strip()
    up, *others = start.splitlines()
    assert up == "sudo docker compose up --detach --build"
    assert [line.rpartition(" ")[0] for line in others] == ["sudo docker compose exec gateway ldapgw"] * 2


KEY = "0123456789-0123456789_0123456789-0123456789="


def loaded(folder: Path, environment: Mapping[str, str]) -> Config:
    """The configuration with the image's own file, where the secrets are in a folder."""
    (folder / "encryption_key").write_text(KEY)
    (folder / "database_password").write_text("hush\n")
    in_folder = {name: re.sub(r"^/run/secrets/(ldapgw/)?", f"{folder}/", text) for name, text in environment.items()}
    return load(str(ROOT / "etc/container/ldapgw.toml"), in_folder)


needs_proxies = pytest.mark.skipif(
    not all(map(shutil.which, ("haproxy", "caddy"))) and "CI" not in os.environ, reason="HAProxy or Caddy is missing"
)


@needs_proxies
def test_the_proxies_of_the_compose_file(tmp_path: Path) -> None:
    """Each program takes its configuration; HAProxy asks the name server of the container, whoever runs it."""
    assert "nameserver" not in (ROOT / "etc/container/haproxy.cfg").read_text()
    run("haproxy", "-c", "-f", ROOT / "etc/container/haproxy.cfg", PATH=f"{os.environ['PATH']}:/usr/sbin")
    told = ("--adapter", "caddyfile", "--config", ROOT / "etc/container/Caddyfile")
    run("caddy", "validate", *told, PAGE_HOST="localhost", HOME=str(tmp_path))


@needs_proxies
def test_a_browser_stays_at_one_gateway_of_the_compose_file(tmp_path: Path) -> None:
    """Caddy sends all browsers to HAProxy, whose cookie leads to one gateway; without HAProxy, to the first gateway.

    Only the programs show that their two files fit together.  Ports of loopback take the place of the services' names.
    """
    caddy_port, haproxy_port = free_ports(2)
    with answering(200) as (first, asked), answering(200) as (second, asked_second):
        places = {"172.31.38.2:8080": haproxy_port, "gateway-2:8080": second, "gateway:8080": first}
        proxy, caddy = ((ROOT / "etc/container" / name).read_text() for name in ("haproxy.cfg", "Caddyfile"))
        for name, port in places.items():
            proxy, caddy = (text.replace(name, f"127.0.0.1:{port}") for text in (proxy, caddy))
        proxy = re.sub(r"(?s)^listen ldap\n.*(?=^listen page)", "", proxy, flags=re.MULTILINE)
        proxy = proxy.replace("bind :8080", f"bind 127.0.0.1:{haproxy_port}").replace("check port 8080", "check")
        proxy = proxy.replace("maxconn 20000", "maxconn 100").replace("src 172.31.38.3", "src 127.0.0.1")
        (tmp_path / "haproxy.cfg").write_text(proxy)
        (tmp_path / "Caddyfile").write_text(f"{{\n\tadmin off\n}}\n{caddy}")
        page = f"http://127.0.0.1:{caddy_port}"
        homes = {"PAGE_HOST": page, "HOME": str(tmp_path)}
        told = ("run", "--adapter", "caddyfile", "--config", "Caddyfile")
        with running_program("caddy", told, tmp_path, lambda: listens(caddy_port), env=os.environ | homes):
            wait_until(lambda: post(page, "/first") == (200, ""), "Caddy sends the page to the first gateway")
            with running_program("haproxy", ("-db", "-f", "haproxy.cfg"), tmp_path, lambda: listens(haproxy_port)):
                wait_until(lambda: "GATEWAY" in post(page, "/first")[1], "Caddy sends the page to HAProxy")
                cookies = sorted(post(page, "/new") for _ in range(4))
                assert cookies == [(200, "GATEWAY=gateway")] * 2 + [(200, "GATEWAY=gateway-2")] * 2
                assert (asked.count("/new"), asked_second.count("/new")) == (2, 2)
                assert [post(page, "/again", "GATEWAY=gateway-2") for _ in range(4)] == [(200, "")] * 4
                assert (asked.count("/again"), asked_second.count("/again")) == (0, 4)
            wait_until(lambda: post(page, "/end", "GATEWAY=gateway-2") == (200, ""), "the first gateway answers")
            assert [post(page, "/alone", "GATEWAY=gateway-2") for _ in range(4)] == [(200, "")] * 4
            assert (asked.count("/alone"), asked_second.count("/alone")) == (4, 0)


def post(page: str, path: str, cookie: str = "") -> tuple[int, str]:
    """Send a form with a cookie; return the status, and the cookie that the answer sets, without its attributes."""
    request = Request(page + path, data=b"name=kitchen", headers={"Cookie": cookie} if cookie else {})
    try:
        with urlopen(request, timeout=PATIENCE) as answer:
            return answer.status, str(answer.headers["Set-Cookie"] or "").partition(";")[0]
    except HTTPError as error:
        return error.code, ""


# --- The image --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Image:
    """An image in a storage of its own.

    :ivar root: its files, mounted.
    :ivar base: those of its base.
    :ivar config: as Docker has it.
    """

    root: Path
    base: Path
    config: Mapping[str, Any]
    folder: Path

    @contextmanager
    def container(self, volume: Path, *arguments: str, **variables: str) -> Iterator[Container]:
        """Run a container as the image says, with a file system that is read-only but for its volume."""
        bundle = volume.with_name(f"{volume.name}-bundle")
        bundle.mkdir()
        (bundle / "config.json").write_text(json.dumps(self._runtime(volume, arguments, variables)))
        container = Container(self, bundle)
        with (bundle / "log").open("wb") as log:
            command = container.crun("run", "--bundle", bundle, "one")
            container.process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield container
        finally:
            if container.process.poll() is None:
                subprocess.run(container.crun("kill", "one", "KILL"), check=False)
                container.process.wait(60)

    def _runtime(self, volume: Path, arguments: Sequence[str], variables: Mapping[str, str]) -> dict[str, Any]:
        """OCI's runtime specification of the container."""
        uid, gid = map(int, self.config["User"].split(":"))
        (place,) = self.config["Volumes"]
        secrets = volume.with_name("secrets")
        private = ["nosuid", "noexec", "nodev"]
        return {
            "ociVersion": "1.0.2",
            "process": {
                "user": {"uid": uid, "gid": gid},
                "args": [*self.config["Entrypoint"], *(arguments or self.config["Cmd"])],
                "env": [*self.config["Env"], *(f"{name}={text}" for name, text in variables.items())],
                "cwd": self.config["WorkingDir"],
                "noNewPrivileges": True,
                "capabilities": {},
            },
            "root": {"path": str(self.root), "readonly": True},
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
                {"destination": place, "source": str(volume), "options": ["rbind", *private]},
                {"destination": "/run/secrets", "source": str(secrets), "options": ["rbind", "ro", *private]},
            ],
            "linux": {
                "sysctl": {UNPRIVILEGED: "0"},
                "namespaces": [{"type": kind} for kind in ("pid", "mount", "network", "ipc", "uts")],
            },
        }


class Container:
    """A running container."""

    process: subprocess.Popen[bytes]

    def __init__(self, image: Image, bundle: Path) -> None:
        self._image = image
        self._bundle = bundle

    @property
    def log(self) -> str:
        return (self._bundle / "log").read_text()

    def crun(self, *arguments: object) -> list[str]:
        root = self._bundle / "crun"
        return ["unshare", "--mount", "sh", "-ec", CRUN, "crun", "--root", *map(str, (root, *arguments))]

    def execute(self, *command: str, user: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command in the container, as its user or as another one."""
        inside = self.crun("exec", "--user", user or self._image.config["User"], "--no-new-privs", "one", *command)
        return subprocess.run(inside, capture_output=True, text=True, check=False, timeout=120)

    def wait_until_healthy(self) -> None:
        """Ask as the platform does, again and again."""
        kind, *command = self._image.config["Healthcheck"]["Test"]
        assert kind == "CMD"
        while self.execute(*command).returncode != 0:
            assert self.process.poll() is None, self.log

    def end(self) -> int:
        """Ask the container to end; its status."""
        signal = self._image.config["StopSignal"]
        subprocess.run(self.crun("kill", "one", signal), check=True, timeout=60)
        return self.process.wait(FAREWELL)


def missing_for_image() -> str:
    """Why the image cannot be built here; empty: it can."""
    if os.geteuid() != 0:
        return "only root can build the image"
    missing = [name for name in ("buildah", "mmdebstrap", "crun", "gcc") if shutil.which(name) is None]
    if missing and "CI" not in os.environ:
        return f"missing: {', '.join(missing)}"
    return ""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    """The image of a release, on a base as Debian's slim one is."""
    if reason := missing_for_image():
        pytest.skip(reason)
    storage = ("env", *released(tmp_path_factory).storage, "buildah")
    folder = tmp_path_factory.mktemp("image")
    (folder / "secrets").mkdir()
    (folder / "secrets" / "encryption_key").write_text(KEY)
    tags = (NAME, f"localhost/ldapgw:{VERSION}")
    containers = [run(*storage, "from", "--pull-never", tag).strip() for tag in tags]
    base, root = (Path(run(*storage, "mount", container).strip()) for container in containers)
    described = json.loads(run(*storage, "inspect", "--type", "image", tags[1]))
    try:
        yield Image(root, base, described["Docker"]["config"], folder)
    finally:
        run(*storage, "umount", *containers)
        run(*storage, "rm", *containers)


def octets_beyond(base: Path, root: Path) -> int:
    """The octets of all files that the base does not have, or has otherwise."""
    return sum(
        path.lstat().st_size
        for path in root.rglob("*")
        if not path.is_dir() and not is_same(base / path.relative_to(root), path)
    )


def is_same(one: Path, other: Path) -> bool:
    return os.path.lexists(one) and (one.lstat().st_size, one.lstat().st_mtime) == (
        other.lstat().st_size,
        other.lstat().st_mtime,
    )


def test_what_is_in_the_image(image: Image, tmp_path: Path) -> None:
    """A compiled gateway, and not much more: no compiler, one volume, a user who is not root."""
    assert octets_beyond(image.base, image.root) <= MOST_OCTETS
    folders = [image.root / name for name in ("bin", "usr/bin", "usr/local/bin", "opt/ldapgw/bin")]
    assert [folder / name for folder in folders for name in COMPILERS if (folder / name).exists()] == []
    assert image.config["Labels"]["org.opencontainers.image.version"] == VERSION
    assert re.fullmatch("[0-9a-f]{40}", image.config["Labels"]["org.opencontainers.image.revision"])
    assert list(image.config["Volumes"]) == ["/var/lib/ldapgw"]
    volume = image.root / "var/lib/ldapgw"
    owner = f"{volume.stat().st_uid}:{volume.stat().st_gid}"
    assert (image.config["User"], volume.stat().st_mode & 0o777) == (owner, 0o700)
    assert not owner.startswith("0:")
    with image.container(owned(image.folder / "version", image), "--version") as container:
        assert container.process.wait(60) == 0
        assert container.log.splitlines()[-1].endswith("(compiled)")


def test_a_container(image: Image) -> None:
    """It serves from a read-only file system, with a key from a secret, and ends within five seconds of SIGTERM."""
    volume = owned(image.folder / "state", image)
    settings = {
        "LDAPGW__WEB__PUBLIC_URL": "http://localhost:8080",
        "LDAPGW__TENANT__ACME__BASE_DN": "dc=acme,dc=example",
        "LDAPGW__ENCRYPTION_KEY__FROM_FILE": "/run/secrets/encryption_key",
    }
    with image.container(volume, **settings) as container:
        container.wait_until_healthy()
        assert container.execute("touch", "/usr/file").returncode == 1
        status = container.execute("cat", "/proc/1/status").stdout
        assert re.findall(r"(?m)^(?:Uid|CapBnd|NoNewPrivs):\t(\d+)", status) == ["10389", "0000000000000000", "1"]
        added = container.execute("ldapgw", "phones", "add", "desk1", "--tenant", "acme", "--json")
        assert json.loads(added.stdout)["bind_dn"] == "cn=desk1,ou=phones,dc=acme,dc=example"
        listed = container.execute("ldapgw", "phones", "list", "--json")
        assert [phone["name"] for phone in json.loads(listed.stdout)] == ["desk1"]
        refused = container.execute("ldapgw", "phones", "list", user="1234:1234").stderr
        assert refused.endswith("state_dir = /var/lib/ldapgw: this user may not look into the folder\n")
        assert container.end() == 0
    assert "Traceback" not in container.log
    assert {"ldapgw.db", "ldapgw.pid"} <= {path.name for path in volume.iterdir()}
    assert not (volume / "ldapgw.key").exists()


def test_a_container_without_settings(image: Image) -> None:
    """It says what is missing, and ends."""
    with image.container(owned(image.folder / "nothing", image)) as container:
        assert container.process.wait(60) == 1
        assert "/etc/ldapgw/ldapgw.toml: web: is missing" in container.log


def owned(folder: Path, image: Image) -> Path:
    """A folder for the image's user."""
    uid, gid = map(int, image.config["User"].split(":"))
    folder.mkdir(mode=0o700)
    os.chown(folder, uid, gid)
    return folder
