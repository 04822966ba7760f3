"""Frames of what is around an account's things: the file, its hosts, its users."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping

from component.account import bookmarks, carried
from component.account.canonical import split
from component.account.errors import Why
from component.account.frames import NS_PIE, XINCLUDE, Capture, Context, Frame, Nothing, shown
from component.account.model import (
    NS_BOOKMARKS,
    NS_STORAGE,
    Identity,
    PepItem,
    PepNode,
    PrivateXml,
    VcardTemp,
    Xml,
)
from component.account.pep import NS_OWNER, NS_PUBSUB, OldBookmarks, Owner, Published, Pubsub
from component.account.roster import (
    NS_BLOCKING,
    NS_PRIVACY,
    NS_ROSTER,
    TWICE,
    Blocklist,
    Privacy,
    Roster,
)
from component.core import jids

NS_PRIVATE = "jabber:iq:private"
NS_VCARD = "vcard-temp"
_STRUCTURE = ("server-data", "host", "user")
_NAMED = 5


class Choice:
    """Which account of a file is meant.

    :param wanted: its bare JID, prepared; None where the file holds one alone.
    :param listing: no account is read, all are noted.
    """

    def __init__(self, wanted: str | None = None, *, listing: bool = False) -> None:
        self.wanted = wanted
        self.listing = listing
        self.chosen: Identity | None = None
        self.others: list[Identity] = []
        self._host: str | None = None

    @property
    def open(self) -> bool:
        """True where the file must hold one account alone."""
        return self.wanted is None and not self.listing

    def enter_host(self, ctx: Context, host: str) -> None:
        """A host begins.  :raises BadFile: there is another one, and nobody said whose."""
        if self.open and self._host not in (None, host):
            ctx.fail(Why.SECOND_HOST, f"there are two hosts, {self._host} and {host}")
        self._host = host

    def takes(self, ctx: Context, user: Identity) -> bool:
        """Whether this is the account.  :raises BadFile: there are two that could be."""
        here = jids.key(user.jid)
        if self.chosen is not None and jids.key(self.chosen.jid) == here:
            ctx.fail(Why.DUPLICATE_USER, f"{user.jid} stands there twice")
        if self.open:
            if self.chosen is not None:
                both = f"{self.chosen.jid} and {user.jid}"
                ctx.fail(Why.SEVERAL_USERS, f"there are several accounts, {both} among them")
            self.chosen = user
            return True
        if self.wanted is not None and jids.key(self.wanted) == here:
            self.chosen = user
            return True
        if self.listing or len(self.others) < _NAMED:
            self.others.append(user)
            if len(self.others) > ctx.limits.contacts:
                ctx.fail(Why.TOO_MANY, f"more than {ctx.limits.contacts} accounts")
        return False

    def missing(self) -> str:
        """What to say where the file has been read and the account was not in it."""
        if not self.others:
            return "there is no account in this file"
        named = ", ".join(user.jid for user in self.others)
        return f"{self.wanted} is not in this file, but {named}"


class File(Frame):
    """The file itself: its root may be any level of XEP-0227's own files (section 5.1)."""

    def __init__(self, ctx: Context, choice: Choice) -> None:
        super().__init__(ctx)
        self._choice = choice

    def child(self, tag: str, attrib: Mapping[str, str]) -> Frame:
        """The root."""
        include(self.ctx, tag, attrib)
        ns, name = split(tag)
        if name not in _STRUCTURE:
            self.ctx.fail(Why.ROOT, f"the file begins with {shown(name)}")
        if ns != NS_PIE:
            self.ctx.fail(Why.NAMESPACE, f"the namespace of <{name}/> is {shown(ns)}")
        if name == "server-data":
            return _Level(self.ctx, self._choice, None)
        if name == "host":
            return host(self.ctx, self._choice, attrib)
        wanted = self._choice.wanted
        if wanted is None:
            self.ctx.fail(Why.SECOND_HOST, "this is one user's file, which does not name its host")
        return user(self.ctx, self._choice, jids.domain(wanted), attrib)


class _Level(Frame):
    """``<server-data/>`` with hosts in it (``at`` is None), or a host with users in it."""

    def __init__(self, ctx: Context, choice: Choice, at: str | None) -> None:
        super().__init__(ctx)
        self._choice = choice
        self._at = at

    def child(self, tag: str, attrib: Mapping[str, str]) -> Frame:
        """The next level."""
        include(self.ctx, tag, attrib)
        ns, name = split(tag)
        if name != ("host" if self._at is None else "user"):
            if ns == NS_PIE and name in _STRUCTURE:
                self.ctx.fail(Why.ROOT, f"<{name}/> has no business here")
            return super().child(tag, attrib)
        if ns != NS_PIE:
            self.ctx.fail(Why.NAMESPACE, f"the namespace of <{name}/> is {shown(ns)}")
        if self._at is None:
            return host(self.ctx, self._choice, attrib)
        return user(self.ctx, self._choice, self._at, attrib)


def host(ctx: Context, choice: Choice, attrib: Mapping[str, str]) -> Frame:
    """``<host/>`` (XEP-0227 section 4.1)."""
    name = ctx.address(attrib.get("jid"), "host")
    if name is None or "@" in name or "/" in name:
        ctx.fail(Why.BAD_ADDRESS, f"{shown(attrib['jid'])} is no host")
    choice.enter_host(ctx, name)
    return _Level(ctx, choice, name)


def user(ctx: Context, choice: Choice, at: str, attrib: Mapping[str, str]) -> Frame:
    """``<user/>`` (XEP-0227 section 4.2)."""
    name = attrib.get("name")
    if not name:
        ctx.fail(Why.NO_ADDRESS, "a user has no name")
    prepared = None if "@" in name or "/" in name else jids.bare(f"{name}@{at}")
    if prepared is None:
        ctx.fail(Why.BAD_ADDRESS, f"{shown(name)} is no user's name")
    identity = Identity(at, prepared.rpartition("@")[0])
    if not choice.takes(ctx, identity):
        return Nothing(ctx)
    ctx.found.append(identity)
    if "password" in attrib:
        rule = carried.account("@password")
        assert rule is not None
        ctx.skip(rule.what, rule.reason)
    return _User(ctx)


class _User(Frame):
    """The account that is meant."""

    def __init__(self, ctx: Context) -> None:
        super().__init__(ctx)
        self._contacts: set[str] = set()
        self._blocked: set[str] = set()
        self._published = Published()
        self._rooms: dict[str, PepItem] = {}
        self._vcards = 0

    def child(self, tag: str, attrib: Mapping[str, str]) -> Frame:
        """The account's things."""
        include(self.ctx, tag, attrib)
        ns, name = split(tag)
        if name in _STRUCTURE and ns == NS_PIE:
            self.ctx.fail(Why.OTHER_USER, f"<{name}/> stands inside a user")
        rule = carried.account(tag)
        if rule is None:
            return super().child(tag, attrib)
        if not rule.carried:
            self.ctx.skip(rule.what, rule.reason)
            return Nothing(self.ctx)
        if ns == NS_ROSTER:
            return Roster(self.ctx, self._contacts)
        if ns == NS_PRIVACY:
            return Privacy(self.ctx, self._blocked)
        if ns == NS_BLOCKING:
            return Blocklist(self.ctx, self._blocked)
        if ns == NS_VCARD:
            return Capture(self.ctx, tag, attrib, self._vcard)
        if ns == NS_PRIVATE:
            return _Private(self.ctx, self._old)
        if ns == NS_OWNER:
            return Owner(self.ctx, self._published)
        assert ns == NS_PUBSUB, f"no reader for {rule.what}"
        return Pubsub(self.ctx, self._published, self._old)

    def end(self) -> None:
        """What could not be decided before."""
        found = self.ctx.found
        untold = [node for node in self._published.with_items if node not in self._published.told]
        found += [PepNode(node) for node in untold]
        rooms = [room for id_, room in self._rooms.items() if id_ not in self._published.rooms]
        if rooms and NS_BOOKMARKS not in {*self._published.told, *untold}:
            found.append(bookmarks.NODE)
        found += rooms

    def _vcard(self, element: Xml) -> None:
        self._vcards += 1
        if self._vcards > 1:
            self.ctx.skip("profile", TWICE)
        else:
            self.ctx.found.append(VcardTemp(element))

    def _old(self, storage: Xml) -> None:
        # Safe to parse: the text is our own, from what has been read within bounds.
        element = ET.fromstring(storage)
        if element.tag != f"{{{NS_STORAGE}}}storage":
            self.ctx.skip("bookmarks in the old format", "their element has another name")
            return
        for room in bookmarks.converted(element):
            if isinstance(room, str):
                self.ctx.skip(f"bookmark in the old format, {shown(room)}", bookmarks.NO_PLACE)
            else:
                self._rooms.setdefault(room.id, room)
        if len(self._rooms) > self.ctx.limits.nodes:
            self.ctx.fail(Why.TOO_MANY, f"more than {self.ctx.limits.nodes} bookmarks")


class _Private(Frame):
    """``<query xmlns='jabber:iq:private'/>`` (XEP-0227 section 4.6)."""

    def __init__(self, ctx: Context, old: OldBookmarks) -> None:
        super().__init__(ctx)
        self._old = old

    def child(self, tag: str, attrib: Mapping[str, str]) -> Frame:
        """Elements, each with a namespace of its own (XEP-0049 section 2.3)."""
        ns, name = split(tag)
        if not ns:
            self.ctx.skip("private XML", "it has no namespace")
            return Nothing(self.ctx)
        rule = carried.private(name, ns)
        if not rule.carried:
            self.ctx.skip(rule.what, rule.reason)
            return Nothing(self.ctx)
        if (name, ns) == ("storage", NS_STORAGE):
            return Capture(self.ctx, tag, attrib, self._old)
        return Capture(self.ctx, tag, attrib, lambda xml: self._keep(PrivateXml(name, ns, xml)))

    def _keep(self, piece: PrivateXml) -> None:
        self.ctx.found.append(piece)


def include(ctx: Context, tag: str, attrib: Mapping[str, str]) -> None:
    """Refuse XInclude, which XEP-0227 section 5 has outside users' data.

    :raises BadFile: this is one; opening files whose names come from a file is how secrets leak.
    """
    if tag in XINCLUDE:
        href = shown(attrib.get("href", ""))
        ctx.fail(Why.INCLUDE, f"the rest is in another file, {href}")
