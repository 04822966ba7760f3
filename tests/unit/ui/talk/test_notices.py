"""What users are told without having asked."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from component.core.journey.model import (
    Check,
    CheckName,
    ContactState,
    JourneyState,
    Kind,
    Problem,
    Progress,
    Refused,
)
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
    UndoneTold,
)
from component.core.restore import Cause, Difference
from component.ui.talk import Languages, LinkTeller, phrases
from component.ui.talk.language import LANGUAGES, Words
from component.ui.talk.notices import bar, notice_texts, progress_text
from component.xmpp.chat import LANG
from component.xmpp.names import MESSAGE, NS_COMPONENT, NS_CORRECT
from tests.unit.cases import cases
from tests.unit.ui.talk.fake import AFAR, JULIET, NOW, ROMEO, FakeLink, journey

COUNTS = Counter({state: n for n, state in enumerate(ContactState, start=1)})
PROGRESS = Progress(journey(), COUNTS, sum(COUNTS.values()), 600.0, ("a@x.example",))
CANCELLED = replace(PROGRESS, journey=journey(state=JourneyState.CANCELLED))
PAUSED = replace(
    PROGRESS, journey=replace(journey(state=JourneyState.PAUSED), detail="statement lost")
)
UNDONE = replace(PROGRESS, journey=journey(state=JourneyState.UNDONE))
DIFFERENCES = tuple(Difference(f"{cause}@x.example", cause) for cause in Cause)
NOTICES: list[Notice] = [
    ContactMoved(5, "Ro {meo}", AFAR, ROMEO, NOW),
    ContactMoved(5, None, AFAR, ROMEO, NOW),
    ContactAsks(5, "Ro", AFAR, ROMEO),
    ContactRestored(5, "Ro", AFAR, ROMEO),
    ContactRestored(5, "Ro", AFAR, ROMEO, DIFFERENCES),
    CodeSent(ROMEO, ROMEO, JULIET, "123456", 10),
    CodeSent(ROMEO, ROMEO, JULIET, "123456", 1),
    ProgressMade(PROGRESS),
    Published(journey(), ("a@x.example", "b@x.example")),
    Published(journey(), ()),
    AllFollowed(PROGRESS),
    Stopped(CANCELLED),
    Stopped(PAUSED),
    UndoneTold(UNDONE),
    UndoneTold(UNDONE, AFAR),
    HandoverTrouble(replace(journey(), kind=Kind.AWAY), lasting=False),
    HandoverTrouble(replace(journey(), kind=Kind.AWAY), lasting=True),
    HandoverTrouble(replace(journey(), kind=Kind.ARRIVE), lasting=True),
]


@pytest.mark.parametrize("language", LANGUAGES)
def test_as_it_was_is_said_only_where_it_is(language: str) -> None:
    words = Words(language)
    (same,) = notice_texts(words, ContactRestored(5, "Ro", AFAR, ROMEO))
    (other,) = notice_texts(words, ContactRestored(5, "Ro", AFAR, ROMEO, DIFFERENCES))
    assert same not in other
    assert all(one.jid in other for one in DIFFERENCES)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_notice_in_every_language(language: str) -> None:
    with cases() as case:
        for notice in NOTICES:
            with case(type(notice).__name__):
                english = notice_texts(Words("en"), notice)
                texts = notice_texts(Words(language), notice)
                assert len(texts) == len(english)
                assert all(text.strip() for text in texts)
                if language != "en":
                    assert texts[0] != english[0]
                for text in texts:
                    assert text.count("{") == (1 if "{meo}" in text else 0)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_problem_and_check_in_every_language(language: str) -> None:
    words = Words(language)
    for problem in Problem:
        facts = {"jid": "a@b", "condition": "x", "old": "a@b", "new": "c@d"}
        assert phrases.problem(words, Refused(problem, **facts))
    for name in CheckName:
        for ok in (True, False):
            assert phrases.check(words, journey(), Check(name, ok, {}))


def test_who_has_deleted_the_old_account_is_not_told_that_they_can() -> None:
    words = Words("en")
    there, gone = PROGRESS, replace(PROGRESS, old_is_gone=True)
    assert "delete" in notice_texts(words, AllFollowed(there))[0]
    (text,) = notice_texts(words, AllFollowed(gone))
    assert "has done so" in text
    assert "delete" not in text


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("no-statement", "does not say that it moves"),
        ("old-server-unreachable", "does not answer"),
        ("statement-access-refused", "does not let"),
    ],
)
def test_why_a_statement_does_not_count(condition: str, said: str) -> None:
    check = Check(CheckName.STATEMENT, False, {"condition": condition})
    assert said in phrases.check(Words("en"), journey(), check)


def test_when_it_is_possible_again() -> None:
    check = Check(CheckName.COOLDOWN, False, {"until": NOW.isoformat()})
    assert "March 1, 2026" in phrases.check(Words("en"), journey(), check)
    assert "1. März 2026" in phrases.check(Words("de"), journey(), check)
    soon = Check(CheckName.COOLDOWN, False, {"until": NOW.isoformat(), "left": "300"})
    text = phrases.check(Words("en"), journey(), soon)
    assert "12:00" in text.replace("\u202f", " ")
    assert "UTC, in 5 minutes" in text
    assert "March" not in text
    # What is over for good is not said to come again.
    late = Refused(Problem.TOO_LATE, until=NOW.isoformat())
    assert "again" not in phrases.problem(Words("en"), late)


@pytest.mark.parametrize(
    ("done", "total", "blocks"), [(0, 30, 0), (12, 30, 8), (29, 30, 19), (30, 30, 20), (0, 0, 20)]
)
def test_the_bar(done: int, total: int, blocks: int) -> None:
    assert bar(done, total) == "▓" * blocks + "░" * (20 - blocks)


def test_progress_leaves_out_those_who_were_left_out() -> None:
    counts = Counter({ContactState.MUTUAL: 5, ContactState.SENT: 5, ContactState.SKIPPED: 90})
    text = progress_text(Words("en"), Progress(journey(), counts, 100, 90.0))
    assert "5 of 10" in text
    assert "▓" * 10 + "░" * 10 in text
    assert "90 left out" in text
    assert "in 2 minutes" in text
    assert "pause, cancel, undo" in text


def test_progress_owns_up_to_whom_it_may_not_have_reached() -> None:
    counts = {ContactState.PENDING: 6, ContactState.MUTUAL: 2}
    settling = replace(journey(), state=JourneyState.SETTLING)
    text = progress_text(Words("en"), Progress(settling, counts, 8, 132.0, again=6))
    assert "6 of them may not have got it, so I tell them again." in text
    assert "Everybody will have been told within 2 minutes." in text


def test_progress_says_that_all_is_paused_and_promises_nothing() -> None:
    paused = Progress(journey(), {ContactState.QUEUED: 8}, 8, 132.0, all_paused=True)
    for language in LANGUAGES:
        going, text = (
            progress_text(Words(language), p) for p in (replace(paused, all_paused=False), paused)
        )
        differing = set(text.splitlines()) ^ set(going.splitlines())
        assert len(differing) == 2
        assert len(text.splitlines()) == len(going.splitlines())
    text = progress_text(Words("en"), paused)
    assert "The admin of this server has paused all moves." in text
    assert "Everybody will have been told" not in text


def test_a_long_list_of_those_to_be_done_by_hand() -> None:
    by_hand = tuple(f"c{n}@x.example" for n in range(25))
    text = progress_text(Words("en"), replace(PROGRESS, by_hand=by_hand))
    assert "• c19@x.example\nand 5 more" in text


def test_the_message_that_carries_it() -> None:
    link, languages = FakeLink(), Languages("en")
    teller = LinkTeller(link, languages)
    first = teller.tell(ROMEO, ProgressMade(PROGRESS))
    languages.choose(ROMEO, "de")
    second = teller.tell(ROMEO, ProgressMade(PROGRESS), replaces=first)
    assert first != second
    sent, corrected = link.sent
    assert (sent.tag, sent.get("type"), sent.get("to")) == (MESSAGE, "chat", ROMEO)
    assert (sent.get("id"), sent.get(LANG)) == (first, "en")
    assert sent.find(f"{{{NS_CORRECT}}}replace") is None
    assert (corrected.get("id"), corrected.get(LANG)) == (second, "de")
    replaced = corrected.find(f"{{{NS_CORRECT}}}replace")
    assert replaced is not None
    assert replaced.get("id") == first


def test_contacts_to_be_copied_stand_alone() -> None:
    link = FakeLink()
    LinkTeller(link, Languages("en")).tell(ROMEO, Published(journey(), ("a@x", "b@x")))
    bodies = [s.findtext(f"{{{NS_COMPONENT}}}body") for s in link.sent]
    assert bodies[1] == "a@x\nb@x"


def test_the_answer_to_senders() -> None:
    teller = LinkTeller(FakeLink(), Languages("en"))
    lang, text = teller.answer_text("de-AT", NewAddress(ROMEO, JULIET))
    assert lang == "de"
    assert JULIET in text
    assert teller.answer_text(None, NewAddress(ROMEO, JULIET))[0] == "en"
    long = "x" * 1000 + "@capulet.example"
    assert 1 <= len(teller.answer_text("en", NewAddress(long, long))[1]) <= 1024
