"""The only place that wires: builds every layer from the configuration and runs them."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from datetime import timedelta

import structlog

from component import __version__
from component.config import Config
from component.core.answers import Answers
from component.core.limits import Followed, Gate, Policy
from component.core.roster import Carry
from component.core.statement import ErrorRead, ItemsRead
from component.engine.clock import SystemClock
from component.engine.contacts import ContactSide, Timing
from component.engine.fetcher import Fetcher, FetchLimits
from component.engine.hook import Hook
from component.engine.recovery import Recovery
from component.engine.session import Session
from component.ops.http import Health, HttpServer
from component.ops.metrics import Metrics
from component.store import Store
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
        self._link.route_iq("set", NS_HOOK, "divert", self._contacts.on_divert)
        self._link.route_message(NS_HOOK, "outcome", self._contacts.on_outcome)

    async def _on_up(self) -> None:
        self.metrics.link_up(True)
        await self._session.on_up()

    def _on_down(self, why: str) -> None:
        self.metrics.link_up(False)
        self._session.on_down()
        self._contacts.on_down()

    def health(self) -> Health:
        """What ``/health`` says: well only while requests can be followed."""
        missing = sorted(set(self._config.served.hosts) - set(self._session.hellos))
        return Health(
            ok=self._link.connected and self._session.ready,
            detail={
                "stream": "up" if self._link.connected else "down",
                "hosts_without_hook": missing,
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
