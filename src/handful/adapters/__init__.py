"""Features to logits: one method a file; `handful.plugins.names("adapters")` lists them."""

from handful.adapters._base import Adapter

__all__ = ["Adapter"]
