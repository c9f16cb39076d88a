"""Run the command line with ``python -m omi_estimators``."""

import sys

from omi_estimators.cli import main

if __name__ == "__main__":
    sys.exit(main())
