"""The only place that wires: builds every layer from the configuration and runs them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy.engine import make_url

from component import __version__
from component.config import Config
from component.core.answers import Answers
from component.core.limits import Followed, Gate, Policy
from component.core.records import CheckLine
from component.core.roster import Carry
from component.core.statement import ErrorRead, ItemsRead
from component.engine.check import Check
from component.engine.clock import SystemClock
from component.engine.contacts import ContactSide, Timing
from component.engine.fetcher import Fetcher, FetchLimits
from component.engine.hook import Hook
from component.engine.recovery import Recovery
from component.engine.session import Session
from component.ops.http import Health, HttpServer
from component.ops.metrics import Metrics
from component.store import Store, StoreError, StoreLocked, StoreMissing
from component.xmpp.link import Link, LinkSettings
from component.xmpp.names import NS_HOOK

log = structlog.get_logger(__name__)

STOP_GRACE = 5.0
"""Seconds that a stop waits for verdicts and outcomes on their way."""


def link_settings(config: Config) -> LinkSettings:
    """The link's settings out of the configuration.

    :raises ConfigError: the secret cannot be read.
    """
    return LinkSettings(
        jid=config.component.jid,
        secret=config.component.reveal(),
        host=config.component.host,
        port=config.component.port,
        max_in_flight=config.limits.max_in_flight,
        max_queue=config.limits.queue,
        stanza_bytes=config.limits.stanza_bytes,
        stanza_depth=config.limits.stanza_depth,
        version=__version__,
    )


def policy(config: Config) -> Policy:
    """The limits that decisions need, out of the configuration."""
    return Policy(
        allow_domains=frozenset(config.contacts.allow_domains),
        deny_domains=frozenset(config.contacts.deny_domains),
        requests_per_minute=config.limits.per_domain_per_minute,
        max_open=config.limits.max_open_requests,
        max_old_into_new=config.contacts.max_old_into_new,
        window_seconds=timedelta(days=config.contacts.window_days).total_seconds(),
    )


class App:
    """One component: a link, a journal, and the contact side between them."""

    def __init__(self, config: Config, store: Store) -> None:
        self._config = config
        self._store = store
        self._clock = SystemClock()
        self.metrics = Metrics()
        self._link = Link(link_settings(config), on_up=self._on_up, on_down=self._on_down)
        hook = Hook(self._link)
        contacts = config.contacts
        limits = policy(config)
        self._followed = Followed(limits)

        async def ask(contact: str, old: str) -> ItemsRead | ErrorRead:
            return await hook.statement(contact, old, timeout=contacts.deadline_seconds)

        fetcher = Fetcher(
            ask,
            Answers(
                verified_seconds=contacts.verified_cache_seconds,
                failure_seconds=contacts.failure_cache_seconds,
            ),
            FetchLimits(contacts.fetches_per_domain, contacts.fetches_overall),
            self._clock,
            self.metrics,
        )
        self._contacts = ContactSide(
            hosts=config.served.hosts,
            hook=hook,
            journal=store,
            fetcher=fetcher,
            gate=Gate(limits),
            followed=self._followed,
            clock=self._clock,
            gauges=self.metrics,
            timing=Timing(deadline=contacts.deadline_seconds),
            carry=Carry(contacts.carry_name, contacts.carry_groups),
        )
        recovery = Recovery(hook, store, self._followed, self._clock, self._contacts.is_open)
        self._session = Session(
            hook, recovery, config.served.hosts, deadline=contacts.deadline_seconds
        )
        store.watch_commits(self.metrics.committed)
        self.metrics.watch_link(
            lambda: self._link.stats.queue_depth, lambda: self._link.stats.refused
        )
        self._link.route_iq("set", NS_HOOK, "divert", self._contacts.on_divert)
        self._link.route_message(NS_HOOK, "outcome", self._contacts.on_outcome)

    async def _on_up(self) -> None:
        self.metrics.link_up(True)
        if self._link.stats.reconnects:
            self.metrics.reconnected()
        await self._session.on_up()

    def _on_down(self, why: str) -> None:
        self.metrics.link_up(False)
        self._session.on_down()
        self._contacts.on_down()

    def health(self) -> Health:
        """What ``/health`` says: well only while requests can be followed."""
        missing = sorted(set(self._config.served.hosts) - set(self._session.hellos))
        return Health(
            ok=self._link.connected and self._session.ready and self._store.trouble is None,
            detail={
                "stream": "up" if self._link.connected else "down",
                "component": self._config.component.jid,
                "trouble": self._link.trouble,
                "hooks": {
                    host: f"{hello.version} in {hello.server} {hello.server_version}"
                    for host, hello in self._session.hellos.items()
                },
                "hosts_without_hook": missing,
                "journal": self._store.trouble or "writable",
                "open_requests": self._contacts.open_requests,
            },
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop`` is set.

        :raises SecretRefused: the server does not take our secret.
        """
        window = timedelta(days=self._config.contacts.window_days)
        for move in await self._store.accepted_since(self._clock.now() - window):
            self._followed.note(move.old, move.new, move.at.timestamp())
        link = asyncio.create_task(self._link.run(), name="link")
        stopped = asyncio.create_task(stop.wait(), name="stop")
        try:
            await asyncio.wait({link, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not link.done():
                log.info("stopping")
                await self._contacts.stop(STOP_GRACE)
                await self._link.stop(STOP_GRACE)
            await link
        finally:
            stopped.cancel()


async def run(config: Config) -> None:
    """Run the component until SIGTERM or SIGINT.

    :raises SecretRefused, StoreError, ListenError, ConfigError: each says what to do.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        store = await stack.enter_async_context(await Store.open(config.database.url))
        app = App(config, store)
        address = config.metrics.address
        if address is not None:
            server = HttpServer(address, app.metrics.registry, app.health, loop=loop)
            stack.enter_context(server)
        await app.run(stop)


STREAM_SECONDS = 8.0
"""How long ``check`` waits for the server to accept the stream."""


async def check(config: Config, account: str | None = None) -> AsyncIterator[CheckLine]:
    """Look at each requirement; lines come as they are known.

    :param account: a bare JID of a served host whose PEP service is to be tested.
    :raises ConfigError: the secret cannot be read.
    """
    said = await _ask_running(config)
    if said is not None:
        for line in _from_health(config, said):
            yield line
        return
    database = await _check_database(config)
    yield database
    if isinstance(database, _Taken):
        return
    up = asyncio.Event()

    async def on_up() -> None:
        up.set()

    link = Link(link_settings(config), on_up=on_up)
    running = asyncio.create_task(link.run(), name="check")
    waiting = asyncio.create_task(up.wait())
    try:
        await asyncio.wait(
            {running, waiting}, timeout=STREAM_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        yield _check_stream(config, link, running)
        if not up.is_set():
            return
        probe = Check(link, deadline=config.contacts.deadline_seconds)
        async for line in probe.hosts(config.served.hosts):
            yield line
        if account is not None:
            yield await probe.pep(account)
    finally:
        waiting.cancel()
        if running.done():
            running.exception()
        else:
            await link.stop()
            await running


class _Taken(CheckLine):
    """The database line where another process is at work on it."""


async def _ask_running(config: Config) -> dict[str, Any] | None:
    """What a running xmpp-moved says of its health, None where none answers.

    A second stream of the same name must not be opened beside it: Prosody refuses it, but
    ejabberd (seen on 24.12) takes it and then sends the first one's replies to the second.
    """
    address = config.metrics.address
    if address is None:
        return None
    host = f"[{address[0]}]" if ":" in address[0] else address[0]

    def ask() -> dict[str, Any] | None:
        try:
            with urllib.request.urlopen(f"http://{host}:{address[1]}/health", timeout=3) as answer:
                return _health_of(answer.read())
        except urllib.error.HTTPError as error:
            return _health_of(error.read())
        except OSError:
            return None

    return await asyncio.to_thread(ask)


def _health_of(body: bytes) -> dict[str, Any] | None:
    try:
        said = json.loads(body)
    except ValueError:
        return None
    return said if isinstance(said, dict) and said.get("component") else None


def _from_health(config: Config, said: dict[str, Any]) -> Iterator[CheckLine]:
    """Check lines out of what a running xmpp-moved says."""
    yield CheckLine("running", True, f"{said['component']} is at work; this is what it says")
    up = said["stream"] == "up"
    yield CheckLine("stream", up, said["stream"], None if up else str(said.get("trouble")))
    for host in config.served.hosts:
        hook = said["hooks"].get(host)
        remedy = None if hook else "see the log of the running one: it names what to install"
        yield CheckLine(f"hook on {host}", bool(hook), hook or "none", remedy)
    fine = said["journal"] == "writable"
    yield CheckLine("database", fine, said["journal"], None if fine else "see its log")


def _check_stream(config: Config, link: Link, running: asyncio.Task[None]) -> CheckLine:
    where = f"{config.component.host}:{config.component.port} as {config.component.jid}"
    if running.done():
        return CheckLine("stream", False, where, str(running.exception()))
    if link.connected:
        return CheckLine("stream", True, where)
    remedy = "see that the server runs, listens there for components and has a section for this one"
    return CheckLine("stream", False, f"{where}: {link.trouble or 'no answer'}", remedy)


async def _check_database(config: Config) -> CheckLine:
    try:
        async with await Store.open(config.database.url, create=False) as store:
            counts = await store.counts()
    except StoreLocked as error:
        remedy = "stop it to check the rest, or give it [metrics] listen and ask it by this command"
        return _Taken("database", False, str(error), remedy)
    except StoreMissing as missing:
        folder = Path(make_url(config.database.url).database or "").parent
        if os.access(folder, os.W_OK):
            return CheckLine("database", True, f"none yet; run will make it in {folder}")
        remedy = f"make {folder} and let the user that runs xmpp-moved write there"
        return CheckLine("database", False, str(missing), remedy)
    except StoreError as error:
        return CheckLine("database", False, "not usable", str(error))
    return CheckLine("database", True, f"{sum(counts.values())} moves in the journal")
