"""What is no XML: addresses, pasted lists, lines of the control socket, codes, kept values."""

# ruff: noqa: PT017 - a refusal has properties too

from __future__ import annotations

import json
import math
from collections.abc import Callable
from contextlib import suppress

from component.core import jids
from component.core.journey.model import Problem, Refused
from component.core.model import RosterItem, Subscription
from component.engine import plans
from component.engine.movers.proofs import DIGITS, TRIES, Proofs
from component.ops.control_json import Unreadable, progress_dict, progress_from
from component.ops.control_orders import BadRequest, carry_out, parse
from component.store import jsonio
from component.ui.talk import lists
from component.ui.talk.language import LANGUAGES, Words, known
from component.ui.talk.pages import BadInput, Field, Kind, Option, short
from component.ui.talk.picking import pick_many, pick_one
from tests.fuzz.loop import LOOP
from tests.unit.ops.fake_orders import FakeOrders

_WORDS = Words("en")
_OPTIONS = tuple(Option(f"v{n}", f"Label {n}") for n in range(1, 13))
_KNOWN_ORDERS = ("pause", "resume", "undo", "undo-followed", "pause-all", "resume-all")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def jid(data: bytes) -> None:
    """Prepared addresses stay as they are; two that are one have one key; URIs go there and back.

    The first line is an address, the second another one, or a URI.
    """
    first, _, second = _text(data).partition("\n")
    for text in (first, second, first + second):
        found = jids.bare(text)
        assert found == jids.bare(text)
        assert jids.bare_of(f"{text}/x") in (found, jids.bare_of(text), None) or "/" in text
        named = jids.from_uri(text)
        assert named is None or jids.bare(named) == named
        if found is None:
            continue
        assert jids.bare(found) == found, (found, jids.bare(found))
        assert jids.bare_of(found) == jids.bare_of(f"{found}/x") == found
        assert "/" not in found
        local, at, domain = found.rpartition("@")
        assert local
        assert at
        assert domain == jids.domain(found)
        assert len(local) <= 1023
        assert len(domain) <= 1023
        assert not any(c.isspace() or ord(c) < 32 for c in found), ascii(found)
        key = jids.key(found)
        assert jids.key(key) == key, (key, jids.key(key))
        assert not domain.endswith((".", "\u3002"))
        assert "\u3002" not in jids.domain(key)
        assert jids.from_uri(jids.to_uri(found)) == found, jids.to_uri(found)
        assert short(found)


def contact_list(data: bytes) -> None:
    """A pasted list is read or refused with a line; each contact is a prepared bare JID."""
    text = _text(data)
    results = []
    for _ in range(2):
        try:
            results.append(lists.parse(text))
        except lists.BadList as bad:
            results.append([])
            assert bad.line >= 0
            assert len(bad.text) <= len(text)
    assert results[0] == results[1]
    for given in results[0]:
        assert jids.bare(given.jid) == given.jid
        assert given.name is None or (given.name.isprintable() and len(given.name) <= 200)
        assert len(given.groups) <= 50
        assert all(group.isprintable() for group in given.groups)
    assert len({given.jid for given in results[0]}) == len(results[0]) <= lists.MAX_CONTACTS


def control(data: bytes) -> None:
    """A line is an order of the table, with the arguments that it takes, or refused."""
    line = data.replace(b"\n", b" ")
    orders = FakeOrders()
    try:
        request = parse(line)
    except BadRequest as refused:
        assert json.loads(json.dumps({"facts": refused.facts}, allow_nan=False))
        return
    finally:
        _progress(line)
    assert request == parse(line)
    given = json.loads(line)
    assert given["order"] == request.order
    if request.order == "watch":
        return
    try:
        answer = LOOP.run_until_complete(carry_out(orders, request))
    except Refused as no:
        assert isinstance(no.problem, Problem)
    else:
        json.dumps(answer, allow_nan=False)
        assert request.order not in _KNOWN_ORDERS[:4] or given["id"] == request.id


def _progress(line: bytes) -> None:
    """The other end reads what the component says; it may be another release's."""
    try:
        given = json.loads(line)
        progress = progress_from(given)
    except (Unreadable, ValueError, RecursionError):
        return
    again = progress_dict(progress)
    assert again["seconds_left"] is None or math.isfinite(again["seconds_left"])
    assert progress_from(again).journey.id == progress.journey.id


def kept(data: bytes) -> None:
    """What comes out of the journal or from a user's choice: read exactly, or a ValueError.

    The first line is a code, a tag or a choice; the rest is a value as the journal keeps it.
    """
    first, _, text = _text(data).partition("\n")
    _code(first)
    language = known(first)
    assert language is None or language in LANGUAGES
    for kind in Kind:
        field = Field("f", kind, "", options=_OPTIONS, limit=1000)
        for raw in ([first], [first, text], []):
            _try(lambda raw=raw, field=field: field.read(raw, _WORDS))  # type: ignore[misc]
    picked = _try(lambda: [pick_one(first, _OPTIONS, _WORDS)])
    many = _try(lambda: pick_many(first, _OPTIONS, _WORDS))
    values = {option.value for option in _OPTIONS}
    assert set(picked or ()) | set(many or ()) <= values
    for load in (jsonio.item_from_json, jsonio.groups_from_json, jsonio.value_from_json):
        try:
            value = load(text)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, RosterItem):
            assert jsonio.optional_item_from_json(jsonio.item_to_json(value)) == value
    item = RosterItem(first, Subscription.TO, True, text or None, tuple(text.split("\n")))
    stored = jsonio.item_to_json(item)
    assert jsonio.optional_item_from_json(stored) == item
    try:
        plan = plans.load(text)
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):
        return
    assert plans.load(plans.dump(plan)) == plan


def _code(given: str) -> None:
    proofs = Proofs()
    right = proofs.make(1, "a@x", "b@x", 0.0, 60.0)
    wrong = "".join(c for c in given if c in "0123456789") != right
    for journey in (2, 1):
        try:
            proofs.use(journey, given, 1.0)
        except Refused as no:
            assert no.problem in (Problem.CODE_WRONG, Problem.CODE_EXPIRED)
            assert wrong or journey == 2
        else:
            assert not wrong
            return
    for _ in range(TRIES):
        with suppress(Refused):
            proofs.use(1, "x" * DIGITS, 1.0)
    try:
        proofs.use(1, right, 1.0)
    except Refused as no:
        assert no.problem is Problem.CODE_TRIES
    else:
        raise AssertionError("a code after too many tries")


def _try(read: Callable[[], object]) -> list[str] | None:
    try:
        found = read()
    except BadInput as bad:
        assert bad.sentence
        return None
    assert isinstance(found, list | tuple)
    return list(found)
