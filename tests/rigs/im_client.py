"""The Infrastructure Manager's own command-line client, from PyPI, in a virtual environment of its own.

`python -m tests.rigs.im_client` makes it and prints the place.
"""

import sys
from pathlib import Path

from tests.rigs.venvs import environment

__all__ = ["program"]

REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements" / "im-client.txt"


def program() -> Path:
    """Return the client's command, installing it where it is not there yet; takes some seconds then.

    Raises:
        RuntimeError: pip cannot; the text says why.
    """
    return environment("im-client", REQUIREMENTS, "the Infrastructure Manager's client") / "im_client"


if __name__ == "__main__":
    try:
        print(program())
    except RuntimeError as error:
        print(error)
        sys.exit(1)
