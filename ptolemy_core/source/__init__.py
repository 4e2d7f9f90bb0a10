"""Where data comes from: entries with their stamps, and byte ranges of files. `posix` is a local folder."""
