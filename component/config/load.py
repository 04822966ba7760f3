"""Reads the configuration file and the environment."""

from __future__ import annotations

import logging
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from component.config.errors import ConfigError, Problem
from component.config.explain import explain, stray_variables
from component.config.model import Config, readable_by_all

DEFAULT_PATH = Path("/etc/xmpp-moved/config.toml")
PATH_VARIABLE = "XMPP_MOVED_CONFIG"

_PLACE = re.compile(r"^(?P<what>.*) \(at (?P<where>[^)]*)\)$", re.DOTALL)


def config_path(given: Path | None = None, environ: Mapping[str, str] | None = None) -> Path:
    """The file to read: the one given, else the one in the environment, else the default."""
    if given is not None:
        return given
    named = (os.environ if environ is None else environ).get(PATH_VARIABLE)
    return Path(named) if named else DEFAULT_PATH


def load(
    path: Path | None = None,
    *,
    warn: Callable[[str], None] | None = None,
    secret: bool = True,
) -> Config:
    """The configuration of this file, with ``XMPP_MOVED__SECTION__KEY`` variables over it.

    :param path: the file; ``None`` for :data:`PATH_VARIABLE` or :data:`DEFAULT_PATH`
    :param warn: gets each sentence about what is allowed but unwise (default: the log)
    :param secret: whether the secret must be there; else it is not looked at
    :raises ConfigError: with everything that is wrong with the file, its values or its secret
    """
    source = config_path(path)
    values = _read(source)
    strays = list(stray_variables(os.environ))
    try:
        config = Config(**values)
    except ValidationError as error:
        raise ConfigError(str(source), [*explain(error, os.environ), *strays]) from None
    if strays:
        raise ConfigError(str(source), strays)
    if secret:
        config.component.reveal(str(source))
    for sentence in _warnings(source, config):
        (warn or logging.getLogger(__name__).warning)(sentence)
    return config


def _read(path: Path) -> dict[str, Any]:
    """The tables of a TOML file.

    :raises ConfigError: it cannot be read, or is no TOML
    """
    try:
        # Some editors begin a file with a byte order mark.
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except tomllib.TOMLDecodeError as error:
        match = _PLACE.match(str(error))
        text = f"{match['where']}: {match['what']}" if match else str(error)
        raise ConfigError(str(path), [Problem("", f"{text} (this is no valid TOML)")]) from None
    except UnicodeDecodeError as error:
        text = f"byte {error.start} is no UTF-8; save the file as UTF-8 text"
        raise ConfigError(str(path), [Problem("", text)]) from None
    except OSError as error:
        remedy = {
            FileNotFoundError: "copy config.example.toml there, or name another file with "
            f"--config or {PATH_VARIABLE}",
            PermissionError: "run as a user who may read it, or give that user the right: "
            f"chgrp xmpp-moved {path} && chmod 640 {path}",
            IsADirectoryError: "name a file, not a folder",
        }.get(type(error), "see to it that it can be read")
        text = f"cannot be read ({error.strerror or type(error).__name__}); {remedy}"
        raise ConfigError(str(path), [Problem("", text)]) from None


def _warnings(source: Path, config: Config) -> list[str]:
    """What works but should not stay so."""
    component = config.component
    holder = component.secret_file
    if holder is None and _secret_in_file(source):
        holder = str(source)
    if holder is not None and readable_by_all(holder):
        return [
            f"{holder} holds the component's secret and every user of this machine may read it; "
            f"remedy: chmod o= {holder}"
        ]
    return []


def _secret_in_file(path: Path) -> bool:
    component = _read(path).get("component")
    return isinstance(component, dict) and "secret" in component
