"""The pieces of an account that a mover takes along.

All are values; JIDs are strings that :mod:`component.core.jids` has prepared.  What clients
define (profiles, avatars, settings) is kept as canonical XML text: equal text is equal content.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NewType

from component.core.model import Subscription

Xml = NewType("Xml", str)
"""One element as :func:`component.account.canonical.canonical` writes it."""

NS_BOOKMARKS = "urn:xmpp:bookmarks:1"
NS_STORAGE = "storage:bookmarks"


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose things follow (XEP-0227 sections 4.1 and 4.2)."""

    host: str
    user: str

    @property
    def jid(self) -> str:
        """The bare JID."""
        return f"{self.user}@{self.host}"


@dataclass(frozen=True, slots=True)
class Blocked:
    """Somebody who is kept out (XEP-0191 section 3): any kind of JID, a domain's included."""

    jid: str


@dataclass(frozen=True, slots=True)
class Contact:
    """A roster entry (RFC 6121 section 2.1.2).

    ``subscription``, ``ask`` and ``approved`` say what held for the old account.  They are
    information: nothing may be granted on their strength, because the contact has to agree.
    """

    jid: str
    name: str | None = None
    groups: tuple[str, ...] = ()
    """Sorted, each once."""
    subscription: Subscription = Subscription.NONE
    ask: bool = False
    approved: bool = False


@dataclass(frozen=True, slots=True)
class VcardTemp:
    """The profile of XEP-0054, with the picture of XEP-0153."""

    element: Xml


@dataclass(frozen=True, slots=True)
class PrivateXml:
    """One element of private storage (XEP-0049), known by its name and namespace."""

    name: str
    ns: str
    element: Xml


@dataclass(frozen=True, slots=True)
class PepNode:
    """A node of the account (XEP-0163) and who may read it; its items come apart from it.

    ``config`` holds the fields of its form (XEP-0060 section 17.4.4) by name, sorted, without
    ``FORM_TYPE``; empty where nothing was said.  ``members`` are the JIDs that a whitelist lets
    in (affiliation ``member``, section 4.1), sorted.
    """

    node: str
    config: tuple[tuple[str, tuple[str, ...]], ...] = ()
    members: tuple[str, ...] = ()

    def option(self, name: str) -> str | None:
        """The first value of an option, by its name without ``pubsub#``."""
        values = dict(self.config).get(f"pubsub#{name}", ())
        return values[0] if values else None

    @property
    def access_model(self) -> str | None:
        """Who may read (XEP-0060 section 4.5), None where nothing was said."""
        return self.option("access_model")


@dataclass(frozen=True, slots=True)
class PepItem:
    """One item of a node.  Items of a node come in the order of their publication."""

    node: str
    id: str
    payload: Xml
    publisher: str | None = None


Piece = Identity | Blocked | Contact | VcardTemp | PrivateXml | PepNode | PepItem
"""What an account is made of."""

_SECTIONS: dict[type[Piece], int] = {
    Identity: 0,
    Blocked: 1,
    Contact: 2,
    VcardTemp: 3,
    PrivateXml: 4,
    PepNode: 5,
    PepItem: 6,
}


def order(piece: Piece) -> tuple[int, str, str]:
    """Sort key of a piece in a file: whose it is, who is blocked, contacts, and the rest.

    Items of one node have equal keys: a stable sort leaves them in their order, which counts.
    """
    section = _SECTIONS[type(piece)]
    match piece:
        case Blocked(jid) | Contact(jid):
            return section, jid, ""
        case PrivateXml(name, ns):
            return section, ns, name
        case PepNode(node) | PepItem(node):
            return section, node, ""
    return section, "", ""


def in_order(pieces: Iterable[Piece]) -> list[Piece]:
    """Pieces in the order of a file, which :func:`component.account.write.write` needs."""
    return sorted(pieces, key=order)
