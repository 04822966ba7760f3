"""What users are told without having asked, in words."""

from __future__ import annotations

from collections.abc import Sequence

from component.core.journey.model import ContactState, JourneyState, Kind, Progress
from component.core.notices import (
    AllFollowed,
    CodeSent,
    ContactAsks,
    ContactMoved,
    ContactRestored,
    HandoverTrouble,
    NewAddress,
    Notice,
    ProgressMade,
    Published,
    Stopped,
    TimeOver,
    UndoneTold,
    Withdrawn,
)
from component.core.restore import Difference
from component.ui.talk import phrases
from component.ui.talk.language import N_, Words
from component.ui.talk.pages import short

_BLOCKS = 20
_TELLING = (JourneyState.NOTIFYING, JourneyState.SETTLING)
"""Where people are told, for the first time or again."""
_SETTLED = (ContactState.ACCEPTED, ContactState.MUTUAL)
_SHOWN = 20
"""Addresses that a message names before it says how many more there are."""
_ANSWER = 1024
"""Characters of an answer that a hook sends (hook protocol)."""


def notice_texts(words: Words, notice: Notice) -> list[str]:
    """A notice as one message, or as several where a part is to be copied."""
    match notice:
        case ContactMoved() | ContactAsks() | ContactRestored():
            return [_contact(words, notice)]
        case CodeSent():
            return [_code(words, notice)]
        case ProgressMade():
            return [progress_text(words, notice.progress)]
        case Published():
            return _published(words, notice)
        case AllFollowed():
            gone = notice.progress.old_is_gone
            return [_ended(words, notice.progress, _NOBODY_LEFT if gone else _ALL_FOLLOWED)]
        case TimeOver():
            return [_ended(words, notice.progress, _TIME_OVER)]
        case Stopped():
            return [_stopped(words, notice.progress)]
        case UndoneTold():
            return [_undone(words, notice)]
        case HandoverTrouble():
            return [_trouble(words, notice)]
        case Withdrawn():
            return [_withdrawn(words, notice)]


def answer_text(words: Words, address: NewAddress) -> str:
    """What somebody is told who wrote to an old account."""
    text = words.say(
        "This is an automatic answer: I have moved from {old} to {new}. Please write to me there.",
        old=address.old,
        new=address.new,
    )
    return text if len(text) <= _ANSWER else address.new[:_ANSWER]


def status_text(words: Words, address: NewAddress) -> str:
    """What a subscription request says to people (RFC 6121 section 3.1.2)."""
    return words.say(
        "I have moved from {old} to {new}. Please add my new address.",
        old=address.old,
        new=address.new,
    )


# To a contact ---------------------------------------------------------------------------------


def _contact(words: Words, notice: ContactMoved | ContactAsks | ContactRestored) -> str:
    facts = {
        "name": short(notice.name) if notice.name else notice.old,
        "old": notice.old,
        "new": notice.new,
    }
    match notice:
        case ContactMoved():
            return words.say(
                "{name} has moved from {old} to {new}. Your contact list has been changed to "
                "match. To undo this until {date}, reply “undo”.",
                date=words.date(notice.undo_until),
                **facts,
            )
        case ContactAsks():
            return words.say(
                "{name} has moved from {old} to {new}, and this is genuine: the old account says "
                "so itself. Your client shows you a request from {new}; it is yours to accept.",
                **facts,
            )
        case ContactRestored():
            return restored_text(words, notice.name, notice.old, notice.new, notice.differences)


def restored_text(
    words: Words, name: str | None, old: str, new: str, differences: Sequence[Difference]
) -> str:
    """A contact's change was undone; what is not as it was before is named."""
    facts = {"name": short(name) if name else old, "old": old, "new": new}
    if not differences:
        return words.say(
            "Undone: your contact list is as it was before {name} moved from {old} to {new}.",
            **facts,
        )
    text = words.say(
        "Undone: your contact list no longer follows {name} from {old} to {new}.", **facts
    )
    return f"{text} {phrases.differences(words, differences)}"


# To a mover -----------------------------------------------------------------------------------


def _code(words: Words, notice: CodeSent) -> str:
    return (
        words.say(
            "{asker} wants to move {old} to {new}. If that is you, enter this code there: {code}",
            asker=notice.asker,
            old=notice.old,
            new=notice.new,
            code=notice.code,
        )
        + "\n"
        + words.say_n(
            "It is good for one minute. If it is not you, ignore this; nothing will happen.",
            "It is good for {n} minutes. If it is not you, ignore this; nothing will happen.",
            notice.minutes,
        )
    )


def bar(done: int, total: int) -> str:
    """Twenty blocks, filled as far as it is done; full only at the end."""
    filled = _BLOCKS if total <= 0 else min(_BLOCKS, max(0, done) * _BLOCKS // total)
    return "▓" * filled + "░" * (_BLOCKS - filled)


def progress_text(words: Words, progress: Progress, *, mine: bool = True) -> str:
    """How far a move is, and what its owner can do.

    :param mine: whoever reads this may order something for it by these words.
    """
    journey = progress.journey
    counts = progress.counts
    # Those who were left out neither follow nor are missed.
    total = progress.total - counts.get(ContactState.SKIPPED, 0)
    settled: tuple[ContactState, ...] = _SETTLED
    if journey.state in (JourneyState.UNDOING, JourneyState.UNDONE):
        settled = (ContactState.RESTORED,)
    done = sum(counts.get(state, 0) for state in settled)
    lines = [
        phrases.move(words, journey),
        f"{bar(done, total)} " + words.say("{done} of {total}", done=done, total=total),
        *phrases.counts(words, progress),
    ]
    if progress.all_paused:
        lines.append(words.say("The admin of this server has paused all moves."))
    elif progress.seconds_left and journey.state in _TELLING:
        lines.append(
            words.say(
                "Everybody will have been told within {time}.",
                time=words.duration(progress.seconds_left),
            )
        )
    if progress.waits and journey.state.running:
        lines.append(
            words.say(
                "The server of {old} does not answer just now, so nobody is told. I try again and "
                "go on by myself.",
                old=journey.old,
            )
        )
    if progress.again:
        lines.append(
            words.say_n(
                "One of them may not have got it, so I tell them again.",
                "{n} of them may not have got it, so I tell them again.",
                progress.again,
            )
        )
    lines += _by_hand(words, progress)
    what = _possible(words, progress) if mine else None
    return "\n".join([*lines, what] if what else lines)


def _possible(words: Words, progress: Progress) -> str | None:
    state, gone = progress.journey.state, progress.old_is_gone
    if state is JourneyState.PAUSED:
        return words.say(_PAUSED_GONE if gone else _PAUSED)
    if state.running and state is not JourneyState.UNDOING:
        return words.say(_RUNNING_GONE if gone else _RUNNING)
    return None


_PAUSED = N_("You can write: resume, cancel, undo.")
_PAUSED_GONE = N_("You can write: resume, cancel.")
_RUNNING = N_("You can write: pause, cancel, undo.")
_RUNNING_GONE = N_("You can write: pause, cancel.")


def _by_hand(words: Words, progress: Progress) -> list[str]:
    lines: list[str] = []
    if progress.taken_back:
        lines.append(
            words.say(
                "Left out, as you have removed or blocked them since the move began, or they may "
                "see you no more:"
            )
        )
        lines += named(words, progress.taken_back)
    if progress.by_hand:
        lines.append(words.say("Please write to these contacts yourself:"))
        lines += named(words, progress.by_hand)
    return lines


def named(words: Words, addresses: Sequence[str]) -> list[str]:
    """Addresses, a line for each, as many as a message should have."""
    lines = [f"• {jid}" for jid in addresses[:_SHOWN]]
    more = len(addresses) - _SHOWN
    if more > 0:
        lines.append(words.say_n("and one more", "and {n} more", more))
    return lines


def _published(words: Words, notice: Published) -> list[str]:
    journey = notice.journey
    text = words.say(
        "{old} now says that it has moved to {new}. Next: if the server of {new} has xmpp-moved, "
        "order “arrive” there and give {old} as the old address. If not, add your contacts there "
        "by hand.",
        old=journey.old,
        new=journey.new,
    )
    if not notice.contacts:
        return [text]
    text += "\n" + words.say_n(
        "The next message is your contact, to be pasted there if you are asked for it.",
        "The next message is your {n} contacts, to be pasted there if you are asked for them.",
        len(notice.contacts),
    )
    return [text, "\n".join(notice.contacts)]


def _trouble(words: Words, notice: HandoverTrouble) -> str:
    journey = notice.journey
    if journey.kind is not Kind.AWAY:
        text = N_(
            "What your old account {old} keeps could not be brought along; your contacts are told "
            "all the same. Send me a file of that account (“export my account” there), or copy by "
            "hand what you miss."
        )
    elif notice.lasting:
        text = N_(
            "Your account {old} is too large to be handed over, or holds something that cannot be "
            "packed. Paste your contacts at {new}, and take the rest there in a file: write "
            "“export my account” here."
        )
    else:
        text = N_(
            "What your account {old} keeps cannot be handed over just now; I try again. If you do "
            "not want to wait, paste your contacts at {new}."
        )
    return words.say(text, old=journey.old, new=journey.new)


def _withdrawn(words: Words, notice: Withdrawn) -> str:
    return words.say(
        "This server stops looking after moves: from now on {old} no longer says that you are at "
        "{new}. Contacts who have not followed you yet have to add {new} by hand.",
        old=notice.journey.old,
        new=notice.journey.new,
    )


_ALL_FOLLOWED = N_(
    "Everybody who can follow you to {new} has done so. You can now delete the old "
    "account {old} when you like."
)
_NOBODY_LEFT = N_("Everybody who can follow you to {new} has done so.")
_TIME_OVER = N_(
    "The move from {old} to {new} has had its time: from now on {old} no longer says where you "
    "are. Not everybody has followed."
)


def _ended(words: Words, progress: Progress, text: str) -> str:
    journey = progress.journey
    first = words.say(text, old=journey.old, new=journey.new)
    lines = [first, *phrases.counts(words, progress), *_by_hand(words, progress)]
    if progress.unanswered:
        lines.append(
            words.say(
                "These people had not answered your request when the move began. To ask them "
                "again, add them at {new}:",
                new=journey.new,
            )
        )
        lines += named(words, progress.unanswered)
    return "\n".join(lines)


def _stopped(words: Words, progress: Progress) -> str:
    journey = progress.journey
    facts = {"old": journey.old, "new": journey.new}
    if journey.state is JourneyState.CANCELLED:
        text = words.say(
            "The move from {old} to {new} is cancelled. Contacts who have followed already stay "
            "as they are; to bring them back, write “undo”.",
            **facts,
        )
    else:
        text = words.say(
            "The move from {old} to {new} is paused: nothing is sent. To go on, write “resume”.",
            **facts,
        )
    if journey.detail:
        text += "\n" + words.say("Reason: {detail}", detail=phrases.why(words, journey.detail))
    return text


def _undone(words: Words, notice: UndoneTold) -> str:
    journey = notice.progress.journey
    text = words.say("The move from {old} to {new} is undone.", old=journey.old, new=journey.new)
    if notice.elsewhere:
        text += "\n" + words.say(
            "One thing remains: order the undo at {elsewhere} too, whose server I cannot act for.",
            elsewhere=short(notice.elsewhere, 200),
        )
    return "\n".join([text, *_by_hand(words, notice.progress)])
