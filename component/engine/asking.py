"""What can be asked of a user's own server by whoever may ask as that user.

The component asks through the hook, ``xmpp-moved fetch`` by a login of its own: the questions are
the same.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Literal

from component.core.conditions import Condition
from component.core.journey.model import Access
from component.core.model import RosterItem
from component.xmpp import codecs, mover_codecs
from component.xmpp.errors import RemoteError
from component.xmpp.names import NS_ROSTER

AFFILIATIONS_AT_ONCE = 100
"""Affiliations in one stanza.  Prosody 0.12 saves the whole node for each of them: where there were
1,500, 500 more took 12 s of a busy machine, in which it answers nobody, our own probe neither."""

_CONFLICTS = frozenset({Condition.CONFLICT, "precondition-not-met"})
"""The node exists with another access model (seen: Prosody answers conflict)."""


class Asking(ABC):
    """Reads and acts as users.  Every method raises what :meth:`query` raises."""

    @abstractmethod
    async def query(
        self, user: str, kind: Literal["get", "set"], payload: ET.Element, to: str | None = None
    ) -> ET.Element:
        """Ask something as a user; the answer, an IQ of type ``result``.

        :param to: whom; the user's own server by default.
        :raises RemoteError: the asked entity refused.
        """

    async def roster(self, user: str) -> dict[str, RosterItem]:
        """The user's whole roster by JID."""
        inner = await self.query(user, "get", codecs.roster_request())
        items = codecs.read_items(inner.find(codecs.tag(NS_ROSTER, "query")))
        return {item.jid: item for item in items}

    # The statement ------------------------------------------------------------------------------

    async def publish(
        self, user: str, new: str, access: Access, readers: Iterable[str] = ()
    ) -> tuple[str, ...]:
        """Publish the user's moved statement under this access model (XEP-0283 4.1).

        :param readers: who may read where the access model is a whitelist.
        :returns: those of them whom the server does not put on it: addresses that it cannot use.
        """
        request = mover_codecs.publish_request(new, access)
        try:
            await self.query(user, "set", request)
        except RemoteError as error:
            if error.condition not in _CONFLICTS:
                raise
            await self.query(user, "set", mover_codecs.configure_request(access))
            await self.query(user, "set", request)
        refused: list[str] = []
        if access is Access.WHITELIST:
            refused += await self.admit(user, readers)
        return tuple(refused)

    async def admit(self, user: str, readers: Iterable[str]) -> list[str]:
        """Let these read the user's statement, whose access model is a whitelist.

        :returns: those of them whom the server does not put on it: addresses that it cannot use.
        """
        refused: list[str] = []
        members = list(readers)
        for start in range(0, len(members), AFFILIATIONS_AT_ONCE):
            part = members[start : start + AFFILIATIONS_AT_ONCE]
            refused += await self._admit(user, part, any_else=start > 0)
        return refused

    async def _admit(self, user: str, members: list[str], *, any_else: bool) -> list[str]:
        """Put these on the whitelist; returns those whom the server refuses, each by itself.

        :param any_else: whether it has taken others: if not, and it refuses the first one alone,
            what it refuses is not the address.
        """
        try:
            await self.query(user, "set", mover_codecs.affiliations_request(members))
            return []
        except RemoteError as error:
            if error.type == "wait":
                raise
            if len(members) == 1:
                if any_else:
                    return members
                raise
        refused = await self._admit(user, members[:1], any_else=any_else)
        half = 1 + len(members) // 2
        for part in (members[1:half], members[half:]):
            if part:
                refused += await self._admit(user, part, any_else=True)
        return refused

    async def expel(self, user: str, readers: Iterable[str]) -> None:
        """Take these off the whitelist of the user's statement."""
        await self.query(user, "set", mover_codecs.affiliations_request(readers, "none"))

    async def access(self, user: str) -> Access | None:
        """The access model of the user's statement node; None: no node, or another model."""
        try:
            inner = await self.query(user, "get", mover_codecs.configuration_request())
        except RemoteError:
            return None
        return mover_codecs.read_access(inner)
