"""What ``xmpp-moved hook`` writes, in the configuration of real servers that have one already."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml

from component.hooks.lines import EJABBERD_BEGIN, EJABBERD_END
from tests.live.client import RawComponent
from tests.live.daemon import Daemon
from tests.live.servers.addresses import free_address
from tests.live.servers.base import COMPONENT_HOST, COMPONENT_SECRET, ServerSpec
from tests.live.servers.differences import KINDS, Kind
from tests.live.servers.ejabberd import Ejabberd
from tests.live.servers.prosody import HOOK_MODULES, MODULES, lua_value
from tests.live.shared import kinds
from tests.live.topology import MONTAGUE_HOSTS, component_settings

HOST = MONTAGUE_HOSTS[0]
BESIDE = Path(__file__).with_name("servers") / "prosody_modules"
PROSODIES = [kind for kind in KINDS.values() if kind.name.startswith("prosody")]
# What a host says of its own modules: a second modules_enabled would replace it.
OWN = f'VirtualHost "{HOST}"\nmodules_enabled = {{ "uptime" }}\n'
INCLUDED = 'Include "moved.cfg.lua"\n'


class Machine:
    """A server as its admin has it, without a trace of us, and a component that does not run."""

    def __init__(self, kind: Kind, folder: Path, more: str = "", **extra: str) -> None:
        """``more``: at the end of Prosody's configuration."""
        self.folder = folder / "prosody"
        self.address = free_address()
        zone = dict.fromkeys(MONTAGUE_HOSTS, self.address)
        spec = ServerSpec("s", self.address, MONTAGUE_HOSTS, zone, extra=extra)
        self.server = kind.build(spec, self.folder)
        if more:
            with (self.folder / "prosody.cfg.lua").open("a") as file:
                file.write(f"\n{more}")
        self.component = Daemon(folder / "component", component_settings(self.address, ()))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The server runs."""
        await self.server.start()
        try:
            yield
        finally:
            await self.server.stop()

    async def say(self, *arguments: str | Path) -> tuple[int, str]:
        """Exit code and words of a command, on one line."""
        code, text = await self.component.run_command(*map(str, arguments))
        return code, " ".join(text.split())

    async def good(self, *arguments: str | Path) -> str:
        """The words of a command that has to go well."""
        code, said = await self.say(*arguments)
        assert code == 0, said
        return said

    async def all_is_well(self) -> None:
        """Everything is in place, and what the host had besides is as well."""
        said = await self.good("check")
        for host in MONTAGUE_HOSTS:
            assert f"✓ hook on {host}" in said
            assert f"✓ federation of {host}: requests of users leave" in said

    async def answers(self, payload: str) -> bool:
        """Whether a module of the host answers this."""
        component = RawComponent(COMPONENT_HOST, COMPONENT_HOST, self.address)
        await component.open()
        try:
            return (await component.request(payload, to=HOST)).get("type") == "result"
        finally:
            await component.close()


def paths(*folders: str | Path) -> str:
    """A ``plugin_paths``."""
    return lua_value([str(folder) for folder in folders])


@kinds(among=PROSODIES)
async def test_prosody_loads_it_and_keeps_what_it_had(kind: Kind, tmp_path: Path) -> None:
    modules = tmp_path / "modules"
    modules.mkdir()
    machine = Machine(kind, tmp_path, OWN + INCLUDED, plugin_paths=paths(BESIDE, modules))
    file = machine.folder / "moved.cfg.lua"
    said = await machine.good("hook", "prosody", "--to", modules, "--write", file)
    assert f"{file}: written." in said
    assert "plugin_paths" not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o640
    async with machine.running():
        await machine.all_is_well()
        assert await machine.answers("<query xmlns='jabber:iq:last'/>")
    # The way back is one file; nothing else was touched.
    assert f"rm {file} && systemctl restart prosody" in said
    file.write_text("")
    async with machine.running():
        code, said = await machine.say("check")
        assert code == 1, said


SHELL = {
    "modules_enabled": lua_value([*MODULES, "admin_shell"]),
    "modules_disabled": lua_value(["tls", "s2s_auth_certs", "http"]),
}
"""What ``prosodyctl shell`` needs."""


@kinds(among=PROSODIES)
async def test_two_components_and_a_reload(kind: Kind, tmp_path: Path) -> None:
    """Each component's section loads the module, whichever comes first."""
    served = f"moved_hook_hosts = {{ {lua_value(HOST)} }}"
    section = (
        f'\ncomponent_secret = {lua_value(COMPONENT_SECRET)}\nmodules_enabled = {{ "moved_hook" }}'
    )
    machine = Machine(
        kind,
        tmp_path,
        f'Component "a.example"{section}\n{served}\n'
        f'Component "b.example"{section}\n{served}\n'
        f'Component "c.example"\ncomponent_secret = {lua_value(COMPONENT_SECRET)}\n',
        **SHELL,
    )

    async def obeyed() -> set[str]:
        found = set()
        for name in ("a.example", "b.example", "c.example"):
            component = RawComponent(name, name, machine.address)
            await component.open()
            answer = await component.request("<hello xmlns='urn:xmpp-moved:hook:0'/>", to=HOST)
            if answer.get("type") == "result":
                found.add(name)
            await component.close()
        return found

    # The one of 0.12 speaks to both.
    prosodyctl = str(KINDS["prosody-0.12"].program.with_name("prosodyctl"))
    async with machine.running():
        assert await obeyed() == {"a.example", "b.example"}
        for where in ([HOST], ["a.example"], []):
            words = ["shell", "module", "reload", "moved_hook", *where]
            done = await asyncio.create_subprocess_exec(
                prosodyctl,
                "--config",
                str(machine.folder / "prosody.cfg.lua"),
                *words,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            said, _ = await done.communicate()
            assert done.returncode == 0, said.decode()
            assert await obeyed() == {"a.example", "b.example"}, (where, said.decode())


@kinds(among=[KINDS["prosody-13.0"]])
async def test_snikket_loads_it_and_keeps_what_it_had(kind: Kind, tmp_path: Path) -> None:
    """Its paths are appended to: the modules beside ours are found where they were."""
    known = paths(HOOK_MODULES, BESIDE)  # the folder of the container is none here
    machine = Machine(kind, tmp_path, OWN + INCLUDED, plugin_paths=known)
    await machine.good("hook", "snikket", "--data", tmp_path)
    assert (machine.folder / "modules" / "mod_moved_hook" / "mod_moved_hook.lua").is_file()
    assert 'plugin_paths: append { "/snikket/prosody/modules" }' in (
        (machine.folder / "moved.cfg.lua").read_text()
    )
    async with machine.running():
        await machine.all_is_well()
        assert await machine.answers("<query xmlns='jabber:iq:last'/>")


@kinds(among=[KINDS["prosody-13.0"]])
async def test_check_finds_what_lines_replaced(kind: Kind, tmp_path: Path) -> None:
    machine = Machine(kind, tmp_path, INCLUDED)
    file = machine.folder / "moved.cfg.lua"
    await machine.good("hook", "prosody", "--write", file)
    file.write_text(f"plugin_paths = {paths(HOOK_MODULES)}\n{file.read_text()}")
    async with machine.running():
        code, said = await machine.say("check")
    assert code == 1
    assert (
        f"✗ modules beside on {HOST}: not loaded: isolate_host, restrict_federation, test" in said
    )
    assert "A second plugin_paths in it replaces the first" in said


@kinds(among=[KINDS["prosody-13.0"]])
async def test_check_finds_roles_that_get_nowhere_and_that_nobody_asks_for(
    kind: Kind, tmp_path: Path
) -> None:
    role = '{ ["prosody:registered"] = { "xmpp:federate" } }'
    first, second = MONTAGUE_HOSTS
    enforcing = {"restrict_federation", "isolate_host"}
    machine = Machine(
        kind,
        tmp_path,
        f'VirtualHost "{first}"\nremove_permissions = {role}\n'
        f'VirtualHost "{second}"\nadd_permissions = {role}\n'
        f"modules_disabled = {lua_value(sorted(enforcing))}\n{INCLUDED}",
    )
    await machine.good("hook", "prosody", "--write", machine.folder / "moved.cfg.lua")
    async with machine.running():
        code, said = await machine.say("check")
    assert code == 1
    assert f"✗ federation of {first}: refused (policy-violation" in said
    assert "must have the permission xmpp:federate" in said
    assert f"✓ federation of {second}" in said
    assert f"✗ modules beside on {second}: nothing asks for xmpp:federate" in said
    assert set(MODULES) >= enforcing


async def test_ejabberd_takes_the_lines_and_gives_them_back(
    wanted_kinds: frozenset[str], tmp_path: Path
) -> None:
    """As the README has it: compiled first, then the file, then reloaded; it never stops."""
    kind = KINDS["ejabberd-24.12"]
    if kind.name not in wanted_kinds or not kind.available:
        pytest.skip(kind.missing)
    machine = Machine(kind, tmp_path)
    server = machine.server
    assert isinstance(server, Ejabberd)
    file = machine.folder / "ejabberd.yml"
    config = yaml.safe_load(file.read_text())
    config["listen"] = [one for one in config["listen"] if one["module"] != "ejabberd_service"]
    # As people write it: a line for each thing.
    before = f"# Mine.\n{yaml.safe_dump(config, indent=2)}"
    file.write_text(before)
    sources = machine.folder / "modules" / "sources"
    sources.mkdir(parents=True)
    asked = ("hook", "ejabberd", "--to", sources)
    async with machine.running():
        assert "mod_moved_hook: installed." in await machine.good(*asked)
        code, said = await machine.say(*asked, "--write", file)
        assert (code, file.read_text()) == (1, before)
        assert "is untouched" in said
        assert "ejabberdctl module_install mod_moved_hook" in said
        assert server.evaluate('ext_mod:install(<<"mod_moved_hook">>).') == "ok"
        assert f"{file}: written." in await machine.good(*asked, "--write", file)
        assert file.with_name("ejabberd.yml.before-moved").read_text() == before
        assert server.evaluate("ejabberd_config:reload().") == "ok"
        await machine.all_is_well()
        assert (
            server.evaluate(f'gen_mod:get_module_opt(<<"{HOST}">>, mod_roster, store_current_id).')
            == "true"
        )
        # An update needs no restart either.
        assert server.evaluate('ext_mod:upgrade(<<"mod_moved_hook">>).') == "ok"
        await machine.all_is_well()
        # The README's sed.
        ours = rf"^ *{EJABBERD_BEGIN}$.*?^ *{EJABBERD_END}\n"
        file.write_text(re.sub(ours, "", file.read_text(), flags=re.MULTILINE | re.DOTALL))
        assert file.read_text() == before
        assert server.evaluate("ejabberd_config:reload().") == "ok"
        assert server.evaluate('ext_mod:uninstall(<<"mod_moved_hook">>).') == "ok"
        code, said = await machine.say("check")
        assert code == 1, said
