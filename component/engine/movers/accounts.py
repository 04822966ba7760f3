"""What the mover's side reads and does as a user, through the hook: rosters, PEP, presences.

Whatever a remote entity answers with an error is raised as RemoteError, the user's own server's
errors included; a stream that is down raises LinkLost.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Collection, Iterable, Sequence
from typing import Literal

from component.core.conditions import Condition
from component.core.journey.model import Journey
from component.core.model import PresenceKind, RosterItem, SendPlan, Step, same_account
from component.core.restore import Restoration
from component.core.statement import Answer, read
from component.engine.asking import Asking
from component.engine.hook import Hook
from component.engine.ports import Wire
from component.xmpp import codecs, mover_codecs
from component.xmpp.errors import RemoteError
from component.xmpp.names import NS_HOOK

ENTRIES_AT_ONCE = 500
"""Addresses that the hook takes in one question (hook protocol, section 12)."""


class Accounts(Asking):
    """Reads and acts as users of served hosts.

    :param timeout: seconds for what a user's own server answers by itself.
    :param remote_timeout: seconds for what another server has to answer.
    """

    def __init__(
        self, wire: Wire, hook: Hook, *, timeout: float = 30.0, remote_timeout: float = 45.0
    ) -> None:
        self._wire = wire
        self._hook = hook
        self._timeout = timeout
        self._remote_timeout = remote_timeout

    async def query(
        self, user: str, kind: Literal["get", "set"], payload: ET.Element, to: str | None = None
    ) -> ET.Element:
        """Ask something as a user (hook protocol, section 5); the inner result.

        :raises RemoteError: the asked entity, or the hook, refused.
        """
        timeout = self._timeout if to is None else self._remote_timeout
        asked = codecs.write_query(kind, to, payload)
        answer = await self._wire.request("set", user, asked, timeout=timeout)
        inner = codecs.inner_iq(answer)
        if inner is None:
            raise RemoteError(Condition.UNDEFINED_CONDITION, "cancel", "the hook gave no answer")
        if inner.get("type") == "error":
            raise RemoteError.from_element(inner)
        return inner

    async def account(self, user: str) -> str:
        """The token of the account that has this name now (hook protocol, section 13)."""
        return await self._hook.account(user)

    async def account_now(self, user: str) -> str | None:
        """The same; None where nobody has the name."""
        return await self._hook.account_now(user)

    async def still(self, user: str, account: str | None) -> bool:
        """Whether a name is still the one's who had this token; None: nobody knows of another."""
        return account is None or same_account(account, await self.account_now(user))

    async def owner_hears(self, journey: Journey) -> bool:
        """Whether the name of a move's owner is still theirs: not every deletion is told of.

        :raises LinkError: it cannot be known.
        """
        return await self.still(journey.owner, journey.accounts[journey.owner])

    # Rosters ------------------------------------------------------------------------------------

    async def trouble(self, user: str) -> str | None:
        """What is wrong with an account here; None: it exists and answers."""
        try:
            await self.query(user, "get", mover_codecs.disco_request())
        except RemoteError as error:
            return error.condition
        return None

    async def blocked(self, user: str) -> frozenset[str]:
        """The user's block list (XEP-0191); empty where the server has none."""
        try:
            inner = await self.query(user, "get", mover_codecs.blocklist_request())
        except RemoteError:
            return frozenset()
        return mover_codecs.read_blocklist(inner)

    async def put_back(self, user: str, restoration: Restoration) -> None:
        """Bring a user's entries back: presences, then names and groups, then removals."""
        if restoration.send is not None:
            await self._hook.send(user, restoration.send)
        for item in restoration.entries:
            await self._hook.set_entry(user, item)
        for jid in restoration.remove:
            # The server cancels both subscriptions by itself (RFC 6121 section 2.5).
            await self._hook.remove_entry(user, jid)

    async def notify(
        self, user: str, plan: SendPlan, notification: mover_codecs.Notification
    ) -> dict[str, RosterItem]:
        """Send presences as the user, requests as moved notifications; the entries touched."""
        payload = mover_codecs.write_notify(plan, notification)
        answer = await self._wire.request("set", user, payload, timeout=self._timeout)
        items = codecs.read_items(answer.find(codecs.tag(NS_HOOK, "send")))
        return {item.jid: item for item in items}

    async def nick(self, user: str) -> str | None:
        """What a user calls themself: their nickname (XEP-0172), else a name in their vCard."""
        asked = (
            (mover_codecs.nick_request(), mover_codecs.read_nick),
            (mover_codecs.vcard_request(), mover_codecs.read_vcard_name),
        )
        for payload, read_name in asked:
            try:
                name = read_name(await self.query(user, "get", payload))
            except RemoteError:
                continue
            if name:
                return name
        return None

    async def watch(
        self, user: str, *, requests: bool, answers: bool, messages: bool
    ) -> tuple[str, ...]:
        """Have the hook tell of these things; all False takes it back.

        :returns: where requests are watched, whose stand already and wait for the user.
        """
        wanted = mover_codecs.write_watch(requests=requests, answers=answers, messages=messages)
        answer = await self._wire.request("set", user, wanted, timeout=self._timeout)
        return mover_codecs.read_pending(answer)

    async def entries(self, user: str, jids: Collection[str]) -> tuple[RosterItem, ...]:
        """The user's roster entries of some addresses.

        A hook that is too old to hand out some has the whole roster sent.
        """
        found: list[RosterItem] = []
        asked = list(jids)
        for start in range(0, len(asked), ENTRIES_AT_ONCE):
            part = asked[start : start + ENTRIES_AT_ONCE]
            try:
                found += await self._hook.chosen(user, part)
            except RemoteError as error:
                if error.condition != Condition.FEATURE_NOT_IMPLEMENTED:
                    raise
                roster = await self.roster(user)
                return tuple(roster[jid] for jid in asked if jid in roster)
        return tuple(found)

    async def keep(
        self, user: str, jids: Collection[str], drop: Collection[str] = (), *, more: bool
    ) -> None:
        """Have the hook not cut these contacts off when the user's account is deleted.

        Nothing where the hook is too old.

        :param more: beside those that it knows of; otherwise instead of them.
        """
        changes = [(jid, True) for jid in sorted(jids)] + [(jid, False) for jid in sorted(drop)]
        for start in range(0, max(1, len(changes)), ENTRIES_AT_ONCE):
            part = changes[start : start + ENTRIES_AT_ONCE]
            order = mover_codecs.write_keep(
                [jid for jid, stays in part if stays],
                [jid for jid, stays in part if not stays],
                more=more or start > 0,
            )
            try:
                await self._wire.request("set", user, order, timeout=self._timeout)
            except RemoteError as error:
                if error.condition != Condition.FEATURE_NOT_IMPLEMENTED:
                    raise
                return

    async def tell_left(
        self,
        host: str,
        left: Iterable[str] = (),
        *,
        removed: Iterable[str] = (),
        begin: bool = False,
        end: bool = False,
    ) -> None:
        """Tell the hook of a host who left, so that it asks about nobody else.

        :param begin, end: from one to the other they are all; else a change.
        """
        payload = mover_codecs.write_tombstones(left, removed=removed, begin=begin, end=end)
        await self._wire.request("set", host, payload, timeout=self._timeout)

    async def approve(self, user: str, senders: Sequence[str]) -> tuple[RosterItem, ...]:
        """Grant requests that stand on the user's roster; the entries as they are now."""
        steps = tuple(Step(PresenceKind.SUBSCRIBED, sender) for sender in senders)
        return await self._hook.send(user, SendPlan(steps))

    # The statement ------------------------------------------------------------------------------

    async def withdraw(self, user: str) -> None:
        """Delete the node of the user's moved statement; one that is not there is fine."""
        try:
            await self.query(user, "set", mover_codecs.delete_request())
        except RemoteError as error:
            if error.condition != Condition.ITEM_NOT_FOUND:
                raise

    async def statement(self, reader: str, account: str) -> Answer:
        """The moved statement of an account as ``reader`` gets it (XEP-0283 4.3)."""
        answer = await self._hook.statement(reader, account, timeout=self._remote_timeout)
        return read(answer, account)

    async def pep_trouble(self, user: str) -> str | None:
        """Why the user cannot publish; None: they can (XEP-0163 section 6.1)."""
        try:
            inner = await self.query(user, "get", mover_codecs.disco_request())
        except RemoteError as error:
            return error.condition
        _, identities = mover_codecs.read_features(inner)
        return None if ("pubsub", "pep") in identities else Condition.FEATURE_NOT_IMPLEMENTED

    async def target_trouble(self, asker: str, jid: str) -> str | None:
        """Whether another server can be reached for an account; the condition if not.

        That the account exists cannot be learned there: a server answers the same for one that is
        missing and one that does not know the asker (XEP-0030 section 8).
        """
        try:
            await self.query(asker, "get", mover_codecs.disco_request(), jid)
        except RemoteError as error:
            return error.condition if error.condition in UNREACHABLE else None
        except TimeoutError:
            return Condition.REMOTE_SERVER_TIMEOUT
        return None


UNREACHABLE = frozenset(
    {
        Condition.REMOTE_SERVER_NOT_FOUND,
        Condition.REMOTE_SERVER_TIMEOUT,
        Condition.GONE,
        Condition.JID_MALFORMED,
        Condition.ITEM_NOT_FOUND,
    }
)
"""Conditions that say there is nothing to move to."""
