"""What happens whenever the stream is up: greet the hooks, settle what was left, then work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping

import structlog

from component.engine.hook import Hook
from component.engine.recovery import Recovery
from component.store.errors import StoreError
from component.xmpp.codecs import Hello
from component.xmpp.errors import LinkBusy, LinkError, LinkLost, RequestTimeout

log = structlog.get_logger(__name__)

MOVER_FEATURES = frozenset({"watch", "tombstone", "answer"})
"""What of the hook the mover's side needs (hook protocol, section 7)."""


LOOK_SECONDS = 5.0
"""How long a hook has to answer while the stream stands, until it counts as silent."""
FIRST_RETRY = 0.5
"""Seconds until a host without a hook is asked again; doubled each time.  A server that is starting
may take our stream before the hosts have their modules."""
AGAIN_SECONDS = 10.0
"""How often records are tried again that could not be settled while the stream stood."""


class Session:
    """Knows which hosts have a hook, and keeps asking those that have none."""

    def __init__(
        self,
        hook: Hook,
        recovery: Recovery,
        hosts: Collection[str],
        *,
        deadline: float,
        retry_seconds: float = 30.0,
        again_seconds: float = AGAIN_SECONDS,
        on_greeted: Callable[[], Awaitable[None]] | None = None,
        on_gone: Callable[[Collection[str]], Awaitable[None]] | None = None,
    ) -> None:
        """Sessions of one component.

        :param deadline: ours, in seconds; it has to lie below each hook's time-out.
        :param retry_seconds: the longest time until a host without a hook is asked again.
        :param again_seconds: between looks at records that could not be settled.
        :param on_greeted: called in each session when the hooks that are there were greeted and
            what was left over is settled; again when another one is.
        :param on_gone: called with instances of the hook that are no more while the stream stands.
        """
        self._hook = hook
        self._recovery = recovery
        self._hosts = tuple(hosts)
        self._deadline = deadline
        self._retry_seconds = retry_seconds
        self._again_seconds = again_seconds
        self._on_greeted = on_greeted
        self._on_gone = on_gone
        self._hellos: dict[str, Hello] = {}
        self._silent: set[str] = set()
        self._full: set[str] = set()
        self._troubles: dict[str, str] = {}
        self._recovered = False
        self._recovered_at = 0.0
        self._epoch = 0
        self._up = False
        self._greeting = False
        self.greeted = False
        """Every host was asked once, in this session or one before, whatever came of it."""

    @property
    def hellos(self) -> Mapping[str, Hello]:
        """The hooks that answer in this session, by host."""
        return {host: said for host, said in self._hellos.items() if host not in self._silent}

    @property
    def troubles(self) -> Mapping[str, str]:
        """Why hosts have no hook that answers, and what to do; only of those that have none."""
        silent = dict.fromkeys(self._silent, "the server module is silent: see the server's log")
        return {h: why for h, why in self._troubles.items() if h not in self._hellos} | silent

    @property
    def full(self) -> frozenset[str]:
        """Hosts whose hook had no room for all requests, when it was last looked at: those that
        found none were processed as if we were not there."""
        return frozenset(self._full)

    @property
    def ready(self) -> bool:
        """Every served host has a hook, and nothing is left over from before."""
        return self._recovered and len(self.hellos) == len(self._hosts)

    def on_down(self) -> None:
        """The stream is lost; what was known of the hooks is stale."""
        self._epoch += 1
        self._hellos.clear()
        self._silent.clear()
        self._full.clear()
        self._troubles.clear()
        self._recovered = self._up = self._greeting = False

    async def on_up(self) -> None:
        """Greet all hosts; those without a hook are asked again until they have one."""
        complained: dict[str, str] = {}
        epoch, self._up, self._greeting = self._epoch, True, True
        self._silent.clear()
        wait = FIRST_RETRY
        try:
            while not self.ready and epoch == self._epoch:
                greeted = await self._greet(complained)
                self.greeted = True
                await self._recover()
                first, self._recovered = not self._recovered, True
                if (first or greeted) and self._on_greeted is not None:
                    await self._on_greeted()
                if self.ready:
                    log.info("ready", hosts=list(self._hosts))
                    return
                await asyncio.sleep(min(wait, self._retry_seconds))
                wait *= 2
        except LinkLost:
            return  # the next session begins anew
        except StoreError as error:
            log.error("cannot settle what was left over", error=str(error))
        finally:
            if epoch == self._epoch:
                self._greeting = False

    async def look(self) -> None:
        """See whether the hooks are still there; to be called every few seconds.

        A module can be unloaded, or loaded anew and so have forgotten what it watched and held,
        while the stream stands.  What is missing is greeted again.
        """
        if not self._up or self._greeting:
            return
        epoch = self._epoch
        for host in self._hosts:
            if host in self._hellos:
                await self._look_at(host, epoch)
            if epoch != self._epoch:
                return
        if not self._recovered or len(self._hellos) < len(self._hosts):
            self._recovered = False
            await self.on_up()
        elif self._recovery.urgent or (
            self._recovery.left and self._tick() - self._recovered_at >= self._again_seconds
        ):
            await self._recover()

    async def _recover(self) -> None:
        self._recovered_at = self._tick()
        hellos = self._hellos.items()
        await self._recovery.run(
            {host: hello.instances for host, hello in hellos},
            {host: hello.timeout for host, hello in hellos},
        )

    @staticmethod
    def _tick() -> float:
        return asyncio.get_running_loop().time()

    async def _look_at(self, host: str, epoch: int) -> None:
        known = self._hellos[host]
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                hello = await self._hook.hello(host)
        except (LinkLost, LinkBusy):
            return
        except (TimeoutError, RequestTimeout):
            if epoch == self._epoch and host not in self._silent:
                # The server is slow or stuck; nothing is forgotten, so nothing is done anew.
                self._silent.add(host)
                log.warning("the hook of a served host is silent", host=host)
            return
        except LinkError as error:
            if epoch == self._epoch:
                self._silent.discard(host)
                del self._hellos[host]
                self._troubles[host] = str(error)
                log.error("the hook of a served host is gone", host=host, error=str(error))
            return
        if epoch != self._epoch:
            return
        self._silent.discard(host)
        if hello.instance != known.instance:
            del self._hellos[host]
            log.warning("the hook of a served host was loaded anew", host=host)
            return
        self._hellos[host] = hello
        self._see_room(host, hello, known)
        gone = known.instances - hello.instances
        if gone:
            log.warning("a node of the server's cluster is gone", host=host, nodes=len(gone))
            if self._on_gone is not None:
                await self._on_gone(gone)
            self._recovery.hurry()

    def _see_room(self, host: str, hello: Hello, known: Hello) -> None:
        """While the stream stands, requests pass the hook by for one reason only."""
        passed = hello.passed - known.passed
        if passed > 0:
            if host not in self._full:
                log.error(
                    "too many requests at once: some pass unfollowed, as ordinary requests; see "
                    "who sends them, or raise moved_hook_max_held",
                    host=host,
                    passed=passed,
                    max_held=hello.max_held,
                )
            self._full.add(host)
        elif host in self._full:
            self._full.discard(host)
            log.info("the hook has room again", host=host)

    async def _greet(self, complained: dict[str, str]) -> bool:
        """Greet those that were not; whether one answered."""
        before = len(self._hellos)
        for host in self._hosts:
            if host in self._hellos:
                continue
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    hello = await self._hook.hello(host)
            except LinkLost:
                raise
            except (LinkError, TimeoutError) as error:
                why = str(error) or f"no answer in {LOOK_SECONDS:g} s"
                if complained.get(host) != why:
                    log.error("no hook on a served host", host=host, error=why)
                complained[host] = self._troubles[host] = why
                continue
            if hello.timeout <= self._deadline:
                log.warning(
                    "the hook gives up before our deadline; lower [contacts] deadline_seconds "
                    "or raise moved_hook_timeout",
                    host=host,
                    hook_timeout=hello.timeout,
                    deadline=self._deadline,
                )
            if not hello.features >= MOVER_FEATURES:
                log.error(
                    "the server module is too old for users who move; update it "
                    "(xmpp-moved hook prosody|snikket|ejabberd) and reload it",
                    host=host,
                    hook=hello.version,
                )
            self._hellos[host] = hello
            log.info(
                "hook greeted",
                host=host,
                hook=hello.version,
                server=f"{hello.server} {hello.server_version}",
            )
        return len(self._hellos) > before
