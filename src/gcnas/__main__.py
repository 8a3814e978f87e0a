"""``python -m gcnas`` is ``gcnas``."""

from gcnas.cli import main

if __name__ == "__main__":
    main()
