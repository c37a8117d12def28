"""moto's account, a proxy before it, and an `im` set up to use it."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.rigs.faults import Fault, FaultProxy, faults
from tests.rigs.forks import Forks, im_forks
from tests.rigs.moto import Moto, auth_line, moto

__all__ = ["Site", "ec2_site"]

_SETTINGS = """\
provider: aws
auth_file: {auth}
providers:
  ec2: {{endpoint: "{url}", elastic_ip: true, reachable: false}}
"""


@dataclass(frozen=True)
class Site:
    """A cloud, the proxy before it, and an `im` that uses it."""

    moto: Moto
    proxy: FaultProxy
    im: Forks

    def must(self, *words: str) -> None:
        """Run `im` to its good end."""
        status, said = self.im.run(*words)
        assert status == 0, f"im {words}: {status}\n{said}"

    def killed(self, fault: Fault, *words: str) -> None:
        """Run `im` and kill it where the fault says."""
        self.proxy.plan(fault)
        child = self.im.start(*words)
        self.proxy.aim(child)
        assert child.wait() == -signal.SIGKILL


@contextmanager
def ec2_site(folder: Path, template: str) -> Iterator[Site]:
    """Run all of it in a folder that has the template, `t.yaml`."""
    with moto() as running, faults(running.url) as proxy:
        auth = auth_line(folder)
        (folder / "im.yaml").write_text(_SETTINGS.format(auth=auth, url=proxy.url))
        (folder / "t.yaml").write_text(template)
        environ = {"IM_STATE_DIR": str(folder / "state"), "IM_CACHE_DIR": str(folder / "cache")}
        with im_forks(folder, environ, "t.yaml") as im:
            yield Site(running, proxy, im)
