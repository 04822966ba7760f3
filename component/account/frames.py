"""How the reader looks at a file: each open element has a frame that decides about what is in it.

No tree is built: what nobody wants is gone as soon as it is read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NoReturn

from component.account.canonical import Builder, TooLarge, split
from component.account.errors import BadFile, Limits, Why
from component.account.model import Piece, Xml
from component.core import jids

NS_PIE = "urn:xmpp:pie:0"
XINCLUDE = frozenset(
    {"{http://www.w3.org/2001/XInclude}include", "{http://www.w3.org/2003/XInclude}include"}
)
UNKNOWN = "nobody has said what this is"
_KINDS = 100
_ADDRESS = re.compile(r"""([^\s"&'/:<>@]{1,1023}@)?[^\s@/]{1,1023}(/.{1,1023})?""", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Skip:
    """Something that was left out: what, and why."""

    what: str
    why: str


@dataclass
class Context:
    """What the frames of one reading share."""

    limits: Limits
    skipped: dict[Skip, int] = field(default_factory=dict)
    """What was left out, and how often; past a hundred kinds they are counted together."""
    found: list[Piece] = field(default_factory=list)
    """Pieces that the caller has not had yet."""
    line: int = 1
    path: list[str] = field(default_factory=list)
    """Names of the elements that are open."""

    def skip(self, what: str, why: str) -> None:
        """Count something that is left out."""
        skip = Skip(what[:200], why)
        if skip not in self.skipped and len(self.skipped) >= _KINDS:
            skip = Skip("other things", UNKNOWN)
        self.skipped[skip] = self.skipped.get(skip, 0) + 1

    def fail(self, why: Why, text: str) -> NoReturn:
        """End the reading.  :raises BadFile: always."""
        raise BadFile(why, self.line, "/".join(self.path[-20:]), text)

    def address(self, text: str | None, of: str) -> str | None:
        """The prepared form of an address that an attribute must have.

        :returns: None, and counted, where it is one to some servers but not to us: preparation
            knows the characters of Unicode 3.2 (RFC 7622 came later), so no emoji.
        :raises BadFile: there is none, or it is no JID.
        """
        if not text:
            self.fail(Why.NO_ADDRESS, f"{of} has no address")
        prepared = jids.entity(text)
        if prepared is None and (text.isascii() or _ADDRESS.fullmatch(text) is None):
            self.fail(Why.BAD_ADDRESS, f"{shown(text)} is no address")
        if prepared is None:
            self.skip(of, f"its address has characters that we cannot prepare: {shown(text)}")
        return prepared

    def bounded(self, text: str) -> str:
        """The value of an attribute.  :raises BadFile: it is too long."""
        if len(text) > self.limits.text:
            self.fail(Why.LENGTH, f"a value is longer than {self.limits.text} characters")
        return text


class Frame:
    """An open element.  By itself it knows no children, and drops its text."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx

    def child(self, tag: str, attrib: Mapping[str, str]) -> Frame:
        """The frame of a child that begins."""
        self.ctx.skip(shown_tag(tag), UNKNOWN)
        return Nothing(self.ctx)

    def data(self, text: str) -> None:
        """Text, in parts of any size."""

    def end(self) -> None:
        """The element is at its end."""


class Nothing(Frame):
    """An element that is passed over with all that is in it."""

    def child(self, tag: str, attrib: Mapping[str, str]) -> Frame:
        """Passed over."""
        return self


class Text(Frame):
    """An element that holds a short text."""

    def __init__(self, ctx: Context, done: Callable[[str], None]) -> None:
        super().__init__(ctx)
        self._done = done
        self._parts: list[str] = []
        self._size = 0

    def data(self, text: str) -> None:
        """Kept."""
        self._size += len(text)
        if self._size > self.ctx.limits.text:
            self.ctx.fail(Why.LENGTH, f"more than {self.ctx.limits.text} characters")
        self._parts.append(text)

    def end(self) -> None:
        """Handed over."""
        self._done("".join(self._parts))


class Capture(Frame):
    """An element that is taken as it is, with all that is in it."""

    def __init__(
        self, ctx: Context, tag: str, attrib: Mapping[str, str], done: Callable[[Xml], None]
    ) -> None:
        super().__init__(ctx)
        self._done = done
        self._builder = Builder(ctx.limits.piece, ctx.limits.elements)
        self._start(tag, attrib)

    def child(self, tag: str, attrib: Mapping[str, str]) -> Frame:
        """Taken."""
        self._start(tag, attrib)
        return self

    def data(self, text: str) -> None:
        """Taken."""
        try:
            self._builder.text(text)
        except TooLarge:
            self._refuse()

    def end(self) -> None:
        """Handed over, once it is whole."""
        try:
            self._builder.end()
        except TooLarge:
            self._refuse()
        if not self._builder.depth:
            self._done(self._builder.result())

    def _start(self, tag: str, attrib: Mapping[str, str]) -> None:
        try:
            self._builder.start(tag, attrib.items())
        except TooLarge:
            self._refuse()

    def _refuse(self) -> NoReturn:
        limits = self.ctx.limits
        self.ctx.fail(
            Why.SIZE, f"more than {limits.piece} characters, or {limits.elements} elements"
        )


def shown(text: str) -> str:
    """Somebody else's text, fit for a message."""
    return repr(text if len(text) <= 80 else text[:79] + "…")


def shown_tag(tag: str) -> str:
    """An element's name and namespace, fit for a report."""
    ns, name = split(tag)
    return f"<{name} xmlns='{ns}'/>" if ns else f"<{name}/>"
