"""Dashboard, alerts and documentation name figures that exist, and leave none out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from component.ops.metrics import Metrics
from tests.unit.cases import cases

ROOT = Path(__file__).parents[3]
DASHBOARD = ROOT / "packaging" / "grafana" / "xmpp-moved.json"
RULES = ROOT / "packaging" / "prometheus" / "xmpp-moved.rules.yml"
DOCS = ROOT / "docs" / "metrics.md"
_NAME = re.compile(r"\b(?:xmpp_moved|process|python)_[a-z_]+\b")
_LABELS = re.compile(r"\b(xmpp_moved_[a-z_]+)\{([^}]*)\}")
_PARTS = ("_bucket", "_sum", "_count")


def exported() -> dict[str, set[str]]:
    """Every figure of ours by the name that Prometheus shows, with its labels."""
    found: dict[str, set[str]] = {}
    for collector in Metrics().registry._collector_to_names:
        name = getattr(collector, "_name", None)
        if name is None:
            continue
        total = "_total" if getattr(collector, "_type", "") == "counter" else ""
        found[name + total] = set(getattr(collector, "_labelnames", ()))
    return found


def known_names() -> set[str]:
    """Names that a query may use."""
    ours = set(exported())
    whole = ours | {name + part for name in ours for part in _PARTS}
    return whole | {f"process_{name}" for name in ("resident_memory_bytes", "open_fds")}


def expressions() -> Iterator[tuple[str, str]]:
    """Every query of the dashboard and the alerts, and where it stands."""
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]


ALL = list(expressions())


def test_every_query_names_figures_that_exist() -> None:
    with cases() as case:
        for where, query in ALL:
            with case(where):
                names = set(_NAME.findall(query))
                assert names or query.startswith("up{"), f"{where} asks for nothing of ours"
                assert names <= known_names()
                assert query.count("(") == query.count(")")
                labels = exported()
                for name, matchers in _LABELS.findall(query):
                    assert set(re.findall(r"(\w+)\s*[=!]", matchers)) <= labels[name]


def test_histograms_are_asked_for_by_their_buckets() -> None:
    kinds = {
        getattr(one, "_name", ""): getattr(one, "_type", "")
        for one in Metrics().registry._collector_to_names
    }
    for where, query in ALL:
        for name in _NAME.findall(query):
            base = name.removesuffix("_bucket")
            if kinds.get(base) == "histogram":
                assert name.endswith("_bucket"), where


def test_the_dashboard_shows_every_figure() -> None:
    queries = " ".join(
        target["expr"]
        for panel in json.loads(DASHBOARD.read_text())["panels"]
        for target in panel.get("targets", [])
    )
    shown = {name.removesuffix("_bucket") for name in _NAME.findall(queries)}
    assert set(exported()) <= shown


def test_panels_do_not_overlap_and_have_ids_of_their_own() -> None:
    panels: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells


def test_every_alert_says_what_to_do() -> None:
    rules = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert {"summary", "description"} <= set(rule["annotations"])


def test_the_documentation_has_exactly_these_figures() -> None:
    documented: dict[str, set[str]] = {}
    for name, labels in re.findall(
        r"^\| `(xmpp_moved_\w+)(?:\{([\w,]*)\})?` \|", DOCS.read_text(), re.MULTILINE
    ):
        documented[name] = set(filter(None, labels.split(",")))
    assert documented == exported()
