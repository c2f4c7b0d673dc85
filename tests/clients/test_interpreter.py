"""What typed lines mean, the menu, and what the Tab key offers."""

import pytest

from clients.chatting.faces import Words
from clients.chatting.interpreter import (
    ALIASES,
    COMMANDS,
    Channels,
    Create,
    Direct,
    Help,
    History,
    Info,
    Intent,
    Join,
    Leave,
    Login,
    Menu,
    Nothing,
    Quit,
    Rule,
    Say,
    Search,
    Status,
    Topic,
    Users,
    Wrong,
    in_quotes,
    interpret,
)
from clients.chatting.menu import CHOICES, Ask, MenuState, NotMine, menu_numbers
from clients.words import WORDS


@pytest.mark.parametrize(
    ("line", "intent"),
    [
        ("", Nothing()),
        ("   ", Nothing()),
        ("oi gente", Say("oi gente")),
        ("  recuado", Say("  recuado")),
        ("//etc/passwd", Say("/etc/passwd")),
        ("/", Wrong("chat.unknown", "/")),
        ("/dance", Wrong("chat.unknown", "/dance")),
        ("/login ana", Login("ana")),
        ('/login "ana maria"', Login("ana maria")),
        ("/login", Wrong("chat.usage", "/login NAME")),
        ("/users", Users()),
        ('/search café "bom dia"', Search('café "bom dia"')),
        ("/buscar --diretas senha", Search("senha", direct=True)),
        ("/search --direct", Wrong("chat.usage", "/search [--direct] WORDS")),
        ("/search", Wrong("chat.usage", "/search [--direct] WORDS")),
        ("/USERS", Users()),
        ("/usuários", Users()),
        ("/channels ", Channels()),
        ("/create geral", Create("geral")),
        ("/create #geral", Create("geral")),
        ("/join #café da manhã", Join("café da manhã")),
        ("/join ##geral", Join("#geral")),
        ("/entrar geral", Join("geral")),
        ("/join", Wrong("chat.usage", "/join NAME")),
        ("/leave", Leave(None)),
        ("/leave #geral", Leave("geral")),
        ("/create --private conselho", Create("conselho", private=True)),
        ('/create --privado "a b"', Create("a b", private=True)),
        ("/create --private", Create("--private")),
        ("/topic", Topic()),
        ("/topic café às três", Rule("topic", text="café às três")),
        ('/assunto ""', Rule("topic", text="")),
        ("/info", Info(None)),
        ("/info #geral", Info("geral")),
        ("/op bob", Rule("op", who="bob")),
        ('/ban "ana maria" muito barulho', Rule("ban", who="ana maria", reason="muito barulho")),
        ("/silenciar bob", Rule("mute", who="bob")),
        ("/kick", Wrong("chat.usage", "/kick NAME")),
        ('/kick "ana', Wrong("chat.usage", "/kick NAME")),
        ("/private", Rule("private")),
        ("/moderado por um dia", Rule("moderated", reason="por um dia")),
        ("/resign", Rule("leave")),
        ("/desistir #geral", Rule("leave", channel="geral")),
        ("/msg bob oi, tudo bem?", Direct("bob", "oi, tudo bem?")),
        ('/msg "ana maria" oi', Direct("ana maria", "oi")),
        ('/msg "ana maria oi', Wrong("chat.usage", "/msg NAME TEXT")),
        ("/msg bob", Wrong("chat.usage", "/msg NAME TEXT")),
        ("/msg", Wrong("chat.usage", "/msg NAME TEXT")),
        ("/history", History(20)),
        ("/history 5", History(5)),
        ("/history 0", Wrong("chat.usage", "/history 1…200")),
        ("/history ٣", Wrong("chat.usage", "/history 1…200")),
        ("/history 99999999999999999999", Wrong("chat.usage", "/history 1…200")),
        ("/status", Status()),
        ("/help", Help()),
        ("/menu", Menu()),
        ("/q", Quit()),
        ("/sair", Quit()),
    ],
)
def test_lines(line: str, intent: Intent) -> None:
    """Each line has exactly this meaning."""
    assert interpret(line) == intent


def test_every_command_and_alias_is_known() -> None:
    """No command that completion or an alias offers is answered as unknown."""
    for word in (*COMMANDS, *ALIASES):
        meant = interpret(word)
        assert not (isinstance(meant, Wrong) and meant.key == "chat.unknown"), word


@pytest.mark.parametrize("name", ["ana", "ana maria", "josé"])
def test_quoted_names_come_back(name: str) -> None:
    """A completed name is read back as the same name."""
    assert interpret(f"/msg {in_quotes(name)} oi") == Direct(name, "oi")


def test_menu_asks_for_what_a_choice_needs() -> None:
    """A number chooses, questions follow, and their answers make the intent."""
    menu = MenuState()
    menu.show()
    assert menu.feed("7") == Ask("ask.user")
    assert menu.feed(" bob ") == Ask("ask.text")
    assert menu.feed("psst") == Direct("bob", "psst")
    assert not menu.open


@pytest.mark.parametrize(
    ("line", "result"),
    [
        ("2", Users()),
        ("0", Quit()),
        ("11", NotMine()),
        ("oi", NotMine()),
        ("/users", NotMine()),
        ("²", NotMine()),
    ],
)
def test_menu_takes_only_its_numbers(line: str, result: object) -> None:
    """A number of the menu chooses; everything else leaves the menu and means what it always does."""
    menu = MenuState()
    menu.show()
    assert menu.feed(line) == result


@pytest.mark.parametrize("line", ["", "/quit"])
def test_an_empty_answer_goes_back(line: str) -> None:
    """At a question, nothing or a command returns to the menu without doing anything."""
    menu = MenuState()
    menu.show()
    menu.feed("4")
    assert menu.feed(line) == Nothing()
    assert menu.feed("2") == Users()


def test_menu_texts_exist() -> None:
    """Every line and question of the menu has its text, and the numbers are those that choose."""
    keys = [choice.key for choice in CHOICES] + [key for choice in CHOICES for key in choice.questions]
    assert set(keys) <= set(WORDS)
    for number, key in menu_numbers():
        menu = MenuState()
        menu.show()
        menu.feed(str(number))
        assert CHOICES[number - 1].key == key


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("/j", ["/join "]),
        ("/l", ["/leave ", "/login "]),
        ("/join ge", ["geral"]),
        ("/join #ge", ["geral"]),
        ("/msg a", ["ana"]),
        ('/msg "a', ['"ana maria"']),
        ("/msg ana oi", []),
        ("/op b", ["bob"]),
        ("/silenciar b", ["bob"]),
        ("/info j", ["jogos"]),
        ("/msg e", []),
        ("/join s", []),
        ("oi a", []),
    ],
)
def test_completion(typed: str, offered: list[str]) -> None:
    """Commands are completed, then the names that fit each and don't act on the terminal."""
    words = Words()
    words.users, words.channels = ["ana", "ana maria", "bob", "e\x1b[2Jva"], ["geral", "jogos", "s\u202ealt"]
    assert words.completions(typed)[0] == offered
