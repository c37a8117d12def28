"""With a certificate the server speaks HTTPS and nothing else."""

import os
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.rigs.certificates import certificate as write_certificate
from tests.rigs.im_serve import im_serve

pytestmark = pytest.mark.slow


def test_a_certificate_makes_it_https(tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path)
    with im_serve(tmp_path, IM_SERVER_TLS_CERTIFICATE=str(certificate), IM_SERVER_TLS_KEY=str(key)) as server:
        assert server.url.startswith("https://")
        trusted = ssl.create_default_context(cafile=str(certificate))
        with urllib.request.urlopen(f"{server.url}/version", timeout=10, context=trusted) as answer:
            assert answer.status == 200
        with pytest.raises(OSError):
            urllib.request.urlopen(server.url.replace("https", "http") + "/version", timeout=10).close()


@pytest.mark.slow
def test_a_certificate_that_is_none_is_named(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("x")
    env = {
        **os.environ,
        "HOME": str(tmp_path),
        "IM_STATE_DIR": str(tmp_path / "state"),
        "IM_SERVER_TLS_CERTIFICATE": str(wrong),
        "IM_SERVER_TLS_KEY": str(wrong),
    }
    argv = [sys.executable, "-m", "im_client.cli.main", "serve", "-p", "0"]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "error: cannot use server.tls_certificate" in done.stderr
    assert "defect" not in done.stderr
