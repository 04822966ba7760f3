"""Commands as ad-hoc commands (XEP-0050), a form for each page."""

from __future__ import annotations

import secrets
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from component.core.conditions import Condition
from component.core.journey.model import Refused
from component.core.model import same_account
from component.engine.ports import Clock
from component.ui.talk import phrases
from component.ui.talk.bounds import Crowd, Kept
from component.ui.talk.commands import Book, Command, Shown
from component.ui.talk.pages import Done, Field, Form, Kind, Turn
from component.xmpp.adhoc import (
    Action,
    CommandError,
    CommandRequest,
    read_command,
    write_cancelled,
    write_completed,
    write_executing,
)
from component.xmpp.chat import lang_of
from component.xmpp.errors import StanzaError
from component.xmpp.forms import FormField, write_form

REST_SECONDS = 600.0
MOST_SESSIONS = 1000
MOST_PER_USER = 3
_AT_ONCE = 5
"""Steps of one user that are at work."""
_BACK = 10
"""Pages that one can go back."""
_REPEATED = 1000
"""Characters of a wrong value that is shown again."""
_TYPES: Final[dict[Kind, str]] = {
    Kind.TEXT: "text-single",
    Kind.ADDRESS: "text-single",  # jid-single: clients refuse some input without our sentence
    Kind.CODE: "text-single",
    Kind.LONG: "text-multi",
    Kind.CHOICE: "list-single",
    Kind.MANY: "list-multi",
    Kind.FLAG: "boolean",
}
"""Field types of XEP-0004 section 3.3."""


@dataclass(slots=True)
class _Session:
    owner: str
    """The full JID that began it."""
    asker: str
    account: str | None
    """Whose it is: the token of the asker's account."""
    command: Command
    form: Form
    before: list[Form] = field(default_factory=list)
    busy: bool = False


class AdHoc:
    """Sessions of ad-hoc commands.

    :param turn: makes a step's turn out of its sender and language tag.
    """

    def __init__(
        self, book: Book, turn: Callable[[str | None, str | None], Turn], clock: Clock
    ) -> None:
        self._book = book
        self._turn = turn
        self._clock = clock
        self._crowd = Crowd(_AT_ONCE)
        self._sessions: Kept[_Session] = Kept(seconds=REST_SECONDS, most=MOST_SESSIONS)

    @property
    def sessions(self) -> int:
        """Sessions that are kept."""
        return len(self._sessions)

    async def handle(self, iq: ET.Element) -> ET.Element:
        """A step of a command; returns ``<command/>`` of the result.

        :raises StanzaError: as XEP-0050 section 4.4 has it.
        """
        turn = self._turn(iq.get("from"), lang_of(iq[0]) or lang_of(iq))
        with self._crowd.enter(turn.asker) as admitted:
            if not admitted:
                raise StanzaError(Condition.RESOURCE_CONSTRAINT, "wait")
            request = read_command(iq)
            if request.session is None:
                return await self._begin(request, iq.get("from", ""), turn)
            return await self._continue(request, iq.get("from", ""), turn)

    async def _begin(self, request: CommandRequest, sender: str, turn: Turn) -> ET.Element:
        if request.action is not Action.EXECUTE:
            raise _bad_session()
        visible = self._book.visible(turn.asker)
        if not visible:
            raise StanzaError(Condition.FORBIDDEN, "auth")
        command = next((c for c in visible if c.node == request.node), None)
        if command is None:
            raise StanzaError(Condition.ITEM_NOT_FOUND)
        id_ = secrets.token_urlsafe(18)
        try:
            account = await self._book.account(turn.asker)
        except Refused as refused:
            done = Done(phrases.problem(turn.words, refused), warning=True)
            return self._render(request.node, id_, Shown(done), None)
        shown = await self._book.begin(command, turn)
        if isinstance(shown.page, Done):
            return self._render(request.node, id_, shown, None)
        session = _Session(sender, turn.asker, account, command, shown.page)
        self._make_room(turn.asker)
        self._sessions.put(id_, session, self._clock.tick())
        return self._render(request.node, id_, shown, session)

    def _make_room(self, asker: str) -> None:
        own = [id_ for id_, session in self._sessions.items() if session.asker == asker]
        for id_ in own[: len(own) - MOST_PER_USER + 1]:
            self._sessions.drop(id_)

    async def _continue(self, request: CommandRequest, sender: str, turn: Turn) -> ET.Element:
        id_ = request.session or ""
        session = self._sessions.get(id_)
        if session is None:
            raise _bad_session()
        if session.owner != sender:
            raise StanzaError(Condition.FORBIDDEN, "auth")
        if self._sessions.rested(id_, self._clock.tick()):
            self._sessions.drop(id_)
            raise CommandError(Condition.NOT_ALLOWED, "cancel", "session-expired")
        if session.command.node != request.node:
            raise _bad_session()
        if session.busy:
            raise StanzaError(
                Condition.UNEXPECTED_REQUEST, "wait", "the last step is still at work"
            )
        if request.action is Action.CANCEL:
            self._sessions.drop(id_)
            return write_cancelled(request.node, id_)
        session.busy = True
        try:
            await self._look_at_owner(id_, session, turn)
        finally:
            session.busy = False
        self._sessions.put(id_, session, self._clock.tick())
        if request.action is Action.PREV:
            return self._back(request, id_, session, turn)
        if request.values is None:
            note = turn.words.say("Please fill in the form.")
            return self._render(request.node, id_, Shown(session.form, note), session)
        session.busy = True
        try:
            shown = await self._book.submit(session.command, turn, session.form, request.values)
        finally:
            session.busy = False
        if isinstance(shown.page, Done):
            self._sessions.drop(id_)
        elif shown.page is not session.form:
            if not session.form.passed:
                session.before = [*session.before, session.form][-_BACK:]
            session.form = shown.page
        return self._render(request.node, id_, shown, session, request.values)

    async def _look_at_owner(self, id_: str, session: _Session, turn: Turn) -> None:
        """See that the account is still the one that was asked; raises StanzaError."""
        try:
            account = await self._book.account(turn.asker)
        except Refused as refused:
            raise StanzaError(
                Condition.RESOURCE_CONSTRAINT, "wait", phrases.problem(turn.words, refused)
            ) from refused
        if not same_account(session.account, account):
            self._sessions.drop(id_)
            raise _bad_session()

    def _back(self, request: CommandRequest, id_: str, session: _Session, turn: Turn) -> ET.Element:
        if not session.before:
            raise CommandError(Condition.BAD_REQUEST, "modify", "bad-action")
        if not self._book.may(session.command, turn.asker):
            self._sessions.drop(id_)
            raise StanzaError(Condition.FORBIDDEN, "auth")
        session.form = session.before.pop()
        return self._render(request.node, id_, Shown(session.form), session)

    def _render(
        self,
        node: str,
        id_: str,
        shown: Shown,
        session: _Session | None,
        given: Mapping[str, tuple[str, ...]] | None = None,
    ) -> ET.Element:
        page = shown.page
        if isinstance(page, Done):
            return write_completed(node, id_, page.text, "warn" if page.warning else "info")
        # What was given comes back with the note that says what is wrong with it.
        kept = (given or {}) if shown.note else {}
        fields = [_field(f, kept.get(f.name)) for f in page.fields]
        form = write_form(page.title, page.text, fields)
        back = session is not None and bool(session.before)
        return write_executing(node, id_, form, last=page.last, back=back, note=shown.note)


def _field(f: Field, given: tuple[str, ...] | None) -> FormField:
    values = f.default
    if given is not None and f.kind not in (Kind.LONG, Kind.CODE):
        choices = {option.value for option in f.options}
        values = tuple(v for v in given if len(v) <= _REPEATED and (v in choices or not choices))
    return FormField(
        var=f.name,
        type=_TYPES[f.kind],
        label=f.label,
        required=f.required,
        values=values if f.kind is Kind.MANY else values[:1],
        options=tuple((option.value, option.label) for option in f.options),
    )


def _bad_session() -> CommandError:
    return CommandError(
        Condition.BAD_REQUEST, "modify", "bad-sessionid", "there is no such session"
    )
