"""Which backups go when a new one is there, and what is noted of it."""

from pathlib import Path

import pytest

from storage.backup_rotation import MARK, note, noted, rotate


def _made(directory: Path, *names: str) -> list[Path]:
    paths = [directory / name for name in names]
    for path in paths:
        path.touch()
    return paths


NIGHTS = [f"recado-n1-202611{day}T033000Z.tar" for day in (20, 21, 22, 23)]


def test_the_oldest_go(tmp_path: Path) -> None:
    """So many of the newest are left, the new one among them."""
    *_, newest = _made(tmp_path, *NIGHTS)
    gone = rotate(newest, node="n1", keep=2)
    assert [path.name for path in gone] == NIGHTS[:2]
    assert sorted(path.name for path in tmp_path.iterdir()) == NIGHTS[2:]
    assert rotate(newest, node="n1", keep=2) == []


def test_other_files_stay(tmp_path: Path) -> None:
    """Another node's, of a name that only begins alike, and everything that is called otherwise."""
    others = ["recado-n1-x-20261101T033000Z.tar", "recado-n2-20261101T033000Z.tar", "recado-n1-keep.tar"]
    _made(tmp_path, *others, "recado-n1-20261101T033000Z.tar.age")
    *_, newest = _made(tmp_path, *NIGHTS)
    rotate(newest, node="n1", keep=1)
    assert len(list(tmp_path.iterdir())) == len(others) + 2


@pytest.mark.parametrize("keep", [1, 2])
def test_the_new_one_stays_though_a_clock_went_back(tmp_path: Path, keep: int) -> None:
    """What was just made is never deleted, even if its name sorts first."""
    oldest, *_ = _made(tmp_path, *NIGHTS)
    rotate(oldest, node="n1", keep=keep)
    assert oldest.exists()
    assert len(list(tmp_path.iterdir())) == keep


def test_the_last_one_is_noted(tmp_path: Path) -> None:
    """Its name and time stand in the node's directory; where nothing can be written nothing is."""
    assert noted(tmp_path) is None
    note(tmp_path, Path("recado-n1-20261123T033000Z.tar"))
    assert (tmp_path / MARK).read_text() == "recado-n1-20261123T033000Z.tar\n"
    assert (noted(tmp_path) or 0) > 0
    note(tmp_path / "missing", Path("x"))
