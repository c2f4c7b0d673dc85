"""Room kept for a full disk."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from storage.replica import Replica
from storage.reserve import NAME, Reserve

SIZE = 1 << 20


def test_the_room_is_really_taken(tmp_path: Path) -> None:
    """Its blocks are allocated, not only its length; it is given up once."""
    reserve = Reserve(tmp_path, SIZE)
    assert not reserve.held
    assert reserve.take()
    assert reserve.held
    assert (tmp_path / NAME).stat().st_blocks * 512 >= SIZE
    assert reserve.release()
    assert not reserve.release()
    assert not (tmp_path / NAME).exists()


def test_without_a_size_there_is_none(tmp_path: Path) -> None:
    """A reserve of zero bytes is held without a file, and there is nothing to give up."""
    reserve = Reserve(tmp_path, 0)
    assert reserve.held
    assert reserve.take()
    assert not reserve.release()
    assert list(tmp_path.iterdir()) == []


def test_a_sparse_file_is_no_reserve(tmp_path: Path) -> None:
    """A file that only says that it is long is filled."""
    with (tmp_path / NAME).open("wb") as file:
        file.truncate(SIZE)
    reserve = Reserve(tmp_path, SIZE)
    assert not reserve.held
    assert reserve.take()
    assert reserve.held


def test_half_a_reserve_is_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk has not all the room, what was taken of it is not kept."""

    def half(descriptor: int, _offset: int, length: int) -> None:
        os.write(descriptor, bytes(length // 2))
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", half)
    assert not Reserve(tmp_path, SIZE).take()
    assert not (tmp_path / NAME).exists()


def test_a_replica_keeps_its_reserve(tmp_path: Path) -> None:
    """It is taken at the start and found at the next; a smaller setting is content with what is there."""
    for size in (SIZE, SIZE, SIZE // 2):
        replica = Replica.open(tmp_path, node="server-1", reserve_bytes=size)
        assert replica.reserve is not None
        assert replica.reserve.held
        assert not replica.full_at_start
        replica.close()


def test_a_directory_that_can_t_be_written_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No right to write is no room; nothing is raised."""

    def refuse(*_args: Any, **_more: Any) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("os.open", refuse)
    assert not Reserve(tmp_path, SIZE).take()
