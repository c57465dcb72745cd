"""Parts of the encoder `photo`: its image tower, its text tower, and the published weights."""
