"""What a daemon's end says about its files: codes that tell a service manager whether to try again."""

import pytest

from daemons.shared.process import exit_code
from storage.database import DataLocked, StorageError, StorageFailed, StorageFull, WrongFile


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DataLocked("in use"), 73),
        (StorageFailed("disk"), 70),
        (StorageFull("no room"), 75),
        (WrongFile("another node's"), 78),
    ],
)
def test_errors_of_files_are_expected_ends(error: StorageError, code: int) -> None:
    """Each error that opening a store raises ends the daemon in one line with its own code."""
    assert exit_code(error) == code
