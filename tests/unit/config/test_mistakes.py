"""What is said of values and files that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from component.config import ConfigError, load

from .support import SMALLEST, problems, write


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
            "[webpage]",
            "[webpage]: unknown section; "
            "known: component, served, database, contacts, movers, limits, metrics, log",
        ),
        (
            '[contacts]\nfollow = "maybe"',
            '[contacts] follow: found "maybe"; allowed: one of "auto", "ask", "never"',
        ),
        (
            "[contacts]\nundo_days = 0",
            "[contacts] undo_days: found 0; allowed: a whole number from 1 to 3650",
        ),
        (
            "[movers]\nlook_seconds = 0.1",
            "[movers] look_seconds: found 0.1; allowed: a number from 0.2 to 3600",
        ),
        (
            "[movers]\ncooldown_days = -1",
            "[movers] cooldown_days: found -1; allowed: a whole number from 0 to 3650",
        ),
        (
            "[movers]\nretry_hours = [1, -6]",
            "[movers] retry_hours: found -6; "
            "allowed: a list of at most 20 numbers from 0 to 8760, such as [1, 6, 24]",
        ),
        (
            "[movers]\nretry_hours = [1, true]",
            "[movers] retry_hours: found [1, true] (it holds a truth value); "
            "allowed: a list of at most 20 numbers from 0 to 8760, such as [1, 6, 24]",
        ),
        (
            "[movers]\nretry_hours = 6",
            "[movers] retry_hours: found 6; "
            "allowed: a list of at most 20 numbers from 0 to 8760, such as [1, 6, 24]",
        ),
        (
            "[movers]\ndomain_per_minute = 61",
            "[movers] domain_per_minute: found 61, allowed: at most domain_per_minute_max (60)",
        ),
        ("[movers]\nenabled = 2", "[movers] enabled: found 2; allowed: true or false"),
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


@pytest.mark.parametrize(
    "url",
    ["mysql://host/name", "sqlite+aiosqlite://", "postgresql+asyncpg://joe:hunter2@host"],
)
def test_database_url_mistakes_hide_the_password(tmp_path: Path, url: str) -> None:
    (problem,) = problems(tmp_path, f'{SMALLEST}[database]\nurl = "{url}"\n')
    assert problem.startswith("[database] url: found ")
    assert "hunter2" not in problem


def test_control_socket(tmp_path: Path) -> None:
    def with_control(path: str) -> str:
        return SMALLEST.replace("[served]", f'control = "{path}"\n[served]')

    assert load(write(tmp_path, with_control(" "))).component.control == ""
    fits = "/" + "x" * 99
    assert load(write(tmp_path, with_control(fits))).component.control == fits
    for path, text in (
        (fits + "x", "it is 101 bytes long"),
        ("/" + "ü" * 50, "it is 101 bytes long"),
        ("/run/\\u0000x", "it holds a NUL character"),
    ):
        (problem,) = problems(tmp_path, with_control(path))
        assert problem.startswith("[component] control: found ")
        assert problem.endswith(
            f'({text}); allowed: the path of a Unix socket, of at most 100 bytes, or "" for off'
        )


def test_toml_mistake_names_the_line(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, "[component]\njid = moved.example\n")
    assert problem.startswith("line 2, column 7: Invalid value")


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    assert load(write(tmp_path, f"\ufeff{SMALLEST}")) == load(write(tmp_path, SMALLEST))


@pytest.mark.parametrize(
    ("path", "right"),
    [("/var/lib/moved.db", True), ("moved.db", True), ("var", True), ("var/lib/moved.db", False)],
)
def test_an_absolute_path_that_has_lost_a_slash(tmp_path: Path, path: str, right: bool) -> None:
    text = f'{SMALLEST}[database]\nurl = "sqlite+aiosqlite:///{path}"\n'
    if right:
        assert load(write(tmp_path, text)).database.url.endswith(path)
        return
    (problem,) = problems(tmp_path, text)
    assert "write four slashes for an absolute path" in problem


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"No such file.*copy config\.example\.toml there"):
        load(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="name a file, not a folder"):
        load(tmp_path)
    path = tmp_path / "latin.toml"
    path.write_bytes(b"# caf\xe9\n")
    with pytest.raises(ConfigError, match="byte 5 is no UTF-8"):
        load(path)
