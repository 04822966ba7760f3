"""The shared secret: where it may be, what is wrong with it, and that it is never shown."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from component.config import ConfigError, load

from .support import SMALLEST, problems, write


def test_secrets_are_in_no_repr_and_no_error(tmp_path: Path) -> None:
    text = f'{SMALLEST}[database]\nurl = "postgresql+asyncpg://joe:pass2@host/name"\n'
    config = load(write(tmp_path, text))
    assert "hunter2" not in repr(config) + str(config)
    assert "pass2" not in repr(config) + str(config)
    found = problems(tmp_path, SMALLEST.replace('secret = "', 'secert = "'))
    assert "hunter2" not in str(found)
    assert '[component] secert: unknown option; did you mean "secret"?' in found
    assert "1234" not in str(problems(tmp_path, SMALLEST.replace('"hunter2"', "1234")))


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
