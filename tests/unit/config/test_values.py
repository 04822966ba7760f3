"""Defaults, the example file, the environment, and what values become."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from component.config import Config, config_path, load
from component.config.example import example

from .support import SMALLEST, problems, write

REPOSITORY = Path(__file__).parents[3]


def test_defaults(tmp_path: Path) -> None:
    config = load(write(tmp_path, SMALLEST))
    assert config.component.host == "127.0.0.1"
    assert config.component.port == 5347
    assert config.component.reveal() == "hunter2"
    assert config.served.hosts == ("montague.example",)
    assert config.served.admins == ()
    assert config.database.url == "sqlite+aiosqlite:////var/lib/xmpp-moved/moved.db"
    assert config.contacts.model_dump() == {
        "deadline_seconds": 45.0,
        "verified_cache_seconds": 60.0,
        "failure_cache_seconds": 10.0,
        "fetches_per_domain": 10,
        "fetches_overall": 128,
        "max_old_into_new": 5,
        "window_days": 30,
        "allow_domains": (),
        "deny_domains": (),
        "carry_name": True,
        "carry_groups": True,
        "follow": "auto",
        "notice": True,
        "undo_days": 30,
    }
    assert config.component.control == "/run/xmpp-moved/control.sock"
    assert config.served.language == "en"
    assert config.movers.model_dump() == {
        "enabled": True,
        "carry": True,
        "file_mib": 20,
        "statement_days": 180,
        "undo_hours": 72.0,
        "cooldown_days": 30,
        "failed_minutes": 5.0,
        "per_mover_per_second": 1.0,
        "overall_per_second": 20.0,
        "domain_per_minute": 2,
        "domain_per_minute_max": 60,
        "retry_hours": (1.0, 6.0, 24.0, 72.0, 168.0),
        "look_seconds": 30.0,
        "pending_minutes": 10.0,
        "max_contacts": 10_000,
        "max_chain": 5,
        "code_minutes": 10,
        "answer_senders": True,
        "tombstones": True,
    }
    assert config.limits.model_dump() == {
        "per_domain_per_minute": 600,
        "max_open_requests": 5000,
        "max_in_flight": 1024,
        "queue": 10_000,
        "stanza_bytes": 4 * 1024 * 1024,
        "stanza_depth": 64,
    }
    assert config.metrics.address == ("127.0.0.1", 9347)
    assert config.log.model_dump() == {"level": "info", "format": "text"}


def test_example_in_the_repository_is_the_generated_one() -> None:
    stored = (REPOSITORY / "config.example.toml").read_text(encoding="utf-8")
    assert stored == example(), "run: python -m component.config > config.example.toml"


def test_example_names_every_option() -> None:
    lines = example().splitlines()
    for section, field in Config.model_fields.items():
        assert f"[{section}]" in lines
        options = getattr(field.annotation, "model_fields", {})
        assert options, section
        for name, option in options.items():
            assert option.description, f"{section}.{name} has no description"
            assert any(line.removeprefix("# ").startswith(f"{name} = ") for line in lines), name


def test_example_lacks_only_the_secret(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, example())
    assert "[component]: secret or secret_file is missing; give exactly one of the two" in problem


def test_example_holds_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XMPP_MOVED__COMPONENT__SECRET", "hunter2")
    from_example = load(write(tmp_path, example()))
    monkeypatch.delenv("XMPP_MOVED__COMPONENT__SECRET")
    assert from_example == load(write(tmp_path, SMALLEST))


def test_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XMPP_MOVED__COMPONENT__PORT", "5348")
    monkeypatch.setenv("XMPP_MOVED__SERVED__HOSTS", "a.example, B.example")
    monkeypatch.setenv("XMPP_MOVED__CONTACTS__DENY_DOMAINS", '["c.example"]')
    monkeypatch.setenv("XMPP_MOVED__CONTACTS__CARRY_NAME", "false")
    monkeypatch.setenv("XMPP_MOVED__METRICS__LISTEN", "")
    config = load(write(tmp_path, SMALLEST + "[contacts]\nwindow_days = 7\n"))
    assert config.component.port == 5348
    assert config.component.jid == "moved.montague.example"
    assert config.served.hosts == ("a.example", "b.example")
    assert config.contacts.deny_domains == ("c.example",)
    assert config.contacts.carry_name is False
    assert config.contacts.window_days == 7
    assert config.metrics.address is None


def test_environment_mistake_names_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XMPP_MOVED__LIMITS__QUEUE", "many")
    monkeypatch.setenv("XMPP_MOVED__LIMIT__QUEUE", "5")
    assert problems(tmp_path, SMALLEST) == [
        '[limits] queue: found "many" in the environment variable XMPP_MOVED__LIMITS__QUEUE; '
        "allowed: a whole number from 1 to 1000000",
        "XMPP_MOVED__LIMIT__QUEUE: names no section; did you mean [limits]?",
    ]


def test_stray_variable_alone_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XMPP_MOVED__NOTHING", "5")
    (problem,) = problems(tmp_path, SMALLEST)
    assert problem.startswith("XMPP_MOVED__NOTHING: names no section; known: component, served")


def test_path_comes_from_argument_environment_or_default() -> None:
    assert config_path(Path("/a"), {"XMPP_MOVED_CONFIG": "/b"}) == Path("/a")
    assert config_path(None, {"XMPP_MOVED_CONFIG": "/b"}) == Path("/b")
    assert config_path(None, {}) == Path("/etc/xmpp-moved/config.toml")


def test_domains_and_jids_are_prepared(tmp_path: Path) -> None:
    text = """
[component]
jid = "Moved.Montague.EXAMPLE."
secret = "hunter2"
[served]
hosts = ["Montague.example", "montague.example", "xn--bcher-kva.example"]
admins = ["Romeo@Montague.example"]
[contacts]
deny_domains = ["xn--bcher-kva.example"]
"""
    config = load(write(tmp_path, text))
    assert config.component.jid == "moved.montague.example"
    assert config.served.hosts == ("montague.example", "xn--bcher-kva.example")
    assert config.served.admins == ("romeo@montague.example",)
    assert config.contacts.deny_domains == ("bücher.example",)


def test_language(tmp_path: Path) -> None:
    assert load(write(tmp_path, f'{SMALLEST}language = "DE"\n')).served.language == "de"
    assert problems(tmp_path, f'{SMALLEST}language = "tlh"\n') == [
        '[served] language: found "tlh"; allowed: one of "en", "de", "fr", "es"'
    ]


def test_movers_values_may_be_small(tmp_path: Path) -> None:
    text = """[movers]
undo_hours = 0.001
failed_minutes = 0
cooldown_days = 0
retry_hours = [0.0001, 0]
look_seconds = 0.2
pending_minutes = 0.01
"""
    movers = load(write(tmp_path, SMALLEST + text)).movers
    assert movers.retry_hours == (0.0001, 0.0)
    assert (movers.undo_hours, movers.failed_minutes, movers.cooldown_days) == (0.001, 0, 0)
    assert (movers.look_seconds, movers.pending_minutes) == (0.2, 0.01)
    assert load(write(tmp_path, f"{SMALLEST}[movers]\nretry_hours = []\n")).movers.retry_hours == ()


@pytest.mark.parametrize("value", ["1, 6.5", "[1, 6.5]"])
def test_retry_hours_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("XMPP_MOVED__MOVERS__RETRY_HOURS", value)
    assert load(write(tmp_path, SMALLEST)).movers.retry_hours == (1.0, 6.5)


def test_config_is_frozen(tmp_path: Path) -> None:
    config = load(write(tmp_path, SMALLEST))
    with pytest.raises(ValidationError):
        setattr(config.component, "port", 1)  # noqa: B010
