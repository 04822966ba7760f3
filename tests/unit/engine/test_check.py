"""Lines of ``check`` that need no server."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from component.engine.check import admins_line, hook_line, paused_line
from component.engine.hook import VERSION, Hook, HookMissing
from component.xmpp.errors import RemoteError
from tests.unit.engine.test_hook import FailingWire


def test_the_version_is_that_of_both_modules() -> None:
    sources = {
        "prosody/mod_moved_hook/mod_moved_hook.lua": r'hook_version = "([^"]+)"',
        "ejabberd/mod_moved_hook/src/mod_moved_hook.erl": r'define\(VERSION, <<"([^"]+)"',
    }
    for path, pattern in sources.items():
        text = files("component.hooks").joinpath(path).read_text()
        assert re.findall(pattern, text) == [VERSION], path


@pytest.mark.parametrize(
    ("version", "old"),
    [(VERSION, False), ("0.5.9", True), ("0.10.0", False), ("0.6", True), ("99", False)],
)
def test_an_older_module_is_remarked(version: str, old: bool) -> None:
    line = hook_line("a.example", f"{version} in Prosody 0.12.3")
    assert line.ok
    assert (line.remedy is not None) is old
    if line.remedy:
        assert f"this release comes with {VERSION}" in line.remedy


def test_admins_elsewhere_are_remarked() -> None:
    hosts = ["a.example", "bücher.example"]
    assert admins_line(["juliet@a.example", "romeo@bücher.example"], hosts) is None
    line = admins_line(["juliet@a.example", "boss@b.example"], hosts)
    assert line is not None
    assert line.ok
    assert line.found == "not on a served host: boss@b.example"


def test_a_pause_is_remarked() -> None:
    assert paused_line(False).remedy is None
    assert "xmpp-moved resume" in (paused_line(True).remedy or "")


@pytest.mark.parametrize(
    ("condition", "sentence"),
    [
        ("remote-server-not-found", "See whether [served] hosts is written as the server has it"),
        ("remote-server-timeout", "See whether [served] hosts is written as the server has it"),
        ("service-unavailable", "Install the server module for this host"),
    ],
)
async def test_a_host_that_the_server_does_not_have(condition: str, sentence: str) -> None:
    with pytest.raises(HookMissing) as error:
        await Hook(FailingWire(RemoteError(condition))).hello("exmaple.org")
    assert sentence in str(error.value)
