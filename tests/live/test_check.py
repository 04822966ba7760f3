"""``xmpp-moved check`` on real servers: each thing that is missing is named, with its remedy."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from tests.live.daemon import Daemon
from tests.live.servers.addresses import free_address
from tests.live.servers.base import HookOptions
from tests.live.servers.differences import Kind
from tests.live.shared import NEWER_PROSODY, kept, kinds
from tests.live.topology import Arrangement, Topology, component_settings

HOST = "montague.example"
JULIET = f"juliet@{HOST}"

Component = Callable[..., Daemon]


@pytest.fixture(scope="module")
def servers(kind: Kind, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Topology]:
    """A server with everything in place; "capulet" is there, and does not run."""
    folder = tmp_path_factory.mktemp(kind.name)
    topology = Topology(kind, Arrangement(hook=HookOptions()), folder)
    with kept(topology.servers["montague"]) as montague:
        montague.add_user(JULIET)
        yield topology


@pytest.fixture
async def component(servers: Topology, tmp_path: Path) -> AsyncIterator[Component]:
    """A component that does not run yet, stopped at the end.

    ``changes`` are dotted configuration keys with ``__`` for the dot.
    """
    made: list[Daemon] = []

    def make(**changes: object) -> Daemon:
        settings = tuple((key.replace("__", "."), value) for key, value in changes.items())
        address = servers.servers["montague"].spec.address
        made.append(Daemon(tmp_path / "component", component_settings(address, settings)))
        return made[-1]

    yield make
    for daemon in made:
        await daemon.stop()


async def check(daemon: Daemon, *arguments: str) -> tuple[int, str]:
    """Exit code and output, on one line for matching."""
    code, text = await daemon.run_command("check", *arguments)
    return code, " ".join(text.split())


async def test_all_is_well(servers: Topology, component: Component) -> None:
    code, text = await check(component(), "--test-account", JULIET)
    assert code == 0, text
    for name in ("stream", "database", "clock", f"PEP of {JULIET}"):
        assert f"✓ {name}" in text
    for host in servers.servers["montague"].spec.hosts:
        for name in ("hook", "divert", "send", "query"):
            assert f"✓ {name} on {host}" in text
        assert f"✓ federation of {host}: requests of users leave the server" in text
    assert f"✓ federation of {JULIET}" in text


@kinds(NEWER_PROSODY)
async def test_a_test_account_that_does_not_exist(component: Component) -> None:
    code, text = await check(component(), "--test-account", f"nobody@{HOST}")
    assert code == 1
    assert "name an account that exists" in text


@kinds(NEWER_PROSODY)
async def test_while_another_runs(servers: Topology, component: Component) -> None:
    daemon = component()
    await daemon.start()
    code, text = await check(daemon)
    assert code == 0, text
    assert "✓ running: moved.montague.example is at work" in text
    for host in servers.servers["montague"].spec.hosts:
        assert f"✓ hook on {host}" in text
    assert daemon.running


@kinds(NEWER_PROSODY)
async def test_while_another_runs_that_tells_nothing(component: Component) -> None:
    daemon = component(metrics__listen="")
    await daemon.start()
    code, text = await check(daemon)
    assert code == 1
    assert "✗ database" in text
    assert "stop it to check the rest" in text


@kinds(NEWER_PROSODY)
async def test_a_host_without_hook(servers: Topology, component: Component) -> None:
    capulet = servers.servers["capulet"]
    await capulet.start()
    try:
        code, text = await check(component(served__hosts=[HOST, "capulet.example"]))
    finally:
        await capulet.stop()
    assert code == 1
    assert f"✓ hook on {HOST}" in text
    assert "✗ hook on capulet.example" in text


async def test_a_misspelt_host_and_an_admin_elsewhere(component: Component) -> None:
    wrong, admin = "montaque.example", "boss@verona.example"
    daemon = component(served__hosts=[HOST, wrong], served__admins=[admin])
    code, text = await check(daemon)
    assert code == 1
    assert f"✗ hook on {wrong}: none {wrong}: the server does not have this host" in text
    assert "See whether [served] hosts is written as the server has it" in text
    assert f"! admins: not on a served host: {admin}" in text
    # What the running one knows is said by the command, too.
    await daemon.start(until_ready=False)
    await daemon.log_says("no hook on a served host")
    code, text = await check(daemon)
    assert code == 1
    assert "✓ running" in text
    assert "See whether [served] hosts is written as the server has it" in text


@kinds(NEWER_PROSODY)
async def test_moves_that_are_paused(component: Component, tmp_path: Path) -> None:
    daemon = component(component__control=str(tmp_path / "c.sock"))
    await daemon.start()
    assert "✓ users' moves: not paused" in (await check(daemon))[1]
    assert (await daemon.run_command("pause"))[0] == 0
    code, text = await check(daemon)
    assert code == 0
    assert "! users' moves: all are paused: nothing is sent xmpp-moved resume" in text
    await daemon.stop()
    code, text = await check(daemon)
    assert code == 0
    assert "! users' moves: all are paused" in text


async def test_a_domain_elsewhere(servers: Topology, component: Component) -> None:
    capulet = servers.servers["capulet"]
    await capulet.start()
    try:
        code, text = await check(component(), "--remote", "capulet.example")
    finally:
        await capulet.stop()
    assert code == 0, text
    assert f"✓ capulet.example from {HOST}: answers" in text
    code, text = await check(component(), "--remote", "nowhere.example")
    assert code == 1
    assert f"✗ nowhere.example from {HOST}: remote-server-not-found" in text
    assert "look at DNS (SRV _xmpp-server), port 5269 and certificates" in text


@kinds(NEWER_PROSODY)
async def test_the_wrong_secret(component: Component) -> None:
    code, text = await check(component(component__secret="wrong"))
    assert code == 1
    assert "refuses the secret" in text


@kinds(NEWER_PROSODY)
async def test_a_deadline_beyond_the_hooks(component: Component) -> None:
    code, text = await check(component(contacts__deadline_seconds=90))
    assert code == 1
    assert f"✗ divert on {HOST}" in text
    assert "deadline_seconds (now 90) below moved_hook_timeout (60)" in text


async def test_no_server_and_no_folder(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/nowhere/moved.db"
    settings = component_settings(free_address(), (("database.url", url),))
    code, text = await check(Daemon(tmp_path / "component", settings))
    assert code == 1
    assert "✗ database" in text
    assert f"make {tmp_path}/nowhere" in text
    assert "✗ stream" in text
    assert "see that the server runs" in text
