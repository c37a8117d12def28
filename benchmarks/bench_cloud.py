"""What we add to a cloud's own latency: deploy 1, 10 and 100 machines on moto, 200 ms a request, and destroy them.

The peer is a bare boto3 script: the same requests for what is shared, then as many threads as we have steps at once,
each running one instance and looking at it once. Both run in a process of their own, at the same account, in turn;
of several runs the least counts. The overhead is what the deployment takes longer, as a part of it. Both pay alike for
importing boto3 and for moto, which answers under Python's lock.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from report import emit, figure, repository

SIZES = (1, 10, 100)
LATENCY_S = 0.2
LIMIT_PERCENT = 5.0
PARALLEL = 20
RUNS = 2
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8JbJ5mzr5Mq0l7cB5bQxkqf3lZr8Vx3d9V5c1mF8yA bench"
TEMPLATE = """\
tosca_definitions_version: tosca_simple_yaml_1_3
metadata: {{template_name: bench}}
topology_template:
  node_templates:
    node:
      type: tosca.nodes.Compute
      capabilities:
        endpoint: {{properties: {{network_name: PUBLIC}}}}
        host: {{properties: {{num_cpus: 1, mem_size: 1 GB}}}}
        os: {{properties: {{type: linux, distribution: debian}}}}
        scalable: {{properties: {{min_instances: 1, max_instances: {count}, default_instances: {count}}}}}
"""


def ours(url: str, count: int) -> None:
    """Deploy in this process."""
    import threading

    from im_client.services.apply import apply
    from im_client.services.context import open_context
    from im_client.services.model import DeployRequest
    from im_client.services.prepare import prepare_deploy, prepare_destroy
    from im_client.services.validate import validate

    with tempfile.TemporaryDirectory() as folder:
        template = Path(folder) / "t.yaml"
        template.write_text(TEMPLATE.format(count=count))
        settings = f"provider: ec2\nparallel: {PARALLEL}\nproviders:\n  ec2: {{endpoint: '{url}', reachable: false}}\n"
        (Path(folder) / "im.yaml").write_text(settings)
        environ = {"IM_STATE_DIR": f"{folder}/state", "IM_CACHE_DIR": f"{folder}/cache", "HOME": folder}
        with open_context(environ=environ, cwd=Path(folder)) as ctx:
            validate(ctx, str(template))  # the types are read once a process: `bench_plan` measures that
            begun = time.perf_counter()
            prepared = prepare_deploy(ctx, DeployRequest(str(template)))
            report = apply(ctx, prepared, listener=lambda _: None, cancel=threading.Event())
            elapsed_s = time.perf_counter() - begun
            if report.state.value != "done" or len(report.nodes) != count:
                raise SystemExit(f"{report.state}: {[node.error for node in report.nodes]}")
            print(json.dumps(elapsed_s), flush=True)
            sys.stdin.readline()  # the requests of the deployment are counted now
            report = apply(ctx, prepare_destroy(ctx, report.name), listener=lambda _: None, cancel=threading.Event())
            if report.state.value != "done":
                raise SystemExit(f"{report.state}: {report.left}")


def bare(url: str, count: int) -> None:
    """Do the same by hand."""
    from concurrent.futures import ThreadPoolExecutor

    begun = time.perf_counter()
    import boto3.session
    from botocore.config import Config

    config = Config(retries={"total_max_attempts": 1, "mode": "standard"}, max_pool_connections=64)
    ec2 = boto3.session.Session(region_name="us-east-1").client("ec2", endpoint_url=url, config=config)
    owners = ["self", "136693071363"]
    image = ec2.describe_images(Owners=owners, Filters=[{"Name": "name", "Values": ["debian-*"]}])["Images"][0][
        "ImageId"
    ]
    memory, cpus = ["1024", "2048"], ["1", "2"]
    ec2.describe_instance_types(
        Filters=[
            {"Name": "current-generation", "Values": ["true"]},
            {"Name": "bare-metal", "Values": ["false"]},
            {"Name": "processor-info.supported-architecture", "Values": ["x86_64"]},
            {"Name": "vcpu-info.default-vcpus", "Values": cpus},
            {"Name": "memory-info.size-in-mib", "Values": memory},
        ]
    )
    subnet = ec2.describe_subnets()["Subnets"][0]
    groups = []
    for name in ("inner", "outer"):
        made = ec2.create_security_group(GroupName=name, Description="bench", VpcId=subnet["VpcId"])["GroupId"]
        ssh = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
        ec2.authorize_security_group_ingress(GroupId=made, IpPermissions=[ssh])
        groups.append(made)
    ec2.import_key_pair(KeyName="bench", PublicKeyMaterial=KEY.encode())

    def machine(number: int) -> str:
        tags = [{"Key": "Name", "Value": f"bench-{number}"}, {"Key": "bench", "Value": "yes"}]
        card = {"DeviceIndex": 0, "SubnetId": subnet["SubnetId"], "Groups": groups, "AssociatePublicIpAddress": True}
        made = ec2.run_instances(
            ImageId=image,
            InstanceType="t3.micro",
            MinCount=1,
            MaxCount=1,
            KeyName="bench",
            UserData="#cloud-config",
            NetworkInterfaces=[card],
            TagSpecifications=[{"ResourceType": kind, "Tags": tags} for kind in ("instance", "volume")],
        )
        ident = str(made["Instances"][0]["InstanceId"])
        ec2.describe_instances(InstanceIds=[ident])
        return ident

    with ThreadPoolExecutor(PARALLEL) as pool:
        ids = list(pool.map(machine, range(count)))
    print(json.dumps(time.perf_counter() - begun), flush=True)
    sys.stdin.readline()
    ec2.terminate_instances(InstanceIds=ids)
    ec2.delete_key_pair(KeyName="bench")
    for group in groups:
        ec2.delete_security_group(GroupId=group)


@contextmanager
def program(*words: str) -> Iterator["subprocess.Popen[str]"]:
    """Run a module of the tests' rigs, or this script; it ends when its input does."""
    keys = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}  # moto takes any
    environ = {**os.environ, **keys, "PYTHONPATH": str(repository())}
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, *words], env=environ, cwd=repository(), **pipes) as running:
        try:
            yield running
        finally:
            running.stdin.close()  # type: ignore[union-attr]
            running.wait(500)


def say(running: "subprocess.Popen[str]") -> Any:
    """Send a line, and return the JSON of the answer."""
    running.stdin.write("\n")  # type: ignore[union-attr]
    running.stdin.flush()  # type: ignore[union-attr]
    return json.loads(running.stdout.readline())  # type: ignore[union-attr]


def measure(which: str, url: str, proxy: "subprocess.Popen[str]", count: int) -> tuple[float, dict[str, int]]:
    """Return the seconds of one deployment, and its requests; what it made is removed."""
    say(proxy)
    with program("benchmarks/bench_cloud.py", which, url, str(count)) as child:
        elapsed_s = float(child.stdout.readline())  # type: ignore[union-attr]
        calls = say(proxy)
        child.stdin.write("\n")  # type: ignore[union-attr]
    if child.returncode != 0:
        raise SystemExit(f"{which} of {count} ended with {child.returncode}")
    return elapsed_s, calls


def main() -> int:
    """Measure, or be one of the two that are measured."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run", nargs="*", metavar="WHICH URL COUNT")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    asked = parser.parse_args()
    if asked.run:
        which, url, count = asked.run
        (ours if which == "ours" else bare)(url, int(count))
        return 0
    figures = []
    notes = []
    with program("-m", "tests.rigs.moto") as moto:
        api = json.loads(moto.stdout.readline())  # type: ignore[union-attr]
        with program("-m", "tests.rigs.faults", api, str(LATENCY_S)) as proxy:
            url = json.loads(proxy.stdout.readline())  # type: ignore[union-attr]
            for count in asked.sizes:
                mine, peers = [], []
                for _ in range(RUNS):
                    peers.append(measure("bare", url, proxy, count))
                    mine.append(measure("ours", url, proxy, count))
                (elapsed_s, calls), (peer_s, peer_calls) = (
                    min(mine, key=lambda one: one[0]),
                    min(peers, key=lambda one: one[0]),
                )
                what = f"{count} machine{'s' if count > 1 else ''}"
                overhead = 100 * max(0.0, elapsed_s - peer_s) / elapsed_s
                figures += [
                    figure(f"deploy {what}", elapsed_s, "s", peer=peer_s, peer_name="bare boto3"),
                    figure(f"overhead, {what}", overhead, "%", limit=LIMIT_PERCENT),
                    figure(
                        f"requests a machine, {what}",
                        sum(calls.values()) / count,
                        "requests",
                        peer=sum(peer_calls.values()) / count,
                        peer_name="bare boto3",
                    ),
                ]
                notes.append(f"{what}: {', '.join(f'{number} {name}' for name, number in sorted(calls.items()))}")
    return emit("cloud", figures, notes=[f"{LATENCY_S * 1000:g} ms a request, {PARALLEL} at once", *notes])


if __name__ == "__main__":
    sys.exit(main())
