"""Wires the mover's side: everything that works for users who move, and what they talk to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from component.config import Config
from component.core.limits import Declined, Followed
from component.engine.acting import MeantWire
from component.engine.belongings.copies import Copies
from component.engine.contacts import ContactSide
from component.engine.files.service import Files
from component.engine.files.slots import Slots
from component.engine.hook import Hook
from component.engine.movers.accounts import Accounts
from component.engine.movers.admin import Admin
from component.engine.movers.claims import Claims
from component.engine.movers.desk import Desk
from component.engine.movers.drafts import Domains
from component.engine.movers.handovers import Handovers
from component.engine.movers.inbound import Inbound
from component.engine.movers.ports import MoverGauges
from component.engine.movers.service import Movers
from component.engine.peers import FencedWire, Lease, responsible
from component.engine.ports import Clock
from component.engine.preferences import Preferences
from component.engine.telling import ContactNotices
from component.engine.undo import ContactUndo, Restorer
from component.settings import mover_settings, run_time
from component.store import Store
from component.ui.talk import Languages, LinkTeller, Talk
from component.web.client import WebClient
from component.xmpp.link import Link
from component.xmpp.names import NS_HOOK


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What both sides work with; ``lease`` says whether this instance may write."""

    config: Config
    store: Store
    link: Link
    lease: Lease
    clock: Clock
    languages: Languages
    teller: LinkTeller
    preferences: Preferences
    restorer: Restorer
    followed: Followed
    declined: Declined
    notices: ContactNotices
    contacts: ContactSide
    gauges: MoverGauges


@dataclass(frozen=True, slots=True)
class MoverSide:
    """What the process has to start, ask and stop."""

    movers: Movers
    admin: Admin
    copies: Copies
    inbound: Inbound
    handovers: Handovers
    desk: Desk


def mover_side(
    shared: Shared,
    *,
    alive: Callable[[], frozenset[str]],
    apply: Callable[[frozenset[str], frozenset[str]], None],
    may_upload: Callable[[str], bool],
    file_mib: Callable[[], int],
) -> MoverSide:
    """Build it, and have the link bring it what is for it.

    :param alive: the components that share the journal and are alive, this one among them.
    :param apply: puts the domains that are allowed, and denied, in force for contacts as well.
    :param may_upload: whether the hook of a host lets us ask for upload slots as a user.
    :param file_mib: the largest file of an account, in MiB, as configured now.
    """
    config, store, clock = shared.config, shared.store, shared.clock
    hosts, me, settings = config.served.hosts, config.component.jid, mover_settings(config)
    fenced = FencedWire(shared.link, shared.lease) if store.several else shared.link
    wire = MeantWire(fenced)
    hook = Hook(wire)
    accounts = Accounts(wire, hook, remote_timeout=config.contacts.deadline_seconds)
    undo = ContactUndo(
        hosts=hosts,
        hook=hook,
        restorer=shared.restorer,
        past=store,
        followed=shared.followed,
        declined=shared.declined,
        notices=shared.notices,
        clock=clock,
    )
    handovers = Handovers(accounts, store.handovers, store.journeys, shared.teller, clock, settings)
    copies = Copies(
        accounts=accounts,
        hook=hook,
        store=store.belongings,
        clock=clock,
        serves=lambda jid: desk.drafts.serves(jid),
        proven=lambda asker, id: desk.both_proven(asker, id),
        parcels=handovers.arrivals,
    )
    held = partial(store.journeys.with_work, me if store.several else None)
    movers = Movers(
        hosts=hosts,
        accounts=accounts,
        store=store.journeys,
        journal=store,
        teller=shared.teller,
        clock=clock,
        settings=settings,
        preferences=shared.preferences,
        contact_undo=undo,
        claims=Claims(store.shared, held),
        watches=lambda jid: responsible(jid, me, alive()),
        gauges=shared.gauges,
        carrier=copies,
        handovers=handovers,
    )
    desk = Desk(
        hosts=hosts,
        accounts=accounts,
        store=store.journeys,
        teller=shared.teller,
        clock=clock,
        settings=settings,
        begin=movers.begin,
        handovers=handovers,
    )

    def put_in_force(domains: Domains) -> None:
        apply(domains.allow, domains.deny)
        desk.drafts.domains = domains

    admin = Admin(
        movers,
        store.journeys,
        store.user_settings,
        undo,
        config.served.admins,
        run_time(config),
        put_in_force,
    )
    inbound = Inbound(
        movers,
        store.journeys,
        shared.teller,
        clock,
        hosts,
        shared.contacts.on_divert,
        shared.contacts.on_outcome,
        shared.gauges,
    )
    shared.contacts.on_taking = movers.others.expect
    shared.contacts.on_followed = movers.on_followed
    movers.on_gone = shared.contacts.forget
    shared.link.route_iq("set", NS_HOOK, "divert", inbound.on_divert)
    shared.link.route_iq("get", NS_HOOK, "wrote", inbound.on_wrote)
    shared.link.route_iq("get", NS_HOOK, "tombstone", inbound.on_tombstone)
    shared.link.route_message(NS_HOOK, "outcome", inbound.on_outcome)
    shared.link.route_message(NS_HOOK, "heard", inbound.on_heard)
    shared.link.route_message(NS_HOOK, "deleted", inbound.on_deleted)
    files = Files(Slots(accounts), copies, WebClient(), may=may_upload, most_mib=file_mib)
    talk = Talk(
        shared.link,
        desk,
        movers,
        admin,
        copies,
        files,
        languages=shared.languages,
        clock=clock,
    )
    talk.register()
    return MoverSide(movers, admin, copies, inbound, handovers, desk)
