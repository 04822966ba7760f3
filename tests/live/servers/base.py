"""What a scenario needs of a server, whichever server it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

C2S_PORT = 25222
"""Client port of every test server, on the server's own loopback address."""
S2S_PORT = 25269
"""Federation port; other test servers find it through SRV records given in the configuration."""
COMPONENT_PORT = 25347
"""XEP-0114 port."""

COMPONENT_HOST = "moved.montague.example"
"""Domain of the component under test."""
STRANGER_HOST = "stranger.montague.example"
"""Domain of a component that has no business with the hook."""
COMPONENT_SECRET = "test-secret"
"""XEP-0114 secret of both components."""
PASSWORD = "wherefore"
"""Password of every test account."""


class ServerError(Exception):
    """A test server did not start, stop or do what it was told."""


@dataclass(frozen=True, slots=True)
class RosterEntry:
    """One entry of an arranged or expected roster (RFC 6121 section 2.1.2).

    ``subscription`` is none, to, from or both; ``pending`` is a request that waits for the
    owner's answer (it is no part of what a roster get shows).
    """

    jid: str
    subscription: str = "none"
    name: str | None = None
    groups: tuple[str, ...] = ()
    ask: bool = False
    pending: bool = False


@dataclass(frozen=True, slots=True)
class Fault:
    """What a server answers when the moved statement of one of its accounts is asked for.

    ``kind`` is ``silent`` (no answer, ever), ``error`` (``payload`` is the ``<error/>`` element)
    or ``result`` (``payload`` is the ``<pubsub/>`` element, or empty).
    """

    kind: str
    payload: str = ""


@dataclass(frozen=True, slots=True)
class HookOptions:
    """Options of mod_moved_hook; ``None`` leaves the module's default.

    ``components`` are those that are asked; none: the first one of the server.
    """

    timeout: float | None = None
    max_held: int | None = None
    components: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ServerSpec:
    """What to start.

    ``zone`` maps every domain of the test to the address of its server: the only names the
    server can resolve.  ``components`` are XEP-0114 domains, all with ``COMPONENT_SECRET``.
    """

    name: str
    address: str
    hosts: tuple[str, ...]
    zone: dict[str, str]
    components: tuple[str, ...] = ()
    hook: HookOptions | None = None
    extra: dict[str, str] = field(default_factory=dict)


class Server(Protocol):
    """A real XMPP server in a throw-away folder, on a loopback address of its own."""

    kind: str
    spec: ServerSpec
    folder: Path
    log_path: Path

    @property
    def running(self) -> bool:
        """True while the process lives."""
        ...

    async def start(self) -> None:
        """Start and wait until a client would be served; raises ServerError with the log's tail."""
        ...

    async def stop(self) -> None:
        """Stop in order (SIGTERM) and wait for the end."""
        ...

    async def kill(self) -> None:
        """SIGKILL and wait for the end."""
        ...

    def add_user(self, jid: str) -> None:
        """Create the account (bare JID) with the password ``PASSWORD``."""
        ...

    def remove_user(self, jid: str) -> None:
        """Delete the account (bare JID) and all it has stored; nobody may be logged in to it."""
        ...

    def set_roster(self, jid: str, entries: Sequence[RosterEntry]) -> None:
        """Arrange the roster of an account that has not been used yet."""
        ...

    def set_fault(self, jid: str, fault: Fault | None) -> None:
        """Let the statement of this account be answered by ``fault``; None ends that."""
        ...
