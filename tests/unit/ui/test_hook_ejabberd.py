"""``hook ejabberd``: what it installs and what it prints."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest
import yaml

from component.engine.check import COUNTER_A_MINUTE, counter_line
from component.hooks.installer import Installed, InstallError, install_ejabberd
from component.hooks.lines import HookSetup, ejabberd_commands, ejabberd_lines

from .conftest import Command


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


def test_commands_compile_the_module() -> None:
    setup = HookSetup("moved.example", ["example.org"])
    assert "ejabberdctl module_install mod_moved_hook" in ejabberd_commands(setup, Installed.NEW)
    upgrade = ejabberd_commands(setup, Installed.UPDATED)
    assert "ejabberdctl module_upgrade mod_moved_hook" in upgrade


def test_the_command(command: Command, config_file: Path, tmp_path: Path) -> None:
    result = command("--config", config_file, "hook", "ejabberd", "--to", tmp_path)
    assert (result.code, result.err) == (0, "")
    assert "hunter2" not in result.out
    assert "mod_moved_hook: installed." in result.out
    assert "append_host_config:" in result.out
