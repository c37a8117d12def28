"""What we add to a cloud's own latency: deploy 1, 10 and 100 machines on moto, 200 ms a request, and destroy them.

The peers are two bare boto3 scripts with the same requests. `plain` makes what the machines share one thing after
another, as a script is written; `eager` sends at once what does not wait for each other, as we do. Then as many threads
as we have steps at once each run one instance and look at it once. All run in a process of their own, at the same
account, in turn; of several runs the least counts. The overhead is what the deployment takes longer than `eager`, as a
part of it. All pay alike for importing boto3 and for moto, which answers under Python's lock.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from report import emit, figure, repository

SIZES = (1, 10, 100)
LATENCY_S = 0.2
LIMIT_PERCENT = 5.0
PARALLEL = 20
RUNS = 5
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
            begun = time.perf_counter(), time.process_time()
            prepared = prepare_deploy(ctx, DeployRequest(str(template)))
            report = apply(ctx, prepared, listener=lambda _: None, cancel=threading.Event())
            elapsed = time.perf_counter() - begun[0], time.process_time() - begun[1]
            if report.state.value != "done" or len(report.nodes) != count:
                raise SystemExit(f"{report.state}: {[node.error for node in report.nodes]}")
            print(json.dumps(elapsed), flush=True)
            sys.stdin.readline()  # the requests of the deployment are counted now
            report = apply(ctx, prepare_destroy(ctx, report.name), listener=lambda _: None, cancel=threading.Event())
            if report.state.value != "done":
                raise SystemExit(f"{report.state}: {report.left}")


def bare(url: str, count: int, at_once: int) -> None:
    """Do the same by hand, with as many threads for what is shared."""
    from concurrent.futures import ThreadPoolExecutor

    begun = time.perf_counter(), time.process_time()
    import boto3.session
    from botocore.config import Config

    config = Config(retries={"total_max_attempts": 1, "mode": "standard"}, max_pool_connections=64)
    ec2 = boto3.session.Session(region_name="us-east-1").client("ec2", endpoint_url=url, config=config)
    shared = ThreadPoolExecutor(at_once)
    listed = shared.submit(ec2.describe_subnets)
    owners = ["self", "136693071363"]
    found = ec2.describe_images(Owners=owners, Filters=[{"Name": "name", "Values": ["debian-*"]}])
    image = found["Images"][0]["ImageId"]
    ec2.describe_instance_types(
        Filters=[
            {"Name": "current-generation", "Values": ["true"]},
            {"Name": "bare-metal", "Values": ["false"]},
            {"Name": "processor-info.supported-architecture", "Values": ["x86_64"]},
            {"Name": "vcpu-info.default-vcpus", "Values": ["1", "2"]},
            {"Name": "memory-info.size-in-mib", "Values": ["1024", "2048"]},
        ]
    )
    subnet = listed.result()["Subnets"][0]

    def group(name: str) -> str:
        made = ec2.create_security_group(GroupName=name, Description="bench", VpcId=subnet["VpcId"])["GroupId"]
        ssh = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
        ec2.authorize_security_group_ingress(GroupId=made, IpPermissions=[ssh])
        return str(made)

    key = shared.submit(ec2.import_key_pair, KeyName="bench", PublicKeyMaterial=KEY.encode())
    groups = list(shared.map(group, ("inner", "outer")))
    key.result()

    def machine(number: int) -> str:
        words = {"Name": f"bench-{number}", "mark": "b" * 36, "token": "t" * 20, "name": "bench", "user": "admin"}
        tags = [{"Key": key, "Value": value} for key, value in words.items()]
        card = {"DeviceIndex": 0, "SubnetId": subnet["SubnetId"], "Groups": groups, "AssociatePublicIpAddress": True}
        made = ec2.run_instances(
            ImageId=image,
            InstanceType="t3.micro",
            MinCount=1,
            MaxCount=1,
            KeyName="bench",
            UserData="#cloud-config\n" + "x" * 500,
            ClientToken=f"{os.getpid()}-{number}",
            MetadataOptions={"HttpTokens": "required", "HttpEndpoint": "enabled", "HttpPutResponseHopLimit": 1},
            BlockDeviceMappings=[
                {"DeviceName": "/dev/sda1", "Ebs": {"DeleteOnTermination": True, "VolumeType": "gp3", "VolumeSize": 15}}
            ],
            NetworkInterfaces=[card],
            TagSpecifications=[
                {"ResourceType": kind, "Tags": tags} for kind in ("instance", "volume", "network-interface")
            ],
        )
        ident = str(made["Instances"][0]["InstanceId"])
        ec2.describe_instances(InstanceIds=[ident])
        return ident

    with ThreadPoolExecutor(PARALLEL) as pool:
        ids = list(pool.map(machine, range(count)))
    print(json.dumps((time.perf_counter() - begun[0], time.process_time() - begun[1])), flush=True)
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


def plain(url: str, count: int) -> None:
    """Do one thing after another."""
    bare(url, count, 1)


def eager(url: str, count: int) -> None:
    """Do what can be done at once."""
    bare(url, count, 3)


WAYS = {"ours": ours, "plain": plain, "eager": eager}


def measure(which: str, url: str, proxy: "subprocess.Popen[str]", count: int) -> tuple[float, float, dict[str, int]]:
    """Return seconds and seconds of CPU of one deployment, and its requests; what it made is removed."""
    say(proxy)
    with program("benchmarks/bench_cloud.py", which, url, str(count)) as child:
        elapsed_s, cpu_s = json.loads(child.stdout.readline())  # type: ignore[union-attr]
        calls = say(proxy)
        child.stdin.write("\n")  # type: ignore[union-attr]
    if child.returncode != 0:
        raise SystemExit(f"{which} of {count} ended with {child.returncode}")
    return elapsed_s, cpu_s, calls


def compared(count: int, runs: Mapping[str, tuple[float, float, dict[str, int]]]) -> list[dict[str, Any]]:
    """Return the figures of one size."""
    what = f"{count} machine{'s' if count > 1 else ''}"
    (elapsed_s, cpu_s, calls), (peer_s, peer_cpu_s, peer_calls) = runs["ours"], runs["eager"]
    name = "eager boto3"
    overhead = 100 * max(0.0, elapsed_s - peer_s) / elapsed_s
    a_machine = sum(calls.values()) / count
    return [
        figure(f"deploy {what}", elapsed_s, "s", peer=runs["plain"][0], peer_name="plain boto3"),
        figure(f"deploy {what}", elapsed_s, "s", peer=peer_s, peer_name=name),
        figure(f"overhead, {what}", overhead, "%", limit=LIMIT_PERCENT),
        figure(f"CPU, {what}", cpu_s, "s", peer=peer_cpu_s, peer_name=name),
        figure(
            f"requests a machine, {what}", a_machine, "requests", peer=sum(peer_calls.values()) / count, peer_name=name
        ),
    ]


def main() -> int:
    """Measure, or be one of those that are measured."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run", nargs="*", metavar="WHICH URL COUNT")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    asked = parser.parse_args()
    if asked.run:
        which, url, count = asked.run
        WAYS[which](url, int(count))
        return 0
    figures = []
    notes = []
    with program("-m", "tests.rigs.moto") as moto:
        api = json.loads(moto.stdout.readline())  # type: ignore[union-attr]
        with program("-m", "tests.rigs.faults", api, str(LATENCY_S)) as proxy:
            url = json.loads(proxy.stdout.readline())  # type: ignore[union-attr]
            for count in asked.sizes:
                told = [(way, measure(way, url, proxy, count)) for _ in range(RUNS) for way in WAYS]
                best = {way: min((run for of, run in told if of == way), key=lambda run: run[0]) for way in WAYS}
                figures += compared(count, best)
                calls = ", ".join(f"{number} {name}" for name, number in sorted(best["ours"][2].items()))
                notes.append(f"{count}: {calls}")
    return emit("cloud", figures, notes=[f"{LATENCY_S * 1000:g} ms a request, {PARALLEL} at once", *notes])


if __name__ == "__main__":
    sys.exit(main())
