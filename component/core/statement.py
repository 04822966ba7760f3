"""What the old account's answer says: a moved statement, ``<gone/>``, or nothing of use.

Rules (XEP-0283 4.3 and 4.4):

* the statement is the item ``current``; a result without an item is no statement;
* nobody but the account published it, as far as the server tells;
* it holds one ``<moved/>`` with one ``<new-jid/>``, a bare JID; children in other namespaces are
  ignored, and whatever could be read in two ways counts as unreadable;
* an error counts as a failure, except ``<gone/>`` with a valid ``xmpp:`` URI, which equals a
  statement naming that JID.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from component.core import jids
from component.core.conditions import Condition
from component.core.model import Reason


@dataclass(frozen=True, slots=True)
class Item:
    """A pubsub item as read: its id and the ``<new-jid/>`` texts of each ``<moved/>`` in it."""

    id: str | None
    moved: tuple[tuple[str, ...], ...]
    publisher: str | None = None
    """Who published it, where the server says so (XEP-0060 7.1.2.3)."""


@dataclass(frozen=True, slots=True)
class ItemsRead:
    """The old account answered with items."""

    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class ErrorRead:
    """The old account, or a server on the way, answered with an error (RFC 6120 8.3)."""

    condition: str
    gone_uri: str | None = None
    local: bool = False
    """It is our hook's word about the asker: the old account was not asked."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The meaning of a reply: the account named, or why there is none."""

    names: str | None
    failure: Reason | None
    evidence: str
    personal: bool = False
    """It is about the asker alone: an account that is gone, or that has blocked the old one."""

    @property
    def shareable(self) -> bool:
        """Whether the answer holds for other contacts too.

        A refusal depends on who asks (access models presence and whitelist), and that we are
        overloaded says nothing of anybody; everything else that is not personal is a fact about
        the old account or its server.
        """
        return not self.personal and self.failure not in (Reason.REFUSED, Reason.OVERLOADED)


_CONDITIONS: Mapping[str, Reason] = {
    Condition.ITEM_NOT_FOUND: Reason.NO_STATEMENT,
    Condition.FORBIDDEN: Reason.REFUSED,
    Condition.NOT_AUTHORIZED: Reason.REFUSED,
    Condition.NOT_ALLOWED: Reason.REFUSED,
    Condition.REMOTE_SERVER_NOT_FOUND: Reason.UNREACHABLE,
    Condition.REMOTE_SERVER_TIMEOUT: Reason.UNREACHABLE,
    Condition.RESOURCE_CONSTRAINT: Reason.OVERLOADED,
    Condition.GONE: Reason.BAD_GONE,
}


def read(reply: ItemsRead | ErrorRead, of: str) -> Answer:
    """Interpret a reply to the request for the item ``current`` of ``urn:xmpp:moved:1``.

    :param of: the account that was asked, as a prepared bare JID.
    """
    if isinstance(reply, ErrorRead):
        return _read_error(reply)
    if not reply.items:
        return Answer(None, Reason.NO_STATEMENT, "an empty node")
    if len(reply.items) > 1 or reply.items[0].id != "current":
        return Answer(None, Reason.BAD_STATEMENT, "several items, or one that is not 'current'")
    publisher = reply.items[0].publisher
    if publisher is not None and jids.key(jids.bare_of(publisher) or "") != jids.key(of):
        # Its owner may have let others publish there; they cannot say that the owner moved.
        return Answer(None, Reason.BAD_STATEMENT, "published by somebody else")
    moved = reply.items[0].moved
    if len(moved) != 1 or len(moved[0]) != 1:
        return Answer(None, Reason.BAD_STATEMENT, "not exactly one <new-jid/>")
    named = jids.bare(moved[0][0])
    if named is None:
        return Answer(None, Reason.BAD_STATEMENT, "<new-jid/> is not the bare JID of a user")
    return Answer(named, None, f"statement naming {named}")


_BLOCKED = frozenset({Condition.NOT_ACCEPTABLE, Condition.SERVICE_UNAVAILABLE})
"""What XEP-0191 has a server say: of the asker to the asker, who has blocked the old address, or of
the old account to whom that one has blocked.  The second may mean that there is no such service at
all; then each contact learns it from a question of their own."""


def _read_error(error: ErrorRead) -> Answer:
    if error.condition == Condition.GONE:
        named = jids.from_uri(error.gone_uri)
        if named is not None:
            return Answer(named, None, f"<gone/> naming {named}")
    reason = _CONDITIONS.get(error.condition, Reason.FETCH_ERROR)
    personal = error.local or error.condition in _BLOCKED
    return Answer(None, reason, f"error {error.condition}", personal)


def judge(answer: Answer, new: str) -> Reason:
    """Whether an answer proves the claim that its account moved to ``new`` (prepared bare JID)."""
    if answer.failure is not None:
        return answer.failure
    same = answer.names is not None and jids.key(answer.names) == jids.key(new)
    return Reason.VERIFIED if same else Reason.OTHER_JID
