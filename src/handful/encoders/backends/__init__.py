"""One library of encoders a file; the file's name is the prefix of its encoders' names."""
