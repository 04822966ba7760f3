#!/bin/sh
# Makes a Debian root that tests/machines boots: .cache/machines/SUITE/root, minimal, with systemd,
# and above it .cache/machines/SUITE-NAME/upper, an overlay with the packages of one kind of
# machine.  Taken from this machine's own apt sources, with apt state of our own; nothing of this
# machine's own system is changed but for debootstrap, which is installed.
# Safe to repeat, quick when all is there; remove .cache/machines to get what the suite has today.
#   machines.sh SUITE NAME package...
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
suite=$1
name=$2
shift 2
cache=$root/.cache/machines
base=$cache/$suite
layer=$cache/$suite-$name
recipe=1
own=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
# What every machine has: what boots it, what a person at it uses, and TLS.
common="systemd systemd-sysv dbus iproute2 iputils-ping procps less ca-certificates adduser
    debian-archive-keyring openssl"

say() { echo "machines: $*"; }
fail() {
    echo "machines: $*" >&2
    exit 1
}

. "$here/lib.sh"

# The mirror that this machine's sources name for its own suite, and the key that signs it.
mirror() {
    if [ "${list##*.}" = sources ]; then
        sed -n 's/^URIs:[[:space:]]*\([^[:space:]]*\).*/\1/p' "$list"
    else
        sed -E 's/^deb([[:space:]]+\[[^]]*\])?[[:space:]]+([^[:space:]]+).*/\2/' "$list"
    fi | head -n 1
}

make_base() {
    install_debian debootstrap || fail "debootstrap is missing"
    say "making a root of $suite"
    work=$cache/apt-$suite
    fresh_work
    other_suites "$own" "$suite" "$work" || fail "no apt source of this machine has the suite $own"
    rm -rf "$base.new"
    mkdir -p "$base.new"
    # What is lost in a crash of this machine is made anew.
    DPKG_FORCE=unsafe-io debootstrap --variant=minbase --include="$(echo $common | tr ' ' ',')" \
        "$suite" "$base.new/root" "$(mirror)" > "$base.new/log" 2>&1 ||
        { tail -n 20 "$base.new/log" >&2; fail "debootstrap of $suite failed"; }
    rm -rf "$base.new/root/var/cache/apt/archives"/*.deb "$work"
    touch "$base.new/.complete-$recipe"
    rm -rf "$base"
    mv "$base.new" "$base"
}

# In a namespace of its own, so that nothing is left mounted: apt in the root, above the base.
make_layer() {
    say "installing in $suite-$name: $*"
    work=$cache/apt-$suite-$name
    fresh_work
    # Updates too, where the suite has them.
    other_suites "$own" "$suite $suite-updates" "$work" ||
        fail "no apt source of this machine has the suite $own"
    rm -rf "$layer.new"
    mkdir -p "$layer.new/upper" "$layer.new/work" "$layer.new/root"
    apt-config dump Acquire | grep -v '::Languages\|::CompressionTypes' > "$work/acquire"
    unshare --mount --pid --fork --propagation private "$0" --inside \
        "$base/root" "$layer.new" "$list" "$work/acquire" "$*" > "$layer.new/log" 2>&1 ||
        { tail -n 20 "$layer.new/log" >&2; fail "the packages of $suite-$name are not complete"; }
    rm -rf "$layer.new/work" "$layer.new/root" "$work"
    touch "$stamp"
    rm -rf "$layer"
    mv "$layer.new" "$layer"
}

if [ "$suite" = --inside ]; then
    base=$name layer=$1 list=$2 acquire=$3 packages=$4
    mount -t overlay -o "lowerdir=$base,upperdir=$layer/upper,workdir=$layer/work" \
        overlay "$layer/root"
    cd "$layer/root"
    mount -t proc proc proc
    mount --rbind /dev dev
    mount -t tmpfs tmpfs run
    cp /etc/resolv.conf etc/resolv.conf
    cp "$acquire" etc/apt/apt.conf.d/00machines
    rm -f etc/apt/sources.list
    cp "$list" "etc/apt/sources.list.d/machines.${list##*.}"
    printf '#!/bin/sh\nexit 101\n' > usr/sbin/policy-rc.d
    chmod 755 usr/sbin/policy-rc.d
    inside() { chroot . env -i DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 \
        DPKG_FORCE=unsafe-io \
        PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"; }
    inside apt-get -q -o APT::Sandbox::User=root update
    # shellcheck disable=SC2086
    inside apt-get -q -y -o APT::Sandbox::User=root install $packages
    inside apt-get clean
    rm -rf usr/sbin/policy-rc.d etc/apt/apt.conf.d/00machines var/lib/apt/lists
    mkdir -p var/lib/apt/lists/partial
    exit 0
fi

[ "$(id -u)" -eq 0 ] || fail "only root can make and boot machines"
[ -n "$own" ] || fail "/etc/os-release does not say which suite this machine has"
[ -e "$base/.complete-$recipe" ] || make_base
stamp=.complete-$recipe-$(echo "$*" | cksum | cut -d ' ' -f 1)
[ ! -e "$layer/$stamp" ] || exit 0
stamp=$layer.new/$stamp
make_layer "$@"
