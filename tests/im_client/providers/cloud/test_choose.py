"""Choosing sizes and images, and reading ports."""

import pytest

from im_client.plan.model import Spec
from im_client.providers.cloud.choose import (
    choose_image,
    choose_size,
    image_address,
    image_query,
    rules_of,
    system_of,
)
from im_client.providers.cloud.model import CloudImage, ImageQuery, Rule, Size
from infracore.errors import NotFound, Unsupported

GIB = 2**30
SMALL = Size("1", "m.small", 1, 2 * GIB, 20 * GIB)
LARGE = Size("2", "m.large", 4, 8 * GIB, 40 * GIB)
WIDE = Size("3", "c.wide", 8, 8 * GIB, 0)
GPU = Size("4", "g.one", 4, 16 * GIB, 40 * GIB, num_gpus=1, gpu_vendor="NVIDIA", gpu_model="A100")
ARM = Size("5", "a.small", 1, 2 * GIB, 20 * GIB, architecture="arm64")
OLD = Size("6", "t1.old", 1, 2 * GIB, 0, is_available=False)
SIZES = (GPU, WIDE, LARGE, SMALL, OLD)
IMAGE = CloudImage("i", "debian 12", architecture="x86_64")


def chosen(spec: Spec, sizes: tuple[Size, ...] = SIZES, image: CloudImage = IMAGE, **prices: float) -> str:
    return choose_size(sizes, spec, image, lambda size: prices.get(size.name.replace(".", "_"))).name


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        (Spec(), "m.small"),
        (Spec(num_cpus=1, mem_bytes=2 * GIB), "m.small"),
        (Spec(num_cpus=2), "m.large"),
        (Spec(num_cpus=5), "c.wide"),
        (Spec(mem_bytes=10 * GIB), "g.one"),  # rather a GPU than nothing
        (Spec(num_gpus=1), "g.one"),
        (Spec(num_gpus=1, gpu_vendor="nvidia", gpu_model="a100"), "g.one"),
        (Spec(disk_bytes=60 * GIB), "c.wide"),  # its root disk is as large as one likes
        (Spec(instance_type="m.*", num_cpus=2), "m.large"),
        (Spec(instance_type="t1.old"), "t1.old"),  # only by its name
    ],
)
def test_the_size_with_the_least_waste_is_taken(spec: Spec, name: str) -> None:
    assert chosen(spec) == name


def test_the_cheapest_is_taken_where_all_prices_are_known() -> None:
    prices = {"m_large": 0.4, "c_wide": 0.2, "g_one": 3.0}
    assert chosen(Spec(num_cpus=3), **prices) == "c.wide"
    del prices["g_one"]
    assert chosen(Spec(num_cpus=3), **prices) == "m.large"


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (Spec(num_cpus=64), "8 CPUs, not 64"),
        (Spec(num_gpus=2), "GPUs, not 2"),
        (Spec(num_gpus=1, gpu_vendor="AMD"), "GPU vendor NVIDIA, not AMD"),
        (Spec(instance_type="m.small", num_cpus=2), "1 CPUs, not 2"),
        (Spec(instance_type="x.*"), "there is no size 'x.*'"),
        (Spec(instance_type="m.*", disk_bytes=60 * GIB), "a root disk of"),
    ],
)
def test_what_none_has_is_said(spec: Spec, said: str) -> None:
    with pytest.raises(NotFound, match=said.replace("*", r"\*")):
        chosen(spec)


def test_the_images_architecture_and_least_sizes_count() -> None:
    assert chosen(Spec(), (ARM, LARGE)) == "m.large"
    assert chosen(Spec(architecture="aarch64"), (LARGE, ARM), CloudImage("i", "x")) == "a.small"
    assert chosen(Spec(), image=CloudImage("i", "big", min_mem_bytes=4 * GIB, min_disk_bytes=30 * GIB)) == "m.large"


IMAGES = (
    CloudImage("1", "Debian 12 (bookworm)", 1.0),
    CloudImage("2", "Debian 12 (bookworm)", 2.0),
    CloudImage("3", "ubuntu-22.04-jammy", 3.0, distribution="ubuntu", version="22.04.3", architecture="x86_64"),
    CloudImage("4", "ubuntu-22.04-arm", 4.0, distribution="Ubuntu", version="22.04", architecture="aarch64"),
    CloudImage("5", "Rocky Linux 9.4", 5.0),
)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (ImageQuery(distribution="debian"), "2"),
        (ImageQuery(distribution="debian", version="12"), "2"),
        (ImageQuery(name="1"), "1"),
        (ImageQuery(name="Debian 12*"), "2"),
        (ImageQuery(distribution="ubuntu", version="22.04", architecture="x86_64"), "3"),
        (ImageQuery(distribution="ubuntu", architecture="arm64"), "4"),
        (ImageQuery(distribution="rocky", version="9"), "5"),
    ],
)
def test_the_newest_image_that_fits_is_taken(query: ImageQuery, found: str) -> None:
    assert choose_image(IMAGES, query).id == found


@pytest.mark.parametrize(
    "query",
    [
        ImageQuery(name="windows*"),
        ImageQuery(distribution="debian", version="1"),
        ImageQuery(distribution="ubuntu", version="24.04"),
    ],
)
def test_no_image_fits(query: ImageQuery) -> None:
    with pytest.raises(NotFound, match="there is no image"):
        choose_image(IMAGES, query)


def test_queries_come_from_specs() -> None:
    assert image_query(Spec(image="ost://cloud.example.org/abc")) == ImageQuery(name="abc")
    assert image_query(Spec(), "my-image") == ImageQuery(name="my-image")
    wanted = Spec(os_distribution="Debian", os_version="bookworm", os_type="linux", architecture="amd64")
    assert image_query(wanted, "mine") == ImageQuery("", "linux", "debian", "12", "x86_64")
    assert image_address("aws://eu-west-1/ami-1") == ("aws", "eu-west-1", "ami-1")


@pytest.mark.parametrize(
    ("name", "system"),
    [
        ("Image for EGI Ubuntu 22.04 [Ubuntu/22.04/KVM]", ("ubuntu", "22.04")),
        ("debian-12-amd64-20250101", ("debian", "12")),
        ("CentOS Stream 9", ("centos", "9")),
        ("noble-server", ("ubuntu", "24.04")),
        ("cirros-0.6", ("", "")),
    ],
)
def test_systems_are_read_out_of_names(name: str, system: tuple[str, str]) -> None:
    assert system_of(name) == system


def test_ports_are_read_and_ssh_is_always_open() -> None:
    assert rules_of(()) == (Rule("tcp", 22, 22, "0.0.0.0/0"),)
    assert rules_of(("icmp", "tcp/20-30@10.0.0.0/8", "udp/53")) == (
        Rule("icmp", 0, 0, "0.0.0.0/0"),
        Rule("tcp", 20, 30, "10.0.0.0/8"),
        Rule("udp", 53, 53, "0.0.0.0/0"),
    )
    with pytest.raises(Unsupported, match="8080>80"):
        rules_of(("tcp/8080>80",))
