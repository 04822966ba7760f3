#!/bin/sh
# Installs what running (and testing) this checkout needs on Debian 12.  Safe to repeat; quick when
# all is there.  No daemon is started, nothing in /etc/apt is changed.
#   setup.sh         everything for `make test`
#   setup.sh --lite  what `make demo` needs: no test extras, no second Prosody
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
lite=${1:-}

say() { echo "setup: $*"; }

missing() {
    for package in "$@"; do
        state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
        [ "$state" = installed ] || printf '%s ' "$package"
    done
}

install_packages() {
    needed=$(missing prosody lua-dbi-sqlite3 lua-unbound python3 python3-venv)
    [ -n "$needed" ] || return 0
    if [ "$(id -u)" -ne 0 ]; then
        say "these packages are missing, and only root can install them: $needed" >&2
        exit 1
    fi
    say "installing $needed"
    # Where no policy-rc.d exists, one of ours forbids the starting of daemons meanwhile.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT INT TERM
        printf '#!/bin/sh\nexit 101\n' > "$policy"
        chmod 755 "$policy"
    fi
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $needed ||
        { apt-get update &&
            DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $needed; }
}

make_venv() {
    extras=$([ "$lite" = --lite ] || echo '[test]')
    stamp=$root/.venv/.installed-$([ "$lite" = --lite ] && echo lite || echo test)
    if [ -e "$stamp" ] && [ ! "$root/pyproject.toml" -nt "$stamp" ]; then
        return 0
    fi
    if [ "$lite" = --lite ] && [ -e "$root/.venv/.installed-test" ] &&
        [ ! "$root/pyproject.toml" -nt "$root/.venv/.installed-test" ]; then
        return 0
    fi
    python=python3
    for candidate in python3.13 python3.12 python3.11 python3; do
        if command -v "$candidate" >/dev/null &&
            "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
                2>/dev/null; then
            python=$candidate
            break
        fi
    done
    say "making .venv with $("$python" --version)"
    [ -x "$root/.venv/bin/python" ] || "$python" -m venv "$root/.venv"
    "$root/.venv/bin/python" -m pip install --quiet --disable-pip-version-check \
        -e "$root$extras"
    touch "$stamp"
}

install_packages
make_venv
if [ "$lite" != --lite ]; then
    "$here/prosody-13.sh" || say "without Prosody 13.0: its tests will be skipped"
    "$here/ejabberd.sh" || say "without ejabberd 24.12: its tests will be skipped"
    "$here/clients.sh" || say "without profanity and poezio: their tests will be skipped"
fi
say "ready"
