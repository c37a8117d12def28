"""The program as a process: pipes that close, and what starts without being asked."""

import os
import subprocess
import sys
from pathlib import Path


def test_a_reader_that_goes_away_is_no_failure(tmp_path: Path) -> None:
    environ = {**os.environ, "IM_STATE_DIR": str(tmp_path), "IM_CACHE_DIR": str(tmp_path)}
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "im_client.cli.main", "config", "show"],
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")
