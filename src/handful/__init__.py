"""Handful: teach a frozen vision-language model a new skill from a handful of images."""

__version__ = "0.1.0.dev0"
