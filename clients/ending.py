"""How a command ends: exit codes, and the one place where errors become words and a code.

0 done · 1 refused or failed · 2 wrong usage · 65 the data given can't be used · 69 nobody answers ·
70 fault in the program or the disk · 73 can't create (port taken, directory locked or unwritable) ·
75 outcome unknown, or try again later · 78 configuration.
"""

import sys
from typing import Any

import click

from clients.output import document, stream_line

OK = 0
FAILURE = 1
USAGE = 2
DATA = 65
UNAVAILABLE = 69
SOFTWARE = 70
CANNOT_CREATE = 73
TEMPORARY = 75
CONFIGURATION = 78


# What programs read where nothing more precise is known.
_CODES = {
    FAILURE: "failed",
    DATA: "data",
    UNAVAILABLE: "unavailable",
    SOFTWARE: "software",
    CANNOT_CREATE: "cannot_create",
    TEMPORARY: "temporary",
    CONFIGURATION: "configuration",
}


class Ended(click.ClickException):
    """A command's end in words, on standard error, with its exit code.

    Of a command called with ``--json`` it is told on standard output too: `code` (stable) and `fields`.
    """

    def __init__(self, text: str, exit_code: int = FAILURE, *, code: str = "", **fields: Any) -> None:
        super().__init__(text)
        self.exit_code = exit_code  # type: ignore[misc]  # click declares a class variable and means this
        self.code = code or _CODES.get(exit_code, "failed")
        self.fields = fields
        context = click.get_current_context(silent=True)
        self._as_json = context is not None and bool(context.params.get("as_json"))

    def show(self, file: Any = None) -> None:
        if self._as_json:
            error = {"code": self.code, "text": self.message, **self.fields}
            document(error=error, exit_code=self.exit_code)
        stream_line(f"recado: {self.message}", file or sys.stderr)
