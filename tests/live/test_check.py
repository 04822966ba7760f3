"""``xmpp-moved check`` on real servers: each thing that is missing is named, with its remedy."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.live.servers.base import HookOptions
from tests.live.servers.differences import Kind
from tests.live.topology import Arrangement, Topology

HOST = "montague.example"


def topology(kind: Kind, folder: Path, **changes: object) -> Topology:
    """The usual servers; ``changes`` are dotted configuration keys with ``__`` for the dot."""
    settings = tuple((key.replace("__", "."), value) for key, value in changes.items())
    return Topology(kind, Arrangement(hook=HookOptions(), settings=settings), folder)


async def check(stage: Topology, *arguments: str) -> tuple[int, str]:
    """Exit code and output, on one line for matching."""
    assert stage.daemon is not None
    code, text = await stage.daemon.run_command("check", *arguments)
    return code, " ".join(text.split())


async def check_once(stage: Topology) -> tuple[int, str]:
    """Check with server "montague" running, then stop everything."""
    await stage.servers["montague"].start()
    try:
        return await check(stage)
    finally:
        await stage.stop()


@pytest.fixture
async def stage(kind: Kind, tmp_path: Path) -> AsyncIterator[Topology]:
    """A server with everything in place."""
    stage = topology(kind, tmp_path)
    await stage.servers["montague"].start()
    stage.servers["montague"].add_user(f"juliet@{HOST}")
    yield stage
    await stage.stop()


async def test_all_is_well(stage: Topology) -> None:
    code, text = await check(stage, "--test-account", f"juliet@{HOST}")
    assert code == 0, text
    for name in ("stream", "database", "clock", f"PEP of juliet@{HOST}"):
        assert f"✓ {name}" in text
    for host in stage.servers["montague"].spec.hosts:
        for name in ("hook", "divert", "send", "query"):
            assert f"✓ {name} on {host}" in text


async def test_a_test_account_that_does_not_exist(stage: Topology) -> None:
    code, text = await check(stage, "--test-account", f"nobody@{HOST}")
    assert code == 1
    assert "name an account that exists" in text


async def test_while_another_runs(stage: Topology) -> None:
    assert stage.daemon is not None
    await stage.daemon.start()
    code, text = await check(stage)
    assert code == 0, text
    assert "✓ running: moved.montague.example is at work" in text
    for host in stage.servers["montague"].spec.hosts:
        assert f"✓ hook on {host}" in text
    assert stage.daemon.running


async def test_while_another_runs_that_tells_nothing(kind: Kind, tmp_path: Path) -> None:
    stage = topology(kind, tmp_path, metrics__listen="")
    await stage.servers["montague"].start()
    assert stage.daemon is not None
    await stage.daemon.start()
    try:
        code, text = await check(stage)
    finally:
        await stage.stop()
    assert code == 1
    assert "✗ database" in text
    assert "stop it to check the rest" in text


async def test_a_host_without_hook(kind: Kind, tmp_path: Path) -> None:
    stage = topology(kind, tmp_path, served__hosts=[HOST, "capulet.example"])
    await stage.start()
    try:
        code, text = await check(stage)
    finally:
        await stage.stop()
    assert code == 1
    assert f"✓ hook on {HOST}" in text
    assert "✗ hook on capulet.example" in text


async def test_the_wrong_secret(kind: Kind, tmp_path: Path) -> None:
    code, text = await check_once(topology(kind, tmp_path, component__secret="wrong"))
    assert code == 1
    assert "refuses the secret" in text


async def test_a_deadline_beyond_the_hooks(kind: Kind, tmp_path: Path) -> None:
    code, text = await check_once(topology(kind, tmp_path, contacts__deadline_seconds=90))
    assert code == 1
    assert f"✗ divert on {HOST}" in text
    assert "deadline_seconds (now 90) below moved_hook_timeout (60)" in text


async def test_no_server_and_no_folder(kind: Kind, tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/nowhere/moved.db"
    stage = topology(kind, tmp_path, database__url=url)
    code, text = await check(stage)
    assert code == 1
    assert "✗ database" in text
    assert f"make {tmp_path}/nowhere" in text
    assert "✗ stream" in text
    assert "see that the server runs" in text
