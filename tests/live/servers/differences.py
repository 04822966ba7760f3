"""Where the servers are, and where they differ in ways no scenario should have to know."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.live.servers import ejabberd
from tests.live.servers.base import Server, ServerSpec
from tests.live.servers.prosody import Installation, Prosody

_ROOT = Path(__file__).parents[3]


def _prosody(name: str, program: Path, spec: ServerSpec, folder: Path) -> Server:
    return Prosody(Installation(name, program), spec, folder)


def _ejabberd(name: str, root: Path, spec: ServerSpec, folder: Path) -> Server:
    return ejabberd.Ejabberd(ejabberd.Installation(name, root), spec, folder)


@dataclass(frozen=True, slots=True)
class Kind:
    """One server in one version.

    ``excused`` maps the name of a scenario to the reason why it cannot pass on this server;
    ``words`` maps ``%name%`` in a scenario to what this server does at that place;
    ``noise`` picks the stanzas that only this server sends: clients drop them unseen;
    ``make`` builds it from its name, its program, what to start and a folder.
    """

    name: str
    program: Path
    missing: str
    excused: Mapping[str, str] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)
    noise: Callable[[ET.Element], bool] | None = None
    make: Callable[[str, Path, ServerSpec, Path], Server] = _prosody

    sides: Mapping[str, Kind] = field(default_factory=dict)
    """The kind of each server of a topology, where they differ (tests/live/servers/mixed.py)."""

    def side(self, server: str) -> Kind:
        """The kind of a server of the topology, by its name."""
        return self.sides.get(server, self)

    @property
    def available(self) -> bool:
        """True where it is installed."""
        return self.program.exists()

    def build(self, spec: ServerSpec, folder: Path) -> Server:
        """Return a server that is not started yet."""
        return self.make(self.name, self.program, spec, folder)


def _unavailable_from_bare(stanza: ET.Element) -> bool:
    """Prosody answers a delivered ``subscribe`` with ``unavailable`` from the bare JID.

    mod_presence, "acknowledging receipt"; RFC 6121 does not ask for it and no other server does it.
    """
    return (
        stanza.tag == "{jabber:client}presence"
        and stanza.get("type") == "unavailable"
        and "/" not in stanza.get("from", "/")
    )


# mod_presence pushes an entry whenever its owner sends a request, also where nothing changed; RFC
# 6121 A.2.1 knows no push for that, and ejabberd sends none.  mod_roster of ejabberd names an entry
# after the nickname in the request (XEP-0172).  When a blocked entry is removed, mod_presence of
# Prosody tells the contact, and mod_blocklist bounces the unavailable presence among that.
_PROSODY_WORDS = {"unchanged": "", "nick-as-name": "", "block-bounce": ""}
_EJABBERD_WORDS = {"unchanged": "#", "nick-as-name": '"Romeo"', "block-bounce": "#"}

# "stock-" names a presence whose effect on this server's rosters is not that of RFC 6121.
_EJABBERD_EXCUSED = {
    "stock-unsubscribed": "mod_shared_roster, in Debian's default configuration, makes of it the "
    "end of both ways; the hook does as the RFC has it"
}

KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "prosody-0.12",
            Path("/usr/bin/prosody"),
            "Prosody 0.12 is not installed: run tests/bootstrap/setup.sh",
            words=_PROSODY_WORDS,
            noise=_unavailable_from_bare,
        ),
        Kind(
            "prosody-13.0",
            _ROOT / ".cache/prosody-13/usr/bin/prosody",
            "Prosody 13.0 could not be fetched: see the output of tests/bootstrap/setup.sh",
            words=_PROSODY_WORDS,
            noise=_unavailable_from_bare,
        ),
        Kind(
            "ejabberd-24.12",
            _ROOT / ".cache/ejabberd-24.12",
            "ejabberd 24.12 could not be fetched: see the output of tests/bootstrap/setup.sh",
            excused=_EJABBERD_EXCUSED,
            words=_EJABBERD_WORDS,
            noise=ejabberd.Differences(),
            make=_ejabberd,
        ),
    )
}
"""All servers that the live tests know, by the names that ``--server`` takes."""
