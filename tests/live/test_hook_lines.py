"""What ``xmpp-moved hook ejabberd`` prints, in the configuration of a real ejabberd."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from component.hooks.lines import HookSetup, ejabberd_lines
from tests.live.daemon import Daemon
from tests.live.servers.addresses import free_address
from tests.live.servers.base import (
    C2S_PORT,
    COMPONENT_HOST,
    COMPONENT_PORT,
    COMPONENT_SECRET,
    ServerSpec,
)
from tests.live.servers.differences import KINDS
from tests.live.servers.ejabberd import HELP_PORT

HOSTS = ("montague.example", "verona.example")


async def test_the_printed_lines_make_it_work(wanted_kinds: frozenset[str], tmp_path: Path) -> None:
    kind = KINDS["ejabberd-24.12"]
    if kind.name not in wanted_kinds or not kind.available:
        pytest.skip(kind.missing)
    address = free_address()
    setup = HookSetup(COMPONENT_HOST, HOSTS, address, COMPONENT_PORT, COMPONENT_SECRET)
    printed = yaml.safe_load(ejabberd_lines(setup))
    help_listener = {
        "ip": address,
        "port": HELP_PORT,
        "module": "ejabberd_http",
        "request_handlers": {"/help": "mod_test_help"},
    }
    c2s = {"ip": address, "port": C2S_PORT, "module": "ejabberd_c2s", "access": "all"}
    extra = {
        "listen": json.dumps([c2s, help_listener, *printed["listen"]]),
        "modules.mod_roster": json.dumps(printed["modules"]["mod_roster"]),
        "append_host_config": json.dumps(printed["append_host_config"]),
    }
    zone = dict.fromkeys(HOSTS, address)
    server = kind.build(ServerSpec("printed", address, HOSTS, zone, extra=extra), tmp_path / "s")
    daemon = Daemon(
        tmp_path / "component",
        {
            "component": {
                "jid": COMPONENT_HOST,
                "secret": COMPONENT_SECRET,
                "host": address,
                "port": COMPONENT_PORT,
            },
            "served": {"hosts": list(HOSTS)},
            "metrics": {"listen": ""},
        },
    )
    await server.start()
    try:
        code, text = await daemon.run_command("check")
    finally:
        await server.stop()
    assert code == 0, text
