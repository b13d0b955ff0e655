"""`python -m loraloom` is the command `loraloom`."""

from loraloom.cli.main import main

if __name__ == "__main__":
    main()
