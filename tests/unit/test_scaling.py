"""The configurations in docs/scaling.md are ones that work together."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

from component.config import Config, load

TEXT = (Path(__file__).parents[2] / "docs" / "scaling.md").read_text()


def blocks(language: str) -> list[str]:
    """Blocks of code in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


def instances(folder: Path) -> list[Config]:
    """Both instances, as the component reads them; their secrets are in files of the test."""
    found = []
    for number, block in enumerate(blocks("toml")):
        path = folder / f"config{number}.toml"
        path.write_text(block.replace("/etc/xmpp-moved", str(folder)))
        for name in re.findall(r'^secret_file = ".*/(.*)"', block, re.MULTILINE):
            (folder / name).write_text("x")
            (folder / name).chmod(0o600)
        path.chmod(0o600)
        found.append(load(path))
    return found


def test_two_instances_differ_in_what_each_needs_for_itself(tmp_path: Path) -> None:
    first, second = (one.model_dump(mode="json") for one in instances(tmp_path))
    apart = {
        (section, key)
        for section, values in first.items()
        for key, value in values.items()
        if value != second[section][key]
    }
    own = {("component", key) for key in ("jid", "secret_file", "port", "control")}
    assert apart == {*own, ("metrics", "listen")}
    assert first["database"]["url"].startswith("postgresql")


def test_both_servers_ask_both(tmp_path: Path) -> None:
    both = instances(tmp_path)
    names = [one.component.jid for one in both]
    (lua,) = blocks("lua")
    listed = re.findall(r"moved_hook_hosts = \{(.*)\}", lua)
    assert [json.loads(f"[{hosts}]") for hosts in listed] == [
        list(one.served.hosts) for one in both
    ]
    assert lua.count('modules_enabled = { "moved_hook" }') == len(both)
    assert re.findall(r'^Component "(.*)"', lua, re.MULTILINE) == names
    (text,) = blocks("yaml")
    ejabberd = yaml.safe_load(text)
    assert ejabberd["modules"]["mod_moved_hook"]["component"] == names
    ports = {name: one["port"] for one in ejabberd["listen"] for name in one["hosts"]}
    assert ports == {one.component.jid: one.component.port for one in both}
