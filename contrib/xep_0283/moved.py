"""The plugin of XEP-0283 (version 0.2.0)."""

from __future__ import annotations

from asyncio import Future
from typing import Any, ClassVar

from slixmpp import JID
from slixmpp.plugins.base import BasePlugin
from slixmpp.plugins.xep_0004.stanza import Form
from slixmpp.stanza import Iq

from . import stanza
from .stanza import NS, Moved


class XEP_0283(BasePlugin):  # noqa: N801
    """
    XEP-0283: Moved

    A user who changes address publishes a statement on the old account
    and notifies the contacts from the new one; a contact reads the
    statement before believing the notification.

    Stanzas are registered when the plugin is enabled; it announces no
    service discovery feature and asks for no PEP notifications by itself.
    """

    name = "xep_0283"
    description = "XEP-0283: Moved"
    dependencies: ClassVar[set[str]] = {"xep_0060", "xep_0163"}
    stanza = stanza

    def plugin_init(self) -> None:
        """Register the stanza classes."""
        stanza.register_plugins()

    def publish_moved(
        self, new_jid: JID | str, *, access_model: str | None = "presence", **pubsubkwargs: Any
    ) -> Future[Iq]:
        """
        State on the old account that the user has moved (XEP-0283 section 4.1).

        :param new_jid: The new address; its resource is left out.
        :param access_model: Who may read it: 'presence' as the XEP has it,
                             'open' or 'whitelist'. A node that exists with
                             another model makes the server answer conflict
                             with precondition-not-met. None leaves the node
                             as it is.
        :param pubsubkwargs: Passed to XEP-0163 ``publish()``.
        """
        moved = Moved()
        moved["new_jid"] = JID(new_jid).bare
        options = None
        if access_model is not None:
            options = Form()  # type: ignore[no-untyped-call]
            options["type"] = "submit"
            for var, ftype, value in (
                ("FORM_TYPE", "hidden", "http://jabber.org/protocol/pubsub#publish-options"),
                ("pubsub#access_model", None, access_model),
                ("pubsub#persist_items", None, "1"),
                ("pubsub#max_items", None, "1"),
            ):
                options.add_field(  # type: ignore[no-untyped-call]
                    var=var, ftype=ftype, value=value
                )
        result: Future[Iq] = self.xmpp.plugin["xep_0163"].publish(
            moved, node=NS, id="current", options=options, **pubsubkwargs
        )
        return result

    def retract_moved(self, *, ifrom: JID | None = None, **pubsubkwargs: Any) -> Future[Iq]:
        """
        Take the statement back.

        :param pubsubkwargs: Passed to XEP-0060 ``retract()``.
        """
        result: Future[Iq] = self.xmpp.plugin["xep_0060"].retract(  # type: ignore[no-untyped-call]
            None, NS, "current", notify=True, ifrom=ifrom, **pubsubkwargs
        )
        return result

    def get_moved(self, jid: JID | str, **pubsubkwargs: Any) -> Future[Iq]:
        """
        Read the statement of an account (XEP-0283 section 4.3).

        The answer is the whole result; :meth:`statements` reads it. An
        account that has been deleted may answer with the error gone.

        :param jid: The old address; its resource is left out.
        :param pubsubkwargs: Passed to XEP-0060 ``get_item()``.
        """
        result: Future[Iq] = self.xmpp.plugin["xep_0060"].get_item(  # type: ignore[no-untyped-call]
            JID(JID(jid).bare), NS, "current", **pubsubkwargs
        )
        return result

    @staticmethod
    def statements(iq: Iq) -> list[Moved]:
        """
        The statements in an answer to :meth:`get_moved`.

        No statement is an empty list. More than one, or one with other than
        exactly one of ``new_jids``, names nobody.
        """
        items = iq.xml.findall(
            "{http://jabber.org/protocol/pubsub}pubsub"
            "/{http://jabber.org/protocol/pubsub}items"
            "/{http://jabber.org/protocol/pubsub}item"
        )
        return [Moved(xml=xml) for item in items for xml in item.findall(Moved.tag_name())]

    def send_moved(
        self,
        pto: JID | str,
        old_jid: JID | str,
        *,
        pfrom: JID | str | None = None,
        pstatus: str | None = None,
        pnick: str | None = None,
    ) -> None:
        """
        Notify a contact from the new account: a subscription request that
        names the old address (XEP-0283 section 4.2).

        Publish the statement first, or the contact cannot verify it.

        :param pto: The contact; its resource is left out.
        :param old_jid: The old address; its resource is left out.
        :param pfrom: For components, whose request it is.
        :param pstatus: A text for people whose client does not know this.
        :param pnick: The user's nickname (XEP-0172).
        """
        presence = self.xmpp.make_presence(
            pto=JID(JID(pto).bare), pfrom=pfrom, ptype="subscribe", pstatus=pstatus, pnick=pnick
        )
        presence["moved"]["old_jid"] = JID(old_jid).bare
        presence.send()
