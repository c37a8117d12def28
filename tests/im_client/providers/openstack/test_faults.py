"""What goes wrong between us and a cloud: each becomes one clear error or is tried again."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from im_client.plan.model import Spec, SpecInterface
from im_client.providers.cloud.keeper import KeepingProvider
from im_client.providers.images import ImageRequest
from im_client.providers.openstack.errors import refusal
from infracore.errors import (
    Conflict,
    InfraError,
    Misconfigured,
    NoCapacity,
    NotFound,
    QuotaExceeded,
    TimedOut,
    Transient,
    Unauthorised,
    Unsupported,
)
from tests.im_client.providers.openstack.conftest import Opened, request
from tests.im_client.providers.openstack.small_cloud import PASSWORD, Fault, SmallCloud

CREATE = "POST /compute/v2.1/servers"
PUBLIC = Spec(os_distribution="debian", interfaces=(SpecInterface("out", public=True),))


def quota(words: str) -> dict:
    return {"forbidden": {"code": 403, "message": words}}


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_cloud_that_is_busy_is_asked_again(cloud: SmallCloud, provider: KeepingProvider, status: int) -> None:
    cloud.faults.append(Fault("GET /compute/v2.1/flavors/detail", status, headers={"Retry-After": "7"}, times=2))
    provider.prepare(lambda _: None)
    assert cloud.count("GET /compute/v2.1/flavors/detail") == 3


def test_the_pause_that_a_cloud_asks_for_is_kept(cloud: SmallCloud, opened: Opened) -> None:
    provider = opened(attempts=2)
    cloud.faults.append(Fault("GET /compute/v2.1/flavors/detail", 429, headers={"Retry-After": "90"}))
    began = provider._clock.monotonic()
    provider.prepare(lambda _: None)
    assert provider._clock.monotonic() - began >= 90


def test_a_cloud_that_asks_for_a_day_is_not_waited_for(cloud: SmallCloud, opened: Opened) -> None:
    cloud.faults.append(Fault("GET /compute/v2.1/flavors/detail", 429, headers={"Retry-After": "86400"}))
    provider = opened()
    began = provider._clock.monotonic()
    with pytest.raises(TimedOut, match=r"it asks to wait 24 h"):
        provider.prepare(lambda _: None)
    assert provider._clock.monotonic() == began


def test_a_cloud_that_stays_broken_is_given_up_with_its_words(cloud: SmallCloud, opened: Opened) -> None:
    body = {"computeFault": {"code": 500, "message": "Unexpected API Error."}}
    cloud.faults.append(Fault(".*flavors.*", 500, body, times=99))
    with pytest.raises(TimedOut, match=r"flavors/detail .*Unexpected API Error.*tried 3 times"):
        opened(attempts=3).prepare(lambda _: None)


@pytest.mark.parametrize("lost", [{"cut": True}, {"hangs": True}])
def test_a_machine_whose_answer_is_lost_is_made_once(cloud: SmallCloud, opened: Opened, lost: dict) -> None:
    provider = opened(request_s=0.5)
    cloud.faults.append(Fault(CREATE, **lost))
    wanted = request()
    made = provider.create(wanted)
    assert [one["metadata"]["im-clues-token"] for one in cloud.servers.values()] == [wanted.token]
    assert made.token == wanted.token


@pytest.mark.parametrize("lost", [{"cut": True}, {"hangs": True}])
def test_an_address_whose_answer_is_lost_is_allocated_once(cloud: SmallCloud, opened: Opened, lost: dict) -> None:
    provider = opened(request_s=0.5)
    cloud.faults.append(Fault("POST /network/v2.0/floatingips", **lost))
    wanted = request(PUBLIC)
    made = provider.settle(provider.create(wanted).provider_id, wanted)
    assert made.public_address == "203.0.113.1"
    assert len(cloud.things["floatingips"]) == 1


@pytest.mark.parametrize("path", ["/network/v2.0/security-groups", "/network/v2.0/networks", "/network/v2.0/routers"])
def test_what_is_shared_and_whose_answer_is_lost_is_made_once(
    cloud: SmallCloud, provider: KeepingProvider, path: str
) -> None:
    before = cloud.left()
    cloud.faults.append(Fault(f"POST {path}", cut=True))
    made = provider.create(
        request(Spec(os_distribution="debian", interfaces=(SpecInterface("in", cidr="10.7.0.0/24"),)))
    )
    names = [thing.name for thing in provider.things("i-1")]
    assert len(names) == len(set(names))
    provider.delete(made.provider_id)
    assert provider.release("i-1") == []
    assert cloud.left() == before


@pytest.mark.parametrize("lost", [{"cut": True}, {"hangs": True}])
def test_an_image_whose_answer_is_lost_is_made_once(cloud: SmallCloud, opened: Opened, lost: dict) -> None:
    provider = opened(request_s=0.5)
    made = provider.create(request())
    provider.stop(made.provider_id)
    cloud.faults.append(Fault("POST /compute/v2.1/servers/.*/action", **lost))
    wanted = ImageRequest("golden", made.provider_id, "i-1", "web", "workers", 5.0)
    saved = provider.save_image(wanted)
    assert [image.id for image in provider.list_images()] == [saved.id]
    with pytest.raises(Conflict, match="already"):
        provider.save_image(wanted)
    provider.delete_image(saved.id)
    assert list(provider.list_images()) == []


def test_no_snapshot_behind_an_image_is_left_where_deleting_is_broken_off(cloud: SmallCloud, opened: Opened) -> None:
    provider = opened(attempts=1)
    made = provider.create(request())
    provider.stop(made.provider_id)
    saved = provider.save_image(ImageRequest("golden", made.provider_id, "i-1", "web", "workers", 5.0))
    cloud.snapshots |= {"s-1", "s-2"}
    cloud.images[saved.id]["block_device_mapping"] = json.dumps([{"snapshot_id": one} for one in ("s-1", "s-2")])
    cloud.faults.append(Fault("DELETE .*/snapshots/s-2", status=503))
    with pytest.raises(TimedOut):
        provider.delete_image(saved.id)
    assert [image.id for image in provider.list_images()] == [saved.id]
    provider.delete_image(saved.id)
    assert (cloud.snapshots, list(provider.list_images())) == (set(), [])


def test_an_image_is_no_orphan_and_stays_when_its_infrastructure_goes(provider: KeepingProvider) -> None:
    made = provider.create(request())
    assert abs((provider.get(made.provider_id).created_at or 0.0) - time.time()) < 600
    provider.stop(made.provider_id)
    saved = provider.save_image(ImageRequest("golden", made.provider_id, "i-1", "web", "workers", 5.0))
    provider.delete(made.provider_id)
    assert provider.release("i-1") == []
    assert list(provider.things()) == []
    assert [image.id for image in provider.list_images()] == [saved.id]


def test_a_token_that_ran_out_is_renewed_by_one_login(cloud: SmallCloud, provider: KeepingProvider) -> None:
    provider.create(request(name="web-1"))
    cloud.expire()
    provider.create(request(name="web-2"))
    assert cloud.logins == 2
    assert len(cloud.servers) == 2


def test_refused_credentials_are_an_error_that_shows_no_secret(cloud: SmallCloud, opened: Opened) -> None:
    provider = opened(password="another-password")
    with pytest.raises(Unauthorised) as caught:
        provider.prepare(lambda _: None)
    assert "the credentials are wrong" in caught.value.hint
    assert "another-password" not in caught.value.message
    (finding,) = provider.check()
    assert finding.severity == "error"
    assert "another-password" not in f"{finding.text} {finding.remedy}"
    assert cloud.count("POST /identity/v3/auth/tokens") <= 4


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("Quota exceeded for instances: Requested 1, but already used 10 of 10 instances", QuotaExceeded),
        ("Policy doesn't allow os_compute_api:servers:create to be performed.", Unauthorised),
    ],
)
def test_quota_and_policy_are_told_apart(
    cloud: SmallCloud, provider: KeepingProvider, words: str, kind: type[InfraError]
) -> None:
    cloud.faults.append(Fault(CREATE, 403, quota(words), times=9))
    with pytest.raises(kind, match=words[:20]):
        provider.create(request())
    assert cloud.servers == {}


def test_no_floating_address_left_is_no_capacity(cloud: SmallCloud, provider: KeepingProvider) -> None:
    wanted = request(PUBLIC)
    made = provider.create(wanted)
    error = {"type": "IpAddressGenerationFailure", "message": "No more IP addresses available on network x."}
    cloud.faults.append(Fault("POST /network/v2.0/floatingips", 409, {"NeutronError": error}))
    with pytest.raises(NoCapacity):
        provider.settle(made.provider_id, wanted)


def test_a_region_that_is_down_is_told_in_time(opened: Opened, cloud: SmallCloud) -> None:
    provider = opened(attempts=2)
    cloud.url = "http://127.0.0.1:9"  # what the catalogue says from now on: nobody listens there
    with pytest.raises(TimedOut, match="GET compute") as caught:
        provider.prepare(lambda _: None)
    assert "Connection refused (tried 2 times)" in caught.value.message
    assert "HTTPConnection" not in caught.value.message


def test_a_region_that_is_not_there_is_a_wrong_setting(opened: Opened) -> None:
    with pytest.raises(Misconfigured, match="no such service") as caught:
        opened(region="Nowhere").quotas()
    assert "region" in caught.value.hint


def test_a_wrong_host_is_a_wrong_setting(cloud: SmallCloud, opened: Opened) -> None:
    provider = opened()
    cloud.faults.append(Fault("POST /identity.*", 404, {"error": {"code": 404, "message": "Not Found"}}, times=9))
    with pytest.raises(Misconfigured, match="no such identity service"):
        provider.quotas()


@pytest.mark.parametrize("body", [b"<html>maintenance</html>", b"[]", {"flavors": 7}, {"flavors": [{"id": 3}]}])
def test_nonsense_is_one_clear_error(cloud: SmallCloud, opened: Opened, body: object) -> None:
    cloud.faults.append(Fault(".*flavors.*", 200, body, times=9))
    with pytest.raises(TimedOut, match=r"flavor.*at http"):
        opened(attempts=2).prepare(lambda _: None)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, b'{"badRequest": {"message": "Invalid input"}}', Unsupported),
        (400, b'{"badRequest": {"message": "Can not find requested image"}}', NotFound),
        (401, b"", Unauthorised),
        (404, b'{"itemNotFound": {"message": "no"}}', NotFound),
        (406, b"", Unsupported),
        (409, b'{"NeutronError": {"type": "OverQuota", "message": "Quota exceeded for resources"}}', QuotaExceeded),
        (409, b'{"conflictingRequest": {"message": "busy"}}', Conflict),
        (413, b'{"overLimit": {"message": "VolumeSizeExceedsAvailableQuota: quota"}}', QuotaExceeded),
        (413, b'{"overLimit": {"message": "This request was rate-limited."}}', Transient),
        (503, b"\xff\x00{", Transient),
    ],
)
def test_errors_are_told_by_status_and_type(status: int, body: bytes, kind: type[InfraError]) -> None:
    assert type(refusal(status, {}, body, "POST compute /x", "there")) is kind


def test_words_of_an_error_are_short_and_printable() -> None:
    error = refusal(
        409, {}, b'{"conflictingRequest": {"message": "\\u001b[2Jx' + b"y" * 9000 + b'"}}', "POST x", "there"
    )
    assert len(error.message) < 500
    assert "\x1b" not in error.message


def test_another_token_in_the_file_is_taken_when_the_last_one_is_refused(tmp_path: Path, cloud: SmallCloud) -> None:
    from im_client.auth.credentials import Credential
    from im_client.providers.openstack.api import Api
    from im_client.providers.openstack.session import connect_by_line
    from im_client.providers.openstack.settings import OpenStackSettings
    from infracore.secrets import Secret

    file = tmp_path / "token"
    file.touch(0o600)
    file.write_text("first\n")
    words = {"host": f"{cloud.url}/identity", "username": "egi.eu", "tenant": "openid"}
    words |= {"domain": "1" * 32, "auth_version": "3.x_oidc_access_token"}
    line = Credential("egi", "OpenStack", {key: Secret(value) for key, value in words.items()})
    connect, place = connect_by_line(line, OpenStackSettings(token_file=str(file)))
    api = Api(connect, place)
    assert api.renew()  # nothing was read yet
    assert not api.renew()
    file.write_text("second\n")
    assert api.renew()
    api.close()


def test_openstacksdk_is_not_imported_before_a_cloud_is_asked() -> None:
    code = (
        "import sys; from im_client.auth.credentials import Credential; from infracore.secrets import Secret; "
        "from im_client.providers.registry import provider; "
        "words = dict(host='https://x', username='u', password='p', tenant='t'); "
        "line = Credential('a', 'OpenStack', {k: Secret(v) for k, v in words.items()}); "
        "provider('openstack', {}, (line,)); "
        "sys.exit(any(m.split('.')[0] in {'openstack', 'keystoneauth1', 'requests'} for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


def test_the_password_is_in_no_message_of_a_wrong_line(cloud: SmallCloud) -> None:
    from im_client.auth.authfile import parse_auth
    from im_client.providers.registry import provider

    for words in (
        f"host = {cloud.url}",
        "host = nowhere; tenant = t",
        f"host = {cloud.url}; auth_version = 2.0_password",
    ):
        line = f"id = a; type = OpenStack; username = u; password = {PASSWORD}; {words}"
        with pytest.raises((Misconfigured, Unsupported)) as caught:
            provider("openstack", {}, parse_auth(line))
        assert PASSWORD not in f"{caught.value.message} {caught.value.hint}"
