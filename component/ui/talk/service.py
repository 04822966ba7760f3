"""The whole of the talk with users, on a link."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from typing import Literal, Protocol

from component.core import jids
from component.engine.belongings.ports import CopyOrders
from component.engine.files.ports import FileOrders
from component.engine.movers.orders import AdminOrders, DraftOrders, MoverOrders
from component.engine.ports import Clock
from component.ui.talk.adhoc import AdHoc
from component.ui.talk.admin import Admin
from component.ui.talk.chat import Chat
from component.ui.talk.choices import Choices
from component.ui.talk.commands import Book
from component.ui.talk.files import Files
from component.ui.talk.language import Languages
from component.ui.talk.moving import Moving
from component.ui.talk.pages import Turn
from component.ui.talk.running import Running
from component.ui.talk.things import Things
from component.xmpp.disco import CommandList
from component.xmpp.names import NS_COMMANDS, NS_FORMS
from component.xmpp.router import IqHandler, MessageHandler


class TalkLink(Protocol):
    """What of a link is needed."""

    def send(self, stanza: ET.Element) -> None:
        """Queue a stanza; raises LinkError."""

    def route_iq(
        self, kind: Literal["get", "set"], namespace: str, name: str, handler: IqHandler
    ) -> None:
        """Hand requests with this payload to a handler."""

    def route_chat(self, handler: MessageHandler) -> None:
        """Hand what people write to a handler."""

    def list_commands(self, commands: CommandList) -> None:
        """Show commands in service discovery."""

    def add_feature(self, namespace: str) -> None:
        """Announce a feature."""


class Talk:
    """Commands for users and admins, as ad-hoc commands and as a chat.

    :param languages: the same object that the teller of notices has.
    """

    def __init__(
        self,
        link: TalkLink,
        drafts: DraftOrders,
        movers: MoverOrders,
        admin: AdminOrders,
        copies: CopyOrders,
        files: FileOrders,
        *,
        languages: Languages,
        clock: Clock,
    ) -> None:
        self._link = link
        self._languages = languages
        things = Things(copies, movers)
        commands = [
            *Moving(drafts).commands(),
            *Running(movers).commands(),
            *things.commands(),
            *Files(files, things, clock).commands(),
            *Choices(movers, languages).commands(),
            *Admin(admin).commands(),
        ]
        self._book = Book(commands, drafts, movers, admin)
        self.adhoc = AdHoc(self._book, self._turn, clock)
        self.chat = Chat(self._book, self._turn, link, clock)

    def register(self) -> None:
        """Have requests and messages routed here, and show the commands."""
        self._link.route_iq("set", NS_COMMANDS, "command", self.adhoc.handle)
        self._link.route_chat(self.chat.handle)
        self._link.list_commands(self)
        self._link.add_feature(NS_FORMS)

    def commands(self, asker: str, lang: str | None) -> Mapping[str, str]:
        """Names of the commands by node, as service discovery shows them to an asker."""
        bare = jids.bare_of(asker) or ""
        words = self._languages.words(bare, lang)
        return {c.node: words.say(c.title) for c in self._book.visible(bare)}

    def _turn(self, sender: str | None, said: str | None) -> Turn:
        """Who asks, by the stanza at hand, and in which language they are answered."""
        asker = jids.bare_of(sender) or ""
        if self._book.visible(asker):
            self._languages.hear(asker, said)
        return Turn(asker, self._languages.words(asker, said))
