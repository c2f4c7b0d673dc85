"""Layers of the configuration, and everything wrong with one said at once."""

from pathlib import Path

import pytest

from recado.config import Config, ConfigError, check, load, load_with_origins
from recado.settings import Member


def _file(directory: Path, text: str, name: str = "recado.toml") -> Path:
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def _problems(path: Path | None = None, **layers: dict[str, str]) -> list[tuple[str, str, str]]:
    with pytest.raises(ConfigError) as caught:
        load(path, **layers)
    return [tuple(problem) for problem in caught.value.problems]


def test_defaults_are_the_missions_figures() -> None:
    """Without any layer the intervals are those of the mission."""
    config = load(None)
    assert config == Config()
    assert (config.timings.heartbeat_seconds, config.reference.expiry_seconds) == (10, 60)
    assert (config.timings.sync_seconds, config.timings.berkeley_operations) == (60, 10)


def test_each_layer_wins_over_the_next(tmp_path: Path) -> None:
    """A flag beats the environment, that conf.d, that the file, that the default; the rest stays."""
    main = _file(tmp_path, "[timings]\nsync_seconds = 1\nheartbeat_seconds = 2\ndrain_seconds = 4\n")
    _file(tmp_path, "[timings]\nsync_seconds = 10\nheartbeat_seconds = 20\n", "conf.d/10.toml")
    _file(tmp_path, "[timings]\nsync_seconds = 11\n", "conf.d/20.toml")
    env = {"RECADO_TIMINGS__SYNC_SECONDS": "100", "RECADO_TIMINGS__ACK_WAIT_SECONDS": "5"}
    loaded = load_with_origins(main, overrides={"timings.sync_seconds": "1000"}, env=env)
    timings = loaded.config.timings
    assert (timings.sync_seconds, timings.ack_wait_seconds) == (1000, 5)
    assert (timings.heartbeat_seconds, timings.drain_seconds, timings.linger_seconds) == (20, 4, 0.5)
    assert loaded.origins["timings.sync_seconds"] == "flag"
    assert loaded.origins["timings.heartbeat_seconds"].endswith("10.toml")
    assert load(main, env=env).timings.sync_seconds == 100
    assert load(main).timings.sync_seconds == 11


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    """Each problem comes with its source, its key and what was expected; none hides another."""
    main = _file(
        tmp_path,
        "[timings]\nsync_second = 1\nlinger_seconds = -1\n[server]\nlisten = 5555\n[sever]\nopen = true\n",
    )
    env = {"RECADO_LOG__LEVEL": "loud", "RECADO_TEST_REQUIRE": "all"}
    problems = _problems(main, env=env)
    assert [key for _, key, _ in problems] == [
        "timings.sync_second",
        "timings.linger_seconds",
        "server.listen",
        "sever",
        "log.level",
    ]
    expected = [text for _, _, text in problems]
    assert "did you mean timings.sync_seconds?" in expected[0]
    assert "a number > 0.0 in seconds (default: 0.5)" in expected[1]
    assert "did you mean server?" in expected[3]
    assert "debug or info" in expected[4]
    assert {source for source, _, _ in problems} == {str(main), "RECADO_LOG__LEVEL"}


def test_a_setting_in_the_wrong_section_is_pointed_to_the_right_one() -> None:
    """An unknown key that exists elsewhere suggests the place where it exists."""
    assert "did you mean timings.sync_seconds?" in _problems(overrides={"server.sync_seconds": "3"})[0][2]


@pytest.mark.parametrize("text", ["= nonsense", "\udcff"])
def test_a_broken_file_is_a_problem_not_a_crash(tmp_path: Path, text: str) -> None:
    """What is not TOML, or not even UTF-8, is reported with its file."""
    path = tmp_path / "recado.toml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    [(source, _, expected)] = _problems(path)
    assert source == str(path)
    assert "not TOML" in expected


def test_a_missing_file_is_a_problem(tmp_path: Path) -> None:
    """A file that was asked for and is not there is not taken for an empty one."""
    assert "can't be read" in _problems(tmp_path / "none.toml")[0][2]


def test_members_and_lists_from_file_and_text(tmp_path: Path) -> None:
    """Members come as an array of tables, or as TOML in a flag; plain lists separated by commas too."""
    main = _file(
        tmp_path,
        '[[cluster.members]]\nname = "a"\nrank = 2\naddress = "tcp://127.0.0.1:1"\n[node]\nname = "a"\n',
    )
    expected = (Member(name="a", rank=2, address="tcp://127.0.0.1:1"),)
    assert load(main).cluster.members == expected
    text = '[{name = "a", rank = 2, address = "tcp://127.0.0.1:1"}]'
    assert load(None, overrides={"cluster.members": text}).cluster.members == expected
    servers = load(
        None, env={"RECADO_BROKER__SERVERS": "tcp://127.0.0.1:1, tcp://127.0.0.1:2"}
    ).broker.servers
    assert servers == ("tcp://127.0.0.1:1", "tcp://127.0.0.1:2")


def test_twins_among_the_members_are_refused() -> None:
    """Two members can't share a name, a rank or an address."""
    one = '{name="a", rank=1, address="tcp://127.0.0.1:1"}'
    problems = _problems(overrides={"cluster.members": f"[{one}, {one}]"})
    assert [text.rpartition(" ")[0] for _, _, text in problems] == [
        "two members with the name",
        "two members with the rank",
        "two members with the address",
    ]


@pytest.mark.parametrize(
    "address", ["tcp://*:5555", "tcp://0.0.0.0:5555", "tcp://10.0.0.7:5555", "tcp://chat:1"]
)
def test_open_mode_stays_on_loopback(address: str) -> None:
    """Listening where others reach it is refused until the operator says that it is a laboratory."""
    expected = _problems(overrides={"server.listen": address})[0][2]
    assert "recado keygen" in expected
    assert "security.insecure = true" in expected
    config = load(None, overrides={"server.listen": address, "security.insecure": "true"})
    assert config.server.listen == address


@pytest.mark.parametrize(
    "address", ["tcp://127.0.0.1:*", "tcp://localhost:0", "tcp://[::1]:5555", "ipc:///run/r"]
)
def test_loopback_addresses_are_taken(address: str) -> None:
    """Every way of naming this host alone is allowed without asking."""
    assert load(None, overrides={"server.listen": address}).server.listen == address


@pytest.mark.parametrize("address", ["5555", "tcp://host", "http://host:1", "tcp:// :1", ""])
def test_other_shapes_of_addresses_are_refused(address: str) -> None:
    """What ZeroMQ could not bind is refused here, with the shape that is expected."""
    assert "tcp://HOST:PORT" in _problems(overrides={"server.listen": address})[0][2]


def test_intervals_that_contradict_each_other_are_refused() -> None:
    """A renewal that comes after its lease, or a heartbeat after the expiry, can't work."""
    overrides = {
        "timings.election_lease_seconds": "2.5",
        "timings.heartbeat_seconds": "60",
        "timings.berkeley_min_seconds": "61",
    }
    assert {key for _, key, _ in _problems(overrides=overrides)} == set(overrides)


def test_what_each_program_needs() -> None:
    """A server needs a name among the members; a broker with a request port needs servers behind it."""
    members = '[{name="a", rank=1, address="tcp://127.0.0.1:1"}]'
    with pytest.raises(ConfigError, match="must have a name"):
        check(load(None), "server")
    with pytest.raises(ConfigError, match=r"b is none of cluster\.members"):
        check(load(None, overrides={"cluster.members": members, "node.name": "b"}), "server")
    with pytest.raises(ConfigError, match=r"broker\.servers or cluster\.members"):
        check(load(None), "broker")
    check(load(None, overrides={"cluster.members": members}), "broker")
    check(load(None), "reference")
    with pytest.raises(ConfigError, match="it hides who asks"):
        check(load(None, overrides={"cluster.members": members, "server.open": "false"}), "broker")
