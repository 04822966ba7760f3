"""SIGHUP: what can change does, the rest is named, and a mistake changes nothing."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.unit.ops.daemon import Watched, service_manager, watched
from tests.unit.ops.fake_server import fake_server


async def reload(daemon: Watched) -> None:
    """SIGHUP, and wait for the end of it."""
    before = daemon.told.count("READY=1")
    daemon.signal(signal.SIGHUP)
    await daemon.until(lambda: daemon.told.count("READY=1") > before)


async def test_what_can_change_changes_and_the_rest_is_named(tmp_path: Path) -> None:
    async with fake_server() as server, watched(tmp_path, server.port) as daemon:
        await daemon.until(lambda: "READY=1" in daemon.told)
        daemon.text = daemon.text.replace('format = "json"', 'format = "json"\nlevel = "debug"')
        daemon.text = daemon.text.replace('secret = "hunter2"', 'secret = "other"')
        daemon.configure("[contacts]\nundo_days = 7\ndeadline_seconds = 20\n[movers]\nenabled = no")
        await reload(daemon)
        refused = await daemon.logged("configuration not reloaded; the old one stays in force")
        assert refused["level"] == "error"
        assert "this is no valid TOML" in refused["error"]
        assert "configuration reloaded" not in daemon.events()

        daemon.configure("[contacts]\nundo_days = 0\n")
        await reload(daemon)
        await daemon.until(
            lambda: (
                daemon.events().count("configuration not reloaded; the old one stays in force") == 2
            )
        )
        assert "[contacts] undo_days: found 0; allowed: a whole number" in daemon.log[-1]["error"]

        daemon.configure(
            "[contacts]\nundo_days = 7\ndeadline_seconds = 20\n[movers]\nenabled = false\n"
        )
        await reload(daemon)
        done = await daemon.logged("configuration reloaded")
        assert done["changed"] == ["[contacts] undo_days", "[movers] enabled", "[log] level"]
        later = await daemon.logged("restart to apply")
        assert later["changed"] == ["[component] secret", "[contacts] deadline_seconds"]
        assert await daemon.metric('xmpp_moved_config_reloads_total{result="refused"}') == "2.0"
        assert await daemon.metric('xmpp_moved_config_reloads_total{result="ok"}') == "1.0"
        # What waits for a restart is named again, what is in force is not.
        await reload(daemon)
        done = await daemon.logged("configuration reloaded")
        assert done["changed"] == []
        assert daemon.events().count("restart to apply") == 2
        await daemon.healthy(True, 10)
        await server.stop()  # each try to come back is worth a line at debug
        await daemon.until(lambda: any(entry["level"] == "debug" for entry in daemon.log))
        assert await daemon.stop() == 0


async def test_a_secret_file_that_changed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hunter2")
    secret.chmod(0o600)
    async with fake_server() as server:
        daemon = Watched(tmp_path, server.port)
        daemon.text = daemon.text.replace('secret = "hunter2"', f'secret_file = "{secret}"')
        daemon.configure()
        with service_manager() as manager:
            await daemon.start(manager)
            try:
                await daemon.until(lambda: "READY=1" in daemon.told)
                secret.write_text("other")
                await reload(daemon)
                later = await daemon.logged("restart to apply")
                assert later["changed"] == ["[component] secret"]
                assert "other" not in str(daemon.log)
                secret.unlink()
                await reload(daemon)
                await daemon.logged("configuration not reloaded; the old one stays in force")
                await daemon.healthy(True, 10)
            finally:
                await daemon.kill()
