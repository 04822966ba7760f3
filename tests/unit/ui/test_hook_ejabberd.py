"""``hook ejabberd``: what it installs and what it prints."""

from __future__ import annotations

import pwd
from importlib.resources import files
from pathlib import Path

import pytest
import yaml

from component.engine.check import COUNTER_A_MINUTE, counter_line
from component.hooks import installer
from component.hooks.installer import Installed, InstallError, install_ejabberd
from component.hooks.lines import (
    HookSetup,
    ejabberd_edited,
    ejabberd_hosts,
    ejabberd_lines,
    ejabberd_without,
)

from .conftest import Command


@pytest.fixture(autouse=True)
def no_ejabberd_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' folders need not belong to the user of an ejabberd on this machine."""
    monkeypatch.setattr(installer, "EJABBERD_USER", "xmpp-moved-has-no-such-user")


def test_install_has_the_layout_that_module_install_wants(tmp_path: Path) -> None:
    assert install_ejabberd(tmp_path) is Installed.NEW
    folder = tmp_path / "mod_moved_hook"
    assert (folder / "mod_moved_hook.spec").is_file()
    source = files("component.hooks").joinpath("ejabberd", "mod_moved_hook", "src")
    assert {path.name for path in (folder / "src").iterdir()} == {
        item.name for item in source.iterdir()
    }
    # A conf/*.yml would make the admin's own lines a "duplicated option".
    assert not (folder / "conf").exists()
    assert install_ejabberd(tmp_path) is Installed.SAME


def test_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(InstallError, match="CONTRIB_MODULES_PATH"):
        install_ejabberd(tmp_path / "none")


def test_the_lines_are_yaml_and_say_what_they_should() -> None:
    hosts = ["montague.example", "bücher.example"]
    setup = HookSetup("moved.montague.example", hosts, secret='s"e: c#ret')
    lines = yaml.safe_load(ejabberd_lines(setup))
    (listener,) = lines["listen"]
    assert listener["module"] == "ejabberd_service"
    assert listener["hosts"] == {"moved.montague.example": {"password": 's"e: c#ret'}}
    assert lines["modules"]["mod_roster"]["store_current_id"] is True
    assert list(lines["append_host_config"]) == hosts
    for host in lines["append_host_config"].values():
        assert host["modules"]["mod_moved_hook"] == {"component": "moved.montague.example"}


def test_the_secret_is_not_shown_unasked() -> None:
    setup = HookSetup("moved.example", ["example.org"], secret_place="the content of /x")
    text = ejabberd_lines(setup)
    assert 'password: "PUT THE SECRET HERE" # the content of /x' in text
    assert yaml.safe_load(text)


def test_the_counter_that_debian_has_on_is_named() -> None:
    text = ejabberd_lines(HookSetup("moved.example", ["example.org"]))
    assert "mod_pres_counter" not in yaml.safe_load(text)["modules"], "the admin's own is there"
    raised = yaml.safe_load(text.replace("#  mod", "  mod").replace("#    co", "    co"))
    assert raised["modules"]["mod_pres_counter"] == {"count": COUNTER_A_MINUTE}


@pytest.mark.parametrize(("count", "warned"), [(5, True), (199, True), (200, False)])
def test_check_warns_of_a_counter(count: int, warned: bool) -> None:
    line = counter_line("example.org", count, 60.0)
    assert line.ok, "it works, slowly"
    assert (line.remedy is not None) is warned


DEBIAN = """\
hosts:
  - example.org
  - "example.net"
  - montague.example # ours
  - capulet.example
listen:
  -
    port: 5222
    ip: "::"
    module: ejabberd_c2s
  # component
  -
    port: 5280
    module: ejabberd_http
acl:
  local:
    user_regexp: ""
modules:
  mod_adhoc: {}
  mod_roster:
    versioning: true
  mod_vcard:
    search: false
"""


@pytest.fixture
def compiled(tmp_path: Path) -> Path:
    """The folder ``sources``, with the module compiled beside it."""
    ebin = tmp_path / "mod_moved_hook" / "ebin"
    ebin.mkdir(parents=True)
    (ebin / "mod_moved_hook.beam").write_bytes(b"")
    sources = tmp_path / "sources"
    sources.mkdir()
    return sources


def setup(*hosts: str, port: int = 5347) -> HookSetup:
    """What there is to write."""
    return HookSetup("moved.example.org", hosts or ["example.org"], port=port, secret="s")


@pytest.mark.parametrize("indent", ["", "  ", "    "])
def test_the_edited_file_has_everything_and_gives_it_back(indent: str) -> None:
    text = DEBIAN.replace("\n  -\n", f"\n{indent}-\n").replace("\n    port", f"\n{indent}  port")
    for name in ("ip", "module"):
        text = text.replace(f"\n    {name}: ", f"\n{indent}  {name}: ")
    edited = ejabberd_edited(text, setup())
    config, before = yaml.safe_load(edited), yaml.safe_load(text)
    ours = yaml.safe_load(ejabberd_lines(setup()))
    assert config["listen"] == [*ours["listen"], *before["listen"]]
    assert config["modules"]["mod_roster"] == {"versioning": True, "store_current_id": True}
    assert config["append_host_config"] == ours["append_host_config"]
    for key in ("hosts", "acl"):
        assert config[key] == before[key]
    assert ejabberd_without(edited) == text
    # Another call replaces the first.
    again = ejabberd_edited(edited, setup("example.org", "example.net"))
    assert list(yaml.safe_load(again)["append_host_config"]) == ["example.org", "example.net"]
    assert ejabberd_without(again) == text


@pytest.mark.parametrize("options", ["    store_current_id: false\n", None])
def test_a_mod_roster_that_chose_or_has_no_options(options: str | None) -> None:
    text = DEBIAN.replace("    versioning: true\n", options or "")
    if options is None:
        text = text.replace("mod_roster:\n", "mod_roster: {}\n")
    config = yaml.safe_load(ejabberd_edited(text, setup()))
    assert config["modules"] == yaml.safe_load(text)["modules"]
    assert "append_host_config" in config


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (f"{DEBIAN}append_host_config:\n  example.org: {{}}\n", "has an append_host_config"),
        (DEBIAN.replace("  - capulet.example\n", ""), "and not capulet.example; see [served]"),
        (DEBIAN.replace("5280", "5347"), "line 13 has port 5347 already"),
        (DEBIAN.replace("listen:", "listen: []\nx:"), "no lines listen:"),
        (f"{DEBIAN}modules:\n  mod_x: {{}}\n", "2 lines modules:"),
        (DEBIAN.replace("listen:\n", "listen:\n  include: x\n"), "no list with an item a line"),
    ],
)
def test_a_file_that_leaves_doubt_is_untouched(
    command: Command, config_file: Path, tmp_path: Path, compiled: Path, text: str, why: str
) -> None:
    file = tmp_path / "ejabberd.yml"
    file.write_text(text)
    result = command("--config", config_file, "hook", "ejabberd", "--to", compiled, "--write", file)
    assert result.code == 1
    assert f"{file} is untouched" in result.err
    assert why in result.err
    assert file.read_text() == text


def test_nothing_is_written_before_the_module_is_compiled(
    command: Command, config_file: Path, tmp_path: Path
) -> None:
    file, sources = tmp_path / "ejabberd.yml", tmp_path / "sources"
    file.write_text(DEBIAN)
    sources.mkdir()
    asked = ("--config", config_file, "hook", "ejabberd", "--write", file)
    for more in ([], ["--to", str(sources)]):
        result = command(*asked, *more)
        assert result.code == 1
        assert "is untouched: an ejabberd that cannot load a module" in result.err
        assert file.read_text() == DEBIAN
    assert not file.with_name("ejabberd.yml.before-moved").exists()


def test_write_keeps_what_was_and_how(
    command: Command, config_file: Path, tmp_path: Path, compiled: Path
) -> None:
    file = tmp_path / "ejabberd.yml"
    file.write_text(DEBIAN)
    file.chmod(0o640)
    asked = ("--config", config_file, "hook", "ejabberd", "--to", compiled, "--write", file)
    result = command(*asked)
    assert (result.code, result.err) == (0, "")
    assert "hunter2" not in result.out
    backup = file.with_name("ejabberd.yml.before-moved")
    assert f"cp -p {backup} {file} && ejabberdctl reload_config" in result.out
    assert backup.read_text() == DEBIAN
    assert file.stat().st_mode & 0o777 == backup.stat().st_mode & 0o777 == 0o640
    assert 'password: "hunter2"' in file.read_text()
    written = file.read_text()
    assert "as it should be; nothing was changed" in command(*asked).out
    assert (file.read_text(), backup.read_text()) == (written, DEBIAN)


@pytest.mark.parametrize(
    ("hosts", "known"),
    [
        ("hosts:\n- A.example\n- 'b.example'\nx: 1\n", ["a.example", "b.example"]),
        ('hosts: ["a.example", b.example] # both\n', ["a.example", "b.example"]),
        ("hosts:\n  - @HOST@\n  - a.example\n", []),
        ("hosts: HOSTS\n", []),
        ("x: 1\n", []),
    ],
)
def test_hosts_are_read_only_where_they_are_sure(hosts: str, known: list[str]) -> None:
    assert ejabberd_hosts(hosts.splitlines()) == known


def test_what_is_left_to_the_admin_is_said(
    command: Command, config_file: Path, tmp_path: Path, compiled: Path
) -> None:
    file = tmp_path / "ejabberd.yml"
    asked = ("--config", config_file, "hook", "ejabberd", "--to", compiled, "--write", file)
    file.write_text(DEBIAN.replace("mod_roster:\n    versioning: true", "mod_roster: {}"))
    file.chmod(0o644)
    said = command(*asked).out
    assert "so store_current_id: true was left out" in said
    assert f"every user of this machine may read it; remedy: chmod o= {file}" in said
    file.write_text(DEBIAN)
    file.chmod(0o640)
    assert "Warning" not in command(*asked).out


def test_ends_of_lines_stay_as_they_are(
    command: Command, config_file: Path, tmp_path: Path, compiled: Path
) -> None:
    file = tmp_path / "ejabberd.yml"
    crlf = DEBIAN.replace("\n", "\r\n").encode()
    file.write_bytes(crlf)
    asked = ("--config", config_file, "hook", "ejabberd", "--to", compiled, "--write", file)
    assert command(*asked).code == 0
    written = file.read_bytes()
    assert b"mod_moved_hook" in written
    assert written.count(b"\r\n") == written.count(b"\n")
    assert file.with_name("ejabberd.yml.before-moved").read_bytes() == crlf
    assert "nothing was changed" in command(*asked).out
    assert file.read_bytes() == written


def test_folders_that_ejabberd_cannot_compile_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = tmp_path / "sources"
    sources.mkdir()
    own = tmp_path.stat().st_uid
    user = pwd.struct_passwd(("ejabberd", "x", own + 1, 1, "", "/", ""))
    monkeypatch.setattr(pwd, "getpwnam", lambda name: user)
    with pytest.raises(InstallError, match=f"install -d -o .* {tmp_path} {sources}"):
        install_ejabberd(sources)
    assert not list(sources.iterdir())
    monkeypatch.setattr(
        pwd, "getpwnam", lambda name: pwd.struct_passwd(("e", "x", own, 1, "", "", ""))
    )
    assert install_ejabberd(sources) is Installed.NEW


def test_the_module_is_compiled_before_the_configuration_names_it(
    command: Command, config_file: Path, tmp_path: Path
) -> None:
    result = command("--config", config_file, "hook", "ejabberd", "--to", tmp_path)
    assert (result.code, result.err) == (0, "")
    assert "hunter2" not in result.out
    said = ["mod_moved_hook: installed.", "ejabberdctl module_install mod_moved_hook &&"]
    said += ["ejabberdctl modules_installed | grep", "append_host_config:"]
    said += ["ejabberdctl reload_config && xmpp-moved check", "The way back"]
    places = [result.out.index(part) for part in said]
    assert places == sorted(places)
    assert "restart" not in result.out
    (tmp_path / "mod_moved_hook" / "mod_moved_hook.spec").write_text("")
    again = command("--config", config_file, "hook", "ejabberd", "--to", tmp_path)
    assert "ejabberdctl module_upgrade mod_moved_hook &&" in again.out


def test_what_check_says_of_the_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prosody, sources = tmp_path / "prosody", tmp_path / "modules" / "sources"
    monkeypatch.setattr(installer, "PROSODY_FOLDER", prosody)
    monkeypatch.setattr(installer, "EJABBERD_FOLDER", sources)
    assert not list(installer.placed())
    for folder in (prosody, sources):
        folder.mkdir(parents=True)
    assert not list(installer.placed())
    installer.install_prosody(prosody)
    install_ejabberd(sources)
    said = {place.folder: (place.found, place.wrong) for place in installer.placed()}
    assert said[prosody] == ("of this version", None)
    assert said[sources] == ("not compiled", "run: ejabberdctl module_install mod_moved_hook")
    ebin = tmp_path / "modules" / "mod_moved_hook" / "ebin"
    ebin.mkdir(parents=True)
    (ebin / "mod_moved_hook.beam").write_bytes(b"")
    (prosody / "mod_moved_hook" / "roster.lib.lua").chmod(0o600)
    said = {place.folder: (place.found, place.wrong) for place in installer.placed()}
    assert said[sources] == ("of this version", None)
    assert said[prosody][0] == "roster.lib.lua cannot be read by the server"
    spec = sources / "mod_moved_hook" / "mod_moved_hook.spec"
    ours = spec.read_bytes()
    spec.write_text("old")
    said = {place.folder: (place.found, place.wrong) for place in installer.placed()}
    assert said[sources][0] == "of another version than this program"
    assert said[sources][1] == (
        f"run: xmpp-moved hook ejabberd --to {sources}, and do what it prints"
    )
    spec.write_bytes(ours)
    user = pwd.struct_passwd(("ejabberd", "x", tmp_path.stat().st_uid + 1, 1, "", "/", ""))
    monkeypatch.setattr(pwd, "getpwnam", lambda name: user)
    said = {place.folder: (place.found, place.wrong) for place in installer.placed()}
    assert said[sources][0] == "not all of it is ejabberd's own"
    assert "install -d -o" in (said[sources][1] or "")
