"""Training of what a tuner adds to an encoder: data, loop, losses, checkpoints."""
