"""The open_clip backend in parts: where a checkpoint is, what is built of it, who it is."""
