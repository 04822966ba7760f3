"""What a command is, and how one step of it is taken, whoever renders it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from component.core.journey.model import Problem, Refused
from component.engine.movers.orders import AdminOrders, DraftOrders, MoverOrders
from component.engine.movers.proofs import DIGITS
from component.ui.talk import phrases
from component.ui.talk.pages import BadInput, Done, Form, Page, Turn

log = structlog.get_logger(__name__)

NODE = "urn:xmpp-moved:cmd:0#"
"""Before a command's name: its ad-hoc node."""
_AGAIN = frozenset(
    {
        Problem.BAD_JID,
        Problem.BAD_RATE,
        Problem.CODE_EXPIRED,
        Problem.CODE_TRIES,
        Problem.CODE_WRONG,
        Problem.PROOF_MISSING,
        Problem.UNAVAILABLE,
    }
)
"""Problems after which the same page can be answered anew."""


Begin = Callable[[Turn], Awaitable[Page]]
"""Makes a command's first page."""


@dataclass(frozen=True, slots=True)
class Command:
    """Something that can be ordered.

    ``title`` and ``words`` are English and translated where they are shown; ``words`` are those
    that call it in a chat, separated by commas, the one to be shown first.
    """

    name: str
    title: str
    words: str
    begin: Begin
    for_admins: bool = False
    inline: bool = False
    """Whether in a chat the first answer may follow the words."""
    takes_links: bool = False
    """Whether in a chat a link alone, as of a file that is shared, is its first answer."""

    @property
    def node(self) -> str:
        """Its ad-hoc node."""
        return NODE + self.name


@dataclass(frozen=True, slots=True)
class Shown:
    """What a step leads to."""

    page: Page
    note: str | None = None
    """Why the same page comes again."""
    field: str | None = None
    """Whose answer could not be taken, if it was a single one's."""


class Book:
    """Every command, and who may use it.

    :param commands: in the order in which they are shown.
    """

    def __init__(
        self,
        commands: Sequence[Command],
        drafts: DraftOrders,
        movers: MoverOrders,
        admin: AdminOrders,
    ) -> None:
        self._commands = tuple(commands)
        self._drafts = drafts
        self._movers = movers
        self._admin = admin

    def visible(self, asker: str) -> list[Command]:
        """The commands that a bare JID may use now."""
        serves, is_admin = self._movers.serves(asker), self._admin.is_admin(asker)
        return [c for c in self._commands if (is_admin if c.for_admins else serves)]

    def may(self, command: Command, asker: str) -> bool:
        """Whether a bare JID may take a step of this command now."""
        if command.for_admins:
            return self._admin.is_admin(asker)
        return self._movers.serves(asker)

    async def account(self, asker: str) -> str | None:
        """Whose a bare JID is now, to be kept with a dialog: the name may be given to another.

        Every answer is compared with it, for not every server says that it deletes an account.

        :raises Refused: it cannot be learned now.
        """
        return await self._movers.account(asker)

    async def elsewhere(self, turn: Turn, text: str) -> str | None:
        """Where a text belongs that is a code for another account's chat; None: it is no code."""
        typed = "".join(text.split()).replace("-", "").rstrip(".!")
        if not (len(typed) == DIGITS and typed.isascii() and typed.isdecimal()):
            return None
        try:
            asker = await self._drafts.code_from(turn.asker)
        except Refused:
            return None
        if asker is None:
            return None
        return turn.words.say(
            "That looks like the code that I sent you. It is to be typed elsewhere: in the chat "
            "of {asker} with me, where the move was begun.",
            asker=asker,
        )

    async def begin(self, command: Command, turn: Turn) -> Shown:
        """The first page."""
        return await self._step(command, turn, lambda: command.begin(turn), None)

    async def submit(
        self, command: Command, turn: Turn, form: Form, raw: Mapping[str, Sequence[str]]
    ) -> Shown:
        """What follows from a form's answers: another page, or the same one with a note."""

        async def step() -> Page:
            return await form.then(turn, form.read(raw, turn.words))

        return await self._step(command, turn, step, form)

    async def _step(
        self,
        command: Command,
        turn: Turn,
        step: Callable[[], Awaitable[Page]],
        form: Form | None,
    ) -> Shown:
        try:
            if not self.may(command, turn.asker):
                raise Refused(Problem.NOT_YOURS)
            return Shown(await step())
        except BadInput as bad:
            if form is None:
                return Shown(Done(bad.sentence, warning=True))
            return Shown(form, bad.sentence, bad.field)
        except Refused as refused:
            sentence = phrases.problem(turn.words, refused)
            if form is not None and refused.problem in _AGAIN:
                return Shown(form, sentence)
            return Shown(Done(sentence, warning=True))
        except Exception:
            log.exception("a command failed", command=command.name, asker=turn.asker)
            sentence = turn.words.say("Something went wrong, and nothing was changed. Sorry.")
            return Shown(Done(sentence, warning=True))
