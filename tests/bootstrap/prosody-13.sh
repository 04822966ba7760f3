#!/bin/sh
# Puts Prosody 13.0 into .cache/prosody-13, from the backports suite that belongs to this machine's
# own apt sources.  The system's apt configuration and state stay as they are; the program runs
# from its folder with the Lua libraries of the installed Prosody 0.12.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
target=$root/.cache/prosody-13
work=$root/.cache/apt
suite=bookworm

fail() {
    echo "prosody-13: $*" >&2
    exit 1
}

[ ! -x "$target/usr/bin/prosody" ] || exit 0
rm -rf "$work"
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/deb"

# The stanza (or line) that brings $suite brings its backports too.
for file in /etc/apt/sources.list.d/*.sources; do
    [ -e "$file" ] || continue
    awk -v suite="$suite" '
        BEGIN { RS = ""; FS = "\n" }
        {
            hit = 0; enabled = 1
            for (i = 1; i <= NF; i++) {
                if ($i ~ /^Suites:/ && (" " substr($i, 8) " ") ~ ("[ \t]" suite "[ \t]")) hit = 1
                if ($i ~ /^Enabled:[ \t]*no/) enabled = 0
            }
            if (!hit || !enabled) next
            for (i = 1; i <= NF; i++) {
                if ($i ~ /^Suites:/) print "Suites: " suite "-backports"
                else if ($i ~ /^Components:/) print "Components: main"
                else print $i
            }
            print ""
            exit
        }' "$file" >> "$work/backports.sources"
done
list=$work/backports.sources
if [ ! -s "$list" ]; then
    rm -f "$list"
    list=$work/backports.list
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [ ! -e "$file" ] || cat "$file"
    done | sed -n -E "s/^(deb([[:space:]]+\[[^]]*\])?[[:space:]]+[^[:space:]]+)[[:space:]]+$suite[[:space:]]+.*/\1 $suite-backports main/p" |
        head -n 1 > "$list"
fi
[ -s "$list" ] || fail "no apt source of this machine has the suite $suite"

private() {
    apt-get -q -o Dir::Etc::sourcelist="$list" -o Dir::Etc::sourceparts=- \
        -o Dir::State::lists="$work/lists" -o Dir::Cache="$work/cache" \
        -o APT::Sandbox::User=root "$@"
}

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
