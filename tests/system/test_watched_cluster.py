"""A secured cluster of real processes, watched: metrics on loopback, status, and faults that doctor names."""

import json
import os
import re
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from processes import Ran, recado, until
from prometheus_client.parser import text_string_to_metric_families
from running_cluster import QUICK, RESTARTED_SECONDS, Cluster, local_cluster

pytestmark = [pytest.mark.system, pytest.mark.slow]

FOUND_SECONDS = 40.0


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three servers with keys; each daemon shows itself at a port of its own."""
    observed = {**QUICK, "RECADO_OBSERVE__LISTEN": "127.0.0.1:0"}
    with local_cluster(tmp_path_factory.mktemp("watched"), "--secure", env=observed) as cluster:
        yield cluster


def _as_operator(cluster: Cluster, *arguments: str) -> Ran:
    keys = cluster.data / "keys"
    server = cluster.node("server-1")["endpoints"]["listen"]
    options = ["--roster", str(keys / "roster.toml"), "--key", str(keys / "operator.key"), "--server", server]
    return recado(*arguments, *options, env={"RECADO_CONFIG": ""}, seconds=60)


def _doctor(cluster: Cluster, *arguments: str) -> tuple[int, set[tuple[str, str]]]:
    """The exit code, and (case, subject) of all that is found; a full disk of this machine is not ours."""
    ran = _as_operator(cluster, "doctor", "--json", *arguments)
    findings = json.loads(ran.stdout)["findings"]
    return ran.returncode, {(f["case"], f["subject"]) for f in findings if f["code"] != "disk_full"}


def _found(cluster: Cluster, wanted: tuple[str, str]) -> None:
    """Wait until the doctor names this, with exit code 1."""

    def named() -> bool:
        code, found = _doctor(cluster)
        return code == 1 and wanted in found

    until(named, seconds=FOUND_SECONDS, what=f"doctor names {wanted}")


def _healthy(cluster: Cluster) -> None:
    until(lambda: not _doctor(cluster)[1], seconds=FOUND_SECONDS, what="doctor finds nothing")


def _page(cluster: Cluster, name: str, path: str) -> tuple[int, str]:
    line = re.findall(r"metrics are shown.*?listen=\"?([0-9.:]+)", cluster.log(name))[-1]
    try:
        with urllib.request.urlopen(f"http://{line}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.mark.parametrize("name", ["server-1", "broker", "reference"])
def test_each_daemon_shows_itself(watched: Cluster, name: str) -> None:
    """Alive, ready, with metrics that Prometheus's parser reads and a status in JSON."""
    assert _page(watched, name, "/livez")[0] == 200
    assert _page(watched, name, "/readyz") == (200, "ready\n")
    families = {f.name: f for f in text_string_to_metric_families(_page(watched, name, "/metrics")[1])}
    (build,) = families["recado_build_info"].samples
    assert build.labels["node"] == name
    assert families["recado_ready"].samples[0].value == 1
    told: dict[str, Any] = json.loads(_page(watched, name, "/status")[1])
    assert (told["ready"], told["stopping"]) == (True, False)


def test_status_tells_the_whole_cluster(watched: Cluster) -> None:
    """With the operator's key: three servers, one coordinator since a while, room on the disk, secured."""
    until(
        lambda: "coordinator: server-3" in _as_operator(watched, "status").stdout, seconds=20, what="a leader"
    )
    told = json.loads(_as_operator(watched, "status", "--json").stdout)
    assert [one["answered"] for one in told["servers"]] == [True] * 3
    first = told["servers"][0]["status"]
    assert (first["cluster"], first["security"]["mode"]) == (told["cluster"], "secured")
    assert first["coordinator_since"] > 1_700_000_000
    assert first["room"]["free"] > 0


def test_doctor_names_what_is_broken_and_nothing_else(watched: Cluster) -> None:
    """A healthy cluster; a stopped server, a broker that hangs, a key that others can read; healthy again."""
    _healthy(watched)
    watched.stop("server-1")
    code, found = _doctor(watched, "--server", watched.node("server-2")["endpoints"]["listen"])
    assert (code, found) == (1, {("unreachable.refused", "server-1")})
    before = len(watched.events)
    watched.start("server-1")
    watched.wait_for("ready", node="server-1", seconds=RESTARTED_SECONDS, after=before)

    broker = watched.rows()["broker"]["pid"]
    os.kill(broker, signal.SIGSTOP)
    try:
        _found(watched, ("broker.deaf", watched.node("broker")["endpoints"]["xpub"]))
    finally:
        os.kill(broker, signal.SIGCONT)

    key: Path = watched.data / "keys" / "server-2.key"
    key.chmod(0o644)
    try:
        configuration = watched.data / "server-2" / "server-2.toml"
        _, found = _doctor(watched, "--config", str(configuration))
        assert ("key_permissions.mode", str(key)) in found
    finally:
        key.chmod(0o600)
    _healthy(watched)


def test_a_draining_server_is_not_ready(watched: Cluster) -> None:
    """From SIGTERM on /readyz is no longer 200: it says that it stops, or nobody answers any more."""
    stopping = watched.rows()["server-2"]["pid"]
    other = watched.rows()["server-3"]["pid"]
    os.kill(other, signal.SIGSTOP)  # a peer that confirms nothing makes the drain take its time
    try:
        _as_operator(watched, "login", "--user", "operator")
        os.kill(stopping, signal.SIGTERM)

        def left() -> bool:
            try:
                return _page(watched, "server-2", "/readyz") == (503, "stopping\n")
            except OSError:
                return True

        until(left, seconds=10, what="/readyz of server-2 is not 200")
    finally:
        os.kill(other, signal.SIGCONT)
