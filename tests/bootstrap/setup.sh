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

. "$here/lib.sh"

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

# Only the programs: the tests run servers of their own.  Debian's package makes a cluster for the
# machine, and starts it at each boot, unless a file tells it not to (pg_createcluster(1),
# postgresql-common's createcluster.conf); ours is there for the time of the installation only.
install_postgresql() {
    [ -n "$(missing postgresql)" ] || return 0
    folder=/etc/postgresql-common/createcluster.d
    no_cluster=$folder/xmpp-moved-tests.conf
    if [ "$(id -u)" -eq 0 ]; then
        mkdir -p "$folder"
        echo "create_main_cluster = false" > "$no_cluster"
    fi
    failed=0
    (install_debian postgresql) || failed=1
    rm -f "$no_cluster"
    rmdir "$folder" 2>/dev/null || true
    return "$failed"
}

install_debian prosody lua-dbi-sqlite3 lua-unbound python3 python3-venv
make_venv
if [ "$lite" != --lite ]; then
    "$here/prosody-13.sh" || say "without Prosody 13.0: its tests will be skipped"
    "$here/ejabberd.sh" || say "without ejabberd 24.12: its tests will be skipped"
    install_postgresql || say "without PostgreSQL: its tests will be skipped"
    install_debian libfaketime || say "without libfaketime: the test of clock jumps is skipped"
    "$here/clients.sh" || say "without profanity and poezio: their tests will be skipped"
fi
say "ready"
