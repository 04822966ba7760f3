"""Notices as chat messages: what the engine's ``Teller`` does."""

from __future__ import annotations

import secrets
import xml.etree.ElementTree as ET
from typing import Protocol

from component.core.notices import NewAddress, Notice
from component.ui.talk import notices
from component.ui.talk.language import Languages
from component.xmpp.chat import write_chat


class Sender(Protocol):
    """The part of a link that sends."""

    def send(self, stanza: ET.Element) -> None:
        """Queue a stanza; raises LinkError."""


class LinkTeller:
    """Says notices over a link, in the language of whoever is told.

    :param languages: shared with :class:`~component.ui.talk.service.Talk`, which hears what
        users' clients speak.
    """

    def __init__(self, link: Sender, languages: Languages) -> None:
        self._link = link
        self._languages = languages

    def tell(self, to: str, notice: Notice, *, replaces: str | None = None) -> str:
        """Queue a chat message to a bare JID; returns its id.

        :param replaces: the id of the first version of the message that this one corrects
            (XEP-0308 section 3 wants the first one's, however often it was corrected since).
        :raises LinkError: the stream is down.
        """
        words = self._languages.words(to)
        first, *more = notices.notice_texts(words, notice)
        id_ = message_id()
        message = write_chat(to, first, id=id_, lang=words.language, replaces=replaces)
        self._link.send(message)
        for text in more:
            self._link.send(write_chat(to, text, id=message_id(), lang=words.language))
        return id_

    def answer_text(self, lang: str | None, address: NewAddress) -> tuple[str, str]:
        """The language and the text of the answer to somebody who wrote to an old account.

        :param lang: the language tag of what they wrote, if it had one.
        """
        words = self._languages.words(None, lang)
        return words.language, notices.answer_text(words, address)

    def status_text(self, user: str, old: str, new: str) -> str:
        """What a request says to people whose server or client knows nothing of moves.

        :param user: the mover, whose language it is in.
        """
        return notices.status_text(self._languages.words(user), NewAddress(old, new))


def message_id() -> str:
    """An id for a message, unlike any other."""
    return secrets.token_hex(8)
