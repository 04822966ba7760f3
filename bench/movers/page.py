"""The mover side's part of ``docs/lab/performance.md``, made of what is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from bench import charts, parts
from bench.movers import keep
from bench.movers.engine import Cost
from bench.movers.paper import CORE_SHARE, INSTANCE_MIB, Measured, Plan, Shutdown, plan
from bench.movers.tally import SHARES, Outcome
from bench.movers.town import HOUR
from bench.movers.weight import of_a_move
from bench.parts import Part, Table

USERS = (7_000, 50_000, 500_000)
"""On paper."""

_TEXT = """\
One mover, all contacts at another domain that is played by a component: it answers each request
with `subscribed` and `subscribe` at once. Pacing is off. Server, component and the played domain
share the cores. The figures are for the whole exchange: notification, answer, way back, approval.

The shutdown runs on simulated time. Where "engine" is said, engine, pace, machines and codecs are
the real ones, the journal is in memory, and the server is the model that the tests use; the
component is killed twice. Where "pace" is said, the pace, the machines and the book of contacts are
the real ones, and nothing else is there; a test shows that both agree. All users begin within ten
minutes. Contacts are spread over domains by Zipf's law; of the domains one in ten is slow (5 to 60
s each way), one in twenty is away for minutes to hours, one in fifty of the small ones is dead, one
in a hundred answers every request with an error, and the third largest is away for two hours. Half
of the contacts' servers follow by themselves, 35 % of the contacts decide in their own time, 3 %
refuse, 12 % never answer.
"""


def part(folder: Path = keep.FOLDER) -> Part:
    """Everything that is kept, with its pictures drawn.

    Raises LookupError where nothing is.
    """
    costs, outcomes, origins = keep.costs(folder), keep.outcomes(folder), keep.origins(folder)
    if not costs or not outcomes:
        raise LookupError("measure first: python -m bench.movers")
    best = outcomes[0]
    measured = measured_of(costs)
    plans = [plan(Shutdown(users, best.size.contacts), measured) for users in USERS]
    quick = replace(Shutdown(USERS[-1]), hours=7 * 24.0)
    plans.append(plan(quick, measured))
    return Part(
        name="movers",
        title="The mover side",
        text=_TEXT,
        tables=(
            _engine(costs),
            _shutdown(outcomes),
            _peaks(best),
            _paper(plans),
        ),
        pictures=(_progress(outcomes), _peak_chart(best)),
        notes=_notes(costs, measured, plans),
        **origins[-1],
    )


def measured_of(costs: Sequence[Cost]) -> Measured:
    """What is multiplied: the engine at its dearest, the server with the shortest roster."""
    ours = [cost for cost in costs if cost.version == "this"]
    shortest = min(cost.contacts for cost in ours)
    return Measured(
        max(cost.engine_cpu / cost.contacts for cost in ours),
        max(cost.server_cpu / cost.contacts for cost in ours if cost.contacts == shortest),
        max(cost.journal_bytes / cost.contacts for cost in ours),
        max(cost.resident_before for cost in ours),
        of_a_move(Shutdown(1).contacts),
    )


def _engine(costs: Sequence[Cost]) -> Table:
    return Table(
        "Notifications without pacing, one mover",
        (
            "server", "contacts", "code", "contacts/s", "CPU each: ours", "the server's",
            "transactions each", "resident before, peak, after (MiB)", "journal bytes each",
            "told twice",
        ),
        tuple(
            (
                cost.server, f"{cost.contacts:,}", cost.version, f"{cost.rate:.0f}",
                f"{cost.each(cost.engine_cpu):.1f} ms", f"{cost.each(cost.server_cpu):.1f} ms",
                f"{cost.writes / cost.contacts:.1f}",
                f"{cost.resident_before:.0f}, {cost.resident_peak:.0f}, {cost.resident_after:.0f}",
                f"{cost.journal_bytes / cost.contacts:.0f}", cost.twice,
            )
            for cost in costs
        ),
    )  # fmt: skip


def _shutdown(outcomes: Sequence[Outcome]) -> Table:
    def row(name: str, *cells: str) -> tuple[str, ...]:
        return (name, *cells)

    def engine(name: str, show: Callable[[Outcome], str]) -> tuple[str, ...]:
        """A row of what only the engine does."""
        return row(name, *(show(o) if o.model == "engine" else "-" for o in outcomes))

    def each(name: str, show: str, pick: str) -> tuple[str, ...]:
        return row(name, *(show.format(getattr(outcome, pick)) for outcome in outcomes))

    told = [
        row(
            f"{share:.1%} of those who could be told were told after",
            *(f"{outcome.until(share) / HOUR:.1f} h" for outcome in outcomes),
        )
        for share in SHARES
    ]
    waits = [
        row(name, *(f"{getattr(outcome, pick) / HOUR:.1f} h" for outcome in outcomes))
        for name, pick in (
            ("a mover's last contact was told after (median)", "median_wait"),
            ("the same, the longest", "longest_wait"),
            ("a mover's first contact was told after, the longest", "longest_silence"),
        )
    ]
    return Table(
        "A simulated shutdown",
        (
            "",
            *(
                f"{o.model}: {o.size.users:,} users with {o.size.contacts}, seed {o.seed}"
                for o in outcomes
            ),
        ),
        (
            row("contacts to be told", *(f"{o.size.notifications:,}" for o in outcomes)),
            each("contacts that were told", "{:,}", "shown"),
            *told,
            *waits,
            each("notifications that left", "{:,}", "sent"),
            each("of them retries", "{:,}", "retries"),
            each("**told twice**", "**{}**", "twice"),
            engine("left without a readable statement", lambda o: str(o.unreadable)),
            each("most in one second, over all", "{}", "peak_overall"),
            row(
                "contacts in the end",
                *(", ".join(f"{n:,} {state}" for state, n in o.states) for o in outcomes),
            ),
            engine("rosters read for each notification", lambda o: f"{o.looks / o.sent:.1f}"),
            engine("statements read for each notification", lambda o: f"{o.guards / o.sent:.1f}"),
        ),
    )


def _peaks(outcome: Outcome) -> Table:
    return Table(
        f"The largest domains of the shutdown of {outcome.size.users:,} users",
        ("domain", "contacts", "most in a minute", "most in a second", "last one told first after"),
        tuple(
            (
                peak.domain, f"{peak.contacts:,}", peak.in_a_minute, peak.in_a_second,
                f"{peak.last / HOUR:.1f} h",
            )
            for peak in outcome.peaks
        ),
    )  # fmt: skip


def _paper(plans: Sequence[Plan]) -> Table:
    return Table(
        "Other sizes, on paper",
        (
            "users", "contacts to be told", "with the default limits", "which limit decides",
            "to be done in", "overall_per_second", "domain_per_minute_max", "our cores",
            "the server's cores", "memory, all at once", "journal", "instances",
        ),
        tuple(
            (
                f"{p.shutdown.users:,}", f"{p.shutdown.notifications:,}",
                f"{p.default_hours:.0f} h",
                f"`{p.default_bound}`", f"{p.shutdown.hours:.0f} h", f"{p.overall_per_second:.1f}",
                f"{p.domain_per_minute_max:.0f}", f"{p.cores:.2f}", f"{p.server_cores:.2f}",
                f"{p.memory_mib / 1024:.1f} GiB", f"{p.journal_mib / 1024:.1f} GiB",
                f"{p.instances}, or 1 in {p.waves} parts" if p.waves > 1 else f"{p.instances}",
            )
            for p in plans
        ),
    )  # fmt: skip


def _notes(costs: Sequence[Cost], measured: Measured, plans: Sequence[Plan]) -> tuple[str, ...]:
    last = plans[-1]
    return (
        f"On paper: {measured.engine_cpu * 1e3:.1f} ms of our CPU and "
        f"{measured.server_cpu * 1e3:.1f} ms of the server's for each contact, "
        f"{measured.journal_bytes:.0f} bytes of journal, {measured.move_bytes / 1024:.0f} KiB of "
        f"memory for a move with {last.shutdown.contacts} contacts; an instance has {CORE_SHARE} "
        f"of a core and {INSTANCE_MIB:.0f} MiB. `bench/movers/paper.py` multiplies. The server's "
        "figure is of the shortest roster in the first table; 18 contacts cost it less.",
        "`earlier` is the code before this measurement, whose cost grew with the square of the "
        "contacts. Contacts a second depend on what else the machine does; CPU hardly does.",
        "Who is queued in the end waits behind a probe of a domain that is dead: the longest waits "
        "are theirs.",
        "A move ends when nobody's answer is awaited any more: people who never answer keep it "
        "for ten days and more, at one roster read an hour.",
        "Told twice: a second notification that reached a contact's server as news. A repeated "
        "request that the server answers by itself, or drops because one waits, is none.",
    )


def _progress(outcomes: Sequence[Outcome]) -> str:
    figure, (axes,) = charts.figure()
    series = {
        f"{o.size.users:,} users, seed {o.seed}": [
            (at / HOUR, float(number), float(number), float(number)) for at, number in o.progress
        ]
        for o in outcomes
    }
    charts.lines(axes, series, ("hours", "contacts told"))
    return charts.save(figure, parts.PICTURES / "movers-progress.svg")


def _peak_chart(outcome: Outcome) -> str:
    figure, (axes,) = charts.figure()
    shown = outcome.peaks
    points = [
        (0.0, float(p.in_a_minute), float(p.in_a_minute), float(p.in_a_minute)) for p in shown
    ]
    names = [p.domain.partition(".")[0] for p in shown]
    charts.bars(
        axes, names, {"most in a minute": points}, ("domain, the largest first", "notifications")
    )
    return charts.save(figure, parts.PICTURES / "movers-peaks.svg")
