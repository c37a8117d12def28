"""One file a command of `clues`; each has `command`. Imported when it is used (see `infracore.cli.lazy`)."""
