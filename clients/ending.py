"""How a command ends: exit codes, and the one place where errors become words and a code.

0 done · 1 refused or failed · 2 wrong usage · 65 the data given can't be used · 69 nobody answers ·
70 fault in the program or the disk · 73 can't create (port taken, directory locked or unwritable) ·
75 outcome unknown, or try again later · 78 configuration.
"""

import sys
from typing import Any

import click

from recado.protocol.printable import printable

OK = 0
FAILURE = 1
USAGE = 2
DATA = 65
UNAVAILABLE = 69
SOFTWARE = 70
CANNOT_CREATE = 73
TEMPORARY = 75
CONFIGURATION = 78


class Ended(click.ClickException):
    """A command's end in words, on standard error, with its exit code."""

    def __init__(self, text: str, code: int = FAILURE) -> None:
        super().__init__(text)
        self.exit_code = code  # type: ignore[misc]  # click declares a class variable and means this

    def show(self, file: Any = None) -> None:
        print(f"recado: {printable(self.message, keep=chr(10))}", file=file or sys.stderr)
