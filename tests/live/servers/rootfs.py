"""Runs a program inside a root of its own, where tests/bootstrap/newer.sh put a newer Debian."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).parents[3]
SUITES = ("trixie-backports", "forky", "trixie")
"""Debian suites that newer.sh fetches, the most interesting one first."""

# In a mount namespace of its own, which ends with the last process in it: the checkout, the
# working folder and /tmp are where they are outside; so are /proc and /dev.  Everything is exec,
# so signals to the child are signals to the server.
_SCRIPT = """
set -eu
root=$1 checkout=$2 here=$PWD
shift 2
mount --rbind /proc "$root/proc"
mount --rbind /dev "$root/dev"
for place in /tmp "$checkout" "$here"; do
    mkdir -p "$root$place"
    mount --bind "$place" "$root$place"
done
exec chroot "$root" /usr/bin/env -C "$here" "$@"
"""


@dataclass(frozen=True, slots=True)
class RootFs:
    """The root of one suite."""

    suite: str

    @property
    def path(self) -> Path:
        """Where the root is, seen from outside."""
        return CHECKOUT / ".cache" / self.suite / "root"

    @property
    def launcher(self) -> tuple[str, ...]:
        """What to put in front of a command so that it runs inside; needs root."""
        unshare = ("unshare", "--mount", "--propagation", "private")
        return (*unshare, "sh", "-c", _SCRIPT, "sh", str(self.path), str(CHECKOUT))

    def version(self, package: str) -> str | None:
        """The Debian version of what is inside, None where it is not there."""
        listed = self.path.with_name("versions")
        if not listed.exists():
            return None
        versions = dict(line.split() for line in listed.read_text().splitlines())
        return versions.get(package)
