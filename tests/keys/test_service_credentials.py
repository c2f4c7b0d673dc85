"""Which file a setting of a key means, with and without a service manager that hands keys over."""

from pathlib import Path

import pytest

from recado.service_credentials import credential_path

DATA = Path("/data")


@pytest.fixture
def loaded(tmp_path: Path) -> dict[str, str]:
    """The environment of a service for which `node.key` was loaded."""
    (tmp_path / "node.key").touch()
    return {"CREDENTIALS_DIRECTORY": str(tmp_path)}


def test_what_was_loaded_comes_before_the_data_directory(loaded: dict[str, str], tmp_path: Path) -> None:
    """Without a setting a credential is used if there is one, and the node's own file if not."""
    assert credential_path("", "node.key", data=DATA, env=loaded) == tmp_path / "node.key"
    assert credential_path("", "cluster.key", data=DATA, env=loaded) == DATA / "cluster.key"
    assert credential_path("", "node.key", data=DATA, env={}) == DATA / "node.key"


def test_a_file_that_is_named_is_that_file(loaded: dict[str, str]) -> None:
    """A path in the configuration wins over what was loaded."""
    assert credential_path("/etc/other.key", "node.key", data=DATA, env=loaded) == Path("/etc/other.key")


def test_a_credential_by_name_is_that_or_nothing(loaded: dict[str, str], tmp_path: Path) -> None:
    """What is asked for as a credential is never looked for elsewhere, and the path says what is missing."""
    assert credential_path("credential:x", "node.key", data=DATA, env=loaded) == tmp_path / "x"
    missing = credential_path("credential:x", "node.key", data=DATA, env={})
    assert str(missing) == "$CREDENTIALS_DIRECTORY/x"
    assert not missing.exists()
