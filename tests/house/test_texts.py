"""Texts for people: both languages say the same, with the same gaps to fill."""

import importlib
import pkgutil
from collections.abc import Iterator, Mapping

import pytest

import clients
import recado.texts
from recado.texts import ERRORS, Text, Texts, error_text, language, placeholders, wire_text


def _tables() -> Iterator[tuple[str, str, Text]]:
    """Every text of every table in recado.texts and in modules of clients called `words`."""
    modules = [recado.texts] + [
        importlib.import_module(found.name)
        for found in pkgutil.walk_packages(clients.__path__, "clients.")
        if found.name.rpartition(".")[2] in {"words", "texts"}
    ]
    for module in modules:
        for table in vars(module).values():
            if isinstance(table, Mapping):
                for key, text in table.items():
                    if isinstance(text, Text):
                        yield module.__name__, str(key), text


def test_both_languages_have_the_same_gaps() -> None:
    """Every text exists in both languages, with the same named placeholders, none of them numbered."""
    texts = list(_tables())
    assert len(texts) > len(ERRORS) // 2
    wrong = [
        (module, key)
        for module, key, text in texts
        if not (text.pt and text.en and placeholders(text.pt) == placeholders(text.en))
        or any(not name or name.isdigit() for name in placeholders(text.pt))
    ]
    assert wrong == []


def test_wire_texts_are_the_contracts() -> None:
    """The texts that other people's clients may compare are exactly those of the contract."""
    assert wire_text("user_empty") == "Nome de usuário não pode ser vazio"
    assert wire_text("user_taken") == "Usuário já existe"
    assert wire_text("channel_empty") == "Nome do canal não pode ser vazio"
    assert wire_text("channel_taken") == "Canal já existe"
    assert wire_text("channel_missing") == "Canal não existe"
    assert wire_text("text_empty") == "Mensagem não pode ser vazia"
    assert wire_text("user_missing") == "Usuário de destino não existe"


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, "en"),
        ({"LANG": "pt_BR.UTF-8"}, "pt_BR"),
        ({"LANG": "pt_BR.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LC_ALL": "de_DE.UTF-8", "RECADO_LANG": "pt"}, "pt_BR"),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "pt_PT"}, "pt_BR"),
        ({"LC_ALL": "", "LANG": "pt_BR"}, "pt_BR"),
    ],
)
def test_the_language_is_the_readers(env: dict[str, str], expected: str) -> None:
    """RECADO_LANG decides, then LC_ALL, LC_MESSAGES, LANG; empty variables don't count."""
    assert language(env) == expected


def test_errors_are_translated_where_they_can_be() -> None:
    """English readers get known codes translated; the wire's own text stands for all else."""
    assert error_text("channel_missing", "en", given="Canal não existe") == "That channel does not exist"
    assert error_text("channel_missing", "pt_BR", given="Canal x não existe") == "Canal x não existe"
    assert error_text("of_the_future", "en", given="Algo") == "Algo"
    assert error_text(None, "en", given="Algo") == "Algo"


def test_a_program_may_bring_its_own_table() -> None:
    """Texts come from the tables given, gaps filled; an unknown key is a fault of the program."""
    say = Texts("en", {"hello": Text("Oi, {name}", "Hello, {name}")})
    assert say("hello", name="ana") == "Hello, ana"
    with pytest.raises(KeyError):
        say("bye")
