"""``python completion.py TREE`` writes what bash, zsh and fish need to complete our commands.

The scripts are click's: they ask the program itself at each Tab, so they know every command, option and
choice of the version that is installed, and the names that its local replica has.
"""

import sys
from pathlib import Path
from typing import Final

from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete
from layout import PROGRAMS

from clients.cli import cli

SHELLS: Final[dict[type[ShellComplete], str]] = {
    BashComplete: "usr/share/bash-completion/completions/{0}",
    ZshComplete: "usr/share/zsh/vendor-completions/_{0}",
    FishComplete: "usr/share/fish/vendor_completions.d/{0}.fish",
}


def script(shell: type[ShellComplete], program: str) -> str:
    """One shell's script for one program; which shell is installed here does not matter."""
    variable = f"_{program.replace('-', '_').upper()}_COMPLETE"
    asks = shell(cli, {}, program, variable)
    return asks.source_template % asks.source_vars()


def main() -> None:
    """Write one file for each shell and program."""
    for shell, place in SHELLS.items():
        for program in PROGRAMS:
            file = Path(sys.argv[1]) / place.format(program)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(script(shell, program))


if __name__ == "__main__":
    main()
