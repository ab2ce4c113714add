"""``python -m nilometer``: the same as the command ``nilometer``."""

from nilometer.cli import main

__all__: list[str] = []

if __name__ == "__main__":
    main()
