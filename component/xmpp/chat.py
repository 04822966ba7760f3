"""Chat messages (RFC 6121 section 5) between elements and values."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass

from component.xmpp.names import (
    MESSAGE,
    NS_COMPONENT,
    NS_CORRECT,
    NS_ENCRYPTION,
    NS_OOB,
    NS_XML,
)

BODY = f"{{{NS_COMPONENT}}}body"
LANG = f"{{{NS_XML}}}lang"
_THREAD = f"{{{NS_COMPONENT}}}thread"
_REPLACE = f"{{{NS_CORRECT}}}replace"
_ENCRYPTION = f"{{{NS_ENCRYPTION}}}encryption"
_LINK = f"{{{NS_OOB}}}x/{{{NS_OOB}}}url"
_MAX_LANG = 35
"""Characters of a language tag (RFC 5646 section 4.4.1)."""


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """What somebody wrote."""

    sender: str
    """As the stanza names it, resource included."""
    id: str | None
    lang: str | None
    body: str
    thread: str | None
    corrects: str | None
    """Id of the message that this one replaces (XEP-0308)."""
    encrypted: bool
    """The body stands in for a content that we cannot read (XEP-0380)."""
    link: str | None = None
    """A file that is shared (XEP-0066 section 2)."""


def lang_of(stanza: ET.Element) -> str | None:
    """The ``xml:lang`` of a stanza, if it has one of a bearable length."""
    lang = stanza.get(LANG)
    return lang if lang and len(lang) <= _MAX_LANG else None


def read_chat(message: ET.Element) -> ChatMessage | None:
    """Read a message; None where it has no sender or no body.

    Of several bodies that in the message's own language counts, else the first.
    """
    sender, bodies = message.get("from"), message.findall(BODY)
    if not sender or not bodies:
        return None
    lang = lang_of(message)
    own = [body for body in bodies if body.get(LANG) in (None, lang)]
    body = (own or bodies)[0]
    replace = message.find(_REPLACE)
    return ChatMessage(
        sender=sender,
        id=message.get("id"),
        lang=lang_of(body) or lang,
        body=body.text or "",
        thread=message.findtext(_THREAD),
        corrects=replace.get("id") if replace is not None else None,
        encrypted=message.find(_ENCRYPTION) is not None,
        link=message.findtext(_LINK),
    )


def write_chat(
    to: str,
    body: str,
    *,
    id: str,
    lang: str,
    replaces: str | None = None,
    thread: str | None = None,
) -> ET.Element:
    """A message of type chat, from the component.

    :param replaces: id of the first version of the message that this one corrects: XEP-0308
        section 3 wants that one, also for the correction of a correction.
    """
    message = ET.Element(MESSAGE, {"type": "chat", "to": to, "id": id, LANG: lang})
    ET.SubElement(message, BODY).text = body
    if thread:
        ET.SubElement(message, _THREAD).text = thread
    if replaces is not None:
        ET.SubElement(message, _REPLACE, {"id": replaces})
    return message
