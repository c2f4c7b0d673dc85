"""What became of everything that was typed, for the exit code of a chat that nobody watched."""

from clients.ending import FAILURE, OK, TEMPORARY, UNAVAILABLE


class Outcome:
    """Collects what went wrong.  Of several things the one that trying again does not mend decides."""

    def __init__(self) -> None:
        self.refused = False  # a line was refused, not understood, or not sent at all
        self.unsure = False  # whether it was done is not known
        self.unanswered = False  # nobody answered a question
        self.waiting: set[bytes] = set()  # messages in the outbox

    @property
    def exit_code(self) -> int:
        """0 everything was done, 1 refused, 75 unsure or still waiting, 69 nobody answered."""
        if self.refused:
            return FAILURE
        if self.unsure or self.waiting:
            return TEMPORARY
        return UNAVAILABLE if self.unanswered else OK
