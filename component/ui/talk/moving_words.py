"""The words of the pages that begin a move."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from component.core.journey import contacts as machine
from component.core.journey.model import (
    Access,
    ContactState,
    JourneyContact,
    Kind,
    Preflight,
)
from component.engine.movers.arrivals import Lacking
from component.ui.talk import lists, notices, phrases
from component.ui.talk.language import Words
from component.ui.talk.pages import Field, Option, short
from component.ui.talk.pages import Kind as Takes

_DOMAINS = 10
"""Domains that are named with their counts."""
_WAITING: Final = (ContactState.QUEUED, ContactState.PENDING)
"""States of a draft's contacts that will be told."""
_THERE: Final = (ContactState.ACCEPTED, ContactState.MUTUAL)
"""Of those that the new account has already."""
_BLOCKED = "blocked"
_NO_CHOICE: Final = (_BLOCKED, machine.UNANSWERED)
"""Why a contact is left out whatever the mover chooses."""


def summary(words: Words, found: Preflight) -> str:
    """What was checked, who is told, and how long it takes."""
    journey = found.journey
    lines = [f"{journey.old} → {journey.new}", ""]
    lines += [f"✓ {phrases.check(words, journey, check)}" for check in found.checks]
    lines.append("")
    told = Counter(c.jid.partition("@")[2] for c in found.contacts if c.state in _WAITING)
    if journey.kind is Kind.AWAY:
        lines.append(
            words.say(
                "I cannot see whether {new} exists, nor whose it is. Check each letter: whoever "
                "has that address gets your contacts.",
                new=journey.new,
            )
        )
        lines.append(words.say("Your new address will be published at the old account."))
    elif not told:
        lines.append(words.say("There is no contact to tell."))
    else:
        lines.append(
            words.say_n(
                "One contact will be told. Longest time: {time}.",
                "{n} contacts will be told. Longest time: {time}.",
                told.total(),
                time=words.duration(found.seconds),
            )
        )
    domains = told.most_common()
    lines += [f"• {domain}: {count}" for domain, count in domains[:_DOMAINS]]
    if len(domains) > _DOMAINS:
        more = len(domains) - _DOMAINS
        lines.append(words.say_n("and one more server", "and {n} more servers", more))
    there = sum(c.state in _THERE for c in found.contacts)
    if there:
        lines.append(
            words.say_n(
                "One contact is at the new account already.",
                "{n} contacts are at the new account already.",
                there,
            )
        )
    blocked = sum(c.error == _BLOCKED for c in found.contacts)
    if blocked:
        lines.append(
            words.say_n(
                "One contact is blocked and will be told nothing.",
                "{n} contacts are blocked and will be told nothing.",
                blocked,
            )
        )
    unanswered = [c.jid for c in found.contacts if c.error == machine.UNANSWERED]
    if unanswered:
        lines.append(
            words.say_n(
                "One person has not answered your request, and will be told nothing:",
                "{n} people have not answered your request, and will be told nothing:",
                len(unanswered),
            )
        )
        lines += notices.named(words, unanswered)
    return "\n".join(lines)


def figures(words: Words, found: Preflight) -> str:
    """What begins, and for how many."""
    told = sum(map(is_chosen, found.contacts))
    left = sum(c.state is ContactState.SKIPPED for c in found.contacts)
    lines = [
        f"{found.journey.old} → {found.journey.new}",
        words.say_n("One contact is told.", "{n} contacts are told.", told),
    ]
    if left:
        lines.append(words.say_n("One is left out.", "{n} are left out.", left))
    return "\n".join(lines)


def brought(words: Words, old: str) -> str:
    """Where the contacts came from, and what comes with them."""
    return words.say(
        "Your contacts came from {old}, with names and groups: you need not paste any. Who is "
        "blocked there, your profile, rooms and settings come along before anybody is told.",
        old=old,
    )


def lacking(words: Words, facts: Mapping[str, str]) -> str:
    """Why the old account hands over nothing, if that can be said; a line before what to do.

    :param facts: of the refusal.
    """
    old = facts.get("jid", "")
    match facts.get("lacking"):
        case Lacking.PACKING:
            text = words.say(
                "Nothing from {old} is ready for you. Its server may still be packing: try "
                "“arrive” again in a minute, or go on here.",
                old=old,
            )
        case Lacking.SLOW:
            text = words.say(
                "Not all of what {old} hands over is here yet. Try “arrive” again in a minute: "
                "what has come is kept. Or go on here.",
                old=old,
            )
        case Lacking.BAD:
            text = words.say(
                "What {old} hands over is damaged, so I use nothing of it ({detail}).",
                old=old,
                detail=short(facts.get("detail", ""), 200),
            )
        case _:
            return ""
    return f"{text}\n"


def access_field(words: Words, suggested: Access) -> Field:
    """Asks who may read the statement."""
    readers = {
        Access.PRESENCE: words.say("my contacts (as suggested)"),
        Access.WHITELIST: words.say("exactly those who are told (as suggested)"),
        Access.OPEN: words.say("everyone (as suggested)"),
    }
    options = [Option("suggested", readers[suggested])]
    if suggested is not Access.OPEN:
        options.append(
            Option(
                "open",
                words.say(
                    "everyone, strangers too: needed for contacts whose server has "
                    "mod_auto_moved, since that module reads in the server's own name"
                ),
            )
        )
    return Field(
        "access",
        Takes.CHOICE,
        words.say("Who may read that you have moved?"),
        default=("suggested",),
        options=tuple(options),
    )


def is_chosen(contact: JourneyContact) -> bool:
    """Whether a draft's contact will be told, or let in at the new account, which sees it."""
    return contact.state in (*_WAITING, ContactState.ACCEPTED)


def choosable(contact: JourneyContact) -> bool:
    """Whether it is the mover's choice: neither blocked, nor there already (unless the new account
    only sees them), nor a request without an answer."""
    return is_chosen(contact) or (
        contact.state is ContactState.SKIPPED and contact.error not in _NO_CHOICE
    )


def label(contact: JourneyContact) -> str:
    """A contact as the list shows it."""
    return f"{short(contact.name)} ({contact.jid})" if contact.name else contact.jid


def bad_list(words: Words, bad: lists.BadList, old: str) -> str:
    """What is wrong with a pasted list, and what is expected."""
    match bad.why:
        case lists.Why.LINE:
            return words.say(
                "Line {line} holds no address: “{text}”. I expect lines like name@server.example "
                "or name@server.example Some Name.",
                line=bad.line,
                text=short(bad.text),
            )
        case lists.Why.TOO_MANY:
            return words.say("That is too many contacts: at most {most}.", most=lists.MAX_CONTACTS)
        case lists.Why.EMPTY:
            return words.say("There is no address in that list.")
        case lists.Why.XML:
            return words.say(
                "I cannot read that as a file with an account (XEP-0227), line {line}. Paste the "
                "whole file, or just the addresses.",
                line=bad.line,
            )
        case lists.Why.NO_ROSTER:
            return words.say("There is no contact list of {old} in that file.", old=old)
