"""What was measured, kept until the page is made: each measurement takes its time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bench import parts
from bench.movers.engine import Cost
from bench.movers.tally import Outcome, Peak
from bench.movers.town import Size
from bench.parts import Origin

FOLDER = parts.FOLDER / "movers"
DOMAINS = 12
"""How many domains' peaks are kept of a shutdown, the largest first: the page shows them."""


def keep_cost(cost: Cost, origin: Origin, folder: Path = FOLDER) -> None:
    """Keep what one move took."""
    _write(folder / f"cost-{cost.server}-{cost.contacts}-{cost.version}.json", asdict(cost), origin)


def keep_outcome(outcome: Outcome, origin: Origin, folder: Path = FOLDER) -> None:
    """Keep what came of a shutdown."""
    outcome = replace(outcome, peaks=outcome.peaks[:DOMAINS])
    name = f"shutdown-{outcome.model}-{outcome.size.users}-{outcome.seed}.json"
    _write(folder / name, asdict(outcome), origin)


def costs(folder: Path = FOLDER) -> Sequence[Cost]:
    """All that are kept, by server and number of contacts."""
    found = [Cost(**_read(path)) for path in folder.glob("cost-*.json")]
    return sorted(found, key=lambda cost: (cost.server, cost.contacts, cost.version))


def outcomes(folder: Path = FOLDER) -> Sequence[Outcome]:
    """All that are kept, the largest first."""
    found = [_outcome(_read(path)) for path in folder.glob("shutdown-*.json")]
    return sorted(found, key=lambda outcome: (-outcome.size.users, outcome.seed))


def origins(folder: Path = FOLDER) -> Sequence[Origin]:
    """Where they came from, the latest last."""
    found = [json.loads(path.read_text())["origin"] for path in folder.glob("*.json")]
    return sorted(found, key=lambda origin: origin["began"])


def _outcome(whole: dict[str, Any]) -> Outcome:
    pairs = ("told_share", "states", "progress")
    whole.update({key: tuple(map(tuple, whole[key])) for key in pairs})
    whole["size"] = Size(**whole["size"])
    whole["peaks"] = tuple(Peak(**peak) for peak in whole["peaks"])
    return Outcome(**whole)


def _write(path: Path, found: dict[str, Any], origin: Origin) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"origin": origin, "found": found}) + "\n")


def _read(path: Path) -> dict[str, Any]:
    found = json.loads(path.read_text())["found"]
    assert isinstance(found, dict)
    return found
