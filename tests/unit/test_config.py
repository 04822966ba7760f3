"""The configuration: defaults, the example file, overrides, and what is said of mistakes."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from component.config import Config, ConfigError, config_path, load
from component.config.example import example

REPOSITORY = Path(__file__).parents[2]
SMALLEST = """
[component]
jid = "moved.montague.example"
secret = "hunter2"
[served]
hosts = ["montague.example"]
"""


@pytest.fixture(autouse=True)
def _no_settings_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.upper().startswith("XMPP_MOVED_"):
            monkeypatch.delenv(name)


def write(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "config.toml"
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def problems(folder: Path, text: str) -> list[str]:
    path = write(folder, text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(path) in str(caught.value)
    return [str(problem) for problem in caught.value.problems]


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
    }
    assert config.limits.model_dump() == {
        "per_domain_per_minute": 600,
        "max_open_requests": 5000,
        "max_in_flight": 1024,
        "queue": 10_000,
        "stanza_bytes": 512 * 1024,
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
    assert problems(tmp_path, example()) == [
        "[component]: secret or secret_file is missing; give exactly one of the two"
    ]


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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "[contacts]\ndeadline_seconds = 900",
            "[contacts] deadline_seconds: found 900; allowed: a number from 0.1 to 600",
        ),
        (
            "[contacts]\ndeadline_seconds = nan",
            "[contacts] deadline_seconds: found NaN; allowed: a number from 0.1 to 600",
        ),
        (
            "[contacts]\ndedline_seconds = 9",
            '[contacts] dedline_seconds: unknown option; did you mean "deadline_seconds"?',
        ),
        (
            "[contacts]\nwindow_days = true",
            "[contacts] window_days: found true (it is a truth value); "
            "allowed: a whole number from 1 to 3650",
        ),
        (
            '[contacts]\ncarry_name = "maybe"',
            '[contacts] carry_name: found "maybe"; allowed: true or false',
        ),
        (
            '[contacts]\ndeny_domains = ["*.example"]',
            '[contacts] deny_domains: found ["*.example"] ("*.example" is not a valid domain); '
            'allowed: a list of domains, such as ["montague.example"]',
        ),
        (
            "[contacts]\nfetches_overall = 5",
            "[contacts] fetches_per_domain: found 10, allowed: at most fetches_overall (5)",
        ),
        (
            "[limits]\nwindow_days = 5",
            "[limits] window_days: unknown option; did you mean [contacts] window_days?",
        ),
        (
            '[log]\nlevel = "loud"',
            '[log] level: found "loud"; allowed: one of "debug", "info", "warning", "error"',
        ),
        (
            '[metrics]\nlisten = "9347"',
            '[metrics] listen: found "9347" (an address and a port are needed); allowed: '
            '"address:port", such as "127.0.0.1:9347" or "[::1]:9347", or "" for off',
        ),
        ("[logs]\nlevel = 1", "[logs]: unknown section; did you mean [log]?"),
        (
            "[movers]",
            "[movers]: unknown section; "
            "known: component, served, database, contacts, limits, metrics, log",
        ),
    ],
)
def test_each_mistake_is_explained(tmp_path: Path, text: str, expected: str) -> None:
    assert problems(tmp_path, f"{SMALLEST}{text}\n") == [expected]


def test_all_mistakes_are_listed_at_once(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        """
port = 5348
database = 5
[component]
jid = "romeo@moved.example"
secret = "hunter2"
[served]
hosts = []
admins = ["romeo@montague.example/orchard"]
""",
    )
    assert [problem.partition(":")[0] for problem in found] == [
        "[component] jid",
        "[served] hosts",
        "[served] admins",
        "[database]",
        "port",
    ]
    assert found[0].endswith('allowed: a domain, such as "moved.montague.example"')
    assert found[-1] == "port: this option stands in no section; did you mean [component] port?"


def test_missing_sections_and_options(tmp_path: Path) -> None:
    assert problems(tmp_path, "[served]\n") == [
        "[component]: the section is missing; it needs jid and secret or secret_file",
        "[served] hosts: missing; needed: a list of one domain or more, "
        'such as ["montague.example"]',
    ]


def test_component_needs_a_name_of_its_own(tmp_path: Path) -> None:
    text = SMALLEST.replace("moved.montague.example", "Montague.example")
    (problem,) = problems(tmp_path, text)
    assert problem.startswith('[component] jid: "montague.example" is also one of [served] hosts')


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


@pytest.mark.parametrize(
    "url",
    ["mysql://host/name", "sqlite+aiosqlite://", "postgresql+asyncpg://joe:hunter2@host"],
)
def test_database_url_mistakes_hide_the_password(tmp_path: Path, url: str) -> None:
    (problem,) = problems(tmp_path, f'{SMALLEST}[database]\nurl = "{url}"\n')
    assert problem.startswith("[database] url: found ")
    assert "hunter2" not in problem


def test_secrets_are_in_no_repr_and_no_error(tmp_path: Path) -> None:
    text = f'{SMALLEST}[database]\nurl = "postgresql+asyncpg://joe:pass2@host/name"\n'
    config = load(write(tmp_path, text))
    assert "hunter2" not in repr(config) + str(config)
    assert "pass2" not in repr(config) + str(config)
    found = problems(tmp_path, SMALLEST.replace('secret = "', 'secert = "'))
    assert "hunter2" not in str(found)
    assert '[component] secert: unknown option; did you mean "secret"?' in found
    assert "1234" not in str(problems(tmp_path, SMALLEST.replace('"hunter2"', "1234")))


def test_config_is_frozen(tmp_path: Path) -> None:
    config = load(write(tmp_path, SMALLEST))
    with pytest.raises(ValidationError):
        setattr(config.component, "port", 1)  # noqa: B010


def with_secret_file(path: Path) -> str:
    return SMALLEST.replace('secret = "hunter2"', f'secret_file = "{path}"')


def test_secret_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("  hunter3\n")
    secret.chmod(0o640)
    warnings: list[str] = []
    config = load(write(tmp_path, with_secret_file(secret), 0o644), warn=warnings.append)
    assert config.component.reveal() == "hunter3"
    assert warnings == []
    secret.chmod(0o644)
    load(write(tmp_path, with_secret_file(secret)), warn=warnings.append)
    assert warnings == [
        f"{secret} holds the component's secret and every user of this machine may read it; "
        f"remedy: chmod o= {secret}"
    ]


def test_readable_file_with_secret_is_warned_of_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path, SMALLEST, 0o644)
    with caplog.at_level(logging.WARNING):
        load(path)
    assert f"{path} holds the component's secret" in caplog.text


def test_secret_file_mistakes(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    (problem,) = _secret_problem(tmp_path, secret)
    assert problem == (
        "[component] secret_file: cannot be read (No such file or directory); "
        "create it, or correct the path"
    )
    secret.mkdir()
    (problem,) = _secret_problem(tmp_path, secret)
    assert problem.endswith("name a file, not a folder")
    secret.rmdir()
    for content, text in (
        (b"\n", "is empty; write the secret into it"),
        (b"\xff", "holds no UTF-8 text"),
        (b"x" * 5000, "longer than 4096 bytes; it should hold the secret and no more"),
    ):
        secret.write_bytes(content)
        assert _secret_problem(tmp_path, secret) == [f"[component] secret_file: {text}"]


def _secret_problem(folder: Path, secret: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(write(folder, with_secret_file(secret)))
    assert str(secret) in str(caught.value)
    return [str(problem) for problem in caught.value.problems]


def test_both_secrets_or_an_empty_one(tmp_path: Path) -> None:
    both = SMALLEST.replace("[served]", 'secret_file = "/x"\n[served]')
    assert problems(tmp_path, both) == [
        "[component]: secret and secret_file are both given; give exactly one of the two"
    ]
    assert problems(tmp_path, SMALLEST.replace("hunter2", " ")) == [
        "[component] secret: found a value (not shown) (it is empty); allowed: text in quotes"
    ]


def test_toml_mistake_names_the_line(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, "[component]\njid = moved.example\n")
    assert problem.startswith("line 2, column 7: Invalid value")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"No such file.*copy config\.example\.toml there"):
        load(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="name a file, not a folder"):
        load(tmp_path)
    path = tmp_path / "latin.toml"
    path.write_bytes(b"# caf\xe9\n")
    with pytest.raises(ConfigError, match="byte 5 is no UTF-8"):
        load(path)
