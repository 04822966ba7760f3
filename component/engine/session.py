"""What happens whenever the stream is up: greet the hooks, settle what was left, then work."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

import structlog

from component.engine.hook import Hook
from component.engine.recovery import Recovery
from component.store.errors import StoreError
from component.xmpp.codecs import Hello
from component.xmpp.errors import LinkError, LinkLost

log = structlog.get_logger(__name__)


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
    ) -> None:
        """``deadline``: ours, in seconds; it has to lie below each hook's time-out."""
        self._hook = hook
        self._recovery = recovery
        self._hosts = tuple(hosts)
        self._deadline = deadline
        self._retry_seconds = retry_seconds
        self._hellos: dict[str, Hello] = {}
        self._recovered = False

    @property
    def hellos(self) -> Mapping[str, Hello]:
        """The hooks that answered in this session, by host."""
        return self._hellos

    @property
    def ready(self) -> bool:
        """Every served host has a hook, and nothing is left over from before."""
        return self._recovered and len(self._hellos) == len(self._hosts)

    def on_down(self) -> None:
        """The stream is lost; what was known of the hooks is stale."""
        self._hellos.clear()
        self._recovered = False

    async def on_up(self) -> None:
        """Greet all hosts; those without a hook are asked again until they have one."""
        complained: dict[str, str] = {}
        try:
            while not self.ready:
                await self._greet(complained)
                instances = {host: hello.instance for host, hello in self._hellos.items()}
                await self._recovery.run(instances)
                self._recovered = True
                if self.ready:
                    log.info("ready", hosts=list(self._hosts))
                    return
                await asyncio.sleep(self._retry_seconds)
        except LinkLost:
            return  # the next session begins anew
        except StoreError as error:
            log.error("cannot settle what was left over", error=str(error))

    async def _greet(self, complained: dict[str, str]) -> None:
        for host in self._hosts:
            if host in self._hellos:
                continue
            try:
                hello = await self._hook.hello(host)
            except LinkLost:
                raise
            except LinkError as error:
                if complained.get(host) != str(error):
                    log.error("no hook on a served host", host=host, error=str(error))
                complained[host] = str(error)
                continue
            if hello.timeout <= self._deadline:
                log.warning(
                    "the hook gives up before our deadline; lower [contacts] deadline_seconds "
                    "or raise moved_hook_timeout",
                    host=host,
                    hook_timeout=hello.timeout,
                    deadline=self._deadline,
                )
            self._hellos[host] = hello
            log.info(
                "hook greeted",
                host=host,
                hook=hello.version,
                server=f"{hello.server} {hello.server_version}",
            )
