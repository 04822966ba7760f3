"""One component as a process: its signals, its HTTP server, its end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
from collections.abc import Callable

import structlog

from component.app import App
from component.config import Config, ConfigError
from component.ops.http import HttpServer
from component.ops.systemd import ServiceManager
from component.ops.upkeep import beside
from component.store import Store, StoreError

log = structlog.get_logger(__name__)

_YOUNG, _OLDER, _OLD = 500, 5, 5
"""Objects that may be new before the garbage collector looks at them; after how many such looks it
looks at those that were there the time before, and after how many of these at all.  Few: a
transaction and what an ORM query loads are cycles of kilobytes, with few objects that count, and
what lies about between two looks makes the process larger, look by look.  What has been loaded by
the start is spared, so that a look is cheap."""


async def _reload_when(asked: asyncio.Event, app: App, reread: Callable[[], Config]) -> None:
    """Reload whenever it is asked for; a configuration that cannot be used changes nothing."""
    while True:
        await asked.wait()
        asked.clear()
        app.manager.reloading()
        try:
            await app.reload(reread())
            app.metrics.reloaded(True)
        except (ConfigError, StoreError) as error:
            app.metrics.reloaded(False)
            log.error("configuration not reloaded; the old one stays in force", error=str(error))
        finally:
            app.manager.reloaded()


async def run(config: Config, reread: Callable[[], Config] | None = None) -> None:
    """Run the component until SIGTERM or SIGINT.

    :param reread: reads the configuration again, for SIGHUP; raises ConfigError.
    :raises SecretRefused, StoreError, ListenError, ConfigError: each says what to do.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        store = await stack.enter_async_context(
            await Store.open(config.database.url, holder=config.component.jid)
        )
        app = App(config, store, ServiceManager.of_environment(os.environ))
        if reread is not None:
            asked = asyncio.Event()
            loop.add_signal_handler(signal.SIGHUP, asked.set)
            await stack.enter_async_context(beside(_reload_when(asked, app, reread)))
        address = config.metrics.address
        if address is not None:
            server = HttpServer(address, app.metrics.registry, app.health, loop=loop)
            stack.enter_context(server)
        _spare_the_collector()
        await app.run(stop)


def _spare_the_collector() -> None:
    """Keep it from what has been loaded so far, which stays: it was a tenth of our time."""
    gc.collect()
    gc.freeze()
    # It looks at all again once a quarter has come to what the last such look left (Python manual,
    # gc.set_threshold): without this one, a quarter of all that is loaded.
    gc.collect()
    gc.set_threshold(_YOUNG, _OLDER, _OLD)
