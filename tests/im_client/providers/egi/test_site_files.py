"""Sites in files."""

from pathlib import Path

import pytest

from im_client.providers.egi.site_files import read_sites
from im_client.providers.egi.sites import SiteImage
from infracore.errors import Misconfigured

FEDCLOUD = """
gocdb: IISAS-FedCloud
endpoint: https://cloud.example:5000/v3
protocol: oidc
region: RegionTwo
images: {sync: true}
vos:
- name: vo.a
  auth: {project_id: 51f736d36ce34b9ebdf196cfcabd24ee}
  publicNetwork: public1
- name: vo.b
  auth: {project_id: p2}
"""


def test_a_file_of_fedcloudclient_is_read_and_its_other_keys_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(FEDCLOUD)
    (site,) = read_sites(tmp_path / "one.yaml").sites
    assert (site.name, site.endpoint) == ("IISAS-FedCloud", "https://cloud.example:5000/v3")
    assert (site.protocol, site.region, site.identity_provider) == ("oidc", "RegionTwo", "")
    assert site.projects == {"vo.a": "51f736d36ce34b9ebdf196cfcabd24ee", "vo.b": "p2"}


def test_a_folder_is_its_files_in_order_and_a_file_may_hold_a_list(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text("[{gocdb: B, endpoint: 'https://b'}, {gocdb: C, endpoint: 'https://c'}]")
    (tmp_path / "a.json").write_text('{"gocdb": "A", "endpoint": "https://a"}')
    (tmp_path / "README.md").write_text("no site")
    assert [site.name for site in read_sites(tmp_path).sites] == ["A", "B", "C"]


def test_images_stand_in_the_same_file(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text("{gocdb: A, endpoint: 'https://a', images: [{egi_id: 'e/u:1', id: g1}]}")
    assert read_sites(file).images == {"A": (SiteImage("e/u:1", "g1"),)}


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "site 1"),
        ("[]", "no sites"),
        ("gocdb: A", "endpoint"),
        ("{gocdb: A, endpoint: 'https://a', vos: 3}", "vos"),
        ("{gocdb: A, endpoint: 'https://a', images: [{egi: x, id: y}]}", "site 1"),
        ("a: [", "no YAML"),
        ("{a: &x 1, b: *x}", "alias"),
        ("\x00", "no YAML"),
    ],
)
def test_what_is_no_site_is_named(text: str, word: str, tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(text)
    with pytest.raises(Misconfigured, match=word):
        read_sites(file)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="No such file"):
        read_sites(tmp_path / "none.yaml")
    with pytest.raises(Misconfigured, match="no sites"):
        read_sites(tmp_path)
