"""``hook prosody``: what it installs and what it prints."""

from __future__ import annotations

import shutil
import subprocess
from importlib.resources import files
from pathlib import Path

import pytest

from component.hooks.installer import (
    Installed,
    InstallError,
    install_prosody,
)
from component.hooks.lines import HookSetup, lua_string, prosody_lines
from component.ui import hook

from .conftest import Command

MODULE = "mod_moved_hook/mod_moved_hook.lua"


def shipped() -> bytes:
    return files("component.hooks").joinpath("prosody", MODULE).read_bytes()


def test_install_update_and_same(tmp_path: Path) -> None:
    assert install_prosody(tmp_path) is Installed.NEW
    target = tmp_path / MODULE
    assert target.read_bytes() == shipped()
    assert target.stat().st_mode & 0o777 == 0o644
    assert target.parent.stat().st_mode & 0o777 == 0o755
    before = target.stat()
    assert install_prosody(tmp_path) is Installed.SAME
    assert target.stat().st_mtime_ns == before.st_mtime_ns
    target.write_text("-- an older version")
    assert install_prosody(tmp_path) is Installed.UPDATED
    assert target.read_bytes() == shipped()
    folder = files("component.hooks").joinpath("prosody", "mod_moved_hook")
    assert {p.name for p in target.parent.iterdir()} == {item.name for item in folder.iterdir()}


def test_install_touches_nothing_else(tmp_path: Path) -> None:
    other = tmp_path / "mod_other.lua"
    other.write_text("-- other")
    install_prosody(tmp_path)
    assert other.read_text() == "-- other"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mod_moved_hook", "mod_other.lua"]


def test_folder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(InstallError, match="is no folder; create it"):
        install_prosody(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "mod_moved_hook").write_text("a file where a folder should be")
    with pytest.raises(InstallError, match="cannot be written to"):
        install_prosody(tmp_path)


def test_command_with_a_configuration(command: Command, config_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "modules"
    folder.mkdir()
    result = command("--config", config_file, "hook", "prosody", "--to", folder)
    assert (result.code, result.err) == (0, "")
    lines = [line.strip() for line in result.out.splitlines()]
    assert lines[0] == f"{folder}/mod_moved_hook: installed."
    # No section but our own: whatever it sets elsewhere would replace what is there.
    assert "VirtualHost" not in result.out
    at = lines.index('Component "moved.montague.example"')
    assert lines[at + 1] == (
        f'component_secret = "PUT THE SECRET HERE" -- the secret of [component] in {config_file}'
    )
    assert 'modules_enabled = { "moved_hook" }' in lines
    assert 'moved_hook_hosts = { "montague.example", "capulet.example" }' in lines
    assert "component_ports" not in result.out
    assert "component_interfaces" not in result.out
    assert "hunter2" not in result.out
    assert "systemctl restart prosody && xmpp-moved check" in lines
    assert lines[-1] == "rm /etc/prosody/conf.d/moved.cfg.lua && systemctl restart prosody"
    again = command("--config", config_file, "hook", "prosody", "--to", folder)
    assert "the same version; nothing was changed" in again.out
    (folder / MODULE).write_text("-- old")
    updated = command("--config", config_file, "hook", "prosody", "--to", folder)
    assert "mod_moved_hook: updated" in updated.out
    assert "prosodyctl shell module reload moved_hook capulet.example" in updated.out


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """Debian's folder for files that Prosody includes."""
    folder = tmp_path / "prosody" / "conf.d"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    """A folder for modules."""
    folder = tmp_path / "modules"
    folder.mkdir()
    return folder


def prosody_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str) -> None:
    """Let this machine have a Prosody."""
    file = tmp_path / "prosody.version"
    file.write_text(f"{version}\n")
    monkeypatch.setattr(hook, "_PROSODY_VERSIONS", (str(tmp_path / "none"), str(file)))


@pytest.mark.parametrize(
    ("version", "lines"),
    [
        ("0.12.3", ["plugin_paths = {{ {} }}"]),
        (
            "13.0.1",
            ["if not plugin_paths then plugin_paths = {{}} end", "plugin_paths: append {{ {} }}"],
        ),
        ("trunk", ["plugin_paths: append {{ {} }}"]),
    ],
)
def test_write_knows_what_prosody_can(
    command: Command,
    config_file: Path,
    conf: Path,
    modules: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    version: str,
    lines: list[str],
) -> None:
    prosody_is(monkeypatch, tmp_path, version)
    (conf.parent / "prosody.cfg.lua").write_text("--plugin_paths = {}\n")
    asked = ("--config", config_file, "hook", "prosody", "--to", modules)
    result = command(*asked, "--write", conf / "moved.cfg.lua")
    assert (result.code, result.err) == (0, "")
    assert "hunter2" not in result.out
    assert f"rm {conf}/moved.cfg.lua && systemctl restart prosody" in result.out
    written = (conf / "moved.cfg.lua").read_text()
    assert 'component_secret = "hunter2"\n' in written
    for line in lines:
        assert line.format(f'"{modules}"') in written.splitlines()
    again = command(*asked, "--write", conf / "moved.cfg.lua")
    assert f"{conf}/moved.cfg.lua: as it should be; nothing was changed." in again.out


def test_write_replaces_no_plugin_paths(
    command: Command,
    config_file: Path,
    conf: Path,
    modules: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prosody_is(monkeypatch, tmp_path, "0.12.3")
    main = conf.parent / "prosody.cfg.lua"
    main.write_text('plugin_paths = {\n "/opt/mine" }\n')
    file = conf / "moved.cfg.lua"
    asked = ("--config", config_file, "hook", "prosody", "--to", modules, "--write", file)
    refused = command(*asked)
    assert (refused.code, refused.out) == (1, "")
    assert f"{main} sets plugin_paths, and a second one would replace it" in refused.err
    assert not file.exists()
    main.write_text(f'plugin_paths = {{ "/opt/mine", "{modules}" }}\n')
    assert command(*asked).code == 0
    assert "plugin_paths" not in file.read_text()


def test_write_replaces_nobodys_file(command: Command, config_file: Path, conf: Path) -> None:
    other = conf / "example.org.cfg.lua"
    other.write_text('VirtualHost "example.org"\n')
    asked = ("--config", config_file, "hook", "prosody", "--write")
    refused = command(*asked, other)
    assert refused.code == 1
    assert "holds something else; name a file of its own" in refused.err
    assert other.read_text() == 'VirtualHost "example.org"\n'
    nowhere = command(*asked, conf / "none" / "moved.cfg.lua")
    assert nowhere.code == 1
    assert "cannot be written (No such file or directory)" in nowhere.err


def test_snikket(command: Command, config_file: Path, tmp_path: Path) -> None:
    asked = ("--config", config_file, "hook", "snikket")
    refused = command(*asked, "--data", tmp_path)
    assert refused.code == 1
    assert "cannot be made (No such file or directory)" in refused.err
    data = tmp_path / "prosody"
    data.mkdir()
    result = command(*asked, "--data", tmp_path)
    assert (result.code, result.err) == (0, "")
    assert (data / "modules" / MODULE).read_bytes() == shipped()
    written = (data / "moved.cfg.lua").read_text()
    assert 'plugin_paths: append { "/snikket/prosody/modules" }' in written
    assert "VirtualHost" not in written
    assert "docker restart snikket && xmpp-moved check" in result.out
    printed = command(*asked)
    assert printed.code == 0
    assert "hunter2" not in printed.out
    assert 'plugin_paths: append { "/snikket/prosody/modules" }' in printed.out


def test_secret_is_shown_on_request_only(command: Command, config_file: Path) -> None:
    result = command("--config", config_file, "hook", "prosody", "--show-secret")
    assert 'component_secret = "hunter2"\n' in result.out


def test_command_without_a_configuration(command: Command) -> None:
    result = command(
        "hook", "prosody", "--jid", "Moved.a.example", "--host", "a.example", "--host", "b.example"
    )
    assert (result.code, result.err) == (0, "")
    assert 'Component "moved.a.example"' in result.out
    assert 'moved_hook_hosts = { "a.example", "b.example" }' in result.out


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--jid", "a b", "--host", "a.example"], 2),
        (["--jid", "m.a.example", "--host", "x@a.example"], 2),
        (["--jid", "m.a.example", "--host", "a.example", "--show-secret"], 78),
        (["--jid", "m.a.example", "--host", "a.example", "--to", "/nonexistent"], 1),
    ],
)
def test_command_mistakes(command: Command, arguments: list[str], code: int) -> None:
    result = command("hook", "prosody", *arguments)
    assert result.code == code
    assert result.out == ""
    assert "Traceback" not in result.err


def test_other_port_and_host() -> None:
    setup = HookSetup("moved.a.example", ["a.example"], host="192.0.2.7", port=5348)
    text = prosody_lines(setup)
    assert "component_ports = { 5348 }" in text
    assert 'component_interfaces = { "192.0.2.7" }' in text
    assert text.index("component_ports") < text.index('Component "moved.a.example"')


@pytest.mark.skipif(shutil.which("luac") is None, reason="luac is not installed")
def test_lines_are_lua(tmp_path: Path) -> None:
    setup = HookSetup(
        "moved.a.example", ["a.example"], "192.0.2.7", 5348, 'quo"te\\ \n]] --', "", tmp_path
    )
    path = tmp_path / "lines.lua"
    path.write_text(prosody_lines(setup))
    subprocess.run(["luac", "-p", str(path)], check=True, timeout=10)


def test_lua_string() -> None:
    assert lua_string('a"b\\c\nd') == '"a\\"b\\\\c\\nd"'
