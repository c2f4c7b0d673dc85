"""docs/library.md keeps up with the library."""

import re
from dataclasses import fields
from inspect import signature
from pathlib import Path

import trio
import trio.testing

from recado import client
from recado.client import Chat, Message, Patience, Receipt

PAGE = (Path(__file__).parents[2] / "docs" / "library.md").read_text()


def _named(names: list[str]) -> list[str]:
    return [name for name in names if not re.search(rf"\b{name}\b", PAGE)]


def test_the_page_names_what_the_library_offers() -> None:
    """Every public method, argument of `connect`, error, field and time is on the page."""
    methods = [name for name in vars(Chat) if not name.startswith("_")]
    arguments = [name for name in signature(client.connect).parameters if name != "random"]
    errors = [n for n in client.__all__ if isinstance(getattr(client, n), type)]
    errors = [n for n in errors if issubclass(getattr(client, n), Exception)]
    values = [field.name for kind in (Message, Receipt, Patience) for field in fields(kind)]
    assert _named([*methods, *arguments, *errors, *values]) == []


def test_the_times_on_the_page_are_the_defaults() -> None:
    """The line with `Patience(…)` gives the real defaults."""
    (line,) = re.findall(r"`Patience\(([a-z_]+=[^`]*)\)`", PAGE)
    given = {name: float(value) for name, value in (part.split("=") for part in line.split(", "))}
    assert given == {field.name: field.default for field in fields(Patience)}


def test_the_example_for_tests_runs() -> None:
    """The example of the memory network is complete and passes."""
    (example,) = re.findall(r"```python\n(import trio\.testing.*?)```", PAGE, re.DOTALL)
    space: dict[str, object] = {}
    exec(compile(example, "docs/library.md", "exec"), space)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            await space["test_my_bot"](nursery, None)  # type: ignore[operator]
            nursery.cancel_scope.cancel()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
