"""A real Prometheus scrapes the component; alerts and queries of the dashboard are evaluated."""

from __future__ import annotations

import asyncio
import json
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.live.faults.house import until
from tests.live.servers.addresses import free_address
from tests.live.servers.base import HookOptions
from tests.live.servers.differences import Kind
from tests.live.topology import Arrangement, Topology
from tests.unit.packaging.test_metrics_named import ALL, RULES

PORT = 29090
PATIENCE = 60.0
_VARIABLES = {"$__rate_interval": "1m", "$__range": "1h", "$instance": ".*"}

pytestmark = pytest.mark.full  # it fetches a package


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Debian's Prometheus, unpacked and not installed."""
    folder = tmp_path_factory.mktemp("prometheus")
    fetch = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", "prometheus"]
    subprocess.run(fetch, cwd=folder, check=True, capture_output=True)
    (package,) = folder.glob("*.deb")
    subprocess.run(["dpkg", "-x", package, folder], check=True)
    return folder / "usr" / "bin"


def test_the_alerts_are_well_formed(prometheus: Path) -> None:
    check = [str(prometheus / "promtool"), "check", "rules", str(RULES)]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


async def ask(address: str, path: str, **arguments: str) -> Any:
    """What Prometheus's own interface answers; None while it does not."""
    url = f"http://{address}:{PORT}/api/v1/{path}?{urllib.parse.urlencode(arguments)}"

    def read() -> Any:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return json.load(answer)["data"]
        except OSError:
            return None

    return await asyncio.to_thread(read)


async def test_alerts_and_dashboard(kind: Kind, tmp_path: Path, prometheus: Path) -> None:
    """Nothing is wrong while all is well, and the first alert knows when the component is gone."""
    stage = Topology(kind, Arrangement(hook=HookOptions(), component=True), tmp_path)
    daemon, address = stage.daemon, free_address()
    assert daemon is not None
    scraped = f"{stage.servers['montague'].spec.address}:29347"
    settings = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(RULES)],
        "scrape_configs": [
            {"job_name": "xmpp-moved", "static_configs": [{"targets": [scraped]}]},
        ],
    }
    config = tmp_path / "prometheus.yml"
    config.write_text(json.dumps(settings))  # which is YAML too
    await stage.start()
    process = await asyncio.create_subprocess_exec(
        prometheus / "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={tmp_path / 'tsdb'}",
        f"--web.listen-address={address}:{PORT}",
        stderr=subprocess.DEVNULL,
    )

    async def is_up(wanted: str) -> bool:
        found = await ask(address, "query", query='up{job="xmpp-moved"}')
        return found is not None and [one["value"][1] for one in found["result"]] == [wanted]

    async def states() -> dict[str, tuple[str, str]]:
        found = await ask(address, "rules")
        rules = [rule for group in (found or {}).get("groups", ()) for rule in group["rules"]]
        return {rule["name"]: (rule["health"], rule["state"]) for rule in rules}

    async def evaluated() -> bool:
        found = await states()
        return bool(found) and all(health != "unknown" for health, _ in found.values())

    async def down() -> bool:
        found = (await states()).get("XmppMovedDown")
        return found is not None and found[1] != "inactive"

    try:
        await until(lambda: is_up("1"), "scraped", PATIENCE, lambda: scraped)
        await until(evaluated, "evaluated", PATIENCE, lambda: "rules")
        assert set((await states()).values()) == {("ok", "inactive")}
        for where, query in ALL:
            for name, value in _VARIABLES.items():
                query = query.replace(name, value)
            assert await ask(address, "query", query=query) is not None, f"{where}: {query}"
        await daemon.stop()
        await until(down, "missed", PATIENCE, lambda: "rules")
    finally:
        process.terminate()
        await process.wait()
        await stage.stop()
