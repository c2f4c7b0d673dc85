"""`recado search` against a fake cluster on real sockets."""

from tests.clients.conftest import OnSockets

ANA = ("--user", "ana")


def test_search_finds_and_says_what_it_could_not(sockets: OnSockets) -> None:
    """Messages on standard output; how to go on, and what may be missing, on standard error."""
    for arguments in (
        ("login", "ana"),
        ("login", "bob"),
        ("channel", "create", "geral"),
        ("publish", *ANA, "geral", "um"),
        ("publish", *ANA, "geral", "um e dois"),
        ("dm", *ANA, "bob", "psst"),
    ):
        assert sockets.run(*arguments).exit_code == 0
    found = sockets.run("search", "-n", "1", "um")
    assert found.stdout.splitlines()[0].endswith("#geral <ana> um e dois")
    assert len(found.stdout.splitlines()) == 1
    key = found.stderr.strip().rpartition(" ")[2]
    assert found.stderr.startswith("there are earlier ones: --before ")
    earlier = sockets.run("search", "um", "--before", key, "--channel", "geral")
    assert earlier.stdout.splitlines()[0].endswith("<ana> um")
    assert (earlier.stdout.count("\n"), earlier.stderr) == (1, "")
    direct = sockets.run("search", "psst", "--direct", *ANA)
    assert direct.stdout.endswith("ana -> bob: psst\n")
    nothing = sockets.run("search", "nunca", "dito")
    assert (nothing.stdout, nothing.stderr, nothing.exit_code) == ("", "nothing found\n", 0)
    assert sockets.run("search", "x", "--direct", "--channel", "geral", *ANA).exit_code == 2


def test_search_says_what_is_not_indexed(sockets: OnSockets) -> None:
    """How many entries the server's index lacks is said, and stands in the JSON."""
    sockets.server.lag = 7
    sockets.run("login", "ana")
    sockets.run("channel", "create", "geral")
    sockets.run("publish", *ANA, "geral", "um")
    said = sockets.run("search", "um").stderr
    assert said == "the server's index lacks the last 7 entries as yet\n"
    assert '"lag": 7' in sockets.run("search", "um", "--json").stdout
