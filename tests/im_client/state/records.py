"""Records for the tests of the state."""

import base64
from dataclasses import replace
from typing import Any

from im_client.plan.model import Phase, Spec, SpecInterface, SpecVolume
from im_client.state.store import EventRecord, InfrastructureRecord, NodeRecord, RunRecord, Source
from im_client.topology.values import Attribute, Concat, Join, OperationOutput, Scope, Token
from infracore.secrets import Seal, Secret

SEAL = Seal(base64.urlsafe_b64encode(bytes(32)))

ID = "11111111-2222-4333-8444-555555555555"

HIDDEN = (
    "the-password-in-the-template",
    "the-password-among-the-inputs",
    "the-private-key-of-the-infrastructure",
    "the-private-host-key",
    "the-password-of-the-jump-host",
    "the-token-that-a-playbook-made",
    "the-token-among-the-outputs",
)
TEMPLATE, INPUT, SSH_KEY, HOST_KEY, SETTING, NODE_OUTPUT, OUTPUT = HIDDEN

SOURCE = Source(
    template="/templates/cluster.yaml",
    add_ons=("/templates/elastic.yaml",),
    files={"/templates/cluster.yaml": f"password: {TEMPLATE}\n", "/templates/elastic.yaml": "é\n"},
    inputs={"password": Secret(INPUT), "count": 3, "ports": (80, 443), "none": None, "$odd": {"$secret": 1.5}},
    counts={"wn": 4},
)


def infrastructure(**changed: Any) -> InfrastructureRecord:
    """Return an infrastructure with something in every field."""
    record = InfrastructureRecord(
        id=ID,
        name="cluster",
        provider="local",
        created_at=1000.5,
        updated_at=1000.5,
        revision=0,
        source=SOURCE,
        ssh_public_key="ssh-ed25519 AAAA",
        ssh_private_key=Secret(SSH_KEY),
        outputs={
            "token": Secret(OUTPUT),
            "later": Concat(("http://", Attribute("front", ("public_address", 0)), Join(("a", "b"), "/"))),
            "more": Token(OperationOutput("front", "Standard", "configure", "x", Scope.OWN), ":", 1),
        },
        provider_settings={"jump": {"password": Secret(SETTING)}},
    )
    return replace(record, **changed)


def node(number: int = 0, **changed: Any) -> NodeRecord:
    """Return a node with something in every field."""
    record = NodeRecord(
        infrastructure=ID,
        name=f"wn-{number}",
        group="wn",
        index=number,
        token=f"{number:020x}",
        provider="local",
        phase=Phase.RUNNING,
        spec=Spec(
            num_cpus=2,
            mem_bytes=2**31,
            image="debian-13",
            interfaces=(SpecInterface("private"), SpecInterface("public", public=True, dns_names=("wn-#N#",))),
            ports=("tcp/22",),
            volumes=(SpecVolume("scratch", 10**10, mount_path="/scratch"),),
            tags={"role": "worker"},
        ),
        created_at=1001.0,
        updated_at=1002.0,
        provider_id=f"id-{number}",
        private_address="10.0.0.9",
        public_address="192.0.2.9",
        user="admin",
        port=2222,
        host_key_public="ssh-ed25519 AAAB",
        host_key_private=Secret(HOST_KEY),
        configured_digest="abc",
        operation_digests={"slurm.Standard.configure": "def"},
        outputs={"slurm": {"configure": {"token": Secret(NODE_OUTPUT), "$n": 7}}},
        failure="none so far",
    )
    return replace(record, **changed)


def run(number: int = 0, **changed: Any) -> RunRecord:
    """Return a run that has begun."""
    record = RunRecord(id=f"run-{number}", infrastructure=ID, verb="deploy", started_at=1000.0 + number, log_dir="/l")
    return replace(record, **changed)


def event(text: str, **changed: Any) -> EventRecord:
    """Return an event of the first run."""
    return replace(EventRecord(run="run-0", at=1.0, kind="note", node="wn-0", text=text), **changed)
