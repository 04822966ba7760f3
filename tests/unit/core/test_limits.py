"""Limits and the short memory of answers, on a clock that the test holds."""

from __future__ import annotations

import pytest

from component.core.answers import Answers
from component.core.limits import Buckets, Followed, Gate, Policy, Repeats
from component.core.model import Reason
from component.core.statement import Answer, ErrorRead, read
from tests.unit.core.samples import NEW, OLD, divert, naming


def test_a_bucket_refills() -> None:
    buckets = Buckets(per_minute=2, size=10)
    assert [buckets.take("a", 0.0) for _ in range(3)] == [True, True, False]
    assert buckets.take("b", 0.0)
    assert not buckets.take("a", 29.0)
    assert buckets.take("a", 60.0)


def test_a_clock_that_goes_back_gives_nothing_away() -> None:
    buckets = Buckets(per_minute=1, size=10)
    assert buckets.take("a", 100.0)
    assert not buckets.take("a", 0.0)


def test_buckets_forget_the_oldest() -> None:
    buckets = Buckets(per_minute=1, size=2)
    assert all(buckets.take(key, 0.0) for key in "abc")
    assert buckets.take("a", 0.0)
    assert not buckets.take("c", 0.0)


def test_gate() -> None:
    def gate(**policy: object) -> Reason | None:
        return Gate(Policy(**policy)).admit(divert(), now=0.0)  # type: ignore[arg-type]

    assert gate() is None
    assert gate(deny_domains=frozenset({"capulet.example"})) is Reason.DENIED
    assert gate(deny_domains=frozenset({"im.example.net"})) is Reason.DENIED
    assert gate(allow_domains=frozenset({"capulet.example"})) is Reason.DENIED
    both = frozenset({"capulet.example", "im.example.net"})
    assert gate(allow_domains=both) is None
    assert gate(allow_domains=both, deny_domains=both) is Reason.DENIED
    odd = divert(new="juliet@xn--bcher-kva.example")
    denying = Gate(Policy(deny_domains=frozenset({"bücher.example"})))
    assert denying.admit(odd, now=0.0) is Reason.DENIED
    assert gate(max_open=0) is Reason.OVERLOADED
    assert gate(requests_per_minute=0) is Reason.RATE_LIMITED


def asked_by(gate: Gate, times: int, **request: str) -> int:
    """How many of so many requests at once are looked at; ``%`` is replaced by their number."""
    numbered = ({k: v.replace("%", str(n)) for k, v in request.items()} for n in range(times))
    return sum(
        gate.admit(divert(**one), now=0.0) is None  # type: ignore[arg-type]
        for one in numbered
    )


def test_one_user_does_not_use_up_the_share_of_a_domain() -> None:
    gate = Gate(Policy(requests_per_minute=100))
    assert asked_by(gate, 500, new="mallory@large.example", contact="c%@x.example") == 20
    assert asked_by(gate, 500, new="m%@large.example", contact="colluding@x.example") == 20
    assert asked_by(gate, 1, new="juliet@large.example", contact="c1@x.example") == 1
    # What they were refused cost the others nothing; nor who is sent much from elsewhere.
    assert asked_by(gate, 1, new="juliet@other.example", contact="colluding@x.example") == 1
    assert asked_by(gate, 500, new="n%@large.example", contact="d%@x.example") == 59
    assert asked_by(gate, 1, new="late@large.example", contact="late@x.example") == 0
    assert gate.spent("late@large.example", 0.0) == "large.example"
    assert gate.spent("late@large.example", 1.0) is None
    assert asked_by(gate, 20, new="busy@other.example", contact="c%@x.example") == 20
    assert gate.spent("busy@other.example", 0.0) == "busy@other.example"
    assert gate.spent("juliet@other.example", 0.0) is None


def test_one_owner_and_one_contact_leave_room_for_others() -> None:
    """Whoever has registered a domain has any number beneath it, each with a share of its own."""
    gate = Gate(Policy(max_open=100))
    names = {"new": "m@s%.owner.example", "contact": "c%@x.example"}
    assert asked_by(gate, 500, **names) == 20
    assert gate.spent("m@more.owner.example", 0.0) == "more.owner.example"
    assert asked_by(gate, 500, new="m@d%.test", contact="colluding@x.example") == 20
    assert asked_by(gate, 1, new="juliet@honest.example", contact="romeo@x.example") == 1
    # What ends makes room.
    gate.ended(divert(new="m@s0.owner.example", contact="c0@x.example"))
    assert gate.spent("m@more.owner.example", 0.0) is None
    assert asked_by(gate, 500, **names) == 1
    # Whoever has five domains and five contacts is as many as five.
    assert asked_by(gate, 500, new="m@o%.test", contact="d%@x.example") == 59
    assert gate.admit(divert(), now=0.0) is Reason.OVERLOADED


def test_the_names_of_one_owner_have_a_rate_and_drive_nobody_out() -> None:
    gate = Gate(Policy(requests_per_minute=10, remembered_domains=60))
    assert asked_by(gate, 20, new="busy@large.example", contact="c%@x.example") == 2
    subdomains = {"new": "m@s%.owner.example", "contact": "c%@x.example"}
    assert asked_by(gate, 500, **subdomains) == 10 * Gate.DOMAINS
    assert asked_by(gate, 20, new="busy@large.example", contact="d%@x.example") == 0


def test_a_large_request_is_not_looked_at() -> None:
    gate = Gate(Policy())
    for text, refused in (("x" * 8192, None), ("x" * 8193, Reason.TOO_LARGE)):
        assert gate.admit(divert(stanza=text), now=0.0) is refused
    assert gate.admit(divert(stanza="ü" * 4097), now=0.0) is Reason.TOO_LARGE


def test_an_old_jid_moves_once() -> None:
    followed = Followed(Policy(window_seconds=100))
    assert followed.object_to(OLD, NEW, 0) is None
    followed.note(OLD, NEW, 0)
    assert followed.object_to(OLD, NEW, 1) is None
    assert followed.object_to(OLD, "eve@evil.example", 1) is Reason.ALREADY_MOVED
    assert followed.object_to(OLD, "eve@evil.example", 101) is None


def test_few_old_jids_go_into_a_new_one() -> None:
    followed = Followed(Policy(max_old_into_new=2, window_seconds=100))
    for n, at in enumerate((0, 50)):
        followed.note(f"u{n}@a.example", NEW, at)
    assert followed.object_to("u0@a.example", NEW, 60) is None
    assert followed.object_to("u2@a.example", NEW, 60) is Reason.TOO_MANY_INTO
    assert followed.object_to("u2@a.example", NEW, 101) is None


def test_an_undone_move_is_forgotten() -> None:
    followed = Followed(Policy(max_old_into_new=1))
    followed.note(OLD, NEW, 0)
    followed.forget(OLD, "eve@evil.example")
    assert followed.object_to(OLD, "eve@evil.example", 1) is Reason.ALREADY_MOVED
    followed.forget(OLD, NEW)
    followed.forget(OLD, NEW)
    assert followed.object_to(OLD, "other@x.example", 1) is None
    assert followed.object_to("another@x.example", NEW, 1) is None


def test_who_came_back_may_move_on() -> None:
    followed = Followed(Policy())
    followed.note(OLD, NEW, 0)
    assert followed.object_to(NEW, OLD, 1) is None
    followed.note(NEW, OLD, 1)
    assert followed.object_to(OLD, "third@x.example", 2) is None
    assert followed.object_to(NEW, "third@x.example", 2) is Reason.ALREADY_MOVED
    followed.note(OLD, NEW, 3)
    assert followed.object_to(NEW, "third@x.example", 4) is None


def test_there_and_back_a_few_times_a_day() -> None:
    repeats = Repeats(size=2)
    there, back = divert(), divert(old=NEW, new=OLD)
    for at, turn in enumerate((there, back, there)):
        assert repeats.object_to(turn, at) is None
        repeats.note(turn, at)
    for turn in (there, back):
        assert repeats.object_to(turn, 3) is Reason.BACK_AND_FORTH
    assert repeats.object_to(divert(contact="other@x.example"), 3) is None
    assert repeats.object_to(divert(new="third@x.example"), 3) is None
    assert repeats.object_to(back, 86400) is None
    repeats.note(back, 86400)
    for n in range(2):
        repeats.note(divert(contact=f"{n}@x.example"), 86400)
    assert len(repeats._turns) == 2


ASKER, OTHER = "a@x.example", "b@x.example"


def test_a_statement_serves_others_for_a_while() -> None:
    answers = Answers(verified_seconds=60, failure_seconds=10)
    answers.note(OLD, NEW, ASKER, naming(NEW), 0)
    assert answers.lookup(OLD, NEW, 60) == naming(NEW)
    assert answers.lookup(OLD, NEW, 61) is None
    assert answers.wait(OLD, ASKER, 0) == 0


def test_what_does_not_support_a_claim_decides_no_later_one() -> None:
    answers = Answers(failure_seconds=10)
    answers.note(OLD, NEW, ASKER, read(ErrorRead("item-not-found"), OLD), 0)
    assert answers.lookup(OLD, NEW, 0) is None
    answers.note(OLD, "eve@evil.example", ASKER, naming(NEW), 0)
    assert answers.lookup(OLD, "eve@evil.example", 0) is None
    assert answers.lookup(OLD, NEW, 0) == naming(NEW)


def test_a_failure_does_not_displace_a_statement() -> None:
    answers = Answers(verified_seconds=60)
    answers.note(OLD, NEW, ASKER, naming(NEW), 0)
    answers.note(OLD, NEW, OTHER, read(ErrorRead("item-not-found"), OLD), 1)
    assert answers.lookup(OLD, NEW, 2) == naming(NEW)


def test_an_account_without_a_statement_is_asked_less_and_less() -> None:
    answers = Answers(failure_seconds=10)
    failure = read(ErrorRead("item-not-found"), OLD)
    waits, now = [], 100.0
    for _ in range(6):
        answers.note(OLD, NEW, ASKER, failure, now)
        waits.append(answers.wait(OLD, OTHER, now))
        now += waits[-1]
    assert waits == [1, 2, 4, 8, 10, 10]
    answers.note(OLD, NEW, ASKER, failure, now + 10)
    assert answers.wait(OLD, OTHER, now + 10) == 1, "long after the last one it begins anew"
    answers.note(OLD, NEW, ASKER, naming(NEW), now + 10)
    assert answers.wait(OLD, OTHER, now + 10) == 0


@pytest.mark.parametrize(
    "refusal",
    [
        ErrorRead("forbidden"),
        ErrorRead("resource-constraint"),
        ErrorRead("not-acceptable"),
        ErrorRead("service-unavailable"),
        ErrorRead("item-not-found", local=True),
    ],
    ids=lambda error: f"{error.condition}{' of our hook' if error.local else ''}",
)
def test_what_is_about_one_contact_makes_nobody_else_wait(refusal: ErrorRead) -> None:
    """Refused, overloaded, has blocked the old account or is blocked by it, has no account."""
    answers = Answers(failure_seconds=10)
    answers.note(OLD, NEW, ASKER, read(refusal, OLD), 0)
    assert answers.lookup(OLD, NEW, 0) is None
    assert answers.wait(OLD, OTHER, 0) == 0
    assert answers.wait(OLD, ASKER, 0) == 1


def test_answers_are_bounded() -> None:
    answers = Answers(size=2)
    for n in range(3):
        answers.note(f"u{n}@a.example", NEW, ASKER, naming(NEW), 0)
        answers.note(f"u{n}@b.example", NEW, ASKER, read(ErrorRead("forbidden"), OLD), 0)
    assert answers.lookup("u0@a.example", NEW, 0) is None
    assert answers.lookup("u2@a.example", NEW, 0) is not None
    assert answers.wait("u0@b.example", ASKER, 0) == 0
    assert answers.wait("u2@b.example", ASKER, 0) == 1


def test_what_a_name_that_is_gone_has_to_do_with_is_forgotten() -> None:
    answers = Answers()
    named = "romeo@new.example"
    for old in ("a@old.example", "b@old.example", "c@old.example"):
        new = "other@new.example" if old.startswith("b") else named
        answers.note(old, new, "juliet@x", Answer(new, None, ""), 0)
    answers.forget(named)
    assert answers.lookup("a@old.example", named, 1) is None
    assert answers.lookup("b@old.example", "other@new.example", 1) is not None
    answers.forget("b@old.example")
    assert answers.lookup("b@old.example", "other@new.example", 1) is None
