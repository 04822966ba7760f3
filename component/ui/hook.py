"""What ``hook prosody``, ``hook snikket`` and ``hook ejabberd`` do and print."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from component.config import config_path
from component.config.types import prepare_domain
from component.hooks import installer, lines
from component.hooks.installer import MODULE, Installed, InstallError
from component.hooks.lines import CannotEdit, HookSetup

if TYPE_CHECKING:
    from component.config import Config

PROSODY_FILE = Path("/etc/prosody/conf.d/moved.cfg.lua")
EJABBERD_FILE = Path("/etc/ejabberd/ejabberd.yml")
SNIKKET = Path("/snikket/prosody")
"""The folder prosody of Snikket's data, in its container; each *.cfg.lua there is included."""
_PROSODY_VERSIONS = ("/usr/lib/prosody/prosody.version", "/usr/local/lib/prosody/prosody.version")


def plan(
    config: Config | None,
    path: Path | None,
    jid: str | None,
    hosts: Sequence[str],
    folder: Path | None,
    secret: bool,
) -> HookSetup:
    """What to print for this configuration, where ``jid`` and ``hosts`` win over it.

    :param path: the configuration file as given, to say where the secret is
    :param secret: whether the secret is wanted in clear
    :raises typer.BadParameter: an address is none, or what is needed is nowhere
    :raises ConfigError: the secret is wanted and cannot be read
    """
    where = folder.absolute() if folder else None
    own = _domain("--jid", jid) if jid else None
    served = [_domain("--host", host) for host in hosts]
    if config is None:
        if secret:
            raise typer.BadParameter("without a configuration there is no secret to show or write")
        return HookSetup(own or "", served, folder=where)
    component = config.component
    return HookSetup(
        own or component.jid,
        served or config.served.hosts,
        component.host,
        component.port,
        component.reveal(str(config_path(path))) if secret else None,
        f"the content of {component.secret_file}"
        if component.secret_file
        else f"the secret of [component] in {config_path(path)}",
        where,
    )


def prosody(setup: HookSetup, file: Path | None) -> str:
    """Install the module and write the lines, where that was asked; tells what is left to do.

    :param file: where the lines go; None: they are printed
    :raises InstallError: something cannot be installed or written
    """
    done = Done()
    if setup.folder is not None:
        done.module(setup.folder, installer.install_prosody(setup.folder))
    setup, taken = _beside_others(replace(setup, appends=_appends()), file or PROSODY_FILE)
    text = lines.prosody_lines(setup)
    if file is not None:
        if taken is not None:
            raise InstallError(
                f"{taken} sets plugin_paths, and a second one would replace it: name one of its "
                f"folders with --to, or add {setup.folder} there"
            )
        done.file(file, installer.write_own(file, text, lines.PROSODY_HEADER))
    else:
        done.lines(f"Configuration, as {PROSODY_FILE} (--write {PROSODY_FILE} does it)", text)
    commands = lines.prosody_commands(setup, done.installed)
    back = f"rm {file or PROSODY_FILE} && systemctl restart prosody"
    return done.text(*commands, back=back)


def snikket(setup: HookSetup, data: Path | None) -> str:
    """The same for Snikket.

    :param data: the folder that its container sees as /snikket; None: the lines are printed
    :raises InstallError: something cannot be installed or written
    """
    done = Done()
    text = lines.prosody_lines(replace(setup, folder=SNIKKET / "modules", appends=True))
    if data is None:
        file = SNIKKET / "moved.cfg.lua"
        done.lines(f"Configuration, as {file} in the container (--data DIR does it)", text)
    else:
        folder, file = data / "prosody" / "modules", data / "prosody" / "moved.cfg.lua"
        installer.make_folder(folder)
        done.module(folder, installer.install_prosody(folder))
        done.file(file, installer.write_own(file, text, lines.PROSODY_HEADER))
    again = "docker restart snikket && xmpp-moved check"
    return done.text(again, back=f"rm {file} && docker restart snikket")


def ejabberd(setup: HookSetup, file: Path | None) -> str:
    """The same for ejabberd, whose one file is edited: only once the module is compiled.

    :param file: its ``ejabberd.yml``; None: the lines are printed
    :raises InstallError: something cannot be installed or written
    """
    done = Done()
    folder = setup.folder
    if folder is not None:
        done.module(folder, installer.install_ejabberd(folder))
    again = "ejabberdctl reload_config && xmpp-moved check"
    backup = f"{file or EJABBERD_FILE}.before-moved"
    back = f"cp -p {backup} {file or EJABBERD_FILE} && ejabberdctl reload_config"
    compiled = folder is not None and installer.ejabberd_compiled(folder)
    if file is None:
        if not compiled or done.installed is not Installed.SAME:
            first = lines.ejabberd_install(done.installed)
            done.todo("First, while ejabberd runs and before its configuration is touched", *first)
        title = f"Only then the configuration, {EJABBERD_FILE} (--write {EJABBERD_FILE} does it)"
        done.lines(title, lines.ejabberd_lines(setup))
        return done.text(f"cp -p {EJABBERD_FILE} {backup}   # before you edit it", again, back=back)
    if not compiled:
        compile_it = " ".join(lines.ejabberd_install(done.installed))
        raise InstallError(
            f"{file} is untouched: an ejabberd that cannot load a module which is named there does "
            "not start, and this one is not compiled yet. "
            + (f"Run: {compile_it}" if folder else "Name its folder with --to")
        )
    try:
        edited = installer.write_edited(
            file, lambda text: lines.ejabberd_edited(text, setup), lines.ejabberd_without
        )
    except CannotEdit as error:
        raise InstallError(
            f"{file} is untouched: {error}. Put the lines in by hand; without --write they are "
            "printed"
        ) from None
    done.file(file, edited)
    if lines.ejabberd_left_out(file.read_text()):
        done.remark(
            "mod_roster has no options on lines of their own, so store_current_id: true was left "
            "out: put it there, or each roster push hashes the whole roster"
        )
    if file.stat().st_mode & 0o004:
        done.remark(
            f"{file} holds the component's secret and every user of this machine may read it; "
            f"remedy: chmod o= {file}"
        )
    return done.text(again, back=back)


class Done:
    """What a command did and what is left to do, as it is printed."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self.installed: Installed | None = None
        """What became of the module; None: it was not asked for."""

    def module(self, folder: Path, installed: Installed) -> None:
        """The module was copied."""
        self.installed = installed
        self._parts.append(f"{folder / MODULE}: {_WHAT[installed]}\n")

    def file(self, file: Path, written: Installed) -> None:
        """The lines were written."""
        same = "as it should be; nothing was changed."
        self._parts.append(f"{file}: {same if written is Installed.SAME else 'written.'}\n")

    def remark(self, text: str) -> None:
        """Something that the admin should look at."""
        self._parts.append(f"Warning: {text}.\n")

    def lines(self, title: str, text: str) -> None:
        """Lines of a configuration, to be put in by hand."""
        self._parts.append(f"{title}:\n\n{text}")

    def todo(self, title: str, *commands: str) -> None:
        """Commands for the admin's shell."""
        self._parts.append(f"{title}:\n\n" + "".join(f"    {command}\n" for command in commands))

    def text(self, *commands: str, back: str) -> str:
        """Everything, and what comes last; ``back`` undoes it."""
        self.todo("Then", *commands)
        self.todo("The way back", back)
        return "\n".join(self._parts)


_WHAT = {
    Installed.NEW: "installed.",
    Installed.UPDATED: "updated; the old version runs until the module is reloaded.",
    Installed.SAME: "installed already, the same version; nothing was changed.",
}


def _beside_others(setup: HookSetup, file: Path) -> tuple[HookSetup, Path | None]:
    """With a look at the other files of this Prosody's configuration: what they say of the folder.

    :returns: the second is a file whose ``plugin_paths`` ours would replace
    """
    named = {}
    for other in sorted({*file.parent.glob("*.cfg.lua"), *file.parent.parent.glob("*.cfg.lua")}):
        if other != file:
            with suppress(OSError):
                named[other] = lines.prosody_paths(other.read_text(errors="replace"))
    folders = {Path(path) for paths in named.values() for path in paths or ()}
    if setup.folder is None or setup.folder in folders:
        return replace(setup, found=True), None
    taken = next((other for other, paths in named.items() if paths is not None), None)
    return setup, None if setup.appends else taken


def _appends() -> bool:
    """Whether the Prosody of this machine can append to its lists: 13.0 can, 0.12 fails at it."""
    for name in _PROSODY_VERSIONS:
        try:
            version = Path(name).read_text().strip()
        except OSError:
            continue
        return not version.startswith("0.")
    return False


def _domain(option: str, text: str) -> str:
    try:
        return prepare_domain(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None
