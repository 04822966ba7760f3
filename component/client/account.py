"""An account, read and told where it goes by its owner's own login."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from component.account import carried
from component.account.model import Blocked, Contact, Piece
from component.client.errors import ClientFailed, Trouble
from component.client.paging import whole
from component.core import jids
from component.core.journey.model import Access
from component.core.model import Reason, Subscription
from component.core.statement import judge, read
from component.engine.asking import Asking
from component.engine.belongings import asks
from component.engine.belongings.read import KNOWN_PRIVATE, Reading, look
from component.xmpp import codecs
from component.xmpp.errors import RemoteError
from component.xmpp.names import NS_DISCO_ITEMS

Progress = Callable[[int, int], None]
"""Told how many questions are answered, and how many there are as far as is known."""
_FIRST = 5
"""Questions before any node is known: contacts, block list, profile, old bookmarks, nodes."""
_PER_NODE = 2
_SEES_US = frozenset({Subscription.FROM, Subscription.BOTH})


class Login(Protocol):
    """A login, as :class:`component.client.login.Connection` is one."""

    @property
    def account(self) -> str:
        """Whose: a prepared bare JID."""

    async def query(
        self, kind: Literal["get", "set"], payload: ET.Element, to: str | None = None
    ) -> ET.Element:
        """Ask; raises RemoteError or ClientFailed."""


class OwnAccount(Asking):
    """One account, as its owner may see it, without any help of its server.

    :param connection: its login.
    :param progress: told after each answer.
    """

    def __init__(self, connection: Login, progress: Progress) -> None:
        self._connection = connection
        self._progress = progress
        self._done = 0
        self._known = _FIRST
        self.cut_short: list[str] = []
        """Lists that the server began to hand out in pages and did not finish."""
        self.left: list[str] = []
        """PEP nodes that never come along (:mod:`component.account.carried`)."""

    async def query(
        self, user: str, kind: Literal["get", "set"], payload: ET.Element, to: str | None = None
    ) -> ET.Element:
        """Ask as the owner.

        :raises RemoteError: the asked entity refused.
        :raises ClientFailed: no answer came, or the connection ended.
        """
        assert user == self._connection.account

        async def ask(asked: ET.Element) -> ET.Element:
            return await self._connection.query(kind, asked, to)

        try:
            answer, complete = await whole(ask, payload)
        finally:
            self._done += 1
            self._progress(self._done, max(self._known, self._done))
        if not complete:
            self.cut_short.append(payload[0].get("node", "") if len(payload) else "PEP nodes")
        if payload.tag == f"{{{NS_DISCO_ITEMS}}}query" and payload.get("node") is None:
            nodes = asks.read_nodes(answer)
            self.left = [node for node in nodes if not carried.node(node).carried]
            self._known += _PER_NODE * (len(nodes) - len(self.left))
        return answer

    async def everything(self, private: Sequence[tuple[str, str]] = ()) -> Reading:
        """All that may come along (:mod:`component.account.carried`), in the order of a file.

        :param private: names and namespaces of private XML, beside those that are known: it
            cannot be listed (XEP-0049).
        :raises ClientFailed: the account cannot be read.
        """
        names = tuple(dict.fromkeys((*KNOWN_PRIVATE, *private)))
        self._known += len(names)
        account = self._connection.account
        try:
            return await look(self, account, private=names)
        except RemoteError as error:
            raise ClientFailed(
                Trouble.SERVER,
                f"the server does not hand out the contacts of {account} ({error})",
                "try again later, or ask its admin",
            ) from error


# The moved statement ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Published:
    """A moved statement that stands, and was read back.

    :ivar new_can_read: whether the new account may read it, which it has to where a server there
        is to prove the move.
    :ivar refused: contacts whom the server cannot put on the whitelist.
    """

    access: Access
    new_can_read: bool
    refused: tuple[str, ...] = ()


async def publish(own: OwnAccount, old: str, new: str, access: Access, of: Reading) -> Published:
    """Publish that an account has moved (XEP-0283 section 4.1), and read it back.

    :param of: what the account holds, for who may read: a whitelist lets in the new account and
        all contacts but those who are blocked.
    :raises ClientFailed: the server refuses, or the statement does not stand as it should.
    """
    try:
        refused = await own.publish(old, new, access, _readers(of.pieces, new))
        inner = await own.query(old, "get", codecs.statement_request())
    except RemoteError as error:
        raise ClientFailed(
            Trouble.SERVER,
            f"the server of {old} does not publish that it moved ({error})",
            "try --access presence, or ask its admin whether PEP (XEP-0163) is on",
        ) from error
    reason = judge(read(codecs.read_statement(inner), old), new)
    stands = await own.access(old)
    if reason is not Reason.VERIFIED or stands is not access:
        model = stands.value if stands is not None else "another one"
        what = reason.value if reason is not Reason.VERIFIED else f"its access model is {model}"
        raise ClientFailed(
            Trouble.SERVER,
            f"{old} says that it moved, but not as it should ({what})",
            "look whether another client publishes there too, then try again",
        )
    contacts = (one for one in of.pieces if isinstance(one, Contact))
    seen_by = {jids.key(one.jid) for one in contacts if one.subscription in _SEES_US}
    can_read = access is not Access.PRESENCE or jids.key(new) in seen_by
    return Published(access, can_read and new not in refused, refused)


def _readers(pieces: Iterable[Piece], new: str) -> list[str]:
    pieces = list(pieces)
    kept_out = {jids.key(one.jid) for one in pieces if isinstance(one, Blocked)}
    readers = {
        one.jid
        for one in pieces
        if isinstance(one, Contact)
        and one.subscription is not Subscription.NONE
        and kept_out.isdisjoint((jids.key(one.jid), jids.key(jids.domain(one.jid))))
    }
    return [new, *sorted(readers - {new})]
