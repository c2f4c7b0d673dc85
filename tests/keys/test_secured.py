"""What a secured node starts with: files and settings that must fit together, and their reload."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from recado.config import Config, ConfigError, check, load
from recado.contradictions import exposed
from recado.keys import (
    Identity,
    KeyFileError,
    Kind,
    make_cluster_key,
    make_identity,
    write_cluster_key,
    write_identity,
)
from recado.protocol.limits import REGISTERED_SERVERS_MAX
from recado.roster import Roster
from recado.secured import (
    ANY_USER,
    UNLIMITED,
    Current,
    Program,
    SecurityProblems,
    caps_of,
    client_security,
    load_security,
    local_account,
    rates_of,
)

NODES: tuple[tuple[Kind, str], ...] = (
    ("server", "server-1"),
    ("server", "server-2"),
    ("broker", "broker"),
    ("reference", "reference"),
)


@dataclass(frozen=True)
class Ground:
    """A directory with keys of all nodes, a cluster key and the roster."""

    directory: Path
    identities: dict[str, Identity]

    @property
    def roster(self) -> Path:
        return self.directory / "roster.toml"

    def key(self, name: str) -> Path:
        return self.directory / f"{name}.key"

    def edit(self, change: Callable[[Roster], Roster]) -> None:
        change(Roster.read(self.roster)).write(self.roster)

    def settings(self, name: str = "server-1", **others: Any) -> dict[str, Any]:
        """Flags of one node."""
        members = [
            {"name": f"server-{n}", "rank": n, "address": f"tcp://127.0.0.1:{7000 + n}"} for n in (1, 2)
        ]
        return {
            "node.name": name,
            "node.data": str(self.directory),
            "cluster.members": members,
            "security.roster": str(self.roster),
            "security.key": str(self.key(name)),
            **{key.replace("__", "."): value for key, value in others.items()},
        }

    def config(self, name: str = "server-1", **others: Any) -> Config:
        return load(None, overrides=self.settings(name, **others))


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    identities = {name: make_identity(kind, name) for kind, name in NODES}
    roster = Roster(cluster="recado")
    for name, identity in identities.items():
        write_identity(tmp_path / f"{name}.key", identity)
        roster = roster.with_part(identity.public_part)
    write_cluster_key(tmp_path / "cluster.key", make_cluster_key())
    roster.write(tmp_path / "roster.toml")
    return Ground(tmp_path, identities)


def _problems(config: Config, program: Program = "server") -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        check(config, program)
    return {problem.key: problem.expected for problem in caught.value.problems}


@pytest.mark.parametrize(
    ("program", "name"), [("server", "server-1"), ("broker", "broker"), ("reference", "reference")]
)
def test_each_program_starts_with_its_key(ground: Ground, program: Program, name: str) -> None:
    """A complete set of files passes the check, and gives the identity; the cluster key to servers only."""
    config = ground.config(name)
    check(config, program)
    loaded = load_security(config, program)
    assert loaded is not None
    assert loaded.identity == ground.identities[name]
    assert bool(loaded.cluster_key) == (program == "server")
    assert loaded.cluster_key.hex() not in repr(loaded) or not loaded.cluster_key
    assert config.broker.request == ""
    assert not any(broker.request for broker in config.cluster.brokers)


def test_with_a_roster_a_node_may_listen_anywhere(ground: Ground) -> None:
    """Nothing but loopback is needed no more, and nothing is exposed."""
    config = ground.config(server__listen="tcp://0.0.0.0:5555")
    check(config, "server")
    assert exposed(config) == ()


def test_what_is_exposed_is_known() -> None:
    """An insecure laboratory knows the addresses that it must warn of."""
    config = load(None, overrides={"server.listen": "tcp://10.0.0.1:1", "security.insecure": True})
    assert exposed(config) == ("tcp://10.0.0.1:1",)
    assert exposed(load(None)) == ()


@pytest.mark.parametrize(
    ("change", "key", "said"),
    [
        ({"security__key": "/none/k"}, "security.key", "recado keygen --server server-1 -o /none/k"),
        ({"security__cluster_key": "/none/c"}, "security.cluster_key", "recado keygen --cluster -o /none/c"),
        ({"security__roster": "/none/r"}, "security.roster", "can't be read"),
        ({"cluster__id": "other"}, "cluster.id", "is of cluster recado"),
        (
            {"cluster__brokers": [{"name": "b2", "xsub": "ipc:///a", "xpub": "ipc:///b"}]},
            "cluster.brokers",
            "b2 has no key",
        ),
    ],
)
def test_what_does_not_fit_is_told(ground: Ground, change: dict[str, Any], key: str, said: str) -> None:
    """Each missing or foreign part is named with its setting and what to do."""
    assert said in _problems(ground.config(**change))[key]


def test_members_and_reference_without_keys(ground: Ground) -> None:
    """Whom the configuration names and the roster does not is a start-up error."""
    ground.edit(lambda roster: roster.without("server", "server-2"))
    ground.edit(lambda roster: roster.without("reference", "reference"))
    found = _problems(ground.config())
    assert found["cluster.members"].startswith("server-2 has no key")
    assert "no reference" in found["cluster.reference"]


def test_a_key_that_the_roster_does_not_name(ground: Ground) -> None:
    """Another server's key, a key nobody knows, and a known key with another signing key."""
    foreign = ground.directory / "foreign.key"
    write_identity(foreign, make_identity("server", "server-1"))
    assert "does not name" in _problems(ground.config(security__key=str(foreign)))["security.key"]
    twos = ground.config(security__key=str(ground.key("server-2")))
    assert "is of server server-2" in _problems(twos)["security.key"]
    stranger = make_identity("server", "server-1")
    text = ground.roster.read_text()
    mine = ground.identities["server-1"]
    signing = Roster(cluster="x").with_part(stranger.public_part._replace(public=mine.public)).dump()
    old = next(line for line in text.splitlines() if line.startswith("signing"))
    new = next(line for line in signing.splitlines() if line.startswith("signing"))
    ground.roster.write_text(text.replace(old, new, 1))
    assert "the signing key" in _problems(ground.config())["security.key"]


def test_a_key_that_others_may_read(ground: Ground) -> None:
    """The start ends with the command that mends it."""
    ground.key("server-1").chmod(0o644)
    (ground.directory / "cluster.key").chmod(0o640)
    found = _problems(ground.config())
    assert "chmod 600" in found["security.key"]
    assert "chmod 600" in found["security.cluster_key"]


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        ({"security.roster": "r", "broker.request": "tcp://127.0.0.1:1"}, "broker.request"),
        ({"security.roster": "r", "security.insecure": "true"}, "security.insecure"),
        ({"security.roster": "r", "security.local_accounts": "1000=ana"}, "security.local_listen"),
        (
            {
                "security.roster": "r",
                "security.local_listen": "ipc:///x",
                "security.local_accounts": "1000=ana,1000=bia",
            },
            "security.local_accounts",
        ),
        ({"security.local_listen": "ipc:///x"}, "security.local_listen"),
        ({"security.local_listen": "tcp://127.0.0.1:1"}, "security.local_listen"),
        ({"security.local_accounts": "ana=1000"}, "security.local_accounts"),
        ({"limits.user_messages_burst": "0"}, "limits.user_messages_burst"),
        ({"limits.user_messages_per_second": "-1"}, "limits.user_messages_per_second"),
        ({"security.registration": "all"}, "security.registration"),
    ],
)
def test_settings_that_contradict_are_told(overrides: dict[str, str], key: str) -> None:
    """Each contradiction is found when the settings are read, without looking at files."""
    with pytest.raises(ConfigError) as caught:
        load(None, overrides=overrides)
    assert key in [problem.key for problem in caught.value.problems]


def test_brokers_request_port_and_twins_in_secured_mode() -> None:
    """A broker's request port in the list of brokers counts too; two brokers can't share a name."""
    one = {"xsub": "ipc:///a", "xpub": "ipc:///b"}
    for brokers, said in (([{**one, "request": "ipc:///c"}], "hides who asks"), ([one, one], "two brokers")):
        with pytest.raises(ConfigError) as caught:
            load(None, overrides={"security.roster": "r", "cluster.brokers": brokers})
        assert said in str(caught.value)


def test_the_old_name_points_to_the_new_one() -> None:
    """Who has the setting of before is told what it is called now."""
    with pytest.raises(ConfigError, match=r"now called security\.insecure"):
        load(None, overrides={"cluster.open_beyond_loopback": "true"})


def test_whose_keys_to_expect_where(ground: Ground) -> None:
    """Configured addresses, learned ones, those of the roster; elsewhere only servers may answer."""
    loaded = load_security(ground.config(), "server")
    assert loaded is not None
    book, keys = loaded.book, {name: (i.public,) for name, i in ground.identities.items()}
    assert book.keys_of("tcp://127.0.0.1:7002") == keys["server-2"]
    assert book.keys_of("tcp://127.0.0.1:5558") == book.keys_of("tcp://127.0.0.1:5560") == keys["broker"]
    assert book.keys_of("tcp://127.0.0.1:5559") == keys["reference"]
    assert book.keys_of("tcp://10.0.0.9:1") == (*keys["server-1"], *keys["server-2"])
    for number in range(REGISTERED_SERVERS_MAX):
        book.learn("server", "server-1", f"tcp://10.1.0.1:{number + 1}")
    book.learn("server", "server-1", "tcp://127.0.0.1:9999")
    assert book.keys_of("tcp://127.0.0.1:9999") == (*keys["server-1"], *keys["server-2"])
    loaded = load_security(ground.config(), "server")
    assert loaded is not None
    book = loaded.book
    book.learn("server", "server-2", "tcp://10.0.0.9:1")
    assert book.keys_of("tcp://10.0.0.9:1") == keys["server-2"]
    book.learn("server", "nobody", "tcp://10.0.0.9:2")
    assert book.keys_of("tcp://10.0.0.9:2") == ()


def test_a_rotated_key_is_expected_after_a_reload(ground: Ground) -> None:
    """The roster is read again; askers that hold the book see the new key."""
    current = Current(ground.config(), "server")
    assert current.security is not None
    book, told = current.security.book, []
    current.on_change.append(lambda: told.append(True))
    new = make_identity("server", "server-2")
    ground.edit(lambda roster: roster.with_part(new.public_part, first=True))
    current.reload(ground.config(security__registration="invite", limits__user_messages_per_second=1))
    assert book.keys_of("tcp://127.0.0.1:7002") == (new.public, ground.identities["server-2"].public)
    assert current.security.roster.role_of(new.public) is not None
    assert (current.registration, current.rates.user.per_second, told) == ("invite", 1.0, [True])


def test_a_bad_reload_changes_nothing(ground: Ground) -> None:
    """A broken roster, a roster without this node, another key: refused with a reason, the old stays."""
    current = Current(ground.config(), "server")
    before = (current.security, current.config, current.rates)
    good = ground.roster.read_text()
    fewer = ground.config(limits__user_messages_per_second=1)
    for text in ("broken", good.replace('name = "server-1"', 'name = "server-9"')):
        ground.roster.write_text(text)
        with pytest.raises(SecurityProblems):
            current.reload(fewer)
    ground.roster.write_text(good)
    other = ground.directory / "other.key"
    write_identity(other, ground.identities["server-2"])
    with pytest.raises(SecurityProblems):
        current.reload(ground.config(security__key=str(other)))
    again = make_identity("server", "server-1")
    ground.edit(lambda roster: roster.with_part(again.public_part))
    write_identity(ground.directory / "again.key", again)
    with pytest.raises(SecurityProblems, match="from a restart on"):
        current.reload(ground.config(security__key=str(ground.directory / "again.key")))
    with pytest.raises(SecurityProblems, match="at a restart"):
        current.reload(Config())
    assert (current.security, current.config, current.rates) == before


def test_a_member_is_shut_out_by_a_reload(ground: Ground) -> None:
    """A roster without a configured member is taken while it runs, and refused at the next start."""
    current = Current(ground.config(), "server")
    ground.edit(lambda roster: roster.without("server", "server-2"))
    current.reload(ground.config())
    assert current.security is not None
    assert current.security.roster.keys_of("server", "server-2") == ()
    with pytest.raises(SecurityProblems, match="server-2 has no key"):
        Current(ground.config(), "server")
    ground.edit(lambda roster: replace(roster, cluster="elsewhere"))
    with pytest.raises(SecurityProblems, match="elsewhere"):
        current.reload(ground.config())


def test_open_mode_reads_no_files_and_reloads_limits() -> None:
    """Without a roster there is no security, and rates hold only where asked."""
    current = Current(Config(), "server")
    assert (current.security, current.rates) == (None, UNLIMITED)
    current.reload(load(None, overrides={"limits.in_open_mode": True}))
    assert current.rates.user.per_second > 0
    assert current.rates == rates_of(current.config)
    assert caps_of(Config())[:5] == (100.0, 2000.0, 5.0, 100.0, 10_000)
    none = load(None, overrides={"limits.handshakes_per_second": 0})
    assert caps_of(none).address_burst == caps_of(none).address_per_second > 1e6


def test_local_accounts() -> None:
    """A uid is its user, or a gateway, or nobody."""
    security = msgspec.structs.replace(Config().security, local_accounts=("1000=ana b", "1001=*"))
    config = Config(security=security)
    assert [local_account(config, uid) for uid in (1000, 1001, 1002)] == ["ana b", ANY_USER, None]


def test_a_client_has_a_users_key(ground: Ground) -> None:
    """A user's key and the roster make a client; a node's key does not."""
    path = ground.directory / "ana.key"
    write_identity(path, make_identity("user", "ana"))
    client = client_security(ground.roster, path)
    assert client.identity.name == "ana"
    assert len(client.book.keys_of("tcp://10.0.0.1:1")) == len(client.roster.of("server")) < len(NODES)
    with pytest.raises(KeyFileError, match="not of a user"):
        client_security(ground.roster, ground.key("server-1"))
