"""Data forms (XEP-0004) between elements and values."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from component.core.conditions import Condition
from component.xmpp.errors import StanzaError
from component.xmpp.names import NS_FORMS

_X = f"{{{NS_FORMS}}}x"
_FIELD = f"{{{NS_FORMS}}}field"
_VALUE = f"{{{NS_FORMS}}}value"
_MAX_FIELDS = 100


@dataclass(frozen=True, slots=True)
class FormField:
    """One field of a form to be filled in (XEP-0004 section 3.2)."""

    var: str
    type: str
    """One of section 3.3, such as ``text-single``."""
    label: str
    required: bool = False
    values: tuple[str, ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    """Value and label of each choice."""
    description: str | None = None


def write_form(title: str, instructions: str, fields: Sequence[FormField]) -> ET.Element:
    """``<x type='form'/>``.

    :param instructions: may have several lines; each becomes an ``<instructions/>`` of its own,
        because clients show the element as one paragraph.
    """
    x = ET.Element(_X, {"type": "form"})
    ET.SubElement(x, f"{{{NS_FORMS}}}title").text = title
    for line in instructions.splitlines():
        if line.strip():
            ET.SubElement(x, f"{{{NS_FORMS}}}instructions").text = line
    for field in fields:
        x.append(_write_field(field))
    return x


def _write_field(field: FormField) -> ET.Element:
    element = ET.Element(_FIELD, {"var": field.var, "type": field.type, "label": field.label})
    if field.description:
        ET.SubElement(element, f"{{{NS_FORMS}}}desc").text = field.description
    if field.required:
        ET.SubElement(element, f"{{{NS_FORMS}}}required")
    for value in field.values:
        ET.SubElement(element, _VALUE).text = value
    for value, label in field.options:
        option = ET.SubElement(element, f"{{{NS_FORMS}}}option", {"label": label})
        ET.SubElement(option, _VALUE).text = value
    return element


def read_submit(x: ET.Element) -> Mapping[str, tuple[str, ...]]:
    """The values of a submitted form, by field; unknown fields included.

    :raises StanzaError: ``bad-request`` where it is no submitted form, a field has no name, or
        two have the same.
    """
    if x.tag != _X or x.get("type") != "submit":
        raise StanzaError(Condition.BAD_REQUEST, "modify", "the form is not a submitted one")
    values: dict[str, tuple[str, ...]] = {}
    fields = x.findall(_FIELD)
    if len(fields) > _MAX_FIELDS:
        raise StanzaError(Condition.BAD_REQUEST, "modify", "the form has too many fields")
    for field in fields:
        var = field.get("var")
        if field.get("type") == "fixed":
            continue
        if not var or var in values:
            raise StanzaError(Condition.BAD_REQUEST, "modify", "a field has no name, or one twice")
        values[var] = tuple(value.text or "" for value in field.findall(_VALUE))
    return values
