"""How an instance goes away."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tests.live.instances.fleet import Instance

End = Callable[[Instance], Awaitable[None]]


async def kill(instance: Instance) -> None:
    """SIGKILL."""
    await instance.daemon.kill()


async def terminate(instance: Instance) -> None:
    """SIGTERM, and the end."""
    assert await instance.daemon.stop() == 0


async def put_to_sleep(instance: Instance) -> None:
    """SIGSTOP: its connections stand."""
    instance.stop_time()


NAMED: dict[str, End] = {"kill": kill, "term": terminate, "sleep": put_to_sleep}
