#!/bin/sh
# Installs the chat clients that tests/live/test_real_clients.py drives, on Debian 12.  Safe to
# repeat; quick when all is there.  No daemon is started, nothing in /etc is changed for good.
set -eu

say() { echo "clients: $*"; }

needed=
for package in profanity poezio; do
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || needed="$needed $package"
done
[ -n "$needed" ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
    say "these packages are missing, and only root can install them:$needed" >&2
    exit 1
fi
say "installing$needed"
# Where no policy-rc.d exists, one of ours forbids the starting of daemons meanwhile.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT INT TERM
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod 755 "$policy"
fi
install() {
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends $needed
}
install || { apt-get -q update && install; }
say "ready"
