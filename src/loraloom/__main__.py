"""The command `loraloom`, also as `python -m loraloom`."""

import gc
import os
import sys


def main() -> int:
    """Run the program with the process's arguments; return its exit status."""
    # Importing makes very many objects and no garbage; looking for it all the while would take a
    # seventh of the time of a command that only reads a header.
    gc.set_threshold(100_000)
    # Pydantic would read the metadata of every installed package in search of plugins.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "true")
    from loraloom.cli.main import main as run

    try:
        return run()
    finally:
        gc.freeze()  # nor at the end, where the process gives everything back at once


if __name__ == "__main__":
    sys.exit(main())
