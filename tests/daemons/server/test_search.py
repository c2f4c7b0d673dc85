"""The service `search`: what is found, and above all what is not."""

from typing import Any


from tests.daemons.server.server_bench import Running, lone, until


async def indexed(one: Running) -> None:
    """Wait until the index has all that is durable."""
    await until(lambda: (one.node.search_state() or {}).get("lag") == 0)


async def found(one: Running, text: str, **fields: Any) -> list[str]:
    """The texts that a search finds, oldest first."""
    await indexed(one)
    data = await one.ask("search", text=text, **fields)
    assert data["status"] == "OK", data
    assert data["partial"] is False
    return [m["message"] for m in data["messages"]]


async def test_words_phrases_and_beginnings_are_found() -> None:
    """A word is found without its accents, a phrase only in its order, a beginning with a star."""
    async with lone() as one:
        await one.furnish()
        for text in ("Um café, por favor", "o favor por um cafezinho", "nada disso"):
            await one.say(text)
        assert await found(one, "CAFE") == ["Um café, por favor"]
        assert await found(one, "cafe*") == ["Um café, por favor", "o favor por um cafezinho"]
        assert await found(one, '"por favor"') == ["Um café, por favor"]
        assert await found(one, "favor por") == ["Um café, por favor", "o favor por um cafezinho"]
        assert await found(one, "favor", author="bia") == []
        assert not one.faults()
