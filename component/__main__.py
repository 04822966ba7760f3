"""``python -m component`` is ``xmpp-moved``."""

import sys

from component.ui.cli import main

if __name__ == "__main__":
    sys.exit(main())
