"""``python -m component.config`` prints the example configuration."""

import sys

from component.config.example import example

if __name__ == "__main__":
    sys.stdout.write(example())
