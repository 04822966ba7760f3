"""The link's settings and figures, as values."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class LinkSettings:
    """Where to connect, as whom, and within which bounds.  Times are seconds."""

    jid: str
    secret: str = field(repr=False)
    host: str = "127.0.0.1"
    port: int = 5347
    max_in_flight: int = 1024
    """Requests waiting for an answer."""
    max_queue: int = 10_000
    """Stanzas waiting to be sent."""
    max_queue_bytes: int = 64 * 1024 * 1024
    max_handlers: int = 6000
    """Requests and messages being handled."""
    stanza_bytes: int = 4 * 1024 * 1024
    """A larger stanza is skipped and refused; the session goes on.  A whole roster comes in one."""
    stanza_depth: int = 64
    """Likewise one with more elements inside each other."""
    backoff_first: float = 0.5
    backoff_max: float = 3.0
    """The server is a hop away, and an attempt costs it nothing: after its return, work goes on
    within this time."""
    handshake_timeout: float = 10.0
    """For connecting and authenticating."""
    probe_after: float = 4.0
    """After so long without a byte from the server, it is asked for one."""
    silence_timeout: float = 12.0
    """After so long without a byte the connection is dead, whatever TCP believes."""
    stall_timeout: float = 60.0
    """How long the server may leave our bytes unread."""
    keepalive: float = 60.0
    """Between whitespace keepalives."""
    version: str = "0"


@dataclass(frozen=True, slots=True)
class LinkStats:
    """Figures since the link was made, and how full it is now."""

    sent: int
    """Stanzas; those queued count as sent."""
    received: int
    in_flight: int
    queue_depth: int
    handlers: int
    sessions: int
    """Handshakes done."""
    reconnects: int
    """Handshakes after the first one."""
    dropped: int
    """Answers that found the queue full."""
    refused: int
    """Stanzas skipped as too large or too deep; not among those received."""
