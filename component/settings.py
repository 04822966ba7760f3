"""The configuration in the terms of the layers that it is for."""

from __future__ import annotations

from datetime import timedelta

from component import __version__
from component.config import Config
from component.core.journey.contacts import Schedule
from component.core.journey.pace import Rates
from component.core.limits import Policy
from component.engine.movers.box import MoverSettings
from component.engine.movers.orders import RunTime
from component.xmpp.link import LinkSettings


def link_settings(config: Config) -> LinkSettings:
    """The link's settings out of the configuration.

    :raises ConfigError: the secret cannot be read.
    """
    return LinkSettings(
        jid=config.component.jid,
        secret=config.component.reveal(),
        host=config.component.host,
        port=config.component.port,
        max_in_flight=config.limits.max_in_flight,
        max_queue=config.limits.queue,
        stanza_bytes=config.limits.stanza_bytes,
        stanza_depth=config.limits.stanza_depth,
        version=__version__,
    )


def policy(config: Config) -> Policy:
    """The limits that decisions need, out of the configuration."""
    return Policy(
        allow_domains=frozenset(config.contacts.allow_domains),
        deny_domains=frozenset(config.contacts.deny_domains),
        requests_per_minute=config.limits.per_domain_per_minute,
        max_open=config.limits.max_open_requests,
        max_old_into_new=config.contacts.max_old_into_new,
        window_seconds=timedelta(days=config.contacts.window_days).total_seconds(),
    )


def mover_settings(config: Config) -> MoverSettings:
    """The settings of the mover's side, out of the configuration."""
    movers = config.movers
    return MoverSettings(
        rates=Rates(
            movers.per_mover_per_second,
            movers.overall_per_second,
            movers.domain_per_minute,
            movers.domain_per_minute_max,
        ),
        schedule=Schedule(
            tuple(timedelta(hours=hours) for hours in movers.retry_hours),
            timedelta(minutes=movers.pending_minutes),
        ),
        look_seconds=movers.look_seconds,
        undo_hours=movers.undo_hours,
        cooldown=timedelta(days=movers.cooldown_days),
        failed_cooldown=timedelta(minutes=movers.failed_minutes),
        statement=timedelta(days=movers.statement_days),
        max_contacts=movers.max_contacts,
        max_chain=movers.max_chain,
        code_minutes=movers.code_minutes,
        answer_senders=movers.answer_senders,
        tombstones=movers.tombstones,
        enabled=movers.enabled,
        carry=movers.carry,
    )


def run_time(config: Config) -> RunTime:
    """What admins may change while the component runs, as configured."""
    contacts = config.contacts
    return RunTime(
        False,
        config.movers.overall_per_second,
        tuple(contacts.allow_domains),
        tuple(contacts.deny_domains),
    )


def keep(config: Config) -> timedelta | None:
    """How long what has ended is kept; None: for ever.

    Never shorter than limits and undo look back.
    """
    days, contacts = config.database.keep_days, config.contacts
    if days == 0:
        return None
    back = (contacts.window_days, contacts.undo_days, config.movers.cooldown_days)
    return timedelta(days=max(days, *back))
