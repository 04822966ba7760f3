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
from component.core.journey.contacts import Schedule
from component.core.journey.pace import Rates
from component.core.limits import Declined, Followed, Gate, Policy
from component.core.notices import Follow
from component.core.roster import Carry
from component.core.statement import ErrorRead, ItemsRead
from component.engine.clock import SystemClock
from component.engine.contacts import ContactSide, Timing
from component.engine.fetcher import Fetcher, FetchLimits
from component.engine.hook import Hook
from component.engine.movers.accounts import Accounts
from component.engine.movers.admin import Admin
from component.engine.movers.box import MoverSettings
from component.engine.movers.drafts import Domains
from component.engine.movers.inbound import Inbound
from component.engine.movers.orders import RunTime
from component.engine.movers.service import Movers
from component.engine.preferences import Preferences
from component.engine.recovery import Recovery
from component.engine.session import Session
from component.engine.telling import ContactNotices
from component.engine.undo import ContactUndo, Restorer
from component.ops.control import ControlServer
from component.ops.http import Health, HttpServer
from component.ops.metrics import Metrics
from component.store import Store
from component.ui.talk import Languages, LinkTeller, Talk
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


def mover_settings(config: Config) -> MoverSettings:
    """The settings of the mover's side, out of the configuration."""
    movers = config.movers
    return MoverSettings(
        rates=Rates(
            movers.per_mover_per_second,
            movers.overall_per_second,
            movers.domain_per_minute,
            movers.domain_per_minute_max,
        ),
        schedule=Schedule(
            tuple(timedelta(hours=hours) for hours in movers.retry_hours),
            timedelta(minutes=movers.pending_minutes),
        ),
        look_seconds=movers.look_seconds,
        undo_hours=movers.undo_hours,
        cooldown=timedelta(days=movers.cooldown_days),
        failed_cooldown=timedelta(minutes=movers.failed_minutes),
        statement=timedelta(days=movers.statement_days),
        max_contacts=movers.max_contacts,
        max_chain=movers.max_chain,
        code_minutes=movers.code_minutes,
        answer_senders=movers.answer_senders,
        tombstones=movers.tombstones,
        enabled=movers.enabled,
    )


class App:
    """One component: a link, a journal, and between them the contact's and the mover's side."""

    def __init__(self, config: Config, store: Store) -> None:
        self._config = config
        self._store = store
        self._clock = SystemClock()
        self.metrics = Metrics()
        self._link = Link(link_settings(config), on_up=self._on_up, on_down=self._on_down)
        self._hook = Hook(self._link)
        self._gate = Gate(policy(config))
        self._followed = Followed(policy(config))
        self._declined = Declined()
        self._languages = Languages(config.served.language)
        self._teller = LinkTeller(self._link, self._languages)
        self._preferences = Preferences(store.user_settings, Follow(config.contacts.follow))
        self._notices = ContactNotices(
            self._teller, on=config.contacts.notice, undo_days=config.contacts.undo_days
        )
        self._restorer = Restorer(self._hook, store)
        self._contacts = self._contact_side()
        recovery = Recovery(
            self._hook,
            store,
            self._followed,
            self._restorer,
            self._notices,
            self._clock,
            self._contacts.is_open,
        )
        self._movers, self._admin = self._mover_side()
        self._session = Session(
            self._hook,
            recovery,
            config.served.hosts,
            deadline=config.contacts.deadline_seconds,
            on_greeted=self._movers.on_up,
        )
        store.watch_commits(self.metrics.committed)
        self.metrics.watch_link(
            lambda: self._link.stats.queue_depth, lambda: self._link.stats.refused
        )

    def _contact_side(self) -> ContactSide:
        contacts = self._config.contacts

        async def ask(contact: str, old: str) -> ItemsRead | ErrorRead:
            return await self._hook.statement(contact, old, timeout=contacts.deadline_seconds)

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
        return ContactSide(
            hosts=self._config.served.hosts,
            hook=self._hook,
            journal=self._store,
            fetcher=fetcher,
            gate=self._gate,
            followed=self._followed,
            declined=self._declined,
            preferences=self._preferences,
            restorer=self._restorer,
            notices=self._notices,
            clock=self._clock,
            gauges=self.metrics,
            timing=Timing(deadline=contacts.deadline_seconds),
            carry=Carry(contacts.carry_name, contacts.carry_groups),
        )

    def _mover_side(self) -> tuple[Movers, Admin]:
        config, store, settings = self._config, self._store, mover_settings(self._config)
        hosts, contacts = config.served.hosts, config.contacts
        undo = ContactUndo(
            hosts=hosts,
            restorer=self._restorer,
            past=store,
            followed=self._followed,
            declined=self._declined,
            notices=self._notices,
            clock=self._clock,
        )
        movers = Movers(
            hosts=hosts,
            accounts=Accounts(
                self._link, self._hook, remote_timeout=config.contacts.deadline_seconds
            ),
            store=store.journeys,
            teller=self._teller,
            clock=self._clock,
            settings=settings,
            preferences=self._preferences,
            contact_undo=undo,
        )
        admin = Admin(
            movers,
            store.journeys,
            store.user_settings,
            undo,
            config.served.admins,
            RunTime(
                False,
                settings.rates.overall_per_second,
                tuple(contacts.allow_domains),
                tuple(contacts.deny_domains),
            ),
            self._apply,
        )
        inbound = Inbound(
            movers,
            store.journeys,
            self._teller,
            self._clock,
            settings,
            hosts,
            self._contacts.on_divert,
            self._contacts.on_outcome,
        )
        self._link.route_iq("set", NS_HOOK, "divert", inbound.on_divert)
        self._link.route_iq("get", NS_HOOK, "wrote", inbound.on_wrote)
        self._link.route_iq("get", NS_HOOK, "tombstone", inbound.on_tombstone)
        self._link.route_message(NS_HOOK, "outcome", inbound.on_outcome)
        self._link.route_message(NS_HOOK, "heard", inbound.on_heard)
        Talk(self._link, movers, admin, languages=self._languages, clock=self._clock).register()
        return movers, admin

    def _apply(self, domains: Domains) -> None:
        self._gate.set_domains(domains.allow, domains.deny)

    async def _on_up(self) -> None:
        self.metrics.link_up(True)
        if self._link.stats.reconnects:
            self.metrics.reconnected()
        await self._session.on_up()

    def _on_down(self, why: str) -> None:
        self.metrics.link_up(False)
        self._session.on_down()
        self._contacts.on_down()
        self._movers.on_down()

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

    async def _load(self) -> None:
        """What is remembered from before; raises StoreError."""
        window = timedelta(days=self._config.contacts.window_days)
        for move in await self._store.accepted_since(self._clock.now() - window):
            self._followed.note(move.old, move.new, move.at.timestamp())
        for contact, old, new in await self._store.declined():
            self._declined.note(contact, old, new)
        await self._preferences.load()
        for jid, settings in (await self._store.user_settings.all()).items():
            self._languages.choose(jid, settings.language)
        await self._admin.load()
        await self._movers.load()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop`` is set.

        :raises SecretRefused: the server does not take our secret.
        """
        await self._load()
        async with contextlib.AsyncExitStack() as stack:
            if self._config.component.control:
                control = ControlServer(self._config.component.control, self._admin)
                await stack.enter_async_context(control)
            house = asyncio.create_task(self._movers.housekeeping.run(), name="housekeeping")
            stack.callback(house.cancel)
            link = asyncio.create_task(self._link.run(), name="link")
            stopped = asyncio.create_task(stop.wait(), name="stop")
            try:
                await asyncio.wait({link, stopped}, return_when=asyncio.FIRST_COMPLETED)
                if not link.done():
                    log.info("stopping")
                    await self._movers.stop()
                    await self._contacts.stop(STOP_GRACE)
                    await self._link.stop(STOP_GRACE)
                await link
            finally:
                stopped.cancel()
                await self._movers.stop()


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
