"""`recado systemd install|remove`: units for an interpreter elsewhere, and for none that they can't see."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from clients.cli import cli
from clients.setup.units import PROGRAMS, Installation, executable, problems, texts, unit_files

ROOT = Path(__file__).parents[2]
SERVICES = ("recado-broker.service", "recado-reference.service", "recado-server@.service")


def debian(prefix: str) -> Installation:
    """A virtual environment of Debian's interpreter."""
    modules = Path(prefix) / "lib/python3.11/site-packages"
    return Installation(
        python=Path("/usr/bin/python3.11"),
        prefix=Path(prefix),
        base=Path("/usr"),
        scripts=Path(prefix) / "bin",
        modules=(modules,),
        own=modules,
        stdlib=Path("/usr/lib/python3.11"),
    )


@pytest.fixture
def prefix() -> Iterator[Path]:
    """An environment that anybody may enter, whose interpreter only says where things are."""
    shm = Path("/dev/shm")
    made = Path(tempfile.mkdtemp(prefix="recado-prefix-", dir=shm if shm.is_dir() else "/opt"))
    made.chmod(0o755)
    modules = made / "lib/python3.11/site-packages"
    for directory in (made / "bin", modules):
        directory.mkdir(parents=True)
    found = {name: str(value) for name, value in debian(str(made))._asdict().items()}
    python = shutil.which("sh") or "/bin/sh"
    found |= {"python": os.path.realpath(python), "stdlib": "/usr/lib"}
    told = json.dumps({**found, "modules": [str(modules)]})
    (made / "bin/python").write_text(f"#!/bin/sh\necho '{told}'\n")
    for program in PROGRAMS:
        (made / "bin" / program).write_text("#!/bin/sh\n")
    for file in (made / "bin").iterdir():
        file.chmod(0o755)
    yield made
    shutil.rmtree(made)


def call(*arguments: str) -> Result:
    return CliRunner(env={"RECADO_LANG": "en"}).invoke(cli, ["systemd", *arguments])


def test_opt_recado_gets_what_is_shipped() -> None:
    """For /opt/recado and Debian's Python the units are, but for the mark, the shipped ones."""
    shipped = unit_files()
    written = texts(shipped, debian("/opt/recado"))
    assert len(written) == len(shipped) >= 8
    for name in SERVICES:
        lines = written[f"etc/systemd/system/{name}"].splitlines()[1:]
        differing = [(a, b) for a, b in zip(lines, shipped[name].splitlines(), strict=True) if a != b]
        assert all(a.startswith("ExecPaths=") for a, _ in differing)
        for _, before in differing:
            allowed = set(before.removeprefix("ExecPaths=").replace("=-", "=").split())
            assert {path.lstrip("-") for path in executable(debian("/opt/recado"))} == {
                path.lstrip("-") for path in allowed
            }


def test_another_place_is_in_every_path() -> None:
    """Programs are started there, and it may be executed; /opt/recado is named nowhere."""
    written = texts(unit_files(), debian("/srv/chat"))
    for name in SERVICES:
        text = written[f"etc/systemd/system/{name}"]
        assert "ExecStart=/srv/chat/bin/recado-" in text
        assert "ExecPaths=/srv/chat /usr/bin/python3.11 /usr/lib" in text
        assert "/opt/recado" not in text


def test_an_interpreter_of_its_own_may_be_executed() -> None:
    """One that was built into /opt/python brings its shared libraries."""
    base = Path("/opt/python")
    found = debian("/srv/chat")._replace(
        python=base / "bin/python3.11", base=base, stdlib=base / "lib/python3.11"
    )
    assert executable(found)[:3] == ["/srv/chat", "/opt/python/bin/python3.11", "/opt/python/lib"]


@pytest.mark.parametrize(
    ("prefix", "key"),
    [
        ("/home/ana/.local/pipx/venvs/recado", "systemd.hidden"),
        ("/root/venv", "systemd.hidden"),
        ("/tmp/venv", "systemd.hidden"),
        ("/srv/my chat", "systemd.odd_path"),
        ("/srv/100%", "systemd.odd_path"),
        ("/srv/nothing-is-here", "systemd.missing"),
    ],
)
def test_what_hardened_units_cannot_see(prefix: str, key: str) -> None:
    """The reason is found before anything is written."""
    assert next(problems(debian(prefix))).key == key


def test_install_again_and_remove(prefix: Path, tmp_path: Path) -> None:
    """All files, none of them new the second time; remove leaves what others wrote."""
    where = (f"--prefix={prefix}", f"--root={tmp_path}")
    shown = json.loads(call("install", *where, "--dry-run", "--json").stdout)
    assert list(tmp_path.iterdir()) == []
    told = json.loads(call("install", *where, "--json").stdout)
    assert sorted(told["written"]) == sorted(shown["files"])
    assert len(told["written"]) == len(unit_files())
    assert json.loads(call("install", *where, "--json").stdout)["written"] == []
    others = tmp_path / "etc/systemd/system/recado-mine.service"
    others.write_text("[Service]\n")
    removed = json.loads(call("remove", f"--root={tmp_path}", "--json").stdout)["removed"]
    assert sorted(removed) == sorted(told["written"])
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [others]


def test_what_is_not_ours_stays(prefix: Path, tmp_path: Path) -> None:
    """A unit of somebody else's is refused with 73 and replaced only by --force; the package's units too."""
    where = ("install", f"--prefix={prefix}", f"--root={tmp_path}")
    unit = tmp_path / "etc/systemd/system/recado.target"
    unit.parent.mkdir(parents=True)
    unit.write_text("mine\n")
    assert call(*where).exit_code == 73
    assert unit.read_text() == "mine\n"
    assert call(*where, "--force").exit_code == 0
    assert unit.with_name("recado.target.old").read_text() == "mine\n"
    packaged = tmp_path / "usr/lib/systemd/system/recado-server@.service"
    packaged.parent.mkdir(parents=True)
    packaged.touch()
    assert "Debian package" in call(*where).stderr


def test_a_closed_directory_is_named(prefix: Path, tmp_path: Path) -> None:
    """Whatever the daemons' user may not enter is refused, with the command that opens it."""
    (prefix / "lib").chmod(0o700)
    result = call("install", f"--prefix={prefix}", f"--root={tmp_path}")
    assert result.exit_code == 1
    assert f"chmod o+rX {prefix / 'lib'}" in result.stderr


def test_no_recado_there(tmp_path: Path) -> None:
    """An environment without Recado is refused."""
    assert "no Recado installed" in call("install", f"--prefix={tmp_path}").stderr


@pytest.mark.needs("systemd-analyze")
def test_systemd_has_nothing_to_say_of_what_is_written(prefix: Path, tmp_path: Path) -> None:
    """`systemd-analyze verify` is silent about the units with other paths."""
    shutil.copytree("/usr/lib/systemd/system", tmp_path / "usr/lib/systemd/system", symlinks=True)
    for unit in (tmp_path / "usr/lib/systemd/system").glob("recado*"):
        unit.unlink()
    assert call("install", f"--prefix={prefix}", f"--root={tmp_path}").exit_code == 0
    shutil.copytree(prefix, tmp_path / str(prefix).lstrip("/"))
    (tmp_path / "usr/bin").mkdir()
    (tmp_path / "usr/bin/kill").touch(0o755)
    units = [name.replace("@", "@n1") for name in SERVICES]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", f"--root={tmp_path}", *units],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout + done.stderr).strip() == ""


@pytest.mark.slow
def test_the_wheel_brings_the_units(tmp_path: Path) -> None:
    """What pip installs holds every file of systemd/ word for word: there is one copy in the sources."""
    for name in ("pyproject.toml", "README.md", "recado", "storage", "daemons", "clients", "systemd"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tmp_path)
    subprocess.run(
        [sys.executable, "-c", "import setuptools; setuptools.setup()", "build_py", "--build-lib", "out"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    found = {path.name: path.read_bytes() for path in (tmp_path / "out/clients/units").iterdir()}
    assert found == {path.name: path.read_bytes() for path in (ROOT / "systemd").glob("recado*")}
