"""The only place that wires: builds every layer from the configuration and runs them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection
from datetime import timedelta

import structlog

from component.config import Config, ConfigError, compare
from component.config.errors import Problem
from component.core.answers import Answers
from component.core.limits import Declined, Followed, Gate
from component.core.notices import Follow
from component.core.roster import Carry
from component.core.statement import ErrorRead, ItemsRead
from component.engine.acting import MeantWire
from component.engine.clock import SystemClock
from component.engine.contacts import ContactSide, Timing
from component.engine.fetcher import Fetcher, FetchLimits
from component.engine.hook import Hook
from component.engine.memory import Memory
from component.engine.peers import Lease, Peers
from component.engine.preferences import Preferences
from component.engine.recovery import Recovery
from component.engine.session import Session
from component.engine.telling import ContactNotices
from component.engine.undo import Restorer
from component.moverside import Shared, mover_side
from component.ops.control import ControlServer
from component.ops.counted import CountedOrders
from component.ops.http import Health
from component.ops.log import configure as configure_log
from component.ops.metrics import DOMAINS_SHOWN, Metrics
from component.ops.systemd import ServiceManager
from component.ops.upkeep import Pulse, Upkeep
from component.settings import keep, link_settings, mover_settings, policy, run_time
from component.store import Store, StoreError
from component.store.errors import LeaseLost
from component.ui.talk import Languages, LinkTeller
from component.xmpp.link import Link

log = structlog.get_logger(__name__)

DRAFTS_KEPT = timedelta(days=1)
"""How long the preview of a copy is good."""
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
        self._hook = Hook(MeantWire(self._link))
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
        self._lease = Lease()
        self._recovery = Recovery(
            self._hook,
            store,
            self._followed,
            self._restorer,
            self._notices,
            self._clock,
            self._contacts.is_open,
            lambda: self._contacts.unfinished,
            claim=store.shared.claim_moves if store.several else None,
            taken_over=lambda number: self.metrics.peers.taken_over("requests", number),
        )
        self._peers: Peers | None = None
        side = mover_side(
            Shared(
                config=config,
                store=store,
                link=self._link,
                lease=self._lease,
                clock=self._clock,
                languages=self._languages,
                teller=self._teller,
                preferences=self._preferences,
                restorer=self._restorer,
                followed=self._followed,
                declined=self._declined,
                notices=self._notices,
                contacts=self._contacts,
                gauges=self.metrics.movers,
            ),
            alive=lambda: self._alive,
            apply=self._gate.set_domains,
            may_upload=self._may_upload,
            file_mib=lambda: self._config.movers.file_mib,
        )
        self._movers, self._admin, self._copies = side.movers, side.admin, side.copies
        self._inbound, self._handovers, self._desk = side.inbound, side.handovers, side.desk
        self._memory = Memory(
            store,
            self._followed,
            self._declined,
            self._preferences,
            self._clock,
            window_days=lambda: self._config.contacts.window_days,
            on_language=self._languages.choose,
            on_run_time=self._admin.take_in,
            load_run_time=self._admin.load,
        )
        if store.several:
            self._peers = Peers(
                store.shared,
                config.component.jid,
                self._movers.runs,
                lease=self._lease,
                take_in=self._memory.take_in,
                on_alive=self._movers.share_with,
                on_death=self._on_death,
                up=lambda: self._link.connected,
                gauges=self.metrics.peers,
            )
        self._session = Session(
            self._hook,
            self._recovery,
            config.served.hosts,
            deadline=config.contacts.deadline_seconds,
            on_greeted=self._on_greeted,
            on_gone=self._on_gone,
        )
        self._pulse = Pulse(store.ping)
        self._upkeep = Upkeep(
            self.manager,
            self.metrics,
            self._pulse,
            config.served.hosts,
            health=self.health,
            # Whatever is missing still, whoever waits for the start need wait no longer.
            started=lambda: self._session.greeted or self._link.trouble is not None,
            look=self._session.look,
            figures=self.take_figures,
            prune=self.prune,
        )
        store.watch_commits(self.metrics.committed)
        self.metrics.peers.watch_journeys(lambda: len(self._movers.runs))
        self.metrics.watch_link(
            lambda: self._link.stats.queue_depth, lambda: self._link.stats.refused
        )

    def _contact_side(self) -> ContactSide:
        contacts = self._config.contacts
        # A true request has to be looked at within its time, whatever was answered before it came.
        pause = min(contacts.failure_cache_seconds, contacts.deadline_seconds / 3)

        async def ask(contact: str, old: str) -> ItemsRead | ErrorRead:
            return await self._hook.statement(contact, old, timeout=contacts.deadline_seconds)

        fetcher = Fetcher(
            ask,
            Answers(
                verified_seconds=contacts.verified_cache_seconds,
                failure_seconds=pause,
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

    def _may_upload(self, host: str) -> bool:
        hello = self._session.hellos.get(host)
        return hello is not None and hello.may_upload

    def _on_death(self) -> None:
        self._recovery.hurry()
        self._movers.renew_watches()

    async def _on_gone(self, instances: Collection[str]) -> None:
        self._contacts.abandon(instances)
        # What contacts said to users there may not have been told.
        await self._movers.on_up()

    @property
    def _alive(self) -> frozenset[str]:
        return self._peers.alive if self._peers else frozenset({self._config.component.jid})

    async def _on_greeted(self) -> None:
        self._see_counters()
        await self._movers.on_up()

    def _see_counters(self) -> None:
        """Whether one of our own servers drops what its users are sent too fast."""
        counters = [hello.counter for hello in self._session.hellos.values() if hello.counter]
        self._movers.see_counters(counters)

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
                "counters": {
                    host: hello.counter
                    for host, hello in self._session.hellos.items()
                    if hello.counter is not None
                },
                "hosts_without_hook": missing,
                "hook_troubles": dict(self._session.troubles),
                "journal": trouble or "writable",
                "open_requests": self._contacts.open_requests,
                "too_many_requests_at": overload,
                "instances": sorted(self._alive),
                "journeys_at_work": len(self._movers.runs),
                "paused": self._movers.paused,
                "handovers_left_over": self._handovers.leftovers,
            },
        )

    async def reload(self, config: Config) -> None:
        """Put in force what can change without a restart; the log names the rest.

        :raises StoreError: the limits cannot look further back; nothing has changed.
        """
        changes = compare(self._config, config)
        await self._memory.look_back(changes.config.contacts.window_days)
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
        await self._store.belongings.prune(before, self._clock.now() - DRAFTS_KEPT)
        log.info("old records removed", moves=moves, journeys=journeys, before=before.isoformat())

    async def take_figures(self) -> None:
        """Take the figures that nobody reports; raises StoreError."""
        self._see_counters()  # an option of a server's may have changed
        figures, pace = self.metrics.movers, self._movers.pace
        figures.contacts(self._movers.contact_counts())
        figures.ways_back_held(self._inbound.awaited)
        figures.domains(pace.unreachable(), pace.health(DOMAINS_SHOWN))
        figures.journeys(await self._store.journeys.states())
        figures.handovers(await self._store.handovers.states(), self._handovers.leftovers)
        figures.copies(await self._store.belongings.states())

    async def _load(self) -> None:
        """What is remembered from before; raises StoreError."""
        if self._peers is not None:
            await self._peers.begin()
        await self._memory.load()
        await self._movers.load()
        await self._copies.load()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop`` is set.

        :raises SecretRefused: the server does not take our secret.
        :raises ConfigError: another process works under our name.
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
            peers = asyncio.create_task(self._beat(), name="beat")
            try:
                ends = {link, stopped, peers}
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                if not link.done():
                    log.info("stopping")
                    self.manager.stopping()
                    await self._movers.stop()
                    await self._contacts.stop(STOP_GRACE)
                    await self._link.stop(STOP_GRACE)
                await link
                if peers.done():
                    peers.result()
            finally:
                stopped.cancel()
                await self._movers.stop()
                await self._copies.stop()
                peers.cancel()
                await asyncio.wait({peers})  # no beat after the last word
                await self._leave()

    async def _beat(self) -> None:
        """Keep step with the other instances, if there can be any, for ever.

        :raises ConfigError: another process works under our name.
        """
        if self._peers is None:
            await asyncio.get_running_loop().create_future()
            return
        try:
            await self._peers.run()
        except LeaseLost as error:
            # Started again, this one would take the name from the other.
            raise ConfigError(
                "several instances", [Problem("[component] jid", str(error))]
            ) from error

    async def _leave(self) -> None:
        """The last thing: others take over at once."""
        if self._peers is None:
            return
        try:
            await self._peers.leave()
        except StoreError as error:
            log.warning("the other instances take over in a while only", error=str(error))
