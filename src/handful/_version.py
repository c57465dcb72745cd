"""The version, in one place below everything, since skills and journals state it."""

__version__ = "0.1.0.dev0"
