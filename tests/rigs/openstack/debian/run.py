"""Run a program of OpenStack's by Debian's Python, with this folder's drivers where the program looks for them.

python3 run.py nova.cmd.compute:main ARGUMENT...
"""

import importlib
import sys
from pathlib import Path

module, _, function = sys.argv[1].partition(":")
sys.argv[:2] = [module]
program = importlib.import_module(module)  # first of all: it makes sockets and locks those of eventlet
if module == "nova.cmd.compute":
    virt = importlib.import_module("nova.virt")  # nova loads drivers from this package only
    virt.__path__.append(str(Path(__file__).parent))
sys.exit(getattr(program, function)())
