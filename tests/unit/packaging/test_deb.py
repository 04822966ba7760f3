"""The Debian package: built, unpacked into a clean folder, installed into a system, and run there.

Building takes the libraries from pip's index and half a minute; everything here shares one package.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from component import __version__

ROOT = Path(__file__).parents[3]
PYTHON = Path("/usr/bin/python3")
CLEAN = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/nonexistent"}

pytestmark = [
    pytest.mark.skipif(
        shutil.which("dpkg-deb") is None or not PYTHON.exists(), reason="this is no Debian"
    ),
    pytest.mark.full,  # takes minutes
]


def run(*command: str | Path, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Run a command in an environment that knows nothing of this checkout."""
    return subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env=CLEAN,
        cwd="/",
    )


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package."""
    folder = tmp_path_factory.mktemp("deb")
    built = subprocess.run(
        [str(ROOT / "packaging" / "build-deb.sh"), str(folder)],
        capture_output=True,
        text=True,
        timeout=560,
        check=False,
    )
    if "ensurepip is not" in built.stdout + built.stderr:
        pytest.skip("python3-venv is not installed")
    assert built.returncode == 0, built.stdout + built.stderr
    path = Path(built.stdout.splitlines()[-1])
    assert path.parent == folder
    return path


@pytest.fixture(scope="module")
def tree(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, unpacked."""
    folder = tmp_path_factory.mktemp("root")
    assert run("dpkg-deb", "-x", package, folder).returncode == 0
    return folder


def test_what_it_says_of_itself(package: Path) -> None:
    fields = run("dpkg-deb", "-f", package).stdout
    assert "Package: xmpp-moved\n" in fields
    assert f"Version: {__version__}\n" in fields
    assert "@" not in fields.replace("@localhost", "")
    minor = run(PYTHON, "-c", "import sys; print('%d.%d' % sys.version_info[:2])").stdout.strip()
    assert f"python3 (>= {minor})" in fields


def test_what_is_in_it(package: Path, tree: Path) -> None:
    for path in (
        "usr/bin/xmpp-moved",
        "usr/lib/systemd/system/xmpp-moved.service",
        "usr/lib/sysusers.d/xmpp-moved.conf",
        "usr/share/man/man1/xmpp-moved.1.gz",
        "usr/share/doc/xmpp-moved/copyright",
        "usr/share/doc/xmpp-moved/config.example.toml",
        "usr/lib/xmpp-moved/component/hooks/prosody/mod_moved_hook/mod_moved_hook.lua",
        "usr/lib/xmpp-moved/component/ui/locale/de/LC_MESSAGES/xmpp-moved.po",
    ):
        assert (tree / path).is_file(), path
    assert (tree / "etc/xmpp-moved").is_dir()
    assert not uncompiled(tree)
    listing = run("dpkg-deb", "-c", package).stdout.splitlines()
    assert all(" root/root " in line for line in listing)
    assert not [line for line in listing if line[8] == "w"]  # writable for everybody


def test_it_runs_in_a_clean_folder(tree: Path, tmp_path: Path) -> None:
    command = tree / "usr/bin/xmpp-moved"
    before = set(tree.rglob("*"))
    assert run(command, "--version").stdout == f"xmpp-moved {__version__}\n"
    assert "restore" in run(command, "db", "--help").stdout
    bad = tmp_path / "config.toml"
    bad.write_text("[contacts]\ndedline_seconds = 5\n")
    done = run(command, "--config", bad, "check")
    assert done.returncode == 78
    assert 'did you mean "deadline_seconds"?' in done.stderr
    good = tmp_path / "good.toml"
    good.write_text(
        '[component]\njid = "moved.montague.example"\nsecret = "s"\nport = 1\n'
        f'control = ""\n[served]\nhosts = ["montague.example"]\n[metrics]\nlisten = ""\n'
        f'[database]\nurl = "sqlite+aiosqlite:///{tmp_path}/moved.db"\n'
    )
    good.chmod(0o600)
    done = run(command, "--config", good, "db", "upgrade")
    assert (done.returncode, done.stderr) == (0, "")
    copy = tmp_path / "copy.db"
    assert run(command, "--config", good, "db", "backup", copy).returncode == 0
    assert run(command, "--config", good, "hook", "prosody", "--to", tmp_path).returncode == 0
    assert (tmp_path / "mod_moved_hook").is_dir()
    done = run(command, "--config", good, "check")
    assert done.returncode == 1
    assert "moves in the journal" in done.stdout
    assert set(tree.rglob("*")) == before  # dpkg would leave it behind


def test_it_can_use_postgresql(tree: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(
        '[component]\njid = "moved.montague.example"\nsecret = "s"\n'
        '[served]\nhosts = ["montague.example"]\n'
        '[database]\nurl = "postgresql+asyncpg://moved@127.0.0.1:1/moved"\n'
    )
    config.chmod(0o600)
    done = run(tree / "usr/bin/xmpp-moved", "--config", config, "moves")
    assert done.returncode == 1
    assert "needs the Python package" not in done.stderr  # it is there; only the server is not


def uncompiled(tree: Path) -> list[Path]:
    """Sources without byte code, which each command would compile anew."""
    sources = (tree / "usr/lib/xmpp-moved").rglob("*.py")
    return [
        path
        for path in sources
        if not [*path.parent.glob(f"__pycache__/{path.stem}.cpython-*.pyc")]
    ]


@pytest.fixture
def system(tmp_path: Path) -> Iterator[Path]:
    """This machine's system with a layer above it that takes all changes; for chroot."""
    if os.geteuid() != 0:
        pytest.skip("installing needs root")
    layers = tmp_path / "layers"
    root = tmp_path / "system"
    # A file system of its own: some cannot carry the upper layer.
    for folder in (layers, root):
        folder.mkdir()
    if run("mount", "-t", "tmpfs", "tmpfs", layers).returncode != 0:
        pytest.skip("mounting is not allowed here")
    try:
        for name in ("upper", "work"):
            (layers / name).mkdir()
        options = f"lowerdir=/,upperdir={layers}/upper,workdir={layers}/work"
        if run("mount", "-t", "overlay", "-o", options, "overlay", root).returncode != 0:
            pytest.skip("an overlay is not allowed here")
        try:
            for name in ("run", "dev"):
                run("mount", "-t", "tmpfs", "tmpfs", root / name)
            yield root
        finally:
            run("umount", "-R", "-l", root)
    finally:
        run("umount", "-l", layers)


def test_installed_upgraded_removed_and_purged(package: Path, system: Path) -> None:
    shutil.copy(package, system / "tmp" / "it.deb")
    (system / "dev" / "null").touch()

    def inside(*command: str) -> subprocess.CompletedProcess[str]:
        return run("chroot", system, *command)

    had = inside("dpkg", "-s", "xmpp-moved").returncode == 0
    assert not had
    done = inside("dpkg", "-i", "/tmp/it.deb")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "write /etc/xmpp-moved/config.toml" in done.stdout
    assert inside("xmpp-moved", "--version").stdout == f"xmpp-moved {__version__}\n"
    assert inside("id", "-un", "xmpp-moved").stdout == "xmpp-moved\n"
    state = inside("stat", "-c", "%U %a", "/var/lib/xmpp-moved").stdout
    assert state == "xmpp-moved 700\n"
    done = inside("setpriv", "--reuid=xmpp-moved", "--clear-groups", "xmpp-moved", "check")
    assert done.returncode == 78
    assert "/etc/xmpp-moved/config.toml: cannot be read" in done.stderr

    (system / "etc/xmpp-moved/config.toml").write_text("# mine\n")
    (system / "var/lib/xmpp-moved/moved.db").write_text("data")
    done = inside("dpkg", "-i", "/tmp/it.deb")  # as an upgrade does
    assert done.returncode == 0, done.stdout + done.stderr
    assert "write /etc" not in done.stdout
    done = inside("dpkg", "-r", "xmpp-moved")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (system / "usr/lib/xmpp-moved").exists()
    assert (system / "etc/xmpp-moved/config.toml").read_text() == "# mine\n"
    assert (system / "var/lib/xmpp-moved/moved.db").exists()
    assert inside("dpkg", "--purge", "xmpp-moved").returncode == 0
    assert not (system / "etc/xmpp-moved").exists()
    assert not (system / "var/lib/xmpp-moved").exists()
    assert not Path("/usr/bin/xmpp-moved").exists()  # nothing reached this machine's own system
