"""Heads for questions other than "which one of these": one task a file."""
