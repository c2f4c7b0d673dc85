"""The numbered menu for newcomers: a small pure machine.

A number chooses; then each thing it needs is asked for; the answers make one intent.  An empty answer
goes back.  While no choice is open, lines that are no number leave the menu and mean what they always do.
"""

from collections.abc import Callable
from dataclasses import dataclass

from clients.chatting.interpreter import (
    HISTORY_DEFAULT,
    Channels,
    Create,
    Direct,
    History,
    Intent,
    Join,
    Leave,
    Login,
    Nothing,
    Quit,
    Say,
    Users,
    without_hash,
)


@dataclass(frozen=True)
class Choice:
    """One line of the menu: its text's key, the questions' keys, and the intent of the answers."""

    key: str
    questions: tuple[str, ...]
    intent: Callable[..., Intent]


CHOICES: tuple[Choice, ...] = (
    Choice("menu.login", ("ask.name",), Login),
    Choice("menu.users", (), Users),
    Choice("menu.channels", (), Channels),
    Choice("menu.create", ("ask.channel",), lambda name: Create(without_hash(name))),
    Choice("menu.join", ("ask.channel",), lambda name: Join(without_hash(name))),
    Choice("menu.say", ("ask.text",), Say),
    Choice("menu.msg", ("ask.user", "ask.text"), Direct),
    Choice("menu.history", (), lambda: History(HISTORY_DEFAULT)),
    Choice("menu.leave", (), lambda: Leave(None)),
    Choice("menu.quit", (), Quit),
)


@dataclass(frozen=True)
class Ask:
    """Ask for the text named by `key` next."""

    key: str


@dataclass(frozen=True)
class NotMine:
    """The menu is left; the line means what it always does."""


class MenuState:
    """Where a person is in the menu."""

    def __init__(self) -> None:
        self.open = False
        self._choice: Choice | None = None
        self._answers: list[str] = []

    def show(self) -> None:
        """The menu was shown: a number chooses."""
        self.open, self._choice, self._answers = True, None, []

    def feed(self, line: str) -> Ask | Intent | NotMine:
        """One typed line, while the menu is open."""
        given = line.strip()
        if self._choice is None:
            if not given.isascii() or not given.isdigit() or int(given[:4]) >= len(CHOICES) + 1:
                self.open = False
                return NotMine()
            # Zero is the last one, as in the menus that people know.
            self._choice = CHOICES[int(given) - 1]
        elif not given or given.startswith("/"):
            self.show()
            return Nothing()
        else:
            self._answers.append(given)
        if len(self._answers) < len(self._choice.questions):
            return Ask(self._choice.questions[len(self._answers)])
        intent = self._choice.intent(*self._answers)
        self.open = False
        return intent


def menu_numbers() -> list[tuple[int, str]]:
    """The menu's lines: number and text key; leaving is 0."""
    last = len(CHOICES)
    return [(number % last, choice.key) for number, choice in enumerate(CHOICES, start=1)]
