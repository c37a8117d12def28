"""A cache of Debian packages on loopback: apt-cacher-ng, its files beside the image, so that all is fetched once."""

import os
import pwd
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from im_client.providers.local.outbound import host_proxy
from tests.rigs.needs import need_programs
from tests.rigs.pi.folder import cache_folder
from tests.rigs.process import daemon

__all__ = ["apt_cache"]

_PORTS = range(23142, 23242)
"""apt-cacher-ng 3.7.4 takes no port above 32767."""
_CONFIG = """CacheDir: {cache}
LogDir: {logs}
SocketPath: {logs}/socket
PidFile: {logs}/pid
BindAddress: 127.0.0.1
Port: {port}
ReportPage:
ExThreshold: 30
PassThroughPattern: ^.*:443$
"""


@contextmanager
def apt_cache() -> Iterator[str]:
    """Return the URL of an apt proxy: that of this computer where it has one, else one that runs until the end."""
    own = host_proxy()
    if own is not None:
        yield own
        return
    need_programs("apt-cacher-ng")
    files = cache_folder() / "apt"
    files.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="acng-", dir=cache_folder()) as logs:
        port = next(port for port in _PORTS if not _answers(port))
        folder = Path(logs)
        (folder / "acng.conf").write_text(_CONFIG.format(cache=files, logs=logs, port=port))
        as_user: list[str] = []
        if os.geteuid() == 0:
            account = pwd.getpwnam("apt-cacher-ng")
            for place in (files, folder):
                os.chown(place, account.pw_uid, account.pw_gid)
            ids = [f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
            as_user = ["setpriv", *ids]
        with daemon([*as_user, "apt-cacher-ng", "-c", logs, "ForeGround=1"], folder) as running:
            running.wait_for(lambda: _answers(port))
            yield f"http://127.0.0.1:{port}"


def _answers(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0
