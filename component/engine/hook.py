"""The server module as seen from here: everything the component asks of it."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable

from component.core.conditions import Condition
from component.core.model import RosterItem, SendPlan
from component.core.statement import ErrorRead, ItemsRead
from component.engine.ports import Wire
from component.xmpp import codecs
from component.xmpp.codecs import Hello
from component.xmpp.errors import LinkBusy, LinkError, LinkLost, RemoteError, RequestTimeout

PROTOCOL = "urn:xmpp-moved:hook:0"
VERSION = "0.6.0"
"""Of the server module that comes with this release."""

_NO_SUCH_HOST = {Condition.REMOTE_SERVER_NOT_FOUND, Condition.REMOTE_SERVER_TIMEOUT}
"""What a server answers for a host that is not its own: it has looked for it elsewhere."""

# What went wrong on our side of a question, in the words of RFC 6120 8.3.3.
_LOCAL: dict[type[LinkError], str] = {
    RequestTimeout: Condition.REMOTE_SERVER_TIMEOUT,
    LinkBusy: Condition.RESOURCE_CONSTRAINT,
}


class HookMissing(LinkError):
    """The host has no hook, or one that speaks another protocol; says what to install."""


class Hook:
    """Requests of hook protocol 4.2 to 4.5.

    Every method raises LinkError subclasses: the stream is down, no answer came in time, or
    (RemoteError) the hook refused.
    """

    def __init__(self, wire: Wire, *, timeout: float = 30.0) -> None:
        """``timeout`` in seconds, for requests that the server answers by itself."""
        self._wire = wire
        self._timeout = timeout

    async def hello(self, host: str) -> Hello:
        """Ask the hook of a host about itself.

        :raises HookMissing: nothing there answers as this protocol demands.
        """
        try:
            answer = await self._wire.request(
                "get", host, codecs.write_hello(), timeout=self._timeout
            )
        except RemoteError as error:
            if error.condition in _NO_SUCH_HOST:
                raise HookMissing(
                    f"{host}: the server does not have this host ({error.condition}). See whether "
                    "[served] hosts is written as the server has it; if it is, give the server "
                    "this host, and install the server module for it (xmpp-moved hook "
                    "prosody|snikket|ejabberd tells how)."
                ) from error
            raise HookMissing(
                f"{host}: the server answers {error.condition} to {PROTOCOL}. Install the server "
                "module for this host and this component's address (xmpp-moved hook "
                "prosody|snikket|ejabberd tells how), and restart or reload the server."
            ) from error
        hello = codecs.read_hello(answer)
        if hello is None or "account" not in hello.features:
            raise HookMissing(
                f"{host}: the server module does not speak {PROTOCOL} as this version does. "
                "Update mod_moved_hook (xmpp-moved hook prosody|snikket|ejabberd) and reload it."
            )
        return hello

    async def account(self, user: str) -> str:
        """The token of the account that has this name now (hook protocol, section 13).

        :raises RemoteError: ``item-not-found`` where there is no such account.
        """
        answer = await self._wire.request(
            "get", user, codecs.write_account(), timeout=self._timeout
        )
        token = codecs.read_account(answer)
        if not token:
            raise HookMissing(f"{user}: the server did not say which account this is")
        return token

    async def account_now(self, user: str) -> str | None:
        """As :meth:`account`; None where nobody has the name.  Raises RemoteError otherwise."""
        try:
            return await self.account(user)
        except RemoteError as error:
            if error.condition != Condition.ITEM_NOT_FOUND:
                raise
            return None

    async def statement(self, contact: str, old: str, *, timeout: float) -> ItemsRead | ErrorRead:
        """Read the moved statement of ``old`` as ``contact`` (XEP-0283 4.3).

        Only the loss of the stream is raised: whatever else goes wrong is an answer that
        proves nothing.

        :param timeout: seconds to wait for the old server.
        :raises LinkLost: the stream is down.
        """
        query = codecs.write_query("get", old, codecs.statement_request())
        try:
            answer = await self._wire.request("set", contact, query, timeout=timeout)
        except LinkLost:
            raise
        except RemoteError as error:
            return ErrorRead(error.condition, local=error.condition == Condition.ITEM_NOT_FOUND)
        except LinkError as error:
            return ErrorRead(_LOCAL.get(type(error), Condition.UNDEFINED_CONDITION))
        inner = codecs.inner_iq(answer)
        if inner is None:
            return ErrorRead(Condition.UNDEFINED_CONDITION)
        if inner.get("type") == "error":
            told = RemoteError.from_element(inner)
            return ErrorRead(told.condition, told.gone_uri)
        return codecs.read_statement(inner)

    async def entries(self, contact: str, wanted: Iterable[str]) -> tuple[RosterItem, ...]:
        """The contact's roster entries of these JIDs, as they are now."""
        query = codecs.write_query("get", None, codecs.roster_request())
        answer = await self._wire.request("set", contact, query, timeout=self._timeout)
        inner = codecs.inner_iq(answer)
        if inner is None or inner.get("type") != "result":
            raise HookMissing(f"{contact}: the server did not hand out the roster")
        return codecs.roster_entries(inner, wanted)

    async def chosen(self, user: str, jids: Iterable[str]) -> tuple[RosterItem, ...]:
        """The entries that the user's roster has of these addresses, as a roster get shows them.

        Where :meth:`entries` has the whole roster sent, this has only these.

        :param jids: 1 to 500; in the results they are as the server writes them.
        :raises RemoteError: ``feature-not-implemented`` where the hook is too old, or the server
            refuses.
        """
        payload = codecs.entries_request(jids)
        answer = await self._wire.request("get", user, payload, timeout=self._timeout)
        found = answer.find(codecs.tag(PROTOCOL, "entries"))
        if found is None:
            raise HookMissing(f"{user}: the server did not hand out entries of the roster")
        return codecs.read_items(found)

    async def set_entry(self, contact: str, item: RosterItem) -> None:
        """Give the contact's entry of ``item.jid`` its name and groups; made where it is missing.

        :raises RemoteError: the user's server refuses.
        """
        await self._change_roster(contact, codecs.roster_set(item))

    async def remove_entry(self, contact: str, jid: str) -> None:
        """Remove an entry of the contact's roster; nothing where there is none.

        :raises RemoteError: the user's server refuses.
        """
        try:
            await self._change_roster(contact, codecs.roster_remove(jid))
        except RemoteError as error:
            # RFC 6121 2.5.3: no such entry.  That the user is gone shows in the next request.
            if error.condition != Condition.ITEM_NOT_FOUND:
                raise

    async def set_entries(
        self, contact: str, items: Iterable[RosterItem], remove: Iterable[str] = ()
    ) -> None:
        """Give many entries their names and groups, or remove them, in one roster save.

        Entries with a subscription are not removed.

        :param items: 500 at most, with those to be removed.
        :raises RemoteError: ``feature-not-implemented`` where the hook is too old, or the server
            refuses; on Prosody nothing has changed then.
        """
        payload = codecs.write_entries(items, remove)
        await self._wire.request("set", contact, payload, timeout=self._timeout)

    async def _change_roster(self, contact: str, payload: ET.Element) -> None:
        query = codecs.write_query("set", None, payload)
        answer = await self._wire.request("set", contact, query, timeout=self._timeout)
        inner = codecs.inner_iq(answer)
        if inner is None:
            raise HookMissing(f"{contact}: the server did not say whether the roster was changed")
        if inner.get("type") == "error":
            raise RemoteError.from_element(inner)

    async def send(self, contact: str, plan: SendPlan) -> tuple[RosterItem, ...]:
        """Send presences as the contact; the entries they touched, as they are now."""
        answer = await self._wire.request(
            "set", contact, codecs.write_send(plan), timeout=self._timeout
        )
        return codecs.read_items(answer.find(codecs.tag(PROTOCOL, "send")))

    async def hand_back(self, contact: str, stanza: str) -> None:
        """Give a journalled request back to the server."""
        await self._wire.request(
            "set", contact, codecs.write_hand_back(stanza), timeout=self._timeout
        )
