"""`python -m loraloom` is the command `loraloom`."""

import sys

from loraloom.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
