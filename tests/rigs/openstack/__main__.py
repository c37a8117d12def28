"""Run one by hand until it is interrupted: python -m tests.rigs.openstack."""

import signal
import sys
import time

from tests.rigs.openstack.cloud import openstack
from tests.rigs.openstack.programs import missing

if why := missing():
    sys.exit(why)
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
