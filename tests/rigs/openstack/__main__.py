"""Run one by hand until it is interrupted: python -m tests.rigs.openstack.

The word `packages` prints the Debian packages that are needed, `missing` what is not installed of them.
"""

import signal
import sys
import time

from tests.rigs.openstack.cloud import openstack
from tests.rigs.openstack.programs import PACKAGES, missing


def _run() -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began = time.monotonic()
    try:
        with openstack() as cloud:
            print(f"ready after {time.monotonic() - began:.0f} s; Ctrl-C ends it")
            print(f"export IM_CLUES_OPENSTACK={cloud.folder}")
            print(f"export OS_CLIENT_CONFIG_FILE={cloud.clouds_yaml}", flush=True)
            signal.pause()
    except KeyboardInterrupt:
        print("ended")


if "packages" in sys.argv:
    print(" ".join(PACKAGES))
elif "missing" in sys.argv:
    print(missing())
elif why := missing():
    sys.exit(why)
else:
    _run()
