"""Writes ``config.example.toml`` from the model, so that the two cannot differ."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from component.config.explain import allowed
from component.config.model import Config

_HEAD = """\
# xmpp-moved: every option, at its default. Copy to /etc/xmpp-moved/config.toml and fill in
# [component] and [served]; the rest may go. Each option can also be given in the environment,
# as XMPP_MOVED__SECTION__KEY (lists as "a, b"), which wins over this file.
# This file is written by `python -m component.config`; change model.py or movers.py there instead.
"""

_TO_FILL_IN: dict[str, tuple[str, bool]] = {
    "component.jid": ('"moved.montague.example"', True),
    "component.secret": ('"..."', False),
    "component.secret_file": ('"/etc/xmpp-moved/secret"', False),
    "served.hosts": ('["montague.example"]', True),
}
"""What to show for options without a default, and whether as a live line."""


def example() -> str:
    """The text of the example file."""
    return "\n".join([_HEAD, *_sections()])


def _sections() -> Iterator[str]:
    for section, field in Config.model_fields.items():
        model = field.annotation
        assert isinstance(model, type)
        assert issubclass(model, BaseModel)
        purpose = inspect.cleandoc(model.__doc__ or "")
        options = [_option(section, name, option) for name, option in model.model_fields.items()]
        yield "\n".join([f"# {purpose}", f"[{section}]", *options])


def _option(section: str, name: str, field: FieldInfo) -> str:
    lines = [f"# {line}" for line in (field.description or "").splitlines()]
    lines.append(f"# Allowed: {allowed(field)}.")
    key = f"{section}.{name}"
    value, live = _TO_FILL_IN[key] if key in _TO_FILL_IN else (_toml(field.default), True)
    lines.append(f"{name} = {value}" if live else f"# {name} = {value}")
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    """A default as TOML; JSON is a subset for what occurs here."""
    return json.dumps(_plain(value), ensure_ascii=False)


def _plain(value: Any) -> Any:
    """Lists for tuples, and whole numbers without a fraction, as a person writes them."""
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
