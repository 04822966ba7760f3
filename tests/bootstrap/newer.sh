#!/bin/sh
# Puts the Prosody and the ejabberd of Debian's newer suites, with all they need down to libc, into
# .cache/<suite>/root; tests/live/servers/rootfs.py runs them from there.  Only `make test-matrix`
# uses them.  Fetched through the machine's own apt sources, with apt state of our own: no package
# is installed, none of its scripts runs, no daemon is started, nothing in /etc/apt is changed.
# Safe to repeat; remove .cache/<suite> to get what the suite has today.
#   newer.sh [suite...]   all of trixie, trixie-backports and forky by default
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
own=bookworm
servers="prosody ejabberd"
# What no package depends on but every root has, and the DNS library that the tests need.
base="base-files base-passwd dash coreutils sed grep lua-unbound lua-dbi-sqlite3"
recipe=1

fail() {
    echo "newer: $*" >&2
    exit 1
}

. "$here/lib.sh"

sources() {
    other_suites "$own" "$1" "$work" || fail "no apt source of this machine has the suite $own"
}

# Unlike that of lib.sh: for apt-get and apt-cache, and blind to the machine's preferences.
private() {
    tool=$1
    shift
    "$tool" -q -o Dir::Etc::sourcelist="$list" -o Dir::Etc::sourceparts=- \
        -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null \
        -o Dir::State="$work/state" -o Dir::State::status="$work/status" \
        -o Dir::State::lists="$work/lists" -o Dir::Cache="$work/cache" \
        -o APT::Default-Release="$suite" -o APT::Sandbox::User=root "$@"
}

get() {
    suite=$1
    target=$root/.cache/$suite
    [ ! -e "$target/.complete-$recipe" ] || return 0
    work=$root/.cache/apt-$suite
    rm -rf "$work"
    mkdir -p "$work/state" "$work/lists/partial" "$work/cache/archives/partial" "$work/new/root"
    : > "$work/status"
    case $suite in
        *-backports) sources "${suite%-backports} ${suite%-backports}-updates $suite" ;;
        *) sources "$suite" ;;
    esac
    private apt-get update || fail "the lists of $suite could not be fetched"
    wanted=
    for server in $servers; do
        if private apt-cache show "$server" > /dev/null 2>&1; then
            wanted="$wanted $server"
        else
            echo "newer: $suite has no $server" >&2
        fi
    done
    [ -n "$wanted" ] || fail "$suite has none of: $servers"
    # shellcheck disable=SC2086
    private apt-get install -y --no-install-recommends --download-only $base $wanted ||
        fail "the packages of $suite could not be fetched"
    # First base-files, because it makes /bin, /lib and the like links into /usr.
    for package in "$work"/cache/archives/base-files_*.deb "$work"/cache/archives/*.deb; do
        dpkg-deb -x "$package" "$work/new/root"
    done
    for server in $wanted erlang-base; do
        for package in "$work/cache/archives/${server}_"*.deb; do
            [ ! -e "$package" ] || echo "$server $(dpkg-deb -f "$package" Version)"
        done
    done > "$work/new/versions"
    touch "$work/new/.complete-$recipe"
    rm -rf "$target"
    mv "$work/new" "$target"
    rm -rf "$work"
    echo "newer: $target has" $(cat "$target/versions")
}

[ "$(id -u)" -eq 0 ] || fail "only root can run a server from a root of its own"
unshare --mount true || fail "this machine does not let us bind folders into a root"
if [ "$#" -eq 1 ]; then
    get "$1"
    exit 0
fi
failed=0
[ "$#" -gt 0 ] || set -- trixie-backports forky trixie
for one in "$@"; do
    # Where one suite cannot be had, the others are fetched all the same.
    "$0" "$one" || failed=1
done
exit "$failed"
