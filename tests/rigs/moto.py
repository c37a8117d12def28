"""moto's EC2 on loopback, in a thread of this process: an account with a default VPC and one image.

As a program, `python -m tests.rigs.moto`, it prints its address and runs until its input ends.
"""

import json
import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from tests.rigs.faults import Fault

__all__ = ["IMAGE", "REGION", "Moto", "auth_line", "moto", "refusal"]

REGION = "us-east-1"
IMAGE = "debian-13-amd64-20261101-1000"


@dataclass(frozen=True)
class Moto:
    """A running account."""

    url: str
    client: Any
    """boto3's client, for what a test wants to see or to make by itself."""

    def left(self) -> dict[str, int]:
        """Count what is there beside what every account has, kinds without any left out."""
        ec2 = self.client
        instances = [i for r in ec2.describe_instances()["Reservations"] for i in r["Instances"]]
        found = {
            "instances": sum(i["State"]["Name"] != "terminated" for i in instances),
            "volumes": len(ec2.describe_volumes()["Volumes"]),
            "addresses": len(ec2.describe_addresses()["Addresses"]),
            "groups": sum(g["GroupName"] != "default" for g in ec2.describe_security_groups()["SecurityGroups"]),
            "keys": len(ec2.describe_key_pairs()["KeyPairs"]),
            "vpcs": sum(not v["IsDefault"] for v in ec2.describe_vpcs()["Vpcs"]),
            "images": len(ec2.describe_images(Owners=["self"])["Images"]) - 1,
            "snapshots": len(ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]) - 1,
            "gateways": len(ec2.describe_internet_gateways()["InternetGateways"]),
        }
        return {kind: count for kind, count in found.items() if count}

    def reset(self) -> None:
        """Make the account new."""
        with urlopen(Request(f"{self.url}/moto-api/reset", method="POST"), timeout=10) as answer:
            assert json.load(answer)["status"] == "ok"
        made = self.client.register_image(Name=IMAGE, Architecture="x86_64", RootDeviceName="/dev/xvda")
        self._here.amis[made["ImageId"]].architecture = "x86_64"  # moto 5.2 forgets it

    def lose(self, snapshot: str) -> None:
        """Let a snapshot be gone, though an image needs it."""
        self._here.snapshots.pop(snapshot)

    @property
    def _here(self) -> Any:
        from moto.core import DEFAULT_ACCOUNT_ID
        from moto.ec2.models import ec2_backends

        return ec2_backends[DEFAULT_ACCOUNT_ID][REGION]


def auth_line(folder: Path) -> Path:
    """Write an auth file with keys that moto takes."""
    path = folder / "ec2.auth"
    path.touch(0o600)
    path.write_text("id = aws; type = EC2; username = testing; password = testing\n")
    return path


def refusal(code: str, status: int = 400, **more: Any) -> Fault:
    """Return a fault that answers RunInstances with an error of EC2's."""
    body = f"<Response><Errors><Error><Code>{code}</Code><Message>no</Message></Error></Errors></Response>"
    return Fault(**{"what": "RunInstances", "status": status, "body": body, **more})


@contextmanager
def moto() -> Iterator[Moto]:
    """Run it."""
    os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"  # 1,300 images would take seconds
    import boto3.session
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app, one = DomainDispatcherApplication(create_backend_app), threading.Lock()

    def alone(environ: Any, start_response: Any) -> list[bytes]:
        """moto 5.2 is not safe under threads: two machines at once may get no address."""
        with one:
            return list(app(environ, start_response))

    server = make_server("127.0.0.1", 0, alone, threaded=True, request_handler=MotoRequestHandler)
    thread = threading.Thread(target=server.serve_forever, name="moto", daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    try:
        session = boto3.session.Session("testing", "testing", region_name=REGION)
        running = Moto(url, session.client("ec2", endpoint_url=url))
        running.reset()
        yield running
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


if __name__ == "__main__":
    with moto() as opened:
        print(json.dumps(opened.url), flush=True)
        sys.stdin.read()  # until whoever started it lets go
