"""Why a cluster can't be started."""

EX_CANTCREAT = 73


class CannotStart(Exception):
    """The cluster can't be started here; the text says why and what to do.  `exit_code`: sysexits."""

    def __init__(self, text: str, exit_code: int = EX_CANTCREAT) -> None:
        super().__init__(text)
        self.exit_code = exit_code
