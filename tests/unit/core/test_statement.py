"""What an old account's answer is worth."""

from __future__ import annotations

import pytest

from component.core.model import Reason
from component.core.statement import ErrorRead, Item, ItemsRead, judge, read
from tests.unit.core.samples import NEW, OLD, naming


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        (ItemsRead((Item("current", ((NEW,),)),)), Reason.VERIFIED),
        (ItemsRead((Item("current", (("JULIET@Capulet.example",),)),)), Reason.VERIFIED),
        (ItemsRead((Item("current", (("eve@evil.example",),)),)), Reason.OTHER_JID),
        (ItemsRead(()), Reason.NO_STATEMENT),
        (ItemsRead((Item("other", ((NEW,),)),)), Reason.BAD_STATEMENT),
        (ItemsRead((Item(None, ((NEW,),)),)), Reason.BAD_STATEMENT),
        (ItemsRead((Item("current", ((NEW,),)), Item("b", ((NEW,),)))), Reason.BAD_STATEMENT),
        (ItemsRead((Item("current", ((NEW,), (NEW,))),)), Reason.BAD_STATEMENT),
        (ItemsRead((Item("current", ((NEW, NEW),)),)), Reason.BAD_STATEMENT),
        (ItemsRead((Item("current", ((),)),)), Reason.BAD_STATEMENT),
        (ItemsRead((Item("current", ()),)), Reason.BAD_STATEMENT),
        (ItemsRead((Item("current", ((NEW + "/phone",),)),)), Reason.BAD_STATEMENT),
        (ItemsRead((Item("current", ((NEW,),), OLD.upper()),)), Reason.VERIFIED),
        (ItemsRead((Item("current", ((NEW,),), f"{OLD}/phone"),)), Reason.VERIFIED),
        (ItemsRead((Item("current", ((NEW,),), NEW),)), Reason.BAD_STATEMENT),
        (ItemsRead((Item("current", ((NEW,),), ""),)), Reason.BAD_STATEMENT),
        (ItemsRead((Item("current", ((NEW,),), "@"),)), Reason.BAD_STATEMENT),
        (ErrorRead("item-not-found"), Reason.NO_STATEMENT),
        (ErrorRead("forbidden"), Reason.REFUSED),
        (ErrorRead("not-authorized"), Reason.REFUSED),
        (ErrorRead("not-allowed"), Reason.REFUSED),
        (ErrorRead("remote-server-not-found"), Reason.UNREACHABLE),
        (ErrorRead("remote-server-timeout"), Reason.UNREACHABLE),
        (ErrorRead("policy-violation"), Reason.FETCH_ERROR),
        (ErrorRead("resource-constraint"), Reason.OVERLOADED),
        (ErrorRead("gone", f"xmpp:{NEW}"), Reason.VERIFIED),
        (ErrorRead("gone", "xmpp:eve@evil.example"), Reason.OTHER_JID),
        (ErrorRead("gone", f"xmpp:{NEW}/phone"), Reason.BAD_GONE),
        (ErrorRead("gone", NEW), Reason.BAD_GONE),
        (ErrorRead("gone"), Reason.BAD_GONE),
        (ErrorRead("item-not-found", f"xmpp:{NEW}"), Reason.NO_STATEMENT),
    ],
)
def test_judged(reply: ItemsRead | ErrorRead, verdict: Reason) -> None:
    assert judge(read(reply, OLD), NEW) is verdict


def test_the_two_forms_of_a_domain_are_one() -> None:
    assert judge(naming("j@xn--bcher-kva.example"), "j@bücher.example") is Reason.VERIFIED


def test_only_refusals_are_private() -> None:
    assert not read(ErrorRead("forbidden"), OLD).shareable
    assert read(ErrorRead("item-not-found"), OLD).shareable
    assert naming(NEW).shareable
