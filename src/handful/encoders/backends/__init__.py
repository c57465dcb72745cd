"""One library of encoders a file; the file's name is the prefix of an encoder's name."""
