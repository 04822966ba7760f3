"""The options of the mover's side."""

from __future__ import annotations

from pydantic import Field

from component.config.section import Section
from component.config.types import Hours


class MoversSection(Section):
    """What our users may do when they move away themselves, or arrive here."""

    enabled: bool = Field(
        default=True,
        description="Whether users may order moves. Moves of other servers' users are followed\n"
        "all the same.",
    )
    carry: bool = Field(
        default=True,
        description="Bring contacts' names and groups, blocked people, profile, avatar, bookmarks\n"
        "and settings along in a move between two accounts here, and hand them over between\n"
        "here and other servers that run xmpp-moved. What the new account has already is left\n"
        "alone; undoing the move takes them away again.",
    )
    file_mib: int = Field(
        default=20,
        ge=0,
        le=1024,
        description="How large the file of an account may be, in MiB, that a user sends in the\n"
        "chat or has made there. Only files in the upload service of the user's own server are\n"
        "taken. 0: none.",
    )
    statement_days: int = Field(
        default=180,
        ge=1,
        le=3650,
        description="For how many days after a move the old account says where it moved to.",
    )
    undo_hours: float = Field(
        default=72.0,
        ge=0,
        le=8760,
        allow_inf_nan=False,
        description="For how many hours after its start a user may undo a move. 0: never.",
    )
    cooldown_days: int = Field(
        default=30,
        ge=0,
        le=3650,
        description="How many days must lie between two moves of an account. 0: none.",
    )
    failed_minutes: float = Field(
        default=5.0,
        ge=0,
        le=1440,
        allow_inf_nan=False,
        description="How many minutes must pass after a move that failed or was cancelled.",
    )
    per_mover_per_second: float = Field(
        default=1.0,
        ge=0.001,
        le=1000,
        allow_inf_nan=False,
        description="Contacts notified per second for one mover.",
    )
    overall_per_second: float = Field(
        default=20.0,
        ge=0.001,
        le=10_000,
        allow_inf_nan=False,
        description="Contacts notified per second for all movers together.",
    )
    domain_per_minute: int = Field(
        default=2,
        ge=1,
        le=100_000,
        description="Contacts of one domain notified per minute at first. It doubles with each\n"
        "minute in which all of the last ones answer, and is halved on errors. ejabberd's\n"
        "mod_pres_counter drops more than 5 presences a minute without a word, and each\n"
        "contact costs two.",
    )
    domain_per_minute_max: int = Field(
        default=60,
        ge=1,
        le=100_000,
        description="What the doubling of domain_per_minute ends at.",
    )
    retry_hours: Hours = Field(
        default=(1.0, 6.0, 24.0, 72.0, 168.0),
        max_length=20,
        description="How many hours to wait before each further try to reach a contact. After the\n"
        "last one the contact is left to the mover.",
    )
    look_seconds: float = Field(
        default=30.0,
        ge=0.2,
        le=3600,
        allow_inf_nan=False,
        description="How often, in seconds, rosters are looked at while answers are awaited.",
    )
    pending_minutes: float = Field(
        default=10.0,
        ge=0.001,
        le=100_000,
        allow_inf_nan=False,
        description="A contact who has not answered for so many minutes counts as pending: a\n"
        "person has to decide there.",
    )
    max_contacts: int = Field(default=10_000, ge=1, le=100_000, description="Contacts of one move.")
    max_chain: int = Field(
        default=5,
        ge=1,
        le=100,
        description="How many moves in a row are followed from one address to the next, to see\n"
        "that they do not lead back.",
    )
    code_minutes: int = Field(
        default=10,
        ge=1,
        le=1440,
        description="For how many minutes the code is good that is sent to the other account.",
    )
    answer_senders: bool = Field(
        default=True,
        description="Answer contacts who write to an old account with the new address, each once\n"
        "a day.",
    )
    tombstones: bool = Field(
        default=True,
        description="Say where a user moved to after the old account was deleted.",
    )
