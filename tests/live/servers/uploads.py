"""Options of servers that keep files of their users (XEP-0363), over plain HTTP on loopback."""

from __future__ import annotations

import json
from pathlib import Path

from tests.live.servers import prosody
from tests.live.servers.differences import Kind
from tests.live.servers.ejabberd import HELP_PORT
from tests.live.servers.prosody import lua_value

HTTP_PORT = 25281
"""Of Prosody."""
MOST_BYTES = 200 * 1024 * 1024
"""Of a file, and of all files of a user's in a day."""


def with_uploads(kind: Kind, address: str, hosts: tuple[str, ...], folder: Path) -> dict[str, str]:
    """Options of a server on this address that keeps files for its first host.

    Prosody's hosts are upload services themselves; ejabberd's has a name of its own.
    """
    if kind.name.startswith("ejabberd"):
        # Of several hosts each needs an address of its own, or the server does not start.
        url = f"http://{address}:{HELP_PORT}/upload/@HOST@"
        store = {
            "put_url": url,
            "docroot": str(folder / "upload"),
            "access": "all",
            "max_size": MOST_BYTES,
        }
        return {"modules.mod_http_upload": json.dumps(store)}
    return {
        "modules_disabled": '{ "tls", "s2s_auth_certs", "admin_shell", "admin_socket" }',
        "modules_enabled": lua_value([*prosody.MODULES, "http", "http_file_share"]),
        "http_ports": f"{{ {HTTP_PORT} }}",
        "https_ports": "{}",
        "http_interfaces": lua_value([address]),
        "http_external_url": lua_value(f"http://{address}:{HTTP_PORT}/"),
        "http_default_host": lua_value(hosts[0]),
        "http_file_share_size_limit": str(MOST_BYTES),
        "http_file_share_daily_quota": str(MOST_BYTES),
    }
