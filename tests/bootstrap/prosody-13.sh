#!/bin/sh
# Puts Prosody 13.0 into .cache/prosody-13, from the backports suite that belongs to this machine's
# own apt sources.  The system's apt configuration and state stay as they are; the program runs
# from its folder with the Lua libraries of the installed Prosody 0.12.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
target=$root/.cache/prosody-13
work=$root/.cache/apt
suite=bookworm

fail() {
    echo "prosody-13: $*" >&2
    exit 1
}

[ ! -x "$target/usr/bin/prosody" ] || exit 0
. "$here/lib.sh"
fresh_work
other_suites "$suite" "$suite-backports" "$work" ||
    fail "no apt source of this machine has the suite $suite"
private update || fail "the lists of $suite-backports could not be fetched"
(cd "$work/deb" && private download "prosody/$suite-backports") ||
    fail "no package prosody in $suite-backports"
set -- "$work"/deb/prosody_13.*.deb
[ -e "$1" ] || fail "$suite-backports has no Prosody 13: $(ls "$work/deb")"

rm -rf "$target.new"
mkdir -p "$target.new"
dpkg -x "$1" "$target.new"
sed -i \
    -e "s|^CFG_SOURCEDIR=.*|CFG_SOURCEDIR='$target/usr/lib/prosody';|" \
    -e "s|^CFG_PLUGINDIR=.*|CFG_PLUGINDIR='$target/usr/lib/prosody/modules/';|" \
    -e "s|^CFG_CONFIGDIR=.*|CFG_CONFIGDIR='$target/etc/prosody';|" \
    -e "s|^CFG_DATADIR=.*|CFG_DATADIR='$target/data';|" \
    "$target.new/usr/bin/prosody"
rm -rf "$target"
mv "$target.new" "$target"
rm -rf "$work"
echo "prosody-13: $(cat "$target/usr/lib/prosody/prosody.version") is in $target"
