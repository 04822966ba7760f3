"""The options, their defaults and limits.  The descriptions become ``config.example.toml``."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from component.config.errors import ConfigError, Problem
from component.config.movers import MoversSection
from component.config.section import Section
from component.config.types import (
    BareJids,
    DatabaseUrl,
    Domain,
    DomainKeys,
    FilePath,
    Host,
    Listen,
    SocketPath,
    SomeDomains,
    Word,
    split_listen,
)

ENV_PREFIX = "XMPP_MOVED__"
SECRET_FILE_LIMIT = 4096
"""Bytes of a secret file that are read; a longer file is a mistake."""


class ComponentSection(Section):
    """How to reach the XMPP server as an external component (XEP-0114)."""

    jid: Domain = Field(
        description="The component's own address: the name in the server's Component (Prosody) or\n"
        "ejabberd_service (ejabberd) section. Usually a subdomain of a served host; it needs\n"
        "neither a DNS record nor a certificate."
    )
    secret: SecretStr | None = Field(
        default=None,
        description="The secret shared with the server. Give secret or secret_file, not both.\n"
        "One way to make one: openssl rand -hex 24",
    )
    secret_file: FilePath | None = Field(
        default=None,
        description="A file that holds the secret and nothing else (white space around it is cut).",
    )
    host: Host = Field(
        default="127.0.0.1",
        description="Where the server listens for components. The stream is not encrypted: stay\n"
        "on this machine or on a network that you trust.",
    )
    port: int = Field(default=5347, ge=1, le=65535, description="The port there.")
    control: SocketPath = Field(
        default="/run/xmpp-moved/control.sock",
        description="Where `xmpp-moved pause`, `undo` and the like reach the running component:\n"
        "a Unix socket that only its own user (and root) may use. Empty: off.",
    )

    @field_validator("secret", mode="after")
    @classmethod
    def _secret_is_text(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().strip():
            raise ValueError("it is empty")
        return value

    @model_validator(mode="after")
    def _one_secret(self) -> Self:
        if self.secret is not None and self.secret_file is not None:
            raise ValueError("secret and secret_file are both given; give exactly one of the two")
        return self

    def reveal(self, source: str = "the configuration") -> str:
        """The secret itself, read from ``secret_file`` where that is how it is given.

        :param source: the configuration file, to be named where it has neither
        :raises ConfigError: there is none, or the file cannot be read, or holds no secret
        """
        if self.secret is not None:
            return self.secret.get_secret_value()
        if self.secret_file is None:
            text = (
                "secret or secret_file is missing; give exactly one of the two (secret_file also "
                "where a unit hands the secret over: its own credential wins)"
            )
            raise ConfigError(source, [Problem("[component]", text)])
        path = Path(self.secret_file)
        key = "[component] secret_file"
        try:
            with path.open("rb") as file:
                raw = file.read(SECRET_FILE_LIMIT + 1)
        except OSError as error:
            remedy = {
                FileNotFoundError: "create it, or correct the path",
                PermissionError: "run this as root, or let the user that runs xmpp-moved read it: "
                f"chgrp xmpp-moved {path} && chmod 640 {path}",
                IsADirectoryError: "name a file, not a folder",
            }.get(type(error), "see to it that it can be read")
            reason = error.strerror or type(error).__name__
            raise ConfigError(
                str(path), [Problem(key, f"cannot be read ({reason}); {remedy}")]
            ) from None
        if len(raw) > SECRET_FILE_LIMIT:
            text = f"longer than {SECRET_FILE_LIMIT} bytes; it should hold the secret and no more"
            raise ConfigError(str(path), [Problem(key, text)])
        try:
            secret = raw.decode().strip()
        except UnicodeDecodeError:
            raise ConfigError(str(path), [Problem(key, "holds no UTF-8 text")]) from None
        if not secret:
            raise ConfigError(str(path), [Problem(key, "is empty; write the secret into it")])
        return secret


class ServedSection(Section):
    """Whose rosters are looked after."""

    hosts: SomeDomains = Field(
        min_length=1,
        description="The hosts of this server whose users' rosters follow contacts who move. The\n"
        "server module must be enabled on each.",
    )
    admins: BareJids = Field(
        default=(), description="Bare JIDs of those who may administer the component."
    )
    language: Annotated[Literal["en", "de", "fr", "es"], Word] = Field(
        default="en",
        description="The language of messages to users whose client names none.",
    )


class DatabaseSection(Section):
    """Where the journal and the audit are kept."""

    url: DatabaseUrl = Field(
        default="sqlite+aiosqlite:////var/lib/xmpp-moved/moved.db",
        repr=False,
        description="An SQLAlchemy URL. Four slashes before an absolute SQLite path. PostgreSQL\n"
        "is for several instances with one database; it needs the Python package asyncpg.",
    )
    keep_days: int = Field(
        default=365,
        ge=0,
        le=36_500,
        description="For how many days after its end a move is remembered, with its audit. What\n"
        "undo, limits and tombstones still need is kept longer. 0: for ever.",
    )


class ContactsSection(Section):
    """What is done for our users when one of their contacts moves."""

    deadline_seconds: float = Field(
        default=45.0,
        ge=0.1,
        le=600,
        allow_inf_nan=False,
        description="How long a move may take to verify, in seconds; after that the request\n"
        "reaches the user as if we were not there. Keep it below the module's\n"
        "moved_hook_timeout (60).",
    )
    verified_cache_seconds: float = Field(
        default=60.0,
        ge=0,
        le=3600,
        allow_inf_nan=False,
        description="For how many seconds a verified statement serves further contacts of the\n"
        "same mover without being fetched again. 0: never.",
    )
    failure_cache_seconds: float = Field(
        default=10.0,
        ge=0,
        le=3600,
        allow_inf_nan=False,
        description="After how many seconds, at the most, an old account that gave no statement\n"
        "is asked again: after one second first, then after two, and so on. 0: at once. At most\n"
        "a third of deadline_seconds counts.",
    )
    fetches_per_domain: int = Field(
        default=10, ge=1, le=10_000, description="Statements fetched at once from one domain."
    )
    fetches_overall: int = Field(
        default=128, ge=1, le=100_000, description="Statements fetched at once from all domains."
    )
    max_old_into_new: int = Field(
        default=5,
        ge=1,
        le=1000,
        description="How many old addresses may move into one new address within window_days.",
    )
    window_days: int = Field(
        default=30, ge=1, le=3650, description="The window of max_old_into_new, in days."
    )
    allow_domains: DomainKeys = Field(
        default=(),
        description="If not empty, only moves between these domains are followed: those of the\n"
        "old and of the new address must both be listed. A domain does not stand for its\n"
        "subdomains.",
    )
    deny_domains: DomainKeys = Field(
        default=(),
        description="Moves from or to these domains are never followed. Wins over allow_domains.",
    )
    carry_name: bool = Field(
        default=True,
        description="Give the new roster entry the name that the user gave to the old one, if it\n"
        "has none of its own.",
    )
    carry_groups: bool = Field(
        default=True,
        description="Put the new roster entry into the groups of the old one, if it is in none.",
    )
    follow: Annotated[Literal["auto", "ask", "never"], Word] = Field(
        default="auto",
        description="What is done for users who chose nothing: follow by itself, let the request\n"
        "reach them with a note that it is genuine, or do nothing.",
    )
    notice: bool = Field(
        default=True,
        description="Tell users of each contact who was followed for them, and how to undo it.",
    )
    undo_days: int = Field(
        default=30, ge=1, le=3650, description="For how many days they may undo it."
    )


class LimitsSection(Section):
    """What bounds load and memory. Past a limit, requests pass as if we were not there."""

    per_domain_per_minute: int = Field(
        default=600,
        ge=1,
        le=1_000_000,
        description="Requests followed per minute for new addresses of one domain. A fifth of it\n"
        "for each of these addresses, and for each contact whom they ask; five times it for\n"
        "all domains of one owner.",
    )
    max_open_requests: int = Field(
        default=5000,
        ge=1,
        le=1_000_000,
        description="Requests being decided at once. A fifth of it for each contact, and for all\n"
        "domains of one owner.",
    )
    max_in_flight: int = Field(
        default=1024, ge=1, le=100_000, description="Questions to the server without an answer yet."
    )
    queue: int = Field(
        default=10_000, ge=1, le=1_000_000, description="Stanzas waiting to be sent to the server."
    )
    stanza_bytes: int = Field(
        default=4_194_304,
        ge=10_000,
        le=16_777_216,
        description="The largest stanza accepted, in bytes (RFC 6120 section 13.12 asks for\n"
        "10000 at least). A user's roster comes in one: with 400 bytes each, these are\n"
        "10000 contacts.",
    )
    stanza_depth: int = Field(
        default=64, ge=16, le=1024, description="The deepest nesting of elements accepted."
    )


class MetricsSection(Section):
    """Figures for Prometheus at /metrics and a health check at /health, over HTTP."""

    listen: Listen = Field(
        default="127.0.0.1:9347",
        description="Address and port; there is no password, so keep it private. Empty: off.",
    )

    @property
    def address(self) -> tuple[str, int] | None:
        """``listen`` as host and port, ``None`` where it is off."""
        return split_listen(self.listen) if self.listen else None


class LogSection(Section):
    """The log, on standard error."""

    level: Annotated[Literal["debug", "info", "warning", "error"], Word] = Field(
        default="info", description="Nothing of anybody's roster is logged above debug."
    )
    format: Annotated[Literal["text", "json"], Word] = Field(
        default="text", description="Text for people, or JSON (one object a line) for machines."
    )


class Config(BaseSettings):
    """Everything that can be set.  Environment variables win over the file.

    Use :func:`component.config.load`, which explains what is wrong with a file.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        enable_decoding=False,
        hide_input_in_errors=True,
    )

    component: ComponentSection
    served: ServedSection
    database: DatabaseSection = DatabaseSection()
    contacts: ContactsSection = ContactsSection()
    movers: MoversSection = MoversSection()
    limits: LimitsSection = LimitsSection()
    metrics: MetricsSection = MetricsSection()
    log: LogSection = LogSection()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment over file; no ``.env``, no folder of secrets."""
        return env_settings, init_settings

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        if self.component.jid in self.served.hosts:
            raise ValueError(
                f'[component] jid: "{self.component.jid}" is also one of [served] hosts; the '
                f'component needs a name of its own, such as "moved.{self.component.jid}"'
            )
        return self

    @model_validator(mode="after")
    def _fetches_fit(self) -> Self:
        contacts = self.contacts
        if contacts.fetches_per_domain > contacts.fetches_overall:
            raise ValueError(
                f"[contacts] fetches_per_domain: found {contacts.fetches_per_domain}, allowed: at "
                f"most fetches_overall ({contacts.fetches_overall})"
            )
        return self

    @model_validator(mode="after")
    def _pace_fits(self) -> Self:
        movers = self.movers
        if movers.domain_per_minute > movers.domain_per_minute_max:
            raise ValueError(
                f"[movers] domain_per_minute: found {movers.domain_per_minute}, allowed: at most "
                f"domain_per_minute_max ({movers.domain_per_minute_max})"
            )
        return self


def readable_by_all(path: str | os.PathLike[str]) -> bool:
    """True where any user of the machine may read the file; False too where it is not there."""
    try:
        return bool(os.stat(path).st_mode & stat.S_IROTH)
    except OSError:
        return False
