"""One module a command, each with `command`. Imported when the command is used, never by `im --help`."""
