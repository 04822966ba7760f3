#!/bin/sh
# Puts ejabberd 24.12 and the Erlang libraries it needs into .cache/ejabberd-24.12, from the
# backports suite that belongs to this machine's own apt sources; Erlang/OTP itself is installed
# from the stable suite.  Safe to repeat; no daemon is started, nothing in /etc/apt is changed.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
target=$root/.cache/ejabberd-24.12
work=$root/.cache/apt-ejabberd
suite=bookworm
stamp=$target/.complete-1

otp="erlang-base erlang-asn1 erlang-crypto erlang-inets erlang-mnesia erlang-odbc erlang-os-mon
    erlang-public-key erlang-ssl erlang-syntax-tools erlang-xmerl
    libexpat1 libsqlite3-0 libyaml-0-2 zlib1g"
libraries="erlang-base64url erlang-goldrush erlang-idna erlang-jiffy erlang-jose erlang-lager
    erlang-unicode-util-compat erlang-p1-acme erlang-p1-cache-tab erlang-p1-eimp erlang-p1-mqtree
    erlang-p1-pkix erlang-p1-sqlite3 erlang-p1-stringprep erlang-p1-stun erlang-p1-tls
    erlang-p1-utils erlang-p1-xml erlang-p1-xmpp erlang-p1-yaml erlang-p1-yconf erlang-p1-zlib"

fail() {
    echo "ejabberd: $*" >&2
    exit 1
}

missing() {
    for package in "$@"; do
        state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
        [ "$state" = installed ] || printf '%s ' "$package"
    done
}

install_otp() {
    # shellcheck disable=SC2086
    needed=$(missing $otp)
    [ -n "$needed" ] || return 0
    [ "$(id -u)" -eq 0 ] || fail "these packages are missing, and only root can install them: $needed"
    # Where no policy-rc.d exists, one of ours forbids the starting of daemons meanwhile (epmd).
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT INT TERM
        printf '#!/bin/sh\nexit 101\n' > "$policy"
        chmod 755 "$policy"
    fi
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086
    apt-get -q -o DPkg::Lock::Timeout=300 install -y --no-install-recommends $needed ||
        { apt-get -q -o DPkg::Lock::Timeout=300 update &&
            apt-get -q -o DPkg::Lock::Timeout=300 install -y --no-install-recommends $needed; }
    # Erlang's packages enable the port mapper; nothing here needs it at the next boot.
    if command -v systemctl >/dev/null; then
        systemctl disable epmd.service epmd.socket >/dev/null 2>&1 || true
    fi
}

# The stanza (or line) that brings $suite brings its backports too.
backports_of() {
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
    [ ! -s "$list" ] || return 0
    rm -f "$list"
    list=$work/backports.list
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [ ! -e "$file" ] || cat "$file"
    done | sed -n -E "s/^(deb([[:space:]]+\[[^]]*\])?[[:space:]]+[^[:space:]]+)[[:space:]]+$suite[[:space:]]+.*/\1 $suite-backports main/p" |
        head -n 1 > "$list"
    [ -s "$list" ] || fail "no apt source of this machine has the suite $suite"
}

private() {
    apt-get -q -o Dir::Etc::sourcelist="$list" -o Dir::Etc::sourceparts=- \
        -o Dir::State::lists="$work/lists" -o Dir::Cache="$work/cache" \
        -o APT::Sandbox::User=root "$@"
}

# A library that backports does not have comes from the stable suite.
fetch() {
    (cd "$work/deb" && { private download "$1/$suite-backports" || apt-get -q download "$1"; })
}

install_otp
[ ! -e "$stamp" ] || exit 0
rm -rf "$work"
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/deb"
backports_of
private update || fail "the lists of $suite-backports could not be fetched"
for package in ejabberd $libraries; do
    fetch "$package" > "$work/fetch.log" 2>&1 || { cat "$work/fetch.log" >&2; fail "no $package"; }
done
set -- "$work"/deb/ejabberd_24.12*.deb
[ -e "$1" ] || fail "$suite-backports has no ejabberd 24.12: $(ls "$work/deb")"
rm -rf "$target.new"
mkdir -p "$target.new"
for package in "$work"/deb/*.deb; do
    dpkg -x "$package" "$target.new"
done
touch "$target.new/${stamp##*/}"
rm -rf "$target"
mv "$target.new" "$target"
rm -rf "$work"
echo "ejabberd: $(basename "$1" .deb) is in $target"
