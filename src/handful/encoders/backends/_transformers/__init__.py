"""Parts of the transformers backend: loading and towers."""
