"""Errors typed by what the reader can do about them.

`Refused` and its kinds become `erro` envelopes: the code is stable and for programs, the text is
for people (Portuguese is the wire default of the contract's services; `recado.texts` translates).
"""


class ProtocolError(Exception):
    """Bytes or values that the protocol does not allow."""


class Malformed(ProtocolError):
    """A frame that cannot be read as a request or reply.

    `service` is the name to echo in the error envelope ("error" if not even that could be read).
    """

    def __init__(self, reason: str, *, service: str = "error", clock: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.service = service
        self.clock = clock


class Refused(ProtocolError):
    """A well-formed request that is not carried out; nothing was kept.

    `code` is stable (`user_empty`, `channel_missing`, `id_reused`, `busy`, …); `text` is for people.
    `reason`: in the words of who muted, banned or put out the one who asks.
    """

    def __init__(self, code: str, text: str, *, reason: str | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.reason = reason


class InvalidEntry(ProtocolError):
    """A log entry that no correct origin writes (A15); the origin stops there, the rest goes on."""
