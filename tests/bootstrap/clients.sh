#!/bin/sh
# Installs the chat clients that tests/live/test_real_clients.py drives, on Debian 12.  Safe to
# repeat; quick when all is there.  No daemon is started, nothing in /etc is changed for good.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
. "$here/lib.sh"
install_debian profanity poezio
