"""`python -m handful`, for when the command is not on the path."""

from handful.cli import main

if __name__ == "__main__":
    main()
