#!/bin/sh
# Builds the Debian package into DIR (default: dist/).  Needs python3-venv and dpkg-dev's dpkg-deb,
# and the usual index of pip for the libraries, which become part of the package.  Root is not
# needed.  The package fits the minor version of the Python that builds it (PYTHON=/usr/bin/python3).
#   packaging/build-deb.sh [DIR]
# LEVEL=1 packs quicker, for tests.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
out=${1:-$root/dist}
python=${PYTHON:-/usr/bin/python3}
mkdir -p "$out"
out=$(cd "$out" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

say() { echo "build-deb: $*" >&2; }

# A copy, so that nothing is left in the source tree.
mkdir "$work/source"
for part in component pyproject.toml README.md LICENSE; do
    cp -R "$root/$part" "$work/source/"
done
find "$work/source" -name __pycache__ -type d -prune -exec rm -rf {} +

say "taking the libraries together"
"$python" -m venv "$work/venv"
tree=$work/tree
libraries=$tree/usr/lib/xmpp-moved
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-compile \
    --no-warn-script-location --target "$libraries" "$work/source[postgres]"
rm -rf "$libraries/bin" "$libraries/share"
# Not needed to run, and a third of the size.
find "$libraries" -type d \( -name tests -o -name test -o -name __pycache__ \) \
    -path "$libraries/*/*" -prune -exec rm -rf {} +
find "$libraries" \( -name '*.py[xi]' -o -name '*.pxd' -o -name '*.c' -o -name '*.h' \) -delete
# Of Babel's thousand locales, those of the languages that we speak.
find "$libraries/babel/locale-data" -name '*.dat' ! -name root.dat ! -name 'en*' ! -name 'de*' \
    ! -name 'fr*' ! -name 'es*' -delete
# Byte code, since no command may write it there later: without it each one compiles all that it
# imports.  Unchecked, because the times of the files change when they are packed.
"$work/venv/bin/python" -m compileall -q -j 0 -s "$tree" -p / \
    --invalidation-mode unchecked-hash "$libraries"

version=$("$work/venv/bin/python" -c "
import sys; sys.path.insert(0, '$libraries')
import component; print(component.__version__)")
minor=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
next=$("$python" -c 'import sys; print("%d.%d" % (sys.version_info[0], sys.version_info[1] + 1))')
arch=$(dpkg --print-architecture)

here=$root/packaging
install -D -m 0755 "$here/xmpp-moved" "$tree/usr/bin/xmpp-moved"
install -D -m 0644 "$here/xmpp-moved.service" "$tree/usr/lib/systemd/system/xmpp-moved.service"
systemd=$(systemctl --version 2>/dev/null | sed -n 's/^systemd \([0-9]*\).*/\1/p')
if [ "${systemd:-0}" -ge 253 ]; then
    install -D -m 0644 "$here/notify-reload.conf" \
        "$tree/usr/lib/systemd/system/xmpp-moved.service.d/notify-reload.conf"
fi
install -D -m 0644 "$here/xmpp-moved.sysusers" "$tree/usr/lib/sysusers.d/xmpp-moved.conf"
install -d "$tree/etc/xmpp-moved" "$tree/usr/share/man/man1" "$tree/DEBIAN"
gzip -9n <"$here/xmpp-moved.1" >"$tree/usr/share/man/man1/xmpp-moved.1.gz"

doc=$tree/usr/share/doc/xmpp-moved
install -D -m 0644 "$root/LICENSE" "$doc/copyright"
install -D -m 0644 "$root/README.md" "$doc/README.md"
install -D -m 0644 "$root/config.example.toml" "$doc/config.example.toml"
install -D -m 0644 "$here/grafana/xmpp-moved.json" "$doc/examples/grafana.json"
install -D -m 0644 "$here/prometheus/xmpp-moved.rules.yml" "$doc/examples/prometheus.rules.yml"
gzip -9n <"$root/CHANGELOG.md" >"$doc/changelog.gz"

for script in postinst prerm postrm; do
    install -m 0755 "$here/debian/$script" "$tree/DEBIAN/$script"
done
size=$(du -sk --exclude=DEBIAN "$tree" | cut -f1)
sed -e "s/@VERSION@/$version/" -e "s/@ARCH@/$arch/" -e "s/@PYTHON@/$minor/" \
    -e "s/@PYTHON_NEXT@/$next/" -e "s/@SIZE@/$size/" "$here/debian/control.in" \
    >"$tree/DEBIAN/control"

chmod -R u+rwX,go+rX,go-w "$tree"
package=$out/xmpp-moved_${version}_${arch}.deb
rm -f "$out"/xmpp-moved_*.deb # so that one alone is there to install
say "packing"
dpkg-deb --root-owner-group -Zxz "-z${LEVEL:-6}" --build "$tree" "$package" >&2
echo "$package"
