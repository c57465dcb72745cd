"""Parts of the open_clip backend: finding a checkpoint, loading, fingerprint, towers."""
