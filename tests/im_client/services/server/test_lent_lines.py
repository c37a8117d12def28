"""A context with lent lines opens clouds with these, and to where the server's settings allow."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from im_client.auth.credentials import Credential
from im_client.services.context import Context, open_context
from infracore.errors import Misconfigured, Unauthorised
from infracore.secrets import Secret

SITE = "mine@ana"


def line(host: str, password: str = "secret") -> Credential:
    words = {"host": host, "username": "ana", "password": password, "tenant": "physics"}
    return Credential("mine", "OpenStack", {key: Secret(value) for key, value in words.items() if value})


@contextmanager
def lending(folder: Path, credential: Credential, **settings: str) -> Iterator[Context]:
    environ = {"IM_STATE_DIR": str(folder / "state"), "IM_PROVIDER": "fake", "HOME": str(folder)}
    overrides = {"providers.openstack.cloud": "ours", "server.providers": "[openstack]", **settings}
    with ExitStack() as stack:
        ctx = stack.enter_context(open_context(environ=environ, cwd=folder, overrides=overrides))
        lent = ctx.lending({SITE: credential})
        stack.callback(lent.close_lent)
        yield lent


def test_a_line_leads_to_no_host_of_the_servers_own(tmp_path: Path) -> None:
    for host in ("http://127.0.0.1:5000", "http://169.254.169.254/latest", "https://10.1.2.3:5000"):
        with lending(tmp_path, line(host)) as ctx, pytest.raises(Unauthorised, match="not a public address"):
            ctx.provider(SITE)


@pytest.mark.parametrize("hosts", ["['*', '10.1.2.3']", "['10.1.0.0/16']"])
def test_the_setting_allows_hosts_and_networks(tmp_path: Path, hosts: str) -> None:
    with lending(tmp_path, line("https://10.1.2.3:5000"), **{"server.cloud_hosts": hosts}) as ctx:
        assert ctx.provider(SITE).name == "openstack"


def test_hosts_that_the_setting_does_not_name_are_refused(tmp_path: Path) -> None:
    hosts = {"server.cloud_hosts": "['*.example.org']"}
    with (
        lending(tmp_path, line("https://1.1.1.1:5000"), **hosts) as ctx,
        pytest.raises(Unauthorised, match="none of"),
    ):
        ctx.provider(SITE)


def test_the_servers_own_cloud_is_not_what_a_line_opens(tmp_path: Path) -> None:
    with lending(tmp_path, line("https://1.1.1.1:5000", "")) as ctx, pytest.raises(Unauthorised, match="no password"):
        ctx.provider(SITE)
    with lending(tmp_path, line("https://1.1.1.1:5000")) as ctx:
        ours = ctx.provider("openstack", {"credential": ""})
        assert "the cloud ours of clouds.yaml" in str(ours._cloud.place)  # type: ignore[attr-defined]
        assert "1.1.1.1" in str(ctx.provider(SITE)._cloud.place)  # type: ignore[attr-defined]
        with pytest.raises(Misconfigured, match="both name a login"):  # of the server's own, as ever
            ctx.provider("openstack", {"credential": "x"})
