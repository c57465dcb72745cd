"""Changes of a skill that need none of its photos: add, remove, rename, merge."""
