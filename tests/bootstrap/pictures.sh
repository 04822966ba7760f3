#!/bin/sh
# Installs what `make pictures` needs on Debian 12: Gajim, a screen in memory, and what presses its
# keys.  Safe to repeat; quick when all is there.  No daemon is started, nothing in /etc is changed
# for good.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
. "$here/lib.sh"
install_debian gajim xvfb openbox xdotool imagemagick dbus-daemon libglib2.0-bin glib-networking \
    fonts-dejavu-core adwaita-icon-theme
