"""``python -m tbptt``: the console script ``tbptt``."""

import sys

from tbptt.command import main

if __name__ == "__main__":
    sys.exit(main())
