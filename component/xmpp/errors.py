"""What can go wrong on the link, and the stanza errors of both directions."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from component.core.conditions import Condition
from component.xmpp.names import NS_CLIENT, NS_COMPONENT, NS_STANZAS


class LinkError(Exception):
    """Something that was asked of the link did not succeed."""


class LinkLost(LinkError):
    """There is no session with the server, or it ended before the answer came."""


class LinkBusy(LinkError):
    """A bound is reached (requests in flight, or stanzas waiting to be sent): try later."""


class RequestTimeout(LinkError):
    """The answer did not come in time.  The request may have had its effect."""


class BadStanza(LinkError):
    """A stanza that XML cannot carry, such as one with control characters.  Nothing was sent."""


class SecretRefused(LinkError):
    """The server does not take our secret.  Trying again is of no use; the text says what is."""


class GuardError(Exception):
    """The peer broke a rule of the stream, which cannot be used any further.

    ``condition`` is the stream error to close with (RFC 6120 section 4.9.3).
    """

    def __init__(self, condition: str, text: str) -> None:
        super().__init__(text)
        self.condition = condition


class RemoteError(LinkError):
    """The answer to a request was an error (RFC 6120 section 8.3).

    ``condition``, ``type`` and ``text`` as the answer gives them, ``undefined-condition`` and
    ``cancel`` where it does not; ``gone_uri`` is what ``<gone/>`` holds, unchecked; ``element``
    is the whole ``<error/>``, for conditions of an application.
    """

    def __init__(
        self,
        condition: str,
        type: str = "cancel",
        text: str | None = None,
        gone_uri: str | None = None,
        element: ET.Element | None = None,
    ) -> None:
        super().__init__(f"{condition} ({text})" if text else condition)
        self.condition = condition
        self.type = type
        self.text = text
        self.gone_uri = gone_uri
        self.element = element

    @classmethod
    def from_element(cls, stanza: ET.Element) -> RemoteError:
        """Read the error out of a stanza of type ``error``.

        :param stanza: an iq, message or presence in the namespace of components or of clients.
        """
        error = stanza.find(f"{{{NS_COMPONENT}}}error")
        if error is None:
            error = stanza.find(f"{{{NS_CLIENT}}}error")
        if error is None:
            return cls(Condition.UNDEFINED_CONDITION)
        condition: str = Condition.UNDEFINED_CONDITION
        text = gone_uri = None
        prefix = f"{{{NS_STANZAS}}}"
        for child in error:
            if not child.tag.startswith(prefix):
                continue
            name = child.tag[len(prefix) :]
            if name == "text":
                text = text or (child.text or "").strip() or None
            elif condition == Condition.UNDEFINED_CONDITION:
                condition = name
                if name == Condition.GONE:
                    gone_uri = (child.text or "").strip() or None
        return cls(condition, error.get("type", "cancel"), text, gone_uri, error)


class StanzaError(Exception):
    """Raised by a handler to answer a request with an error (RFC 6120 section 8.3).

    :param condition: one of RFC 6120 section 8.3.3, such as ``bad-request``.
    :param type: ``auth``, ``cancel``, ``continue``, ``modify`` or ``wait``.
    :param text: a sentence for whoever asked; it leaves the machine.
    """

    def __init__(self, condition: str, type: str = "cancel", text: str | None = None) -> None:
        super().__init__(f"{condition} ({text})" if text else condition)
        self.condition = condition
        self.type = type
        self.text = text

    def element(self, namespace: str = NS_COMPONENT) -> ET.Element:
        """``<error/>`` as the child of a stanza in ``namespace``."""
        error = ET.Element(f"{{{namespace}}}error", {"type": self.type})
        ET.SubElement(error, f"{{{NS_STANZAS}}}{self.condition}")
        if self.text:
            ET.SubElement(error, f"{{{NS_STANZAS}}}text").text = self.text
        return error
