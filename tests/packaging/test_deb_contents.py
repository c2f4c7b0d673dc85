"""What is in the Debian package, and what is not."""

import gzip
import hashlib
import os
import re
import shutil
import stat
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import packages
import pytest
from packages import BUILDER, ROOT, deb

from clients.cli import COMMANDS
from recado import __version__
from recado.settings import describe

pytestmark = [pytest.mark.slow, pytest.mark.system, pytest.mark.needs(*packages.NEEDS)]

MODULES = Path("opt/recado/lib/python3.11/site-packages")
ROOMS = ("recado", "storage", "daemons", "clients")
PROGRAMS = ("recado", "recado-server", "recado-broker", "recado-reference")
# What `Depends` brings, with what these depend on: their libraries may be called.
PROVIDED = {"libc6", "libstdc++6", "libgcc-s1"}


@pytest.fixture(scope="session")
def members() -> list[tarfile.TarInfo]:
    """The package's files as dpkg will see them."""
    unpacked = subprocess.run(["dpkg-deb", "--fsys-tarfile", deb()], capture_output=True, check=True).stdout
    with tarfile.open(fileobj=BytesIO(unpacked)) as archive:
        return archive.getmembers()


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package unpacked, with its description in DEBIAN/."""
    root = tmp_path_factory.mktemp("package") / "tree"
    subprocess.run(["dpkg-deb", "--raw-extract", deb(), root], check=True)
    return root


def _files(tree: Path, below: str = ".") -> Iterator[Path]:
    return (path for path in sorted((tree / below).rglob("*")) if path.is_file() and not path.is_symlink())


def _field(name: str) -> str:
    said = subprocess.run(["dpkg-deb", "--field", deb(), name], capture_output=True, text=True, check=True)
    return said.stdout.strip()


def test_everything_is_roots_and_nobody_elses_to_write(members: list[tarfile.TarInfo]) -> None:
    """Every file belongs to root; only root may write it; none runs with rights that its caller lacks."""
    assert {(member.uid, member.gid, member.uname, member.gname) for member in members} == {
        (0, 0, "root", "root")
    }
    assert [m.name for m in members if not m.issym() and m.mode & 0o7022] == []
    assert {m.mode for m in members if m.isfile()} == {0o644, 0o755}
    assert [m.name for m in members if m.mtime != members[0].mtime] == []


def test_only_known_places_are_touched(tree: Path) -> None:
    """The package lies in /opt/recado and where systemd, man and shells look; nothing is in /etc."""
    places = {
        "/".join(path.relative_to(tree).parts[: 3 if path.relative_to(tree).parts[0] == "usr" else 2])
        for path in _files(tree)
        if "DEBIAN" not in path.parts
    }
    assert places == {
        *("opt/recado", "usr/lib/systemd", "usr/lib/sysusers.d", "usr/lib/tmpfiles.d"),
        *("usr/share/bash-completion", "usr/share/zsh", "usr/share/fish"),
        *("usr/share/doc", "usr/share/man", "usr/share/recado"),
    }
    assert not (tree / "etc").exists()
    assert not (tree / "DEBIAN" / "conffiles").exists()


def test_all_modules_are_there_and_no_tests(tree: Path) -> None:
    """Every module of Recado is in the package as it stands here, each is compiled, no test is there."""
    for room in ROOMS:
        ours = {file.relative_to(ROOT) for file in (ROOT / room).rglob("*.py")}
        theirs = {file.relative_to(tree / MODULES) for file in (tree / MODULES / room).rglob("*.py")}
        assert theirs == ours
        assert [f for f in ours if (ROOT / f).read_bytes() != (tree / MODULES / f).read_bytes()] == []
    for source in (tree / MODULES).rglob("*.py"):
        assert (source.parent / "__pycache__" / f"{source.stem}.cpython-311.pyc").is_file(), source
    named = {part for path in _files(tree) for part in path.relative_to(tree).parts}
    assert named.isdisjoint({"tests", "_tests", "conftest.py", "bench", "direct_url.json", "RECORD", "pip"})


def test_nothing_says_where_it_was_built(tree: Path) -> None:
    """No file but libraries' own knows a directory of the machine that built the package."""
    places = {str(ROOT), sys.prefix, sys.base_prefix} - {"/usr", "/usr/local"}
    builders = re.compile("|".join(["recado-deb-", *map(re.escape, sorted(places))]).encode())
    told = [str(path) for path in _files(tree) if path.suffix != ".so" and builders.search(path.read_bytes())]
    assert told == []


def test_programs_run_with_debians_interpreter_alone(tree: Path) -> None:
    """Scripts begin with the package's own interpreter in isolation, and that is Debian's python3.11."""
    programs = tree / "opt/recado/bin"
    assert {path.name for path in _files(tree, "opt/recado/bin")} == set(PROGRAMS)
    for program in PROGRAMS:
        assert (programs / program).read_text().startswith("#!/opt/recado/bin/python -IB\n")
        place = tree / ("usr/bin" if program == "recado" else "usr/sbin") / program
        assert os.readlink(place) == f"/opt/recado/bin/{program}"
    assert os.readlink(programs / "python") == "/usr/bin/python3.11"
    assert "home = /usr/bin\n" in (tree / "opt/recado/pyvenv.cfg").read_text()
    executable = {p.relative_to(tree) for p in _files(tree) if p.stat().st_mode & stat.S_IXUSR}
    expected = {Path("opt/recado/bin") / name for name in PROGRAMS}
    assert executable - expected == {Path("DEBIAN") / name for name in ("postinst", "prerm", "postrm")}


@pytest.mark.needs("ldd", "dpkg")
def test_each_library_comes_with_a_dependency(tree: Path) -> None:
    """What compiled modules link to is in the package or in a package that it depends on."""
    missing = {}
    for module in (tree / MODULES).rglob("*.so"):
        said = subprocess.run(["ldd", module], capture_output=True, text=True, check=True).stdout
        for line in said.splitlines():
            path = line.partition(" => ")[2].partition(" (")[0].strip()
            if path and not path.startswith(str(tree)):
                owner = _owner(path)
                if owner not in PROVIDED:
                    missing[str(module.relative_to(tree))] = line
    assert missing == {}


def _owner(path: str) -> str:
    for each in (path, os.path.realpath(path), "/usr" + path, path.removeprefix("/usr")):
        said = subprocess.run(["dpkg", "-S", each], capture_output=True, text=True, check=False).stdout
        if said:
            return said.partition(":")[0]
    return path


def test_the_description_is_complete() -> None:
    """The fields say which version this is, for which machine, and what it needs."""
    machine = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True)
    assert (_field("Package"), _field("Version")) == ("recado", __version__)
    assert _field("Architecture") == machine.stdout.strip()
    assert set(_field("Depends").split(", ")) == {
        *("python3.11", "libc6 (>= 2.36)", "libstdc++6", "systemd (>= 252)")
    }
    assert _field("Recommends") == "openssh-server, sqlite3"
    synopsis, *more = _field("Description").splitlines()
    assert len(synopsis) <= 60
    assert not synopsis.startswith(("A ", "The "))
    assert all(line.startswith(" ") and len(line) <= 80 for line in more)


def test_the_size_is_told(members: list[tarfile.TarInfo]) -> None:
    """Installed-Size is what the files take, in KiB: each rounded up, one for each directory and link."""
    size = sum(-(-member.size // 1024) if member.isfile() else 1 for member in members)
    assert abs(int(_field("Installed-Size")) - size) <= 4


def test_scripts_of_the_package_are_sound(tree: Path) -> None:
    """The maintainer scripts stop at their first fault, and do nothing when asked for nothing."""
    for name in ("postinst", "prerm", "postrm"):
        script = tree / "DEBIAN" / name
        subprocess.run(["sh", "-n", script], check=True)
        assert "\nset -e\n" in script.read_text()
        done = subprocess.run([script, "abort-upgrade", "1"], capture_output=True, text=True, check=True)
        assert done.stdout + done.stderr == ""


def test_every_file_has_its_sum(tree: Path) -> None:
    """`dpkg --verify` can tell of each file whether somebody changed it."""
    sums = dict(reversed(line.split("  ", 1)) for line in (tree / "DEBIAN/md5sums").read_text().splitlines())
    files = {str(p.relative_to(tree)): p for p in _files(tree) if "DEBIAN" not in p.parts}
    assert set(sums) == set(files)
    for name, path in files.items():
        assert hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() == sums[name]


def test_units_and_documents_are_those_of_the_tree(tree: Path) -> None:
    """Units, catalog, example, rules, dashboard, changelog: each as it stands in the tree."""
    placed = {path.name: path for path in _files(tree, "usr") if path.suffix != ".gz"}
    for file in (path for path in (ROOT / "systemd").rglob("*") if path.is_file()):
        name = "recado.conf" if file.suffix in (".sysusers", ".tmpfiles") else file.name
        found = [path for path in _files(tree, "usr") if path.name == name]
        assert file.read_bytes() in [path.read_bytes() for path in found], name
    changelog = gzip.decompress((tree / "usr/share/doc/recado/changelog.gz").read_bytes())
    assert changelog == (ROOT / "CHANGELOG.md").read_bytes()
    assert "MIT" in placed["copyright"].read_text()
    assert "operations.md" in placed


def test_every_command_and_setting_has_its_manual(tree: Path) -> None:
    """There is a page for each command and daemon, and recado.toml(5) tells every setting."""
    manual = tree / "usr/share/man"
    names = {path.name for path in _files(manual)}
    expected = {f"recado-{name}.1.gz" for name, *_ in COMMANDS}
    expected |= {f"{name}.8.gz" for name in PROGRAMS[1:]} | {"recado.1.gz", "recado.toml.5.gz"}
    assert names == expected
    settings = gzip.decompress((manual / "man5/recado.toml.5.gz").read_bytes()).decode()
    for setting in describe():
        assert f"\n.TP\n\\fB{setting.key.rpartition('.')[2]}\\fR = " in settings


@pytest.mark.needs("mandoc", "man")
def test_manuals_are_well_formed(tree: Path) -> None:
    """Neither mandoc's lint nor groff has a word to say about any page."""
    env = {**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "80"}
    said = {}
    for page in _files(tree, "usr/share/man"):
        for command in (["mandoc", "-T", "lint"], ["man", "--warnings", "-l"]):
            done = subprocess.run([*command, str(page)], capture_output=True, text=True, check=False, env=env)
            complaint = done.stderr + (done.stdout if command[0] == "mandoc" else "")
            if complaint.strip():
                said[page.name] = complaint
    assert said == {}


def test_same_sources_same_bytes(tmp_path: Path) -> None:
    """Built again from a copy of the sources in another place, the package is the same to the last bit."""
    copy = tmp_path / "elsewhere"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"):
        shutil.copy(ROOT / name, copy)
    for name in ("systemd", "docs", "packaging", *ROOMS):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "build" / "wheels", copy / "build" / "wheels")
    with tarfile.open(fileobj=BytesIO(_tar(deb()))) as archive:
        epoch = int(archive.getmembers()[0].mtime)
    again = subprocess.run(
        [sys.executable, str(copy / BUILDER.relative_to(ROOT)), "--cached"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "SOURCE_DATE_EPOCH": str(epoch)},
    )
    made = Path(again.stdout.strip())
    if made.read_bytes() != deb().read_bytes():
        assert _listed(made) == _listed(deb())
        raise AssertionError("the same files, and still other bytes")


def _tar(package: Path) -> bytes:
    return subprocess.run(["dpkg-deb", "--fsys-tarfile", package], capture_output=True, check=True).stdout


def _listed(package: Path) -> dict[str, str]:
    with tarfile.open(fileobj=BytesIO(_tar(package))) as archive:
        files = {
            member.name: archive.extractfile(member) for member in archive.getmembers() if member.isfile()
        }
        return {name: hashlib.sha256(file.read()).hexdigest() for name, file in files.items() if file}
