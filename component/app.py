"""The only place that wires: builds every layer from the configuration and runs them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from datetime import timedelta

import structlog

from component.config import Config, ConfigError, compare
from component.core.answers import Answers
from component.core.limits import Declined, Followed, Gate
from component.core.notices import Follow
from component.core.roster import Carry
from component.core.statement import ErrorRead, ItemsRead
from component.engine.clock import SystemClock
from component.engine.contacts import ContactSide, Timing
from component.engine.fetcher import Fetcher, FetchLimits
from component.engine.hook import Hook
from component.engine.movers.accounts import Accounts
from component.engine.movers.admin import Admin
from component.engine.movers.desk import Desk
from component.engine.movers.drafts import Domains
from component.engine.movers.inbound import Inbound
from component.engine.movers.service import Movers
from component.engine.preferences import Preferences
from component.engine.recovery import Recovery
from component.engine.session import Session
from component.engine.telling import ContactNotices
from component.engine.undo import ContactUndo, Restorer
from component.ops.control import ControlServer
from component.ops.counted import CountedOrders
from component.ops.http import Health, HttpServer
from component.ops.log import configure as configure_log
from component.ops.metrics import DOMAINS_SHOWN, Metrics
from component.ops.systemd import ServiceManager
from component.ops.upkeep import Pulse, Upkeep, beside
from component.settings import keep, link_settings, mover_settings, policy, run_time
from component.store import Store, StoreError
from component.ui.talk import Languages, LinkTeller, Talk
from component.xmpp.link import Link
from component.xmpp.names import NS_HOOK

log = structlog.get_logger(__name__)

STOP_GRACE = 5.0
"""Seconds that a stop waits for verdicts and outcomes on their way."""


class App:
    """One component: a link, a journal, and between them the contact's and the mover's side."""

    def __init__(self, config: Config, store: Store, manager: ServiceManager | None = None) -> None:
        self._config = config
        self._store = store
        self.manager = manager or ServiceManager()
        self._clock = SystemClock()
        self.metrics = Metrics()
        self._link_settings = link_settings(config)
        self._link = Link(self._link_settings, on_up=self._on_up, on_down=self._on_down)
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
            lambda: self._contacts.unfinished,
        )
        self._movers, self._admin = self._mover_side()
        self._session = Session(
            self._hook,
            recovery,
            config.served.hosts,
            deadline=config.contacts.deadline_seconds,
            on_greeted=self._movers.on_up,
        )
        self._pulse = Pulse(store.ping)
        self._upkeep = Upkeep(
            self.manager,
            self.metrics,
            self._pulse,
            config.served.hosts,
            health=self.health,
            ready=lambda: self._session.ready,
            look=self._session.look,
            figures=self.take_figures,
            prune=self.prune,
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
        hosts = config.served.hosts
        undo = ContactUndo(
            hosts=hosts,
            restorer=self._restorer,
            past=store,
            followed=self._followed,
            declined=self._declined,
            notices=self._notices,
            clock=self._clock,
        )
        accounts = Accounts(self._link, self._hook, remote_timeout=config.contacts.deadline_seconds)
        movers = Movers(
            hosts=hosts,
            accounts=accounts,
            store=store.journeys,
            teller=self._teller,
            clock=self._clock,
            settings=settings,
            preferences=self._preferences,
            contact_undo=undo,
            gauges=self.metrics.movers,
        )
        desk = self._desk = Desk(
            hosts=hosts,
            accounts=accounts,
            store=store.journeys,
            teller=self._teller,
            clock=self._clock,
            settings=settings,
            begin=movers.begin,
        )
        admin = Admin(
            movers,
            store.journeys,
            store.user_settings,
            undo,
            config.served.admins,
            run_time(config),
            self._apply,
        )
        inbound = self._inbound = Inbound(
            movers,
            store.journeys,
            self._teller,
            self._clock,
            settings,
            hosts,
            self._contacts.on_divert,
            self._contacts.on_outcome,
            self.metrics.movers,
        )
        self._link.route_iq("set", NS_HOOK, "divert", inbound.on_divert)
        self._link.route_iq("get", NS_HOOK, "wrote", inbound.on_wrote)
        self._link.route_iq("get", NS_HOOK, "tombstone", inbound.on_tombstone)
        self._link.route_message(NS_HOOK, "outcome", inbound.on_outcome)
        self._link.route_message(NS_HOOK, "heard", inbound.on_heard)
        talk = Talk(self._link, desk, movers, admin, languages=self._languages, clock=self._clock)
        talk.register()
        return movers, admin

    def _apply(self, domains: Domains) -> None:
        self._gate.set_domains(domains.allow, domains.deny)
        self._desk.drafts.domains = domains

    async def _on_up(self) -> None:
        self.metrics.link_up(True)
        if self._link.stats.reconnects:
            self.metrics.reconnected()
        await self._session.on_up()
        self._upkeep.tell()

    def _on_down(self, why: str) -> None:
        self.metrics.link_up(False)
        self._session.on_down()
        self._contacts.on_down()
        self._movers.on_down()

    def health(self) -> Health:
        """What ``/health`` says: well only while requests can be followed."""
        missing = sorted(set(self._config.served.hosts) - set(self._session.hellos))
        trouble = self._store.trouble or self._pulse.trouble
        overload = sorted(self._session.full) + ["us"] * self._contacts.overloaded
        return Health(
            ok=self._link.connected and self._session.ready and trouble is None and not overload,
            detail={
                "stream": "up" if self._link.connected else "down",
                "component": self._config.component.jid,
                "trouble": self._link.trouble,
                "hooks": {
                    host: f"{hello.version} in {hello.server} {hello.server_version}"
                    for host, hello in self._session.hellos.items()
                },
                "hosts_without_hook": missing,
                "journal": trouble or "writable",
                "open_requests": self._contacts.open_requests,
                "too_many_requests_at": overload,
            },
        )

    async def reload(self, config: Config) -> None:
        """Put in force what can change without a restart; the log names the rest.

        :raises StoreError: the limits cannot look further back; nothing has changed.
        """
        changes = compare(self._config, config)
        await self._remember_followed(changes.config.contacts.window_days)
        later = list(changes.later)
        secret = "[component] secret"
        if config.component.reveal() != self._link_settings.secret and secret not in later:
            later.append(secret)
        self._config = changes.config
        self._put_in_force()
        log.info("configuration reloaded", changed=list(changes.now))
        if later:
            log.warning("restart to apply", changed=later)

    def _put_in_force(self) -> None:
        """Everything of the configuration that can change without a restart."""
        config = self._config
        configure_log(config.log.level, config.log.format)
        self._gate.set_limits(policy(config))
        self._followed.set_limits(policy(config))
        self._languages.set_default(config.served.language)
        self._preferences.set_default(Follow(config.contacts.follow))
        self._notices.on = config.contacts.notice
        self._notices.set_undo_days(config.contacts.undo_days)
        self._movers.reconfigure(mover_settings(config))
        self._admin.reconfigure(config.served.admins, run_time(config))

    async def prune(self) -> None:
        """Remove what ended long ago; raises StoreError."""
        time = keep(self._config)
        if time is None:
            return
        before = self._clock.now() - time
        moves, journeys = await self._store.prune(before), await self._store.journeys.prune(before)
        self.metrics.pruned("moves", moves)
        self.metrics.pruned("journeys", journeys)
        log.info("old records removed", moves=moves, journeys=journeys, before=before.isoformat())

    async def take_figures(self) -> None:
        """Take the figures that nobody reports; raises StoreError."""
        figures, pace = self.metrics.movers, self._movers.pace
        figures.contacts(self._movers.contact_counts())
        figures.ways_back_held(self._inbound.awaited)
        figures.domains(pace.unreachable(), pace.health(DOMAINS_SHOWN))
        figures.journeys(await self._store.journeys.states())

    async def _remember_followed(self, days: int) -> None:
        """What the limits look back on; raises StoreError."""
        window = timedelta(days=days)
        for move in await self._store.accepted_since(self._clock.now() - window):
            self._followed.note(move.old, move.new, move.at.timestamp())

    async def _load(self) -> None:
        """What is remembered from before; raises StoreError."""
        await self._remember_followed(self._config.contacts.window_days)
        for contact, old, new in await self._store.declined():
            self._declined.note(contact, old, new)
        for jid, settings in (await self._preferences.load()).items():
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
                orders = CountedOrders(self._admin, self.metrics.movers.ordered)
                control = ControlServer(self._config.component.control, orders)
                await stack.enter_async_context(control)
            house = asyncio.create_task(self._movers.housekeeping.run(), name="housekeeping")
            stack.callback(house.cancel)
            await stack.enter_async_context(self._upkeep.running())
            link = asyncio.create_task(self._link.run(), name="link")
            stopped = asyncio.create_task(stop.wait(), name="stop")
            try:
                await asyncio.wait({link, stopped}, return_when=asyncio.FIRST_COMPLETED)
                if not link.done():
                    log.info("stopping")
                    self.manager.stopping()
                    await self._movers.stop()
                    await self._contacts.stop(STOP_GRACE)
                    await self._link.stop(STOP_GRACE)
                await link
            finally:
                stopped.cancel()
                await self._movers.stop()


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
        store = await stack.enter_async_context(await Store.open(config.database.url))
        app = App(config, store, ServiceManager.of_environment(os.environ))
        if reread is not None:
            asked = asyncio.Event()
            loop.add_signal_handler(signal.SIGHUP, asked.set)
            await stack.enter_async_context(beside(_reload_when(asked, app, reread)))
        address = config.metrics.address
        if address is not None:
            server = HttpServer(address, app.metrics.registry, app.health, loop=loop)
            stack.enter_context(server)
        await app.run(stop)
