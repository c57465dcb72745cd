"""The transformers backend in parts: loading, pictures, tokens, towers."""
