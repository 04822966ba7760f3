"""What is compared: ways in which a contact can come to follow somebody who moved."""

from __future__ import annotations

from enum import Enum


class Way(Enum):
    """Each has a host of its own on the server, with users and rosters like the others'.

    The value is the name of its host, and what tables call it.
    """

    SHIPPED = ("shipped", "xmpp-moved")
    PLAIN = ("plain", "xmpp-moved, no message")
    PEER = ("peer", "in-process module")
    LIMIT = ("limit", "empty component")
    FLOOR = ("floor", "ordinary subscription")

    @property
    def title(self) -> str:
        """As tables and pictures have it."""
        return self.value[1]

    @property
    def host(self) -> str:
        """Domain of its users."""
        return f"{self.value[0]}.example"

    @property
    def component(self) -> str:
        """The component that decides for its users, where there is one."""
        return f"moved.{self.host}"

    @property
    def ours(self) -> bool:
        """xmpp-moved does it."""
        return self in (Way.SHIPPED, Way.PLAIN)

    @property
    def hooked(self) -> bool:
        """Its host has the server module of xmpp-moved."""
        return self.ours or self is Way.LIMIT

    @property
    def left(self) -> dict[str, str]:
        """What a contact's roster must say in the end of the old and of the new address."""
        if self is Way.FLOOR:
            return {"new": "from"}
        return {"old": "to" if self.hooked else "both", "new": "from", "ask": "subscribe"}

    @property
    def pushes(self) -> int:
        """Roster pushes to each device of a contact, for a move."""
        return 3 if self.hooked else 1

    @property
    def last(self) -> str:
        """Type of the presence that ends the exchange."""
        return "subscribed" if self is Way.FLOOR else "subscribe"


PROSODY = (Way.PEER, Way.SHIPPED, Way.PLAIN, Way.LIMIT, Way.FLOOR)
EJABBERD = (Way.SHIPPED, Way.PLAIN, Way.LIMIT, Way.FLOOR)
"""There is no such module for ejabberd."""


def of_server(server: str) -> tuple[Way, ...]:
    """All ways there are on a server (a name of ``KINDS``)."""
    return PROSODY if server.startswith("prosody") else EJABBERD
