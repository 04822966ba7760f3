"""The commands about moves: list, watch, explain, undo, pause, resume.

A *journey* (``m7``) is a move of a user of ours; a plain number is a contact who was followed.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from component.core.records import MoveState
from component.ui.common import NAME, JsonFlag, bare_address, load_config, store_failures
from component.ui.exits import CommandFailed

if TYPE_CHECKING:
    from component.core.journey.model import Journey, JourneyContact, Progress
    from component.core.records import AuditRecord, MoveRecord
    from component.ui.show_journeys import Counted

ALL = "all"
_YES = "Do not ask; needed where there is no terminal to ask on."
_JOURNEYS_OF_ONE = 1000
"""Journeys of one account that are looked through; an account has a handful."""


@dataclass(frozen=True, slots=True)
class Target:
    """What an ID on the command line names."""

    id: int
    journey: bool

    def __str__(self) -> str:
        return f"m{self.id}" if self.journey else str(self.id)


def _target(given: str) -> Target:
    """Read ``7`` or ``m7``."""
    found = re.fullmatch(r"([mM]?)([1-9][0-9]{0,17})", given, re.ASCII)
    if found is None:
        raise typer.BadParameter(
            f"{given!r} is none; `{NAME} moves` lists them (7, or m7)", param_hint="ID"
        )
    return Target(int(found[2]), bool(found[1]))


def _state(given: str) -> MoveState:
    """Read a state as it is listed (``let pass``), or as the journal has it (``released``)."""
    from component.ui.words import SHORT_STATES

    found = {words: state for state, words in SHORT_STATES.items()}
    found |= {state.value: state for state in MoveState}
    if given.lower() not in found:
        listed = ", ".join(SHORT_STATES.values())
        raise typer.BadParameter(f"{given!r} is none; they are: {listed}", param_hint="--state")
    return found[given.lower()]


def _journey_or_all(given: str) -> Target | None:
    """Read ``m7``; None for ``all``."""
    if given == ALL:
        return None
    target = _target(given)
    if not target.journey:
        raise typer.BadParameter(
            f"{given!r} is a contact who was followed; users' own moves are named like m7",
            param_hint="ID",
        )
    return target


IdArgument = Annotated[
    Target,
    typer.Argument(metavar="ID", parser=_target, help="As listed by moves: 7, or m7."),
]
JourneyArgument = Annotated[
    str,
    typer.Argument(metavar="ID|all", help="As listed by moves (m7), or all."),
]


def add_to(app: typer.Typer) -> None:
    """Make these commands part of the program."""
    for command in (moves, show, undo, pause, resume, withdraw):
        app.command()(command)


def moves(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many, newest first.")] = 50,
    contact: Annotated[
        str | None, typer.Option(metavar="JID", help="Only those on this user's roster.")
    ] = None,
    old: Annotated[
        str | None, typer.Option(metavar="JID", help="Only those from this address.")
    ] = None,
    new: Annotated[
        str | None, typer.Option(metavar="JID", help="Only those to this address.")
    ] = None,
    state: Annotated[
        MoveState | None,
        typer.Option(
            parser=_state,
            metavar="STATE",
            help="Only contacts whose state, as it is listed, is this one ('let pass').",
        ),
    ] = None,
    as_json: JsonFlag = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show users' own moves as they go, until Ctrl-C.")
    ] = False,
    until_done: Annotated[
        bool, typer.Option("--until-done", help="As --watch, until no move runs any more.")
    ] = False,
) -> None:
    """List moves, newest first.

    Those of users here are numbered m1, m2 and so on; contacts who were followed 1, 2 and so on.
    """
    config = load_config(context.obj, secret=False)
    old, new = bare_address("--old", old), bare_address("--new", new)
    contact = bare_address("--contact", contact)
    if watch or until_done:
        if contact or state:
            raise typer.BadParameter("--contact and --state do not go with --watch")
        _watch(config.component.control, old, new, until_done=until_done, as_json=as_json)
        return
    # A user's own move is on nobody's roster, and its states are others.
    journeys = (
        []
        if contact or state
        else asyncio.run(_list_journeys(config.database.url, limit=limit, old=old, new=new))
    )
    followed = asyncio.run(
        _list_followed(
            config.database.url,
            limit=limit,
            contact=contact,
            old=old,
            new=new,
            state=state.value if state else None,
        )
    )
    paused = asyncio.run(_all_paused(config.database.url))
    if as_json:
        from component.ui.as_json import moves_dict

        _print_json(moves_dict(journeys, followed, paused=paused))
        return
    from component.ui.show_journeys import print_all_moves
    from component.ui.terminal import make_console

    print_all_moves(make_console(), journeys, followed, paused=paused)


async def _all_paused(url: str) -> bool:
    from component.store import Store

    with store_failures():
        async with await Store.open(url, writer=False) as store:
            return await store.user_settings.all_paused()


async def _list_followed(
    url: str,
    *,
    limit: int,
    contact: str | None,
    old: str | None,
    new: str | None,
    state: str | None,
) -> list[MoveRecord]:
    from component.store import Store

    with store_failures():
        async with await Store.open(url, writer=False) as store:
            return await store.list_moves(
                limit=limit, contact=contact, old=old, new=new, state=state
            )


async def _list_journeys(
    url: str, *, limit: int, old: str | None, new: str | None
) -> list[Counted]:
    from component.store import Store

    account = old or new
    with store_failures():
        async with await Store.open(url, writer=False) as store:
            found = await store.journeys.list(
                account=account, limit=_JOURNEYS_OF_ONE if account else limit
            )
            wanted = [j for j in found if old in (None, j.old) and new in (None, j.new)][:limit]
            counts = await store.journeys.counts([journey.id for journey in wanted])
            return [(journey, counts[journey.id]) for journey in wanted]


def _watch(path: str, old: str | None, new: str | None, *, until_done: bool, as_json: bool) -> None:
    def wanted(progress: Progress) -> bool:
        journey = progress.journey
        return old in (None, journey.old) and new in (None, journey.new)

    try:
        asyncio.run(_follow(path, wanted, until_done=until_done, as_json=as_json))
    except KeyboardInterrupt:
        return


async def _follow(
    path: str, wanted: Callable[[Progress], bool], *, until_done: bool, as_json: bool
) -> None:
    from component.ui import watch
    from component.ui.control import connect
    from component.ui.terminal import make_console

    async with connect(path) as control:
        if as_json:
            await watch.follow(control, watch.JsonLines(print_line), wanted, until_done=until_done)
            return
        with watch.screen(make_console()) as screen:
            await watch.follow(control, screen, wanted, until_done=until_done)


def print_line(line: str) -> None:
    """A line that a reader at the other end of a pipe gets at once."""
    print(line, flush=True)


def show(context: typer.Context, id: IdArgument, as_json: JsonFlag = False) -> None:
    """Tell the story of one move."""
    config = load_config(context.obj, secret=False)
    if id.journey:
        _show_journey(*asyncio.run(_get_journey(config.database.url, id)), as_json=as_json)
        return
    found = asyncio.run(_get_followed(config.database.url, id))
    if as_json:
        from component.ui.as_json import story_dict

        _print_json(story_dict(*found))
        return
    from component.ui.show import print_story
    from component.ui.terminal import make_console

    print_story(make_console(), *found)


def _show_journey(journey: Journey, contacts: Sequence[JourneyContact], *, as_json: bool) -> None:
    if as_json:
        from component.ui.as_json import journey_story_dict

        _print_json(journey_story_dict(journey, contacts))
        return
    from component.ui.show_journeys import print_journey
    from component.ui.terminal import make_console

    print_journey(make_console(), journey, contacts)


async def _get_followed(url: str, target: Target) -> tuple[MoveRecord, list[AuditRecord]]:
    from component.store import Store

    with store_failures():
        async with await Store.open(url, writer=False) as store:
            found = await store.get(target.id)
    if found is None:
        raise _unknown(target)
    return found


async def _get_journey(url: str, target: Target) -> tuple[Journey, list[JourneyContact]]:
    from component.store import Store

    with store_failures():
        async with await Store.open(url, writer=False) as store:
            journey = await store.journeys.get(target.id)
            contacts = await store.journeys.contacts(target.id) if journey else []
    if journey is None:
        raise _unknown(target)
    return journey, contacts


def _unknown(target: Target) -> CommandFailed:
    return CommandFailed(f"there is no move {target}; `{NAME} moves` lists those there are")


def undo(
    context: typer.Context,
    id: IdArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help=_YES)] = False,
) -> None:
    """Put the rosters that a move changed back to what they were."""
    ask = _must_ask(yes)
    config = load_config(context.obj, secret=False)
    asyncio.run(_undo(config.component.control, config.database.url, id, ask=ask))


def _must_ask(yes: bool) -> bool:
    """Whether to ask before something is taken back.

    :raises typer.BadParameter: nobody can be asked, and the order does not say ``--yes``
    """
    if not yes and not sys.stdin.isatty():
        raise typer.BadParameter(
            "there is no terminal to ask on, so nothing was changed; give --yes to do it unasked",
            param_hint="--yes",
        )
    return not yes


async def _undo(path: str, url: str, target: Target, *, ask: bool) -> None:
    from component.ui.control import connect

    # Connected first: with no component there is no point in asking.
    async with connect(path) as control:
        if ask:
            question = await _question(url, target)
            if not typer.confirm(f"{question} Go on?"):
                raise CommandFailed("nothing was changed")
        if target.journey:
            _say_progress(await control.progress("undo", id=target.id))
            return
        record = await control.ask("undo-followed", id=target.id)
    from component.ui.terminal import printable
    from component.ui.words import difference_words

    found = [difference_words(one["jid"], one["cause"]) for one in record.get("differences", ())]
    end = f"has {record['old']} and {record['new']} as before."
    if found:
        end = f"is not as before in this: {'; '.join(found)}."
    typer.echo(printable(f"Move {target} is undone: the roster of {record['contact']} {end}"))


async def _question(url: str, target: Target) -> str:
    from component.ui.terminal import printable

    if target.journey:
        journey, contacts = await _get_journey(url, target)
        return printable(
            f"This undoes move {target}, {journey.old} → {journey.new}, with {len(contacts)} "
            "contacts: the statement is withdrawn, and rosters go back to what they were."
        )
    move, _ = await _get_followed(url, target)
    return printable(
        f"This undoes move {target}: the roster of {move.contact} gets back what it had of "
        f"{move.old} and {move.new}."
    )


def pause(context: typer.Context, id: JourneyArgument = ALL) -> None:
    """Stop sending for one move of a user here, or for all.

    Nothing is withdrawn. A pause outlives a restart.
    """
    _set_paused(context, _journey_or_all(id), paused=True)


def resume(context: typer.Context, id: JourneyArgument = ALL) -> None:
    """Go on where pause stopped.

    Moves that were paused one by one are resumed one by one.
    """
    _set_paused(context, _journey_or_all(id), paused=False)


def _set_paused(context: typer.Context, target: Target | None, *, paused: bool) -> None:
    control = load_config(context.obj, secret=False).component.control
    asyncio.run(_order_pause(control, target, paused=paused))


async def _order_pause(path: str, target: Target | None, *, paused: bool) -> None:
    from component.ui.control import connect

    order = "pause" if paused else "resume"
    async with connect(path) as control:
        if target is not None:
            _say_progress(await control.progress(order, id=target.id))
            return
        await control.ask(f"{order}-all")
    if paused:
        typer.echo(f"Users' moves send nothing until `{NAME} resume`, even after a restart.")
    else:
        typer.echo("Users' moves go on. Those that were paused one by one stay so.")


def withdraw(
    context: typer.Context,
    everything: Annotated[
        bool, typer.Option("--all", help="Of all users here; it has to be said.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help=_YES)] = False,
) -> None:
    """Withdraw moved statements and hand-overs, before xmpp-moved is removed from the server.

    Moves under way are cancelled. The users are told before. Rosters that have followed stay.
    """
    if not everything:
        raise typer.BadParameter(
            f"`{NAME} withdraw --all` withdraws those of all users here; one move is ended by "
            f"`{NAME} undo ID`",
            param_hint="--all",
        )
    ask = _must_ask(yes)
    config = load_config(context.obj)
    asyncio.run(_withdraw_all(config.component.control, ask=ask))


async def _withdraw_all(path: str, *, ask: bool) -> None:
    from component.ui.control import connect

    async with connect(path) as control:
        standing = await control.ask("standing")
        if ask and standing["all"]:
            question = (
                f"This ends {standing['running']} moves under way and withdraws the statements of "
                f"{standing['all'] - standing['running']} that ended. Their users are told. "
                "Contacts who have not followed yet will not."
            )
            if not typer.confirm(f"{question} Go on?"):
                raise CommandFailed("nothing was changed")
        done: dict[str, set[int]] = {"withdrawn": set(), "cancelled": set(), "handovers": set()}
        left: dict[str, str] = {}
        for _ in range(_WITHDRAWALS):
            answer = await control.ask("withdraw-all")
            for what, ids in done.items():
                ids.update(answer[what])
            left = answer["left"]
            if not left and not answer["cancelled"]:
                break
            await asyncio.sleep(1.0)  # what was cancelled takes its requests back
    typer.echo(
        f"Withdrawn: the statements of {len(done['withdrawn'])} moves, {len(done['cancelled'])} "
        f"moves under way, {len(done['handovers'])} hand-overs."
    )
    if left:
        from component.ui.terminal import printable

        told = "\n".join(printable(f"  m{id}: {_why_left(why)}") for id, why in left.items())
        raise CommandFailed(f"not withdrawn yet; give the order again later:\n{told}")


_WITHDRAWALS = 120
"""Orders that are given one after another, a second between them."""


def _why_left(why: str) -> str:
    from component.ui.words import JOURNEY_STATES

    return next((words for state, words in JOURNEY_STATES.items() if state.value == why), why)


def _say_progress(progress: Progress) -> None:
    from component.ui.watch import progress_line

    typer.echo(progress_line(progress))


def _print_json(value: dict[str, Any]) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))
