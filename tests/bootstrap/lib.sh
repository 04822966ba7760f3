# Shared by the scripts beside it; to be sourced.  $root is the checkout.

# Print those of the named Debian packages that are not installed.
missing() {
    for package in "$@"; do
        state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
        [ "$state" = installed ] || printf '%s ' "$package"
    done
}

# Install the named packages where they are missing.  No daemon is started: where no policy-rc.d
# forbids it, one of ours does meanwhile.  Returns 1 where only root could install them.
install_debian() {
    needed=$(missing "$@")
    [ -n "$needed" ] || return 0
    if [ "$(id -u)" -ne 0 ]; then
        echo "these packages are missing, and only root can install them: $needed" >&2
        return 1
    fi
    echo "installing $needed"
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT INT TERM
        printf '#!/bin/sh\nexit 101\n' > "$policy"
        chmod 755 "$policy"
    fi
    # shellcheck disable=SC2086
    apt_install $needed || { apt-get -q -o DPkg::Lock::Timeout=300 update && apt_install $needed; }
}

apt_install() {
    DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 \
        install -y --no-install-recommends "$@"
}

# other_suites OWN SUITES FOLDER: write to FOLDER an apt source list for SUITES (one or more names),
# made from the machine's own source (stanza or line) that brings the suite OWN; sets $list to it.
# Returns 1 where no source brings OWN.
other_suites() {
    list=$3/suites.sources
    for file in /etc/apt/sources.list.d/*.sources; do
        [ -e "$file" ] || continue
        awk -v own="$1" -v suites="$2" '
            BEGIN { RS = ""; FS = "\n" }
            {
                hit = 0; enabled = 1
                for (i = 1; i <= NF; i++) {
                    if ($i ~ /^Suites:/ && (" " substr($i, 8) " ") ~ ("[ \t]" own "[ \t]")) hit = 1
                    if ($i ~ /^Enabled:[ \t]*no/) enabled = 0
                }
                if (!hit || !enabled) next
                for (i = 1; i <= NF; i++) {
                    if ($i ~ /^Suites:/) print "Suites: " suites
                    else if ($i ~ /^Components:/) print "Components: main"
                    else print $i
                }
                print ""
                exit
            }' "$file"
    done > "$list"
    [ ! -s "$list" ] || return 0
    rm -f "$list"
    list=$3/suites.list
    line=$(for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [ ! -e "$file" ] || cat "$file"
    done | sed -n -E "s/^(deb([[:space:]]+\[[^]]*\])?[[:space:]]+[^[:space:]]+)[[:space:]]+$1[[:space:]]+.*/\1/p" |
        head -n 1)
    [ -n "$line" ] || return 1
    for one in $2; do echo "$line $one main"; done > "$list"
}

# apt-get with the source list $list and apt state of its own in the folder $work.
private() {
    apt-get -q -o Dir::Etc::sourcelist="$list" -o Dir::Etc::sourceparts=- \
        -o Dir::State::lists="$work/lists" -o Dir::Cache="$work/cache" \
        -o APT::Sandbox::User=root "$@"
}

# Make $work empty, with what `private` needs in it.
fresh_work() {
    rm -rf "$work"
    mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/deb"
}
