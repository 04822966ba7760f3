"""A component that the nursery forked is what ``python -m component`` is, seen from outside."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.live.daemon import Daemon
from tests.live.servers.addresses import free_address

_SECONDS = 60.0


@pytest.fixture(params=[False, True], ids=["forked", "own-process"])
def daemon(request: pytest.FixtureRequest, tmp_path: Path) -> Daemon:
    """A component whose server is never there."""
    daemon = Daemon(
        tmp_path,
        {
            "component": {
                "jid": "moved.example",
                "secret": "s3cret",
                "host": free_address(),
                "port": 5347,
                "control": "",
            },
            "served": {"hosts": ["example"]},
        },
    )
    daemon.own_process = request.param
    return daemon


async def test_its_life_and_its_ends(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XMPP_MOVED_CONFIG", "/nowhere")
    daemon.environment["NOTIFY_SOCKET"] = "neither a path nor abstract"
    await daemon.start(until_ready=False)
    try:
        await daemon.log_says("NOTIFY_SOCKET is of a kind that is not supported", _SECONDS)
        shown = Path("/proc", str(daemon.pid))
        assert (shown / "cwd").resolve() == daemon.code
        assert (shown / "fd" / "1").resolve() == (shown / "fd" / "2").resolve() == daemon.log_path
        assert (shown / "stat").read_text().rpartition(")")[2].split()[3] == str(daemon.pid)
        assert await daemon.stop() == 0
        assert not daemon.running
        with pytest.raises(ProcessLookupError):
            os.kill(daemon.pid, 0)
        await daemon.start(until_ready=False)
        await daemon.kill()
        assert await daemon.wait() == -signal.SIGKILL
    finally:
        await daemon.kill()


async def test_a_configuration_that_cannot_be_used(daemon: Daemon) -> None:
    daemon.configure({"component": {"jid": "no domain"}})
    await daemon.start(until_ready=False)
    assert await daemon.wait(_SECONDS) == 78
    assert "xmpp-moved: " in daemon.log_path.read_text()
    assert await daemon.run_command("nothing", timeout=_SECONDS) == (
        2,
        "Usage: xmpp-moved [OPTIONS] COMMAND [ARGS]...\n"
        "Try 'xmpp-moved --help' for help.\n\nError: No such command 'nothing'.\n",
    )
