"""The command line. The only home of click and rich. Calls `services` only. Tests: `tests/im_client/cli/`.

`main.py` holds the group and the outermost error boundary, `commands/` one file a command, `render.py` what people
read, `shapes.py` what programs read, `progress.py` what is seen while work goes on.
Data goes to standard output, everything else to standard error.
"""
