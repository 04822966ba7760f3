"""Turns validation errors into :class:`Problem` lists: the key, what was found, what is allowed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from component.config.errors import Problem
from component.config.model import ENV_PREFIX, Config
from component.config.types import Allowed, mask_url

_SHOWN = 60
"""Characters of a found value that are shown."""


def section_fields(section: str) -> dict[str, FieldInfo]:
    """The options of a section by name; empty for one that does not exist."""
    field = Config.model_fields.get(section)
    model = field.annotation if field else None
    if isinstance(model, type) and issubclass(model, BaseModel):
        return model.model_fields
    return {}


def allowed(field: FieldInfo) -> str:
    """What an option may hold, as it completes "allowed: ..."."""
    for mark in field.metadata:
        if isinstance(mark, Allowed):
            return mark.text
    kinds = _kinds(field.annotation)
    for mark in (nested for kind in kinds for nested in get_args(kind)):
        if isinstance(mark, Allowed):
            return mark.text
    kind = kinds[0]
    if kind is bool:
        return "true or false"
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(f'"{word}"' for word in get_args(kind))
    if kind in (int, float):
        noun = "a whole number" if kind is int else "a number"
        low = next((m.ge for m in field.metadata if hasattr(m, "ge")), None)
        high = next((m.le for m in field.metadata if hasattr(m, "le")), None)
        return noun if low is None or high is None else f"{noun} from {low} to {high}"
    return "text in quotes" if kind in (str, SecretStr) else "see config.example.toml"


def _kinds(annotation: Any) -> list[Any]:
    """The alternatives of a union without ``None``; anything else alone."""
    if get_origin(annotation) in (Union, UnionType):
        return [kind for kind in get_args(annotation) if kind is not NoneType]
    return [annotation]


def explain(error: ValidationError, environ: Mapping[str, str]) -> list[Problem]:
    """Each error of pydantic as a problem that an admin can act on.

    :param environ: the environment that was read, to say where a value came from
    """
    return [problem for detail in error.errors() for problem in _explain(detail, environ)]


def stray_variables(environ: Mapping[str, str]) -> Iterator[Problem]:
    """Environment variables with our prefix that name no section: a typing error, else unseen."""
    for name in sorted(environ):
        if not name.upper().startswith(ENV_PREFIX):
            continue
        section = name[len(ENV_PREFIX) :].lower().partition("__")[0]
        if section not in Config.model_fields:
            yield Problem(name, f"names no section{_near(section, Config.model_fields)}")


def _explain(detail: ErrorDetails, environ: Mapping[str, str]) -> Iterator[Problem]:
    loc = [str(part) for part in detail["loc"]]
    kind = detail["type"]
    said = str(detail.get("ctx", {}).get("error", ""))
    if not loc:
        yield Problem("", said or detail["msg"])
        return
    section, name = loc[0], loc[1] if len(loc) > 1 else None
    fields = section_fields(section)
    if name is None:
        yield from _explain_section(section, kind, said, fields, detail["input"])
        return
    key = f"[{section}] {name}"
    if kind == "extra_forbidden":
        yield Problem(key, "unknown option" + _nearest_option(section, name))
        return
    field = fields[name]
    if kind == "missing":
        yield Problem(key, f"missing; needed: {allowed(field)}")
        return
    variable = f"{ENV_PREFIX}{section}__{name}".upper()
    source = f" in the environment variable {variable}" if variable in environ else ""
    found = _show(section, name, detail["input"])
    said = f" ({said})" if said else ""
    yield Problem(key, f"found {found}{source}{said}; allowed: {allowed(field)}")


def _explain_section(
    section: str, kind: str, said: str, fields: Mapping[str, FieldInfo], found: Any
) -> Iterator[Problem]:
    if kind == "extra_forbidden":
        if isinstance(found, dict):
            yield Problem(f"[{section}]", "unknown section" + _near(section, Config.model_fields))
        else:
            where = _nearest_option("", section)
            yield Problem(section, f"this option stands in no section{where}")
    elif kind == "missing":
        needed = [name for name, field in fields.items() if field.is_required()]
        if section == "component":
            needed.append("secret or secret_file")
        yield Problem(f"[{section}]", f"the section is missing; it needs {' and '.join(needed)}")
    elif said:
        yield Problem(f"[{section}]", said)
    else:
        yield Problem(f"[{section}]", f"found {_clip(found)}; allowed: a section with options")


def _nearest_option(section: str, name: str) -> str:
    """``; did you mean ...?`` for an unknown option: here first, then in the other sections."""
    here = list(section_fields(section))
    if match := get_close_matches(name, here, n=1):
        return f'; did you mean "{match[0]}"?'
    everywhere = {
        option: other for other in Config.model_fields for option in section_fields(other)
    }
    if match := get_close_matches(name, everywhere, n=1, cutoff=0.8):
        return f"; did you mean [{everywhere[match[0]]}] {match[0]}?"
    return f"; known here: {', '.join(here)}" if here else ""


def _near(name: str, known: Mapping[str, object]) -> str:
    if match := get_close_matches(name, list(known), n=1, cutoff=0.7):
        return f"; did you mean [{match[0]}]?"
    return f"; known: {', '.join(known)}"


def _show(section: str, name: str, value: Any) -> str:
    """A found value, without what must stay secret."""
    if (section, name) == ("component", "secret"):
        return "a value (not shown)"
    if (section, name) == ("database", "url") and isinstance(value, str):
        value = mask_url(value)
    return _clip(value)


def _clip(value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = str(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
