"""Who may read the moved statement (XEP-0283 4.1, XEP-0060 4.5), and whether a contact then can.

* ``presence`` is what the XEP asks for: those who see the old account's presence may read.
* A contact that the mover sees but that does not see the mover (``to`` on the old roster) passes
  the check of XEP-0283 4.3 and yet may not read a ``presence`` node; so does the new account when
  its server asks as the new account, to make sure that the move is genuine.  A ``whitelist`` of
  exactly those who are to be told serves them, and nobody else learns of the move.
* ``open`` is for contacts whose server reads as its host (mod_auto_moved), and only by choice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from component.core.journey.model import Access, ContactState, JourneyContact, Kind
from component.core.model import NOBODYS, Reason, Subscription

NO_WHITELIST = "no-whitelist"
"""Why a move does not begin: the server has no whitelists, and somebody is left out."""
NOT_LISTED = "not-on-the-whitelist"
"""Why a contact is the mover's to tell: the server cannot use its address for one."""
WHITELIST_MAX = 2000
"""Contacts above which a whitelist is not suggested: the server keeps each as an affiliation."""


def suggest(contacts: Sequence[JourneyContact], kind: Kind) -> Access:
    """The narrowest access model under which everybody who is told can read."""
    told = [c for c in contacts if c.state is not ContactState.SKIPPED]
    one_way = any(c.subscription is Subscription.TO for c in told)
    # Those whom the old account does not know may not read it anyway.
    left_out = len(told) < sum(c.subscription is not Subscription.NONE for c in contacts)
    wanted = one_way or left_out or kind is Kind.AWAY
    if wanted and len(told) <= WHITELIST_MAX:
        return Access.WHITELIST
    return Access.PRESENCE


def readers(contacts: Iterable[JourneyContact], new: str) -> tuple[str, ...]:
    """Who is on the whitelist: everybody who is to be told, and the new account itself.

    Without those whose account is gone: their names are anybody's.
    """
    there = (contact for contact in contacts if contact.account != NOBODYS)
    told = {c.jid for c in there if c.state is not ContactState.SKIPPED}
    return (new, *sorted(told - {new}))


_OF_THE_STATEMENT = (Reason.OTHER_JID, Reason.REFUSED)
"""What a contact reads that is about the statement, and not about the contact."""


def against(seen: Mapping[str, Reason]) -> str | None:
    """What readings by contacts say against a statement that its owner can read.

    One contact who can read it is enough.  An account that is gone, one that has blocked the old
    address, or a server that fails says nothing of the statement.

    :param seen: what each contact's reading came to.
    :returns: a reason, and after a space the contact; None: nothing is against it.
    """
    if Reason.VERIFIED in seen.values():
        return None
    for reason in _OF_THE_STATEMENT:
        for reader, read in seen.items():
            if read is reason:
                return f"{reason.value} {reader}"
    return None
