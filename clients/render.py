"""Messages as lines for people and as JSON for programs."""

import time
from typing import Any

from clients.output import document, words
from clients.words import speaker
from recado.client import Key, Message, Receipt
from recado.protocol.printable import printable


def message_json(message: Message) -> dict[str, Any]:
    """A message's fields; ids in hexadecimal, `key` as ``LAMPORT:ORIGIN:SEQ`` (for ``--before``)."""
    ident = message.id.hex() if isinstance(message.id, bytes) else message.id
    where = {"channel": message.channel} if message.channel is not None else {"dst": message.dst}
    return {
        **where,
        "user": message.user,
        "text": message.text,
        "timestamp": message.timestamp,
        "clock": message.clock,
        "key": None if message.key is None else key_text(message.key),
        "id": ident,
        "late": message.late,
    }


def moment(timestamp: int, *, now: float | None = None) -> str:
    """Local time of a message: date and time, and of today (if `now` is given) only the time."""
    there = time.localtime(timestamp)
    today = now is not None and time.localtime(now)[:3] == there[:3]
    return time.strftime("%H:%M:%S" if today else "%Y-%m-%d %H:%M:%S", there)


def message_line(message: Message, *, channel: bool, now: float | None = None, mark: str = "") -> str:
    """One message on one line (line breaks in it shown as such); `channel`: say which one.

    `mark` stands before the brackets, where no name can put one.
    """
    when = moment(message.timestamp, now=now)
    user, text = printable(message.user), printable(message.text)
    if message.channel is None:
        return f"{when}  {user} -> {printable(message.dst or '')}: {text}"
    where = f"#{printable(message.channel)} " if channel else ""
    return f"{when}  {where}{mark}<{user}> {text}"


def receipt_json(receipt: Receipt) -> dict[str, Any]:
    return {
        "id": receipt.id.hex(),
        "key": None if receipt.key is None else key_text(receipt.key),
        "acks": receipt.acks,
        "of": receipt.of,
        "level": str(receipt.level),
        "server": receipt.server,
        "clock": receipt.clock,
    }


def tell_receipt(receipt: Receipt, what: str, /, *, as_json: bool, **fields: Any) -> None:
    """What was done, and how far it is kept: `acks` durable copies of as many servers."""
    if as_json:
        document(**fields, **receipt_json(receipt))
        return
    copies = f"{receipt.acks}/{receipt.of}" if receipt.of else str(receipt.acks)
    words(speaker()("talk.receipt", what=what, copies=copies, clock=receipt.clock))


def key_text(key: Key) -> str:
    """A place in the order, as options take it."""
    return f"{key.lamport}:{key.origin}:{key.seq}"


def key_of(text: str) -> Key:
    """The reverse of `key_text`.  Raises `ValueError`."""
    lamport, _, rest = text.partition(":")
    origin, _, seq = rest.rpartition(":")
    if not origin:
        raise ValueError("expected LAMPORT:ORIGIN:SEQ")
    return Key(int(lamport), origin, int(seq))
