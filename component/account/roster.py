"""Frames of the contact list and of those who are kept out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from component.account.errors import Why
from component.account.frames import Context, Frame, Nothing, Text, shown
from component.account.model import Blocked, Contact
from component.core import jids
from component.core.model import Subscription

NS_ROSTER = "jabber:iq:roster"
NS_BLOCKING = "urn:xmpp:blocking"
NS_PRIVACY = "jabber:iq:privacy"
NS_WAS = "urn:xmpp-moved:account:0"
"""Attributes of roster items in files of ours: what held between the old account and the contact.
``subscription`` without a namespace would be believed by whatever server reads the file."""
TRUE = ("true", "1")
TWICE = "it stands there twice"


class Roster(Frame):
    """``<query xmlns='jabber:iq:roster'/>`` (RFC 6121 section 2.1.2)."""

    def __init__(self, ctx: Context, seen: set[str]) -> None:
        super().__init__(ctx)
        self._seen = seen

    def child(self, tag: str, attrib: Mapping[str, str]) -> Frame:
        """Items."""
        if tag == f"{{{NS_ROSTER}}}item":
            return _Item(self.ctx, attrib, self._seen)
        return super().child(tag, attrib)


class _Item(Frame):
    def __init__(self, ctx: Context, attrib: Mapping[str, str], seen: set[str]) -> None:
        super().__init__(ctx)
        address = ctx.address(attrib.get("jid"), "contact")
        self._jid = address.partition("/")[0] if address is not None else None
        self._name = ctx.bounded(attrib.get("name", ""))
        # What we wrote says more than the plain attribute, which is "none" then.
        self._said = attrib.get(_was("subscription"), attrib.get("subscription", "none"))
        self._ask = attrib.get(_was("ask"), attrib.get("ask")) == "subscribe"
        self._approved = attrib.get(_was("approved"), attrib.get("approved")) in TRUE
        self._groups: set[str] = set()
        self._seen = seen

    def child(self, tag: str, attrib: Mapping[str, str]) -> Frame:
        """Groups."""
        if tag == f"{{{NS_ROSTER}}}group":
            return Text(self.ctx, self._add)
        return super().child(tag, attrib)

    def end(self) -> None:
        """The contact is whole."""
        if self._jid is None:
            return
        try:
            subscription = Subscription(self._said)
        except ValueError:
            self.ctx.skip("contact", f"its subscription is {shown(self._said)}")
            return
        if not enter(self.ctx, self._jid, self._seen, "contact"):
            return
        groups = tuple(sorted(self._groups))
        name = self._name or None
        self.ctx.found.append(
            Contact(self._jid, name, groups, subscription, self._ask, self._approved)
        )

    def _add(self, group: str) -> None:
        if group:
            self._groups.add(group)
        if len(self._groups) > self.ctx.limits.groups:
            self.ctx.fail(Why.TOO_MANY, f"more than {self.ctx.limits.groups} groups")


class Blocklist(Frame):
    """``<blocklist xmlns='urn:xmpp:blocking'/>`` (XEP-0191 section 3.2)."""

    def __init__(self, ctx: Context, seen: set[str]) -> None:
        super().__init__(ctx)
        self._seen = seen

    def child(self, tag: str, attrib: Mapping[str, str]) -> Frame:
        """Items."""
        if tag != f"{{{NS_BLOCKING}}}item":
            return super().child(tag, attrib)
        jid = self.ctx.address(attrib.get("jid"), "blocked person")
        if jid is not None:
            block(self.ctx, jid, self._seen)
        return Frame(self.ctx)


@dataclass
class _Rule:
    """One item of a privacy list (XEP-0016 section 2.1)."""

    order: int
    kind: str | None
    value: str
    deny: bool
    stanzas: set[str]

    @property
    def whole(self) -> bool:
        """True where it is about all that may be sent (section 2.13)."""
        return not self.stanzas or len(self.stanzas) == len(_STANZAS)


_STANZAS = ("message", "iq", "presence-in", "presence-out")


class Privacy(Frame):
    """``<query xmlns='jabber:iq:privacy'/>``: the default list counts (XEP-0016 section 2.5).

    Of the active lists nobody knows which; XEP-0191 (section 5) knows the default list alone.
    """

    def __init__(self, ctx: Context, seen: set[str]) -> None:
        super().__init__(ctx)
        self._seen = seen
        self._default: str | None = None
        self._lists: dict[str, list[_Rule]] = {}
        self._count = 0

    def child(self, tag: str, attrib: Mapping[str, str]) -> Frame:
        """The name of the default list, and lists."""
        if tag == f"{{{NS_PRIVACY}}}default":
            self._default = attrib.get("name")
            return Frame(self.ctx)
        if tag == f"{{{NS_PRIVACY}}}list":
            rules = self._lists.setdefault(self.ctx.bounded(attrib.get("name", "")), [])
            return _List(self.ctx, rules, self._counted)
        return super().child(tag, attrib)

    def end(self) -> None:
        """All is known: the default list decides."""
        for name, rules in self._lists.items():
            if name == self._default:
                self._read(rules)
            else:
                self.ctx.skip("privacy list", "it is not the default list")

    def _counted(self) -> None:
        self._count += 1
        if self._count > self.ctx.limits.contacts:
            self.ctx.fail(Why.TOO_MANY, f"more than {self.ctx.limits.contacts} rules")

    def _read(self, rules: list[_Rule]) -> None:
        # The first rule that fits decides (section 2.2), so what is let in stays in.
        let_in: set[str] = set()
        for rule in sorted(rules, key=lambda rule: rule.order):
            jid = jids.entity(rule.value) if rule.kind == "jid" else None
            if jid is None or not rule.whole or not rule.deny or jid in let_in:
                self.ctx.skip("rule of a privacy list", "XEP-0191 can only keep addresses out")
            else:
                block(self.ctx, jid, self._seen)
            if jid is not None and not rule.deny and rule.whole:
                let_in.add(jid)
            if rule.kind is None and rule.whole:
                break


class _List(Frame):
    def __init__(self, ctx: Context, rules: list[_Rule], counted: Callable[[], None]) -> None:
        super().__init__(ctx)
        self._rules = rules
        self._counted = counted

    def child(self, tag: str, attrib: Mapping[str, str]) -> Frame:
        """Rules."""
        if tag != f"{{{NS_PRIVACY}}}item":
            return super().child(tag, attrib)
        self._counted()
        order = attrib.get("order", "")
        if not order.isdecimal() or len(order) > 10:
            self.ctx.skip("rule of a privacy list", "its order is no number")
            return Nothing(self.ctx)
        value = self.ctx.bounded(attrib.get("value", ""))
        kind = self.ctx.bounded(attrib.get("type", "")) or None
        if kind == "jid":
            self.ctx.address(value, "blocked person")
        rule = _Rule(int(order), kind, value, attrib.get("action") == "deny", set())
        self._rules.append(rule)
        return _Stanzas(self.ctx, rule)


class _Stanzas(Frame):
    def __init__(self, ctx: Context, rule: _Rule) -> None:
        super().__init__(ctx)
        self._rule = rule

    def child(self, tag: str, attrib: Mapping[str, str]) -> Frame:
        """What the rule is about."""
        name = tag.removeprefix(f"{{{NS_PRIVACY}}}")
        if name not in _STANZAS:
            return super().child(tag, attrib)
        self._rule.stanzas.add(name)
        return Frame(self.ctx)


def block(ctx: Context, jid: str, seen: set[str]) -> None:
    """Somebody is kept out; once is enough."""
    if enter(ctx, jid, seen, "blocked person"):
        ctx.found.append(Blocked(jid))


def enter(ctx: Context, jid: str, seen: set[str], what: str) -> bool:
    """Note an address; False where it has been seen.  :raises BadFile: there are too many."""
    key = jids.key(jid)
    if key in seen:
        ctx.skip(what, TWICE)
        return False
    seen.add(key)
    if len(seen) > ctx.limits.contacts:
        ctx.fail(Why.TOO_MANY, f"more than {ctx.limits.contacts}")
    return True


def _was(name: str) -> str:
    return f"{{{NS_WAS}}}{name}"
