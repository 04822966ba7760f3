"""What of a changed configuration counts at once."""

from __future__ import annotations

import pytest

from component.config import Config, compare
from component.config.changes import WITHOUT_RESTART


def config(**sections: dict[str, object]) -> Config:
    """A configuration; sections add to what is needed."""
    given: dict[str, dict[str, object]] = {
        "component": {"jid": "moved.montague.example", "secret": "s"},
        "served": {"hosts": ["montague.example"]},
    }
    for name, options in sections.items():
        given[name] = {**given.get(name, {}), **options}
    return Config.model_validate(given)


def test_nothing_changed() -> None:
    changes = compare(config(), config())
    assert (changes.now, changes.later, changes.config) == ((), (), config())


def test_both_kinds_at_once() -> None:
    new = config(
        contacts={"deny_domains": ["bad.example"], "deadline_seconds": 20, "undo_days": 7},
        served={"hosts": ["capulet.example"], "admins": ["admin@capulet.example"]},
        movers={"tombstones": False},
        database={"keep_days": 0},
    )
    changes = compare(config(), new)
    assert changes.now == (
        "[served] admins",
        "[database] keep_days",
        "[contacts] deny_domains",
        "[contacts] undo_days",
        "[movers] tombstones",
    )
    assert changes.later == ("[served] hosts", "[contacts] deadline_seconds")
    force = changes.config
    assert force.served.hosts == ("montague.example",)
    assert force.served.admins == ("admin@capulet.example",)
    assert force.contacts.deadline_seconds == 45
    assert force.contacts.deny_domains == ("bad.example",)
    assert force.database.keep_days == 0
    assert compare(force, new).now == ()
    assert compare(force, new).later == changes.later


def test_a_secret_is_never_shown() -> None:
    changes = compare(config(), config(component={"secret": "hunter2"}))
    assert changes.later == ("[component] secret",)
    assert "hunter2" not in repr(changes)


@pytest.mark.parametrize("key", sorted(WITHOUT_RESTART))
def test_every_named_option_exists(key: str) -> None:
    section, _, option = key.partition(".")
    assert option in type(getattr(config(), section)).model_fields
