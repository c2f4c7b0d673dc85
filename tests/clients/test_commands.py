"""The one-shot commands against a fake cluster on real sockets: data, words and exit codes."""

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from clients.cli import COMMANDS, cli
from tests.client.fake_cluster import Fields
from tests.clients.conftest import OnSockets

ANA = ("--user", "ana")


def parsed(text: str) -> Any:
    """The one JSON document of a command's output."""
    document = json.loads(text)
    assert document["schema_version"] == 1
    return document


@pytest.fixture
def talking(sockets: OnSockets) -> OnSockets:
    """A cluster with ana, bob, the channel `geral` and three messages."""
    for arguments in (
        ("login", "ana"),
        ("login", "bob"),
        ("channel", "create", "geral"),
        ("publish", *ANA, "geral", "um"),
        ("publish", "--user", "bob", "geral", "dois"),
        ("dm", *ANA, "bob", "psst"),
    ):
        assert sockets.run(*arguments).exit_code == 0
    return sockets


def test_words_go_to_stderr_and_data_to_stdout(talking: OnSockets) -> None:
    """What programs read is on standard output alone."""
    listed = talking.run("users")
    assert (listed.stdout, listed.stderr) == ("ana\nbob\n", "")
    said = talking.run("publish", *ANA, "geral", "oi")
    assert said.stdout == ""
    assert said.stderr.startswith("sent (2/3 copies, clock ")


@pytest.mark.parametrize(
    ("arguments", "keys"),
    [
        (("login", "ana"), {"user", "id", "key", "acks", "of", "level", "server", "clock"}),
        (("channel", "create", "novo"), {"channel", "id", "key", "acks", "of", "level", "server", "clock"}),
        (("publish", *ANA, "geral", "x"), {"channel", "user", "id", "key", "acks", "of", "level"}),
        (("dm", *ANA, "bob", "x"), {"dst", "user", "id", "key", "acks", "of", "level"}),
        (("users",), {"users"}),
        (("channels",), {"channels"}),
        (("history", "geral"), {"messages", "earlier", "server"}),
        (("history", "--direct", *ANA, "bob"), {"messages", "earlier", "server"}),
        (("search", "um"), {"messages", "earlier", "partial", "lag", "server"}),
        (("search", "psst", "--with", "bob", *ANA), {"messages", "earlier", "partial", "lag", "server"}),
        (("sync",), {"logins", "channels", "channel_messages", "user_messages", "more", "server"}),
        (("status",), {"server", "coordinator", "of"}),
    ],
)
def test_json_of_each_command_is_one_document(
    talking: OnSockets, arguments: tuple[str, ...], keys: set[str]
) -> None:
    """With --json standard output is one document with these fields, and standard error is silent."""
    result = talking.run(*arguments, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    assert keys <= parsed(result.stdout).keys()


def test_tail_in_json_is_one_line_a_message(talking: OnSockets) -> None:
    """`tail` merges channels in the one order of all messages."""
    talking.run("channel", "create", "jogos")
    talking.run("publish", *ANA, "jogos", "três")
    talking.run("publish", *ANA, "geral", "quatro")
    lines = talking.run("tail", "-n", "3", "--json").stdout.splitlines()
    assert [parsed(line)["text"] for line in lines] == ["dois", "três", "quatro"]


@pytest.mark.parametrize(
    ("arguments", "code", "exit_code"),
    [
        (("publish", *ANA, "nada", "x"), "channel_missing", 1),
        (("dm", *ANA, "ninguem", "x"), "user_missing", 1),
        (("channel", "create", "geral"), "channel_taken", 1),
        (("publish", *ANA, "geral", "  "), "text_empty", 65),
        (("login", " "), "user_empty", 65),
        (("login", ""), "user_empty", 65),
        (("history", "nada"), "channel_missing", 1),
        (("login", "x" * 65), "name_too_long", 65),
        (("search", "?!"), "search_empty", 65),
        (("search", "ab*"), "search_too_short", 65),
        (("channel", "create", "servers"), "name_reserved", 65),
    ],
)
def test_refusals_have_codes(
    talking: OnSockets, arguments: tuple[str, ...], code: str, exit_code: int
) -> None:
    """A refusal ends with its exit code, words on standard error and, with --json, a code to read."""
    result = talking.run(*arguments, "--json")
    assert result.exit_code == exit_code
    assert parsed(result.stdout) == {
        "schema_version": 1,
        "error": {"code": code, "text": result.stderr.removeprefix("recado: ").rstrip("\n")},
        "exit_code": exit_code,
    }


def test_an_invitation_is_read_from_standard_input(talking: OnSockets) -> None:
    """`--invite -` reads: what is no text is refused as such, and never sent."""
    assert talking.run("login", "caio", "--invite", "-", input=b"3f9c\n").exit_code == 0
    assert "not_utf8" in talking.run("login", "caio", "--invite", "-", "--json", input=b"\xff").stdout


def test_tail_says_what_does_not_exist(talking: OnSockets) -> None:
    """A channel without messages is no error, one that does not exist is said on standard error."""
    talking.run("channel", "create", "vazio")
    assert talking.run("history", "vazio").exit_code == 0
    result = talking.run("tail", "vazio", "nada")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "there is no channel nada\n")


def test_name_of_somebody_else_is_refused(talking: OnSockets) -> None:
    """Who holds the proof of a login comes back; who doesn't is told that the name is taken."""
    assert talking.run("login", "ana").exit_code == 0
    stranger = talking.run("login", "ana", "--state", str(talking.state / "other"))
    assert stranger.exit_code == 1
    assert "exists already" in stranger.stderr


def test_unanswered_write_is_indeterminate_and_can_be_repeated(talking: OnSockets) -> None:
    """Exit code 75 with the id that makes the repetition harmless: the message appears once."""
    # The command asks `status` first, to know how many copies to want; that answer is lost as well.
    talking.server.lost_replies = 2
    unsure = talking.run("publish", *ANA, "geral", "três", "--level", "local", "--json", "--timeout", "0.5")
    assert unsure.exit_code == 75
    error = parsed(unsure.stdout)["error"]
    assert error["code"] == "indeterminate"
    talking.server.lost_replies = 0
    again = talking.run("publish", *ANA, "geral", "três", "--id", error["id"], "--json")
    assert parsed(again.stdout)["id"] == error["id"]
    texts = [m["message"] for m in talking.server.shared.messages]
    assert texts.count("três") == 1


def test_busy_server_is_a_temporary_failure(talking: OnSockets) -> None:
    """Exit code 75 and when to try again."""
    talking.server.refuse = {"status": "erro", "code": "busy", "message": "Ocupado", "retry_after": 0.2}
    result = talking.run("users", "--json", "--timeout", "0.5")
    assert result.exit_code == 75
    assert parsed(result.stdout)["error"]["retry_after_seconds"] == 0.2


def test_mute_server_is_unavailable(talking: OnSockets) -> None:
    """A read that nobody answers ends after --timeout with 69."""
    talking.server.mute = True
    assert talking.run("users", "--timeout", "0.4").exit_code == 69


def test_no_reference_is_said_at_once(sockets: OnSockets) -> None:
    """Where nobody listens the command says what to do, long before its time is up."""
    result = sockets.run("users", "--reference", "tcp://127.0.0.1:1", "--timeout", "0.2")
    assert result.exit_code == 69
    assert "recado up" in result.stderr


def test_text_from_standard_input(talking: OnSockets) -> None:
    """`-` takes all of standard input, its last line break dropped."""
    assert talking.run("publish", *ANA, "geral", "-", input="duas\nlinhas\n").exit_code == 0
    assert talking.server.shared.messages[-1]["message"] == "duas\nlinhas"
    assert talking.run("publish", *ANA, "geral", "-", input="é" * 8192 + "\n").exit_code == 0
    for given, code, said in (
        (b"\xff\xfe", "not_utf8", "not UTF-8"),
        ("é" * 8192 + "x", "text_too_long", "16384 bytes"),
        ("x" * 20_000, "text_too_long", "16384 bytes"),
    ):
        refused = talking.run("publish", *ANA, "geral", "-", "--json", input=given)
        assert (refused.exit_code, parsed(refused.stdout)["error"]["code"]) == (65, code)
        assert said in refused.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("publish", "geral", "x"),
        ("dm", "bob", "x"),
        ("login",),
        ("history",),
        ("history", "--direct"),
        ("history", "geral", "--before", "x"),
        ("tail", "--direct"),
        ("users", "--server", "localhost"),
        ("users", "--timeout", "0"),
        ("publish", *ANA, "geral", "x", "--id", "xyz"),
        ("publish", *ANA, "geral", "x", "--level", "most"),
        ("up", "--servers", "0"),
        ("up", "--host", "0.0.0.0"),
        ("up", "--base-port", "80"),
        ("nonsense",),
    ],
)
def test_wrong_usage_is_two(sockets: OnSockets, arguments: tuple[str, ...]) -> None:
    """Wrong usage ends with 2 and asks nobody."""
    assert sockets.run(*arguments).exit_code == 2
    assert sockets.server.asked == []


def test_other_peoples_text_does_not_act(talking: OnSockets) -> None:
    """Control characters of a message are shown, not obeyed."""
    talking.server.say({"channel": "geral", "user": "eva"}, "a\x1b[2Jb\nc\u202ed")
    shown = talking.run("history", "geral").stdout
    assert "a\\u{1b}[2Jb\\u{a}c\\u{202e}d" in shown


def test_servers_by_flag_and_environment(talking: OnSockets) -> None:
    """--server wins over the reference, and RECADO_SERVER stands for it, separated by commas."""
    nowhere = ("--reference", "tcp://127.0.0.1:1")
    assert talking.run("users", "--server", talking.address, *nowhere).exit_code == 0
    environment = {"RECADO_SERVER": f"{talking.address},{talking.address}", "RECADO_REFERENCE": ""}
    assert CliRunner().invoke(cli, ["users"], env=environment).exit_code == 0


def test_levels_reach_the_server(talking: OnSockets) -> None:
    """--level asks for it; without it three members mean quorum."""
    for given, expected in ((("--level", "all"), "all"), ((), "quorum")):
        talking.run("publish", *ANA, "geral", "x", *given)
        assert talking.server.asked[-1].data.level == expected  # type: ignore[attr-defined]


def test_portuguese(talking: OnSockets) -> None:
    """Words for people follow the reader's language; data do not."""
    environment = {"RECADO_REFERENCE": talking.reference, "RECADO_LANG": "pt_BR"}
    result = CliRunner().invoke(cli, ["publish", *ANA, "nada", "x"], env=environment)
    assert result.stderr == "recado: Canal não existe\n"


def test_bot_journals_what_was_acknowledged(talking: OnSockets) -> None:
    """Every line of the journal is a message that the server kept, under that id, and none is missing."""
    journal = talking.state / "journal.jsonl"
    run = ("bot", "--user", "marvin", "--count", "30", "--rate", "1000", "--seed", "4", "--json")
    talking.server.lost_replies = 0
    result = talking.run(*run, "--journal", str(journal))
    assert result.exit_code == 0
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    assert len(lines) == 30
    kept = {m["id"]: m for m in talking.server.shared.messages if m.get("user", m.get("src")) == "marvin"}
    assert {bytes.fromhex(line["id"]) for line in lines} == set(kept)
    assert all(kept[bytes.fromhex(line["id"])]["message"] == line["text"] for line in lines)
    assert any("dst" in line for line in lines)
    assert any("channel" in line for line in lines)
    told = [json.loads(line) for line in result.stdout.splitlines()]
    clocks = [line["clock"] for line in told if "clock" in line]
    assert clocks == sorted(clocks)
    assert told[-1]["acknowledged"] == 30


def test_bot_tells_universal_time(talking: OnSockets) -> None:
    """Its lines for people begin with the time in UTC, marked as such."""
    lines = talking.run("bot", "--user", "marvin", "--count", "1", "--rate", "1000").stderr.splitlines()
    when = datetime.strptime(lines[0].split()[0], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert abs((datetime.now(UTC) - when).total_seconds()) < 60
    assert "acknowledged=1" in lines[-1]


def test_bot_repeats_with_the_same_id(talking: OnSockets) -> None:
    """A lost acknowledgement makes the bot repeat, and the message is kept once."""
    talking.run("bot", "--user", "marvin", "--count", "0")
    before = len(talking.server.shared.messages)

    def lose_one(asked: Any) -> None:
        if asked.service in {"publish", "message"}:
            talking.server.lost_replies = 1
            talking.server.on_request = None

    talking.server.on_request = lose_one
    result = talking.run(
        "bot", "--user", "marvin", "--count", "2", "--rate", "100", "--timeout", "0.3", "--json"
    )
    outcomes = [json.loads(line).get("outcome") for line in result.stdout.splitlines()]
    assert "repeat" in outcomes
    assert len(talking.server.shared.messages) == before + 2


def _start(cluster: OnSockets, *arguments: str) -> "subprocess.Popen[str]":
    environment = {**os.environ, "RECADO_REFERENCE": cluster.reference, "RECADO_STATE": str(cluster.state)}
    return subprocess.Popen(
        [sys.executable, "-m", "clients.cli", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


@pytest.mark.system
def test_tail_follows(talking: OnSockets) -> None:
    """`tail -f` shows the past, then what arrives, each once, and ends with 130 on Ctrl-C."""

    def say(text: str) -> Fields:
        return talking.server.say({"channel": "geral", "user": "eva"}, text)

    with _start(talking, "tail", "-f", "geral", "-n", "1", "--json") as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["text"] == "dois"
        talking.portal.call(say, "agora")
        assert json.loads(process.stdout.readline())["text"] == "agora"
        talking.portal.call(say, "e depois")
        assert json.loads(process.stdout.readline())["text"] == "e depois"
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == ""
        assert process.wait(5) == 130
        assert process.stderr is not None
        assert process.stderr.read() == ""


@pytest.mark.system
def test_closed_pipe_is_no_error(talking: OnSockets) -> None:
    """`recado … | head -1` ends by SIGPIPE and says nothing."""
    for number in range(300):
        talking.server.say({"channel": "geral", "user": "eva"}, f"{number} " + "x" * 500, publish=False)
    with _start(talking, "history", "geral", "-n", "300") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == -signal.SIGPIPE


@pytest.mark.system
def test_bot_ends_cleanly_on_sigterm(talking: OnSockets) -> None:
    """SIGTERM ends a bot with 0 and its tally."""
    with _start(talking, "bot", "--user", "marvin", "--rate", "50", "--json") as process:
        assert process.stdout is not None
        while json.loads(process.stdout.readline())["event"] != "publish":
            pass
        process.terminate()
        assert json.loads(process.stdout.readlines()[-1])["event"] == "done"
    assert process.returncode == 0


def test_version_and_help_load_no_event_loop() -> None:
    """`--version` and `--help` import neither trio, anyio, zmq nor prompt_toolkit."""
    script = (
        "import sys\n"
        "from clients.cli import cli\n"
        "for arguments in (['--version'], ['--help']):\n"
        "    cli(arguments, standalone_mode=False)\n"
        "print(sorted({'trio', 'anyio', 'zmq', 'prompt_toolkit', 'sqlite_utils'} & set(sys.modules)))\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "[]"


def test_one_shots_load_only_what_they_use() -> None:
    """A one-shot command imports neither trio's backend, prompt_toolkit nor sqlite-utils."""
    script = (
        "import sys, clients.look, clients.talk\n"
        "print(sorted({'trio', 'prompt_toolkit', 'sqlite_utils', 'structlog'} & set(sys.modules)))\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


@pytest.mark.parametrize("name", [name for name, *_ in COMMANDS])
def test_help_of_each_command(name: str) -> None:
    """Each command explains itself, and those that can end in several ways give an example."""
    result = CliRunner().invoke(cli, [name, "--help"])
    assert result.exit_code == 0
    assert "Usage:" in result.output
    assert "Example" in result.output or name == "replica"


@pytest.mark.parametrize(
    "arguments", [("ps",), ("stop", "server-1"), ("logs",), ("verify",), ("replica", "dump")]
)
def test_failures_of_local_commands_are_json_too(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """With --json a failure is a document with a code and the exit code, whatever the command."""
    result = CliRunner().invoke(cli, [*arguments, "--data", str(tmp_path), "--json"])
    told = parsed(result.stdout)
    assert told["exit_code"] == result.exit_code
    assert told["error"]["code"] in {"unavailable", "configuration"}
    assert told["error"]["text"] in result.stderr
