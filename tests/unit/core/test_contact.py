"""The contact side's machine: its table by hand, then whatever Hypothesis can think of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from component.core import contact as core
from component.core.contact import Case, Note, Phase, step
from component.core.model import PresenceKind, Reason, RosterItem, Step, Subscription
from component.core.notices import Follow
from component.core.records import MoveState
from component.core.roster import Carry, expect, follow_plan
from component.core.statement import ErrorRead, read
from tests.unit.core.samples import NEW, OLD, divert, naming, record

S = Subscription


def entries(taken: bool) -> tuple[RosterItem, ...]:
    """The contact's entries after the move, or as they were."""
    asked = divert()
    if not taken:
        return (asked.old_item,)
    return tuple(expect(asked, follow_plan(asked, Carry())).values())


def run(*events: core.Event, case: Case | None = None) -> tuple[Case, list[core.Effect]]:
    """Feed events one after the other; every effect in order."""
    case = case or Case(divert())
    effects: list[core.Effect] = []
    for event in events:
        case, more = step(case, event)
        effects += more
    return case, effects


DIVERTED = core.Diverted((OLD,))
VERIFIED = core.StatementAnswered(naming(NEW))
TAKEN = core.OutcomeTold(True, None, entries(True))
RELEASED = core.OutcomeTold(False, "verdict", entries(False))


def test_the_whole_success() -> None:
    case, effects = run(DIVERTED, VERIFIED, core.Journalled(), TAKEN)
    fetch, journal, take, settle = effects
    assert isinstance(fetch, core.FetchStatement)
    assert isinstance(journal, core.Journal)
    assert isinstance(take, core.Take)
    assert isinstance(settle, core.Settle)
    assert journal.plan == take.plan
    assert case.phase is Phase.SETTLED
    assert (settle.state, settle.reason, settle.detail) == (MoveState.DONE, Reason.VERIFIED, None)
    assert {change.jid for change in settle.changes} == {OLD, NEW}
    assert settle.note is Note.MOVED
    assert settle.undoes is None


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (core.Diverted(()), Reason.AMBIGUOUS),
        (core.Diverted((OLD, OLD)), Reason.AMBIGUOUS),
        (core.Diverted((OLD + "/phone",)), Reason.BAD_OLD_JID),
        (core.Diverted(("other@im.example.net",)), Reason.BAD_OLD_JID),
        (core.Diverted((OLD,), Reason.RATE_LIMITED), Reason.RATE_LIMITED),
        (core.JournalFailed(), Reason.JOURNAL_FAILED),
    ],
)
def test_released_at_once(event: core.Event, reason: Reason) -> None:
    case, effects = run(event)
    assert effects == [core.Release(reason)]
    _, effects = run(RELEASED, case=case)
    assert effects == [core.Settle(MoveState.RELEASED, reason, (), "verdict")]


@pytest.mark.parametrize("subscription", [S.NONE, S.TO])
def test_an_old_jid_without_approval_is_not_looked_at(subscription: Subscription) -> None:
    _, effects = run(DIVERTED, case=Case(divert(subscription=subscription)))
    assert effects == [core.Release(Reason.NOT_GRANTED)]


def test_nobody_moves_to_themselves() -> None:
    same = Case(divert(old="j@bücher.example", new="j@xn--bcher-kva.example"))
    _, effects = run(core.Diverted(("j@bücher.example",)), case=same)
    assert effects == [core.Release(Reason.SAME_JID)]


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (core.StatementAnswered(naming("eve@evil.example")), Reason.OTHER_JID),
        (core.StatementAnswered(read(ErrorRead("forbidden"), OLD)), Reason.REFUSED),
        (core.StatementAnswered(naming(NEW), Reason.TOO_MANY_INTO), Reason.TOO_MANY_INTO),
        (core.DeadlinePassed(), Reason.DEADLINE),
        (core.JournalFailed(), Reason.JOURNAL_FAILED),
        (core.Stopping(), Reason.STOPPING),
    ],
)
def test_not_verified_is_released(event: core.Event, reason: Reason) -> None:
    case, effects = run(DIVERTED, event)
    assert effects == [core.FetchStatement(), core.Release(reason)]
    assert case.phase is Phase.RELEASING


def test_a_limit_does_not_hide_a_false_claim() -> None:
    false = core.StatementAnswered(naming("eve@evil.example"), Reason.ALREADY_MOVED)
    _, effects = run(DIVERTED, false)
    assert effects[-1] == core.Release(Reason.OTHER_JID)


def test_a_journal_that_fails_takes_nothing() -> None:
    _, effects = run(DIVERTED, VERIFIED, core.JournalFailed())
    assert not any(isinstance(effect, core.Take) for effect in effects)
    assert effects[-1] == core.Release(Reason.JOURNAL_FAILED)


@pytest.mark.parametrize(
    ("why", "reason"), [("send-failed", Reason.SEND_REFUSED), ("timeout", Reason.SERVER)]
)
def test_the_servers_word_counts(why: str, reason: Reason) -> None:
    told = core.OutcomeTold(False, why, entries(False))
    _, effects = run(DIVERTED, VERIFIED, core.Journalled(), told)
    assert effects[-1] == core.Settle(MoveState.RELEASED, reason, (), why)


@pytest.mark.parametrize("approved", [True, False])
def test_an_entry_of_the_admins_is_left_and_the_contact_is_told_that_it_is_genuine(
    approved: bool,
) -> None:
    """Unless the new address is approved: then nobody is asked."""
    asked = divert(new_item=RosterItem(NEW, S.BOTH) if approved else None)
    told = core.OutcomeTold(False, "shared", ())
    _, effects = run(DIVERTED, VERIFIED, core.Journalled(), told, case=Case(asked))
    note = None if approved else core.Note.ASKS
    assert effects[-1] == core.Settle(MoveState.RELEASED, Reason.SHARED, (), "shared", note)


@pytest.mark.parametrize("taken", [True, False])
def test_without_an_outcome_the_roster_tells(taken: bool) -> None:
    read_back = core.RosterRead(entries(taken))
    case, effects = run(DIVERTED, VERIFIED, core.Journalled(), core.OutcomeMissing(), read_back)
    read, again, settle = effects[-3:]
    assert isinstance(read, core.ReadRoster)
    # Whoever held it may have died: what it did is done once more.
    assert again == (core.Repeat(follow_plan(divert(), Carry())) if taken else core.HandBack())
    assert isinstance(settle, core.Settle)
    wanted = (MoveState.DONE, Reason.VERIFIED), (MoveState.HANDED_BACK, Reason.RESTARTED)
    assert (settle.state, settle.reason) == wanted[not taken]
    assert case.phase is Phase.SETTLED


def test_a_release_without_an_outcome_is_handed_back_for_its_own_reason() -> None:
    roster = core.RosterRead(entries(False))
    _, effects = run(DIVERTED, core.DeadlinePassed(), core.OutcomeMissing(), roster)
    handed_back = core.Settle(MoveState.HANDED_BACK, Reason.DEADLINE)
    assert effects[-2:] == [core.HandBack(), handed_back]


def test_nobody_is_asked_any_longer_for_a_request_whose_holder_is_gone() -> None:
    gone, roster = core.Stopping(Reason.RESTARTED), core.RosterRead(entries(False))
    _, effects = run(DIVERTED, gone, core.OutcomeMissing(), roster)
    handed_back = core.Settle(MoveState.HANDED_BACK, Reason.RESTARTED)
    assert effects[-2:] == [core.HandBack(), handed_back]


def test_an_unplanned_roster_is_said_aloud() -> None:
    odd = core.OutcomeTold(True, None, (RosterItem(NEW, S.BOTH), divert().old_item))
    _, effects = run(DIVERTED, VERIFIED, core.Journalled(), odd)
    settle = effects[-1]
    assert isinstance(settle, core.Settle)
    assert settle.detail == f"not as planned: {OLD}, {NEW}"


def test_never_asks_nobody() -> None:
    case, effects = run(DIVERTED, case=Case(divert(), follow=Follow.NEVER))
    assert effects == [core.Release(Reason.NOT_WANTED)]
    _, effects = run(RELEASED, case=case)
    assert effects == [core.Settle(MoveState.RELEASED, Reason.NOT_WANTED, (), "verdict")]


def test_ask_leaves_what_is_verified_to_the_user_with_a_note() -> None:
    case, effects = run(DIVERTED, VERIFIED, case=Case(divert(), follow=Follow.ASK))
    assert effects == [core.FetchStatement(), core.Release(Reason.ASKED)]
    silence = (core.OutcomeMissing(), core.RosterRead(entries(False)))
    for events, state in (
        ((RELEASED,), MoveState.RELEASED),
        (silence, MoveState.HANDED_BACK),
    ):
        _, effects = run(*events, case=case)
        settle = effects[-1]
        assert isinstance(settle, core.Settle)
        assert (settle.state, settle.reason, settle.note) == (state, Reason.ASKED, Note.ASKS)


@pytest.mark.parametrize(
    "event",
    [
        core.StatementAnswered(naming("eve@evil.example")),
        core.StatementAnswered(naming(NEW), Reason.ALREADY_MOVED),
        core.DeadlinePassed(),
    ],
)
def test_ask_says_nothing_of_what_is_not_verified(event: core.Event) -> None:
    _, effects = run(DIVERTED, event, RELEASED, case=Case(divert(), follow=Follow.ASK))
    settle = effects[-1]
    assert isinstance(settle, core.Settle)
    assert settle.note is None
    assert settle.reason is not Reason.ASKED


@pytest.mark.parametrize("follow", [Follow.AUTO, Follow.ASK])
def test_where_nobody_is_told_nobody_is_told(follow: Follow) -> None:
    case = Case(divert(), follow=follow, notify=False)
    told = TAKEN if follow is Follow.AUTO else RELEASED
    _, effects = run(DIVERTED, VERIFIED, core.Journalled(), told, case=case)
    settle = effects[-1]
    assert isinstance(settle, core.Settle)
    assert settle.note is None


# The way back: OLD was followed to NEW, now NEW says that it moved to OLD.
EARLIER = record(divert())
RETURN = divert(old=NEW, new=OLD, new_item=RosterItem(OLD, S.TO, False, "Juliet", ("Verona",)))
CAME_BACK = core.StatementAnswered(naming(OLD), None, EARLIER)


def returned(case: Case) -> tuple[RosterItem, ...]:
    assert case.plan is not None
    return tuple(expect(case.divert, case.plan).values())


def test_a_return_restores_what_was() -> None:
    case, effects = run(core.Diverted((NEW,)), CAME_BACK, core.Journalled(), case=Case(RETURN))
    take = effects[-1]
    assert isinstance(take, core.Take)
    assert take.plan.steps == (
        Step(PresenceKind.SUBSCRIBED, OLD),
        Step(PresenceKind.UNSUBSCRIBED, NEW),
        Step(PresenceKind.UNSUBSCRIBE, NEW),
    )
    case, effects = run(core.OutcomeTold(True, None, returned(case)), case=case)
    assert effects == [core.PutBack(EARLIER)]
    assert case.phase is Phase.RESTORING
    case, effects = run(core.RosterRead((EARLIER.old_item,)), case=case)
    (settle,) = effects
    assert isinstance(settle, core.Settle)
    assert (settle.state, settle.detail) == (MoveState.DONE, None)
    assert (settle.note, settle.undoes) == (Note.MOVED, EARLIER)
    assert case.phase is Phase.SETTLED


def test_a_return_without_an_outcome_is_put_back_if_it_was_taken() -> None:
    start = (core.Diverted((NEW,)), CAME_BACK, core.Journalled(), core.OutcomeMissing())
    case, _ = run(*start, case=Case(RETURN))
    _, effects = run(core.RosterRead(returned(case)), case=case)
    assert case.plan is not None
    assert effects == [core.Repeat(case.plan), core.PutBack(EARLIER)]
    assert RETURN.new_item is not None
    _, effects = run(core.RosterRead((RETURN.old_item, RETURN.new_item)), case=case)
    handed_back, settle = effects
    assert handed_back == core.HandBack()
    assert isinstance(settle, core.Settle)
    assert settle.state is MoveState.HANDED_BACK
    assert settle.undoes is None


def test_a_return_that_could_not_be_put_back_says_so() -> None:
    start = (core.Diverted((NEW,)), CAME_BACK, core.Journalled())
    case, _ = run(*start, case=Case(RETURN))
    case, _ = run(core.OutcomeTold(True, None, returned(case)), case=case)
    _, effects = run(core.RosterRead((EARLIER.old_item, RosterItem(NEW, S.NONE))), case=case)
    (settle,) = effects
    assert isinstance(settle, core.Settle)
    assert settle.detail == f"not as planned: {NEW}"


answers = st.sampled_from(
    [
        naming(NEW),
        naming("eve@evil.example"),
        read(ErrorRead("forbidden"), OLD),
        read(ErrorRead("x"), OLD),
    ]
)
objections = st.sampled_from([None, None, Reason.ALREADY_MOVED, Reason.OVERLOADED])
events: st.SearchStrategy[core.Event] = st.one_of(
    st.builds(core.Diverted, st.sampled_from([(OLD,), (OLD,), (), (OLD, NEW)]), objections),
    st.builds(core.StatementAnswered, answers, objections, st.sampled_from([None, EARLIER])),
    st.builds(core.DeadlinePassed),
    st.builds(core.Journalled),
    st.builds(core.JournalFailed),
    st.builds(core.Stopping),
    st.sampled_from([TAKEN, RELEASED, core.OutcomeTold(False, "timeout", entries(False))]),
    st.builds(core.OutcomeMissing),
    st.sampled_from([core.RosterRead(entries(True)), core.RosterRead(entries(False))]),
)


@given(st.lists(events, max_size=15), st.sampled_from(Follow))
def test_whatever_comes_in_whatever_order(script: list[core.Event], follow: Follow) -> None:
    """Reordered, doubled or lost: one verdict, one end, and no take without proof and journal."""
    case = Case(divert(), follow=follow)
    effects: list[core.Effect] = []
    verified = durable = False
    for event in script:
        phase = case.phase
        case, more = step(case, event)
        for effect in more:
            if isinstance(effect, core.Journal):
                assert phase is Phase.VERIFYING
                assert isinstance(event, core.StatementAnswered)
                assert (event.answer, event.objection) == (naming(NEW), None)
                assert follow is Follow.AUTO
                verified = True
            if isinstance(effect, core.Take):
                durable = isinstance(event, core.Journalled)
                assert verified
                assert durable
        if phase is Phase.SETTLED:
            assert not more
            assert case.phase is Phase.SETTLED
        effects += more
    verdicts = [e for e in effects if isinstance(e, core.Take | core.Release)]
    ends = [e for e in effects if isinstance(e, core.Settle)]
    assert len(verdicts) <= 1
    assert len(ends) <= 1
    if ends and ends[0].state is MoveState.DONE:
        assert verified
    if follow is Follow.NEVER:
        assert not any(isinstance(effect, core.FetchStatement) for effect in effects)
    notes = [end.note for end in ends if end.note is not None]
    assert notes in ([], [Note.MOVED] if follow is Follow.AUTO else [Note.ASKS])


@given(st.lists(events, max_size=10))
def test_every_request_can_come_to_an_end(script: list[core.Event]) -> None:
    """From wherever a script leads, an ordinary course of events settles the case."""
    case = Case(divert())
    for event in script:
        case, _ = step(case, event)
    rest = (DIVERTED, core.DeadlinePassed(), core.JournalFailed(), core.OutcomeMissing(), RELEASED)
    for event in (*rest, core.RosterRead(entries(False))):
        case, _ = step(case, event)
    assert case.phase is Phase.SETTLED
