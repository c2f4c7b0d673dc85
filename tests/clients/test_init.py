"""`recado init`: the files it writes, what it leaves alone, what it refuses, and the bundles' secrets."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from clients.cli import cli
from clients.setup.bundle import BundleError, bundle_text, parse
from clients.setup.plan import PlanError, brokers_of, make_plan, units
from recado.config import load
from recado.keys import read_identity
from recado.roster import Roster

THREE = ("n1=10.77.0.11", "n2=10.77.0.12", "n3=10.77.0.13")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the commands are called: bundles go here, images are beside."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    return here


def call(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner(env={"RECADO_LANG": "en"}).invoke(cli, ["init", *arguments], input=stdin)


def good(*arguments: str, stdin: str | None = None) -> dict[str, Any]:
    result = call("--json", *arguments, stdin=stdin)
    assert result.exit_code == 0, result.output
    told: dict[str, Any] = json.loads(result.stdout)
    return told


def root(tmp_path: Path, name: str) -> str:
    return f"--root={tmp_path / name}"


def modes(directory: Path) -> dict[str, str]:
    return {
        str(path.relative_to(directory)): f"{stat.S_IMODE(path.stat().st_mode):o}"
        for path in sorted(directory.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def contents(directory: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_the_first_node_has_all_that_it_needs(tmp_path: Path, here: Path) -> None:
    """Configuration for everybody, keys for root alone, a roster that names every node, two bundles."""
    told = good(root(tmp_path, "a"), "--cluster", "casa", *THREE)
    assert modes(tmp_path / "a") == {
        "etc/credstore/recado.broker.key": "600",
        "etc/credstore/recado.cluster.key": "600",
        "etc/credstore/recado.n1.key": "600",
        "etc/credstore/recado.reference.key": "600",
        "etc/recado/conf.d/here.toml": "644",
        "etc/recado/recado.toml": "644",
        "etc/recado/roster.toml": "644",
        "root/.config/recado/operator.key": "600",
    }
    assert modes(here) == {"n2.recado": "600", "n3.recado": "600"}
    roster = Roster.read(tmp_path / "a/etc/recado/roster.toml")
    assert [(one.role, one.name) for one in roster.entries] == [
        *(("server", f"n{n}") for n in (1, 2, 3)),
        ("broker", "broker"),
        ("reference", "reference"),
        ("operator", "operator"),
    ]
    assert (tmp_path / "a/root/.config/recado/roster.toml").read_text() == roster.dump()
    config = load(tmp_path / "a/etc/recado/recado.toml", env={})
    assert (config.cluster.id, config.secured) == ("casa", True)
    assert [(m.name, m.rank, m.address) for m in config.cluster.members][2] == (
        "n3",
        3,
        "tcp://10.77.0.13:5555",
    )
    assert config.server.listen == "tcp://10.77.0.11:5555"
    assert config.reference.listen == config.cluster.reference == "tcp://10.77.0.11:5559"
    assert told["next"][0].startswith("ssh root@10.77.0.12 recado init --start --from - < n2.recado")


def test_a_bundle_makes_its_node(tmp_path: Path, here: Path) -> None:
    """The second node gets its own key, the cluster's, the same roster and configuration; the bundle goes."""
    good(root(tmp_path, "a"), "--cluster", "casa", *THREE)
    told = good(root(tmp_path, "b"), "--from", "n2.recado")
    a, b = tmp_path / "a/etc", tmp_path / "b/etc"
    assert told["node"] == "n2"
    assert not (here / "n2.recado").exists()
    for same in ("recado/recado.toml", "recado/roster.toml", "credstore/recado.cluster.key"):
        assert (a / same).read_bytes() == (b / same).read_bytes()
    assert load(b / "recado/recado.toml", env={}).server.listen == "tcp://10.77.0.12:5555"
    assert sorted(path.name for path in (b / "credstore").iterdir()) == [
        "recado.cluster.key",
        "recado.n2.key",
    ]
    public = read_identity(b / "credstore/recado.n2.key").public
    assert Roster.read(b / "recado/roster.toml").keys_of("server", "n2") == (public,)


def test_standard_input_and_keep(tmp_path: Path, here: Path) -> None:
    """A bundle comes by standard input as well, and stays with --keep; a second time changes nothing."""
    good(root(tmp_path, "a"), *THREE)
    good(root(tmp_path, "b"), "--from", "-", stdin=(here / "n2.recado").read_text())
    before = contents(tmp_path / "b")
    told = good(root(tmp_path, "b"), "--from", "n2.recado", "--keep")
    assert told["written"] == []
    assert (contents(tmp_path / "b"), (here / "n2.recado").exists()) == (before, True)


def test_again_changes_nothing(tmp_path: Path, here: Path) -> None:
    """The same words a second time, also after the bundles are gone: no file is touched, and that is said."""
    good(root(tmp_path, "a"), "--cluster", "casa", *THREE)
    for name in ("n2.recado", "n3.recado"):
        (here / name).unlink()
    before = contents(tmp_path)
    result = call(root(tmp_path, "a"), "--cluster", "casa", *THREE)
    assert result.exit_code == 0
    assert "nothing was changed" in result.stderr
    assert contents(tmp_path) == before


def test_what_was_cut_short_is_finished_with_the_same_keys(tmp_path: Path, here: Path) -> None:
    """Without the configuration, which is written last, keys and bundles that are there are used."""
    good(root(tmp_path, "a"), "--cluster", "casa", *THREE)
    before = contents(tmp_path)
    (tmp_path / "a/etc/recado/recado.toml").unlink()
    (tmp_path / "a/etc/recado/roster.toml").unlink()
    good(root(tmp_path, "a"), "--cluster", "casa", *THREE)
    assert contents(tmp_path) == before


def test_another_cluster_is_not_written_over(tmp_path: Path, here: Path) -> None:
    """Other words end with 73 and touch nothing; with --force the old files stay beside the new ones."""
    good(root(tmp_path, "a"), "--cluster", "casa", *THREE)
    before = contents(tmp_path)
    refused = call(root(tmp_path, "a"), "--cluster", "rua", *THREE)
    assert refused.exit_code == 73
    assert "--force" in refused.stderr
    assert contents(tmp_path) == before
    told = good(root(tmp_path, "a"), "--cluster", "rua", "--force", *THREE)
    old = tmp_path / "a/etc/credstore/recado.n1.key.old"
    assert str(old) in told["old"]
    assert old.read_bytes() == before[old.with_name("recado.n1.key")]
    assert modes(tmp_path / "a")["etc/credstore/recado.n1.key.old"] == "600"


def test_a_file_of_comments_is_no_configuration(tmp_path: Path) -> None:
    """The example that a package brings sets nothing, so it gives way."""
    example = Path(__file__).parents[2] / "systemd/recado.example.toml"
    config = tmp_path / "a/etc/recado/recado.toml"
    config.parent.mkdir(parents=True)
    config.write_text(example.read_text())
    good(root(tmp_path, "a"), *THREE)
    assert len(load(config, env={}).cluster.members) == 3


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "name the nodes"),
        (("n1",), 2, "NAME=HOST"),
        (("n1=h:99999",), 2, "NAME=HOST"),
        (("n 1=h",), 2, "NAME=HOST"),
        (("n1=h", "n1=i"), 2, "two have the name"),
        (("n1=h", "n2=h"), 2, "two have the address"),
        (("broker=h",), 2, "call the node something else"),
        (("n1=h", "--broker", "n9"), 2, "none of the nodes"),
        (("n1=h", "--node", "n9"), 2, "none of the nodes"),
        (("n1=h:65533",), 2, "no possible port"),
        (("n1=h", "--from", "x"), 2, "one of"),
        (("--from", "none.recado"), 78, "can't be read"),
        (("--add", "n4=h"), 78, "no node yet"),
    ],
)
def test_what_is_refused(tmp_path: Path, arguments: tuple[str, ...], code: int, said: str) -> None:
    """A reason, an exit code, and no file."""
    result = call(root(tmp_path, "a"), *arguments)
    assert result.exit_code == code, result.output
    assert said in result.output
    assert contents(tmp_path) == {}


def test_this_host_is_looked_at() -> None:
    """An address that no interface has, and a name that nobody knows, are refused with what to type."""
    foreign = call("--cluster", "casa", "n1=192.0.2.77", "n2=192.0.2.78")
    assert foreign.exit_code == 1
    assert "no address of this host" in foreign.stderr
    other = call("n1=192.0.2.77", "n2=127.0.0.1")
    assert "--node n2" in other.stderr
    unknown = call("n1=host.invalid")
    assert unknown.exit_code == 1
    assert "can't be looked up" in unknown.stderr


@pytest.mark.parametrize("damage", ["keys", "node", "roster", "text", "other", "path"])
def test_a_bundle_that_is_not_whole_is_refused(tmp_path: Path, here: Path, damage: str) -> None:
    """Whatever was changed in it, the bundle is refused with 78 and nothing is written; no key is quoted."""
    good(root(tmp_path, "a"), *THREE)
    table = json.loads((here / "n2.recado").read_text())
    secrets = [text.partition('secret = "')[2][:40] for text in table["keys"].values()]
    changes: dict[str, dict[str, Any]] = {
        "keys": {"keys": {**table["keys"], "broker": table["keys"]["n2"]}},
        "node": {"node": "n3"},
        "roster": {"roster": table["roster"].replace('name = "n2"', 'name = "n9"')},
        "text": {"recado_bundle": 2},
        "other": {"keys": json.loads((here / "n3.recado").read_text())["keys"]},
        "path": {"keys": {**table["keys"], "../../x": "x"}},
    }
    (here / "n2.recado").write_text(json.dumps({**table, **changes[damage]}))
    result = call(root(tmp_path, "b"), "--from", "n2.recado")
    assert result.exit_code == 78, result.output
    assert not (tmp_path / "b").exists()
    assert all(secret not in result.output for secret in secrets if secret)


def test_a_fourth_node(tmp_path: Path, here: Path) -> None:
    """--add gives a bundle and an update without secrets; the second node takes the list and the roster."""
    good(root(tmp_path, "a"), *THREE)
    good(root(tmp_path, "b"), "--from", "n2.recado")
    good(root(tmp_path, "a"), "--add", "n4=10.77.0.14")
    before = contents(tmp_path)
    assert good(root(tmp_path, "a"), "--add", "n4=10.77.0.14")["written"] == []
    assert contents(tmp_path) == before
    update = parse((here / "n4-for-others.recado").read_bytes(), name="update")
    assert (update.node, update.keys) == ("", {})
    good(root(tmp_path, "b"), "--from", "n4-for-others.recado")
    good(root(tmp_path, "d"), "--from", "n4.recado")
    lists = {name: load(tmp_path / name / "etc/recado/recado.toml", env={}).cluster.members for name in "abd"}
    assert [one.name for one in lists["a"]] == ["n1", "n2", "n3", "n4"]
    assert lists["a"] == lists["b"] == lists["d"]
    rosters = {(tmp_path / name / "etc/recado/roster.toml").read_bytes() for name in "abd"}
    assert len(rosters) == 1
    assert call(root(tmp_path, "a"), *THREE).exit_code == 0


def test_an_update_of_earlier_undoes_nothing(tmp_path: Path, here: Path) -> None:
    """Who came or left since is named, and no file is touched; a newer update, or --force, is taken."""
    good(root(tmp_path, "a"), *THREE)
    good(root(tmp_path, "b"), "--from", "n2.recado")
    for name in ("n4", "n5"):
        good(root(tmp_path, "a"), "--add", f"{name}=10.77.0.1{name[1:]}")
    for name in ("n4", "n5", "n5"):
        good(root(tmp_path, "b"), "--from", f"{name}-for-others.recado")
    path = tmp_path / "b/etc/recado/roster.toml"
    path.write_text(Roster.read(path).without("server", "n3").dump())
    before = contents(tmp_path / "b")
    refused = call(root(tmp_path, "b"), "--from", "n4-for-others.recado")
    assert refused.exit_code == 73
    assert "undo: +n5, -n3." in refused.stderr
    assert contents(tmp_path / "b") == before
    good(root(tmp_path, "b"), "--from", "n4-for-others.recado", "--force")
    assert contents(tmp_path / "b") != before


def test_a_bundle_of_somebody_else_gives_no_key(tmp_path: Path, here: Path) -> None:
    """What lies under the new node's name, made with another cluster's key, does not get into the roster."""
    good(root(tmp_path, "a"), *THREE)
    good(root(tmp_path, "m"), *THREE, "n4=10.77.0.14", "--output", str(tmp_path))
    theirs = (tmp_path / "n4.recado").read_bytes()
    (here / "n4.recado").write_bytes(theirs)
    good(root(tmp_path, "a"), "--add", "n4=10.77.0.14")
    planted = Roster.parse(parse(theirs, name="planted").roster).keys_of("server", "n4")
    named = Roster.read(tmp_path / "a/etc/recado/roster.toml").keys_of("server", "n4")
    assert len(planted) == len(named) == 1
    assert planted != named
    assert (here / "n4.recado").read_bytes() != theirs


def test_without_keys(tmp_path: Path, here: Path) -> None:
    """--open-lab writes no key and says what that means; beyond loopback it is marked as insecure."""
    result = call(root(tmp_path, "a"), "--open-lab", *THREE)
    assert "without keys" in result.stderr
    assert sorted(modes(tmp_path / "a")) == ["etc/recado/conf.d/here.toml", "etc/recado/recado.toml"]
    config = load(tmp_path / "a/etc/recado/recado.toml", env={})
    assert (config.secured, config.security.insecure) == (False, True)
    good(root(tmp_path, "b"), "--from", "n2.recado")
    good(root(tmp_path, "l"), "--open-lab", *(f"l{n}=127.0.0.1:{6554 + n}" for n in (1, 2, 3)))
    assert not load(tmp_path / "l/etc/recado/recado.toml", env={}).security.insecure


def test_several_brokers_have_names_of_their_own() -> None:
    """The one beside the reference keeps the program's name; each node knows its units."""
    plan = make_plan("casa", THREE, brokers=("n3", "n1"), reference="n1")
    assert [(one.name, one.on) for one in brokers_of(plan)] == [("broker", "n1"), ("broker-n3", "n3")]
    assert units(plan, "n1") == [
        "recado-reference.service",
        "recado-broker.service",
        "recado-server@n1.service",
    ]
    assert units(plan, "n2") == ["recado-server@n2.service"]


def test_a_further_broker_is_named_by_its_unit(tmp_path: Path, here: Path) -> None:
    """The reference of a host keeps its name: only the broker's unit says another one."""
    good(root(tmp_path, "a"), *THREE, "--broker", "n1", "--broker", "n2")
    good(root(tmp_path, "b"), "--from", "n2.recado")
    drop_in = "etc/systemd/system/recado-broker.service.d/name.conf"
    assert "RECADO_NODE__NAME=broker-n2\n" in (tmp_path / "b" / drop_in).read_text()
    assert not (tmp_path / "a" / drop_in).exists()
    assert read_identity(tmp_path / "b/etc/credstore/recado.broker.key").name == "broker-n2"
    config = load(tmp_path / "b/etc/recado/recado.toml", env={})
    assert config.broker.xpub == config.cluster.brokers[1].xpub == "tcp://10.77.0.12:5558"


def test_what_is_there_besides_is_checked_too(tmp_path: Path, here: Path) -> None:
    """A file of conf.d that contradicts the rest is told at once, with 78."""
    other = tmp_path / "a/etc/recado/conf.d/z.toml"
    other.parent.mkdir(parents=True)
    other.write_text('[cluster]\nid = "other"\n')
    result = call(root(tmp_path, "a"), *THREE)
    assert result.exit_code == 78
    assert "is of cluster recado" in result.stderr


def test_a_secret_goes_into_no_file_of_somebody_elses(tmp_path: Path, here: Path) -> None:
    """What waits under a bundle's name, a link too, is refused; nothing is written through it."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("")
    (here / "n2.recado").symlink_to(elsewhere)
    assert call(root(tmp_path, "a"), *THREE).exit_code == 73
    assert elsewhere.read_text() == ""
    good(root(tmp_path, "a"), "--force", *THREE)
    assert elsewhere.read_text() == ""
    assert modes(here)["n2.recado"] == "600"


def test_the_port_that_never_closes(tmp_path: Path) -> None:
    """With --socket the socket unit gets this server's address, also later, and once."""
    good(root(tmp_path, "a"), *THREE)
    told = good(root(tmp_path, "a"), "--socket", *THREE)
    (written,) = told["written"]
    assert "ListenStream=\nListenStream=10.77.0.11:5555\nFreeBind=yes" in Path(written).read_text()
    assert good(root(tmp_path, "a"), "--socket", *THREE)["written"] == []


def test_hosts_by_name_and_version_six() -> None:
    """A name is dialled and every address bound; brackets are added where they lack."""
    plan = make_plan("casa", ("a=alfa.example", "b=fd00::2", "c=[fd00::3]:7000"))
    assert [(one.address, one.listen) for one in plan.nodes] == [
        ("tcp://alfa.example:5555", "tcp://*:5555"),
        ("tcp://[fd00::2]:5555", "tcp://[fd00::2]:5555"),
        ("tcp://[fd00::3]:7000", "tcp://[fd00::3]:7000"),
    ]
    with pytest.raises(PlanError, match="no node"):
        make_plan("casa", ("a=h,i",))


def test_bundles_are_not_read_whole_if_they_are_something_else() -> None:
    """Junk is refused by one sentence, and what was written is read as it was."""
    for junk in (b"", b"{}", b"[1]", b"\xff", b'{"recado_bundle": 1}'):
        with pytest.raises(BundleError, match=r"^x "):
            parse(junk, name="x")
    from clients.setup.making import bundle_for

    bundle = bundle_for(make_plan("casa", THREE, open_lab=True), "n2", None)
    assert parse(bundle_text(bundle).encode(), name="x") == bundle
