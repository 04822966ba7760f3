"""Two different servers in one topology: "montague" of one kind, "capulet" of another."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tests.live.servers.base import Server, ServerSpec
from tests.live.servers.differences import Kind


def mix(here: Kind, there: Kind) -> Kind:
    """A kind whose server "montague" is ``here`` and whose "capulet" is ``there``.

    What a scenario's words say concerns the server without hook, capulet.
    """
    sides = {
        "montague": replace(here, noise=_with_presence_of(here, there)),
        "capulet": replace(there, noise=_with_presence_of(there, here)),
    }

    def make(name: str, program: Path, spec: ServerSpec, folder: Path) -> Server:
        return sides[spec.name].build(spec, folder)

    lacking = here if not here.available else there
    return Kind(
        f"{here.name}+{there.name}",
        lacking.program,
        lacking.missing,
        words=there.words,
        make=make,
        sides=sides,
    )


def _with_presence_of(own: Kind, other: Kind) -> Callable[[ET.Element], bool]:
    """A device sees the ways of its own server, and those of the other in presences from there."""

    def noise(stanza: ET.Element) -> bool:
        if own.noise is not None and own.noise(stanza):
            return True
        presence = stanza.tag == "{jabber:client}presence"
        return presence and other.noise is not None and other.noise(stanza)

    return noise
