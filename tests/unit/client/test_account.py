"""An account as a login sees it: progress, pages, and statements that do not stand."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Literal

import pytest

from component.account.model import Blocked, Contact, Identity, PepNode, Piece
from component.client.account import OwnAccount, publish
from component.client.errors import ClientFailed, Trouble
from component.core.journey.model import Access
from component.core.model import Subscription
from component.engine.belongings.read import Reading
from component.xmpp.errors import RemoteError

JULIET, NEW = "juliet@old.example", "juliet@new.example"
PUBSUB = "http://jabber.org/protocol/pubsub"
DATA = "jabber:x:data"
Answer = str | Callable[[ET.Element], str]


class Scripted:
    """A login to a server that answers by what the question is; not-found by default."""

    def __init__(self, **answers: Answer) -> None:
        self.account = JULIET
        self.asked: list[str] = []
        self.sent: list[ET.Element] = []
        self._answers = answers

    async def query(
        self, kind: Literal["get", "set"], payload: ET.Element, to: str | None = None
    ) -> ET.Element:
        """Answer."""
        what = "_".join([kind, *(one.tag.rpartition("}")[2] for one in (payload, *payload[:1]))])
        self.asked.append(what)
        self.sent.append(payload)
        answer = self._answers.get(what)
        if answer is None:
            raise RemoteError("item-not-found")
        text = answer if isinstance(answer, str) else answer(payload)
        if text.startswith("<"):
            return ET.fromstring(f"<iq xmlns='jabber:client' type='result'>{text}</iq>")
        raise RemoteError(text)


ROSTER = "<query xmlns='jabber:iq:roster'><item jid='a@b.example' subscription='both'/></query>"


def option(access: str) -> str:
    """A node's options."""
    return (
        f"<pubsub xmlns='{PUBSUB}#owner'><configure><x xmlns='{DATA}' type='form'>"
        f"<field var='pubsub#access_model'><value>{access}</value></field></x></configure></pubsub>"
    )


def statement(*named: str) -> str:
    """The item of a moved statement."""
    jids = "".join(f"<new-jid>{jid}</new-jid>" for jid in named)
    return (
        f"<pubsub xmlns='{PUBSUB}'><items node='urn:xmpp:moved:1'><item id='current'>"
        f"<moved xmlns='urn:xmpp:moved:1'>{jids}</moved></item></items></pubsub>"
    )


async def test_progress_is_true_and_what_stays_is_told() -> None:
    nodes = "".join(
        f"<item jid='{JULIET}' node='{node}'/>"
        for node in ("urn:example:a", "urn:example:b", "urn:xmpp:omemo:2:devices")
    )
    scripted = Scripted(
        get_query=lambda asked: (
            ROSTER
            if "roster" in asked.tag
            else f"<query xmlns='http://jabber.org/protocol/disco#items'>{nodes}</query>"
        ),
        get_pubsub_configure=option("open"),
    )
    told: list[tuple[int, int]] = []
    own = OwnAccount(scripted, lambda done, total: told.append((done, total)))
    reading = await own.everything([("x", "urn:example:x"), ("x", "urn:example:x")])
    kinds = [type(piece) for piece in reading.pieces]
    assert kinds == [Identity, Contact, PepNode, PepNode]
    assert reading.unread == []
    assert own.left == ["urn:xmpp:omemo:2:devices"]
    assert [done for done, _ in told] == list(range(1, len(scripted.asked) + 1))
    assert all(done <= total for done, total in told)
    assert told[-1] == (len(scripted.asked), len(scripted.asked))
    assert sum(one.find("{urn:example:x}x") is not None for one in scripted.sent) == 1


async def test_no_contacts_no_account() -> None:
    with pytest.raises(ClientFailed, match="does not hand out the contacts of juliet") as failed:
        await OwnAccount(Scripted(), lambda *_: None).everything()
    assert failed.value.trouble is Trouble.SERVER


async def test_a_list_that_is_not_finished_is_named() -> None:
    page = (
        f"<pubsub xmlns='{PUBSUB}'><items node='n'><item id='1'><x xmlns='u:x'/></item></items>"
        "<set xmlns='http://jabber.org/protocol/rsm'><count>9</count><last>1</last></set></pubsub>"
    )
    scripted = Scripted(
        get_query=lambda asked: (
            ROSTER
            if "roster" in asked.tag
            else "<query xmlns='http://jabber.org/protocol/disco#items'>"
            "<item jid='j@x' node='n'/></query>"
        ),
        get_pubsub_configure=option("open"),
        get_pubsub_items=page,
    )
    own = OwnAccount(scripted, lambda *_: None)
    await own.everything()
    assert own.cut_short == ["n"]
    assert scripted.asked.count("get_pubsub_items") == 2


# Statements -----------------------------------------------------------------------------------

KNOWN: list[Piece] = [
    Identity("old.example", "juliet"),
    Blocked("evil@b.example"),
    Blocked("bad.example"),
    Contact("evil@b.example", subscription=Subscription.BOTH),
    Contact("good@b.example", subscription=Subscription.TO),
    Contact("near@bad.example", subscription=Subscription.BOTH),
    Contact("none@b.example"),
]


async def published(
    scripted: Scripted, access: Access = Access.PRESENCE, pieces: list[Piece] = KNOWN
) -> bool:
    """Publish; whether the new account can read it."""
    own = OwnAccount(scripted, lambda *_: None)
    return (await publish(own, JULIET, NEW, access, Reading(pieces))).new_can_read


def stands(access: str, *named: str) -> Scripted:
    """A server where the statement reads like this afterwards."""
    return Scripted(
        set_pubsub_publish=f"<pubsub xmlns='{PUBSUB}'/>",
        set_pubsub_affiliations=f"<pubsub xmlns='{PUBSUB}'/>",
        get_pubsub_items=statement(*named),
        get_pubsub_configure=option(access),
    )


async def test_the_new_account_can_read_it_where_it_is_a_contact_or_listed() -> None:
    assert not await published(stands("presence", NEW))
    friend = Contact(NEW, subscription=Subscription.FROM)
    assert await published(stands("presence", NEW), pieces=[*KNOWN, friend])
    assert await published(stands("open", NEW), Access.OPEN)


async def test_a_whitelist_has_all_but_those_who_are_blocked() -> None:
    scripted = stands("whitelist", NEW)
    assert await published(scripted, Access.WHITELIST)
    listed = next(one for one in scripted.sent if one.find("*/*[@affiliation]") is not None)
    assert [one.get("jid") for one in listed[0]] == [NEW, "good@b.example"]


@pytest.mark.parametrize(
    ("scripted", "sentence"),
    [
        (stands("presence", "thief@b.example"), "not as it should (statement-names-other-jid)"),
        (stands("presence"), "not as it should (statement-invalid)"),
        (stands("open", NEW), "not as it should (its access model is open)"),
        (Scripted(set_pubsub_publish="forbidden"), "does not publish that it moved (forbidden)"),
        (
            Scripted(set_pubsub_publish=f"<pubsub xmlns='{PUBSUB}'/>"),
            "does not publish that it moved (item-not-found)",
        ),
    ],
)
async def test_statements_that_do_not_stand(scripted: Scripted, sentence: str) -> None:
    with pytest.raises(ClientFailed) as failed:
        await published(scripted)
    assert failed.value.trouble is Trouble.SERVER
    assert sentence in str(failed.value)
