"""Frames of what an account publishes: nodes with their options, and items."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from component.account import carried
from component.account.errors import Why
from component.account.frames import Capture, Context, Frame, Nothing, Text, shown
from component.account.model import NS_BOOKMARKS, NS_STORAGE, PepItem, PepNode, Xml
from component.account.roster import TWICE
from component.core import jids

NS_PUBSUB = "http://jabber.org/protocol/pubsub"
NS_OWNER = "http://jabber.org/protocol/pubsub#owner"
NS_DATA = "jabber:x:data"
OldBookmarks = Callable[[Xml], None]
"""Takes ``<storage xmlns='storage:bookmarks'/>``."""
_Taker = Callable[[str, Xml, str | None], None]
RIGHTS = "only who may read comes along: other rights are the owner's to give anew"


@dataclass
class Published:
    """What has been read of the nodes of one account."""

    told: set[str] = field(default_factory=set)
    """Nodes that were handed over."""
    with_items: dict[str, None] = field(default_factory=dict)
    """Nodes that items were found for, in their order."""
    rooms: set[str] = field(default_factory=set)
    """Ids of bookmarks in the new format, prepared where they are addresses."""


@dataclass
class _Draft:
    config: dict[str, tuple[str, ...]] = field(default_factory=dict)
    members: set[str] = field(default_factory=set)


class Owner(Frame):
    """``<pubsub/>`` of the owner's namespace (XEP-0227 section 4.10.1): nodes and their options."""

    def __init__(self, ctx: Context, published: Published) -> None:
        super().__init__(ctx)
        self._published = published
        self._drafts: dict[str, _Draft] = {}

    def child(self, tag: str, attrib: Mapping[str, str]) -> Frame:
        """Options, affiliations and subscriptions, each for a node."""
        kind = tag.removeprefix(f"{{{NS_OWNER}}}")
        if kind not in ("configure", "affiliations", "subscriptions"):
            return super().child(tag, attrib)
        node = wanted(self.ctx, attrib.get("node"))
        # An old format's node is only a source: its items get the new node's options.
        if node is None or node == NS_STORAGE:
            return Nothing(self.ctx)
        if kind == "subscriptions":
            self.ctx.skip("subscriptions of a PEP node", "clients subscribe by being contacts")
            return Nothing(self.ctx)
        if node in self._published.told or (kind == "configure" and node in self._drafts):
            self.ctx.skip("PEP node", TWICE)
            return Nothing(self.ctx)
        draft = self._drafts.setdefault(node, _Draft())
        self._bounded(len(self._drafts))
        return _Affiliations(self.ctx, draft) if kind == "affiliations" else _Form(self.ctx, draft)

    def end(self) -> None:
        """All that is to be known of the nodes is known."""
        for node, draft in self._drafts.items():
            config = tuple(sorted(draft.config.items()))
            members = tuple(sorted(draft.members))
            self.ctx.found.append(PepNode(node, config, members))
            self._published.told.add(node)

    def _bounded(self, count: int) -> None:
        if count + len(self._published.told) > self.ctx.limits.nodes:
            self.ctx.fail(Why.TOO_MANY, f"more than {self.ctx.limits.nodes} PEP nodes")


class _Form(Frame):
    """``<configure/>`` with its form (XEP-0004), or the form in it."""

    def __init__(self, ctx: Context, draft: _Draft) -> None:
        super().__init__(ctx)
        self._draft = draft

    def child(self, tag: str, attrib: Mapping[str, str]) -> Frame:
        """The form, and its fields."""
        if tag == f"{{{NS_DATA}}}x":
            return _Form(self.ctx, self._draft)
        if tag == f"{{{NS_DATA}}}field":
            return _Field(self.ctx, self.ctx.bounded(attrib.get("var", "")), self._draft)
        return Nothing(self.ctx)  # titles and instructions of a form that was meant for people


class _Field(Frame):
    def __init__(self, ctx: Context, var: str, draft: _Draft) -> None:
        super().__init__(ctx)
        self._var = var
        self._draft = draft
        self._values: list[str] = []

    def child(self, tag: str, attrib: Mapping[str, str]) -> Frame:
        """Values."""
        if tag == f"{{{NS_DATA}}}value":
            return Text(self.ctx, self._add)
        return Nothing(self.ctx)  # the choices there would have been

    def end(self) -> None:
        """The field is whole."""
        if self._var and self._var != "FORM_TYPE" and self._values:
            self._draft.config[self._var] = tuple(self._values)
            if len(self._draft.config) > self.ctx.limits.groups:
                self.ctx.fail(Why.TOO_MANY, f"more than {self.ctx.limits.groups} options")

    def _add(self, value: str) -> None:
        self._values.append(value)
        if len(self._values) > self.ctx.limits.groups:
            self.ctx.fail(Why.TOO_MANY, f"more than {self.ctx.limits.groups} values")


class _Affiliations(Frame):
    def __init__(self, ctx: Context, draft: _Draft) -> None:
        super().__init__(ctx)
        self._draft = draft

    def child(self, tag: str, attrib: Mapping[str, str]) -> Frame:
        """Affiliations."""
        if tag != f"{{{NS_OWNER}}}affiliation":
            return super().child(tag, attrib)
        if attrib.get("affiliation") == "member":
            jid = self.ctx.address(attrib.get("jid"), "member of a PEP node")
            self._draft.members |= {jid} if jid is not None else set()
            if len(self._draft.members) > self.ctx.limits.nodes:
                self.ctx.fail(Why.TOO_MANY, f"more than {self.ctx.limits.nodes} members")
        else:
            self.ctx.skip("affiliation of a PEP node", RIGHTS)
        return Frame(self.ctx)


class Pubsub(Frame):
    """``<pubsub/>`` (XEP-0227 section 4.10.2): items.

    :param old: takes bookmarks in the old format (XEP-0048).
    """

    def __init__(self, ctx: Context, published: Published, old: OldBookmarks) -> None:
        super().__init__(ctx)
        self._published = published
        self._old = old

    def child(self, tag: str, attrib: Mapping[str, str]) -> Frame:
        """Items of a node."""
        if tag != f"{{{NS_PUBSUB}}}items":
            return super().child(tag, attrib)
        node = wanted(self.ctx, attrib.get("node"))
        if node is None:
            return Nothing(self.ctx)
        if node == NS_STORAGE:
            return _Items(self.ctx, node, None, self._old)
        self._published.with_items[node] = None
        if len(self._published.with_items) > self.ctx.limits.nodes:
            self.ctx.fail(Why.TOO_MANY, f"more than {self.ctx.limits.nodes} PEP nodes")
        return _Items(self.ctx, node, self._published, self._old)


class _Items(Frame):
    def __init__(
        self, ctx: Context, node: str, published: Published | None, old: OldBookmarks
    ) -> None:
        super().__init__(ctx)
        self._node = node
        self._published = published
        self._old = old

    def child(self, tag: str, attrib: Mapping[str, str]) -> Frame:
        """Items."""
        if tag != f"{{{NS_PUBSUB}}}item":
            return super().child(tag, attrib)
        return _Item(self.ctx, attrib, self._take)

    def _take(self, id_: str, payload: Xml, publisher: str | None) -> None:
        if self._published is None:
            self._old(payload)
            return
        if self._node == NS_BOOKMARKS:
            self._published.rooms.add(jids.entity(id_) or id_)
            if len(self._published.rooms) > self.ctx.limits.nodes:
                self.ctx.fail(Why.TOO_MANY, f"more than {self.ctx.limits.nodes} bookmarks")
        self.ctx.found.append(PepItem(self._node, id_, payload, publisher))


class _Item(Frame):
    def __init__(self, ctx: Context, attrib: Mapping[str, str], take: _Taker) -> None:
        super().__init__(ctx)
        self._id = ctx.bounded(attrib.get("id", ""))
        publisher = attrib.get("publisher")
        self._publisher = ctx.address(publisher, "publisher of a PEP item") if publisher else None
        self._take = take
        self._payload: Xml | None = None
        self._children = 0

    def child(self, tag: str, attrib: Mapping[str, str]) -> Frame:
        """The payload: one element with a namespace (XEP-0060 section 7.1.1)."""
        self._children += 1
        if self._children > 1 or not tag.startswith("{"):
            self.ctx.skip("part of a PEP item", "an item holds one element, with a namespace")
            return Nothing(self.ctx)
        return Capture(self.ctx, tag, attrib, self._keep)

    def end(self) -> None:
        """The item is whole."""
        if self._payload is None or not self._id:
            self.ctx.skip("PEP item", "it has no id, or nothing in it")
        else:
            self._take(self._id, self._payload, self._publisher)

    def _keep(self, payload: Xml) -> None:
        self._payload = payload


def wanted(ctx: Context, node: str | None) -> str | None:
    """The name of a node that is carried; what is not is counted."""
    if not node:
        ctx.skip("PEP node", "it has no name")
        return None
    rule = carried.node(ctx.bounded(node))
    if rule.carried:
        return node
    ctx.skip(f"{rule.what}, {shown(node)}", rule.reason)
    return None
