"""``python -m mmdemo``: the command line."""

from mmdemo.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
