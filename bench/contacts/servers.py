"""The servers of a measurement: each way with a host of its own, on one server."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from bench.contacts.cases import Setting, Storage
from bench.contacts.play import DOMAIN
from bench.contacts.ways import Way
from tests.live.servers import ejabberd, prosody
from tests.live.servers.base import Server, ServerSpec
from tests.live.servers.differences import KINDS
from tests.live.servers.prosody import lua_value

OTHER_HOST, FAR_HOST = "other.example", "far.example"
"""Hosts of old accounts: on the same server, on another one."""

_MODULES = Path(__file__).with_name("prosody_modules")
_TESTS_ONLY = ("test_fault", "test_saves")


class BenchProsody(prosody.Prosody):
    """Prosody whose hosts differ.

    Args:
        peer: the in-process module, as a name on the module path.
    """

    def __init__(
        self, installation: prosody.Installation, spec: ServerSpec, folder: Path, peer: str
    ) -> None:
        self._peer = peer
        super().__init__(installation, spec, folder)

    def _host_lines(self, host: str) -> list[str]:
        way = next((way for way in Way if way.host == host), None)
        modules = ["bench_rosters"]
        lines = []
        if way is not None and way.hooked:
            modules.append("moved_hook")
            lines.append(f"moved_hook_component = {lua_value(way.component)}")
        elif way is Way.PEER:
            modules.append(self._peer)
        return [f"modules_enabled = {lua_value(modules)}", *lines]


def build(
    setting: Setting,
    ways: Sequence[Way],
    address: str,
    zone: dict[str, str],
    folder: Path,
    peer: Path | None,
) -> Server:
    """The server of the contacts, not started.

    Args:
        peer: folder of an original mod_auto_moved; None: the stand-in.
    """
    kind = KINDS[setting.server]
    hosts = (*(way.host for way in ways), OTHER_HOST)
    components = (DOMAIN, *(way.component for way in ways if way.hooked))
    if setting.server.startswith("prosody"):
        extra = _prosody_extra(setting, folder, peer)
        spec = ServerSpec("contacts", address, hosts, zone, components, None, extra)
        installation = prosody.Installation(kind.name, kind.program)
        module = "bench_peer" if peer is None else "auto_moved"
        return BenchProsody(installation, spec, folder, module)
    extra = _ejabberd_extra(setting, ways, folder)
    return kind.build(ServerSpec("contacts", address, hosts, zone, components, None, extra), folder)


def build_far(setting: Setting, address: str, zone: dict[str, str], folder: Path) -> Server:
    """The server of the old accounts, not started."""
    spec = ServerSpec("far", address, (FAR_HOST,), zone)
    return KINDS[setting.server].build(spec, folder)


def _prosody_extra(setting: Setting, folder: Path, peer: Path | None) -> dict[str, str]:
    modules = [name for name in prosody.MODULES if name not in _TESTS_ONLY]
    modules += ["bench_profile"] if setting.looks else []
    paths = [str(prosody.HOOK_MODULES), str(_MODULES), *([str(peer)] if peer else [])]
    log = {"levels": {"min": "info"}, "to": "file", "filename": str(folder / "prosody.log")}
    storage = {
        Storage.INTERNAL: "internal",
        Storage.SQLITE: "sql",
        Storage.MEMORY: "memory",
    }[setting.storage]
    return {
        "modules_enabled": lua_value(modules),
        "plugin_paths": lua_value(paths),
        "log": lua_value([log]),
        "storage": lua_value(storage),
        "sql": lua_value({"driver": "SQLite3", "database": "prosody.sqlite"}),
    }


def _ejabberd_extra(setting: Setting, ways: Sequence[Way], folder: Path) -> dict[str, str]:
    hooks = {
        way.host: {"modules": {"mod_moved_hook": {"component": [way.component]}}}
        for way in ways
        if way.hooked
    }
    extra = {"append_host_config": json.dumps(hooks)}
    if setting.storage is Storage.SQLITE:
        options = {
            "default_db": "sql",
            "sql_type": "sqlite",
            "sql_database": str(folder / "ejabberd.sqlite"),
            "new_sql_schema": True,
        }
        extra |= {key: json.dumps(value) for key, value in options.items()}
    return extra


def is_ejabberd(server: Server) -> ejabberd.Ejabberd | None:
    """The server, if it is one."""
    return server if isinstance(server, ejabberd.Ejabberd) else None
