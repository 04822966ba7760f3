"""The systemd unit: sound, hardened, and in step with the program."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from component.config import load
from component.config.model import ComponentSection, DatabaseSection
from component.ui.exits import Exit

PACKAGING = Path(__file__).parents[3] / "packaging"
UNIT = PACKAGING / "xmpp-moved.service"
RELOAD = PACKAGING / "notify-reload.conf"
ANALYZE = shutil.which("systemd-analyze")
MOST_EXPOSURE = 1.5


def parse(path: Path) -> dict[str, list[str]]:
    """Settings as ``Section.Key``; every line has to be a section, a setting or a comment."""
    found: dict[str, list[str]] = {}
    section = ""
    for line in path.read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        if match := re.fullmatch(r"\[(\w+)\]", line):
            section = match[1]
            continue
        setting = re.fullmatch(r"([A-Z]\w*)=(.*)", line)
        assert setting is not None, line
        assert section, line
        found.setdefault(f"{section}.{setting[1]}", []).append(setting[2])
    return found


def test_in_step_with_the_program() -> None:
    unit = parse(UNIT)
    assert unit["Service.ExecStart"] == ["/usr/bin/xmpp-moved run"]
    assert unit["Service.ExecReload"] == ["/bin/kill -HUP $MAINPID"]
    codes = unit["Service.RestartPreventExitStatus"][0].split()
    assert [int(code) for code in codes] == [Exit.REFUSED, Exit.CONFIG]
    database = str(DatabaseSection().url)
    state, run = unit["Service.StateDirectory"][0], unit["Service.RuntimeDirectory"][0]
    assert database.endswith(f"/var/lib/{state}/moved.db")
    control = ComponentSection.model_fields["control"].default
    assert control == f"/run/{run}/control.sock"
    assert unit["Service.Type"] == ["notify"]
    assert int(unit["Service.WatchdogSec"][0]) >= 30
    reload = parse(RELOAD)
    assert reload == {"Service.Type": ["notify-reload"], "Service.ExecReload": [""]}


def test_the_credential_stands_in_for_the_secret_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = parse(UNIT)
    name, _, source = unit["Service.LoadCredential"][0].partition(":")
    assert source == "/etc/xmpp-moved/secret"
    variable, _, value = unit["Service.Environment"][0].partition("=")
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / name).write_text("hunter2\n")
    config = tmp_path / "config.toml"
    config.write_text(
        '[component]\njid = "moved.montague.example"\nsecret_file = "/etc/xmpp-moved/secret"\n'
        '[served]\nhosts = ["montague.example"]\n'
    )
    monkeypatch.setenv(variable, value.replace("%d", str(folder)))
    assert load(config).component.reveal() == "hunter2"


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("CapabilityBoundingSet", ""),
        ("NoNewPrivileges", "yes"),
        ("ProtectSystem", "strict"),
        ("ProtectHome", "yes"),
        ("PrivateTmp", "yes"),
        ("PrivateDevices", "yes"),
        ("User", "xmpp-moved"),
        ("UMask", "0077"),
        ("RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6"),
    ],
)
def test_hardened(setting: str, value: str) -> None:
    assert parse(UNIT)[f"Service.{setting}"] == [value]


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The unit with a command that exists here."""
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace("/usr/bin/xmpp-moved", "/bin/true"))
    return copy


@pytest.mark.skipif(ANALYZE is None, reason="no systemd-analyze")
def test_systemd_finds_nothing_wrong(installed: Path) -> None:
    assert ANALYZE is not None
    done = subprocess.run(
        [ANALYZE, "verify", "--man=no", str(installed)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    ours = [line for line in done.stderr.splitlines() if UNIT.name in line]
    assert ours == []


@pytest.mark.skipif(ANALYZE is None, reason="no systemd-analyze")
def test_systemd_finds_it_little_exposed(installed: Path) -> None:
    assert ANALYZE is not None
    done = subprocess.run(
        [ANALYZE, "security", "--no-pager", "--offline=true", str(installed)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze knows no --offline")
    level = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)
    assert level is not None, done.stdout + done.stderr
    assert float(level[1]) <= MOST_EXPOSURE
