#!/bin/sh
# Puts ejabberd 24.12 and the Erlang libraries it needs into .cache/ejabberd-24.12, from the
# backports suite that belongs to this machine's own apt sources; Erlang/OTP itself is installed
# from the stable suite.  Safe to repeat; no daemon is started, nothing in /etc/apt is changed.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
target=$root/.cache/ejabberd-24.12
work=$root/.cache/apt-ejabberd
suite=bookworm
stamp=$target/.complete-2

otp="erlang-base erlang-asn1 erlang-crypto erlang-inets erlang-mnesia erlang-odbc erlang-os-mon
    erlang-public-key erlang-ssl erlang-syntax-tools erlang-xmerl
    libexpat1 libsqlite3-0 libyaml-0-2 zlib1g"
libraries="erlang-base64url erlang-goldrush erlang-idna erlang-jiffy erlang-jose erlang-lager
    erlang-unicode-util-compat erlang-p1-acme erlang-p1-cache-tab erlang-p1-eimp erlang-p1-mqtree
    erlang-p1-pgsql erlang-p1-pkix erlang-p1-sqlite3 erlang-p1-stringprep erlang-p1-stun erlang-p1-tls
    erlang-p1-utils erlang-p1-xml erlang-p1-xmpp erlang-p1-yaml erlang-p1-yconf erlang-p1-zlib"

fail() {
    echo "ejabberd: $*" >&2
    exit 1
}

. "$here/lib.sh"

# A library that backports does not have comes from the stable suite.
fetch() {
    (cd "$work/deb" && { private download "$1/$suite-backports" || apt-get -q download "$1"; })
}

# shellcheck disable=SC2086
if [ -n "$(missing $otp)" ]; then
    install_debian $otp || fail "Erlang is not complete"
    # Erlang's packages enable the port mapper; nothing here needs it at the next boot.
    if command -v systemctl >/dev/null; then
        systemctl disable epmd.service epmd.socket >/dev/null 2>&1 || true
    fi
fi
[ ! -e "$stamp" ] || exit 0
fresh_work
other_suites "$suite" "$suite-backports" "$work" ||
    fail "no apt source of this machine has the suite $suite"
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
