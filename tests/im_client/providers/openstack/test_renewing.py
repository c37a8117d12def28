"""Credentials that were refused are read again: once, however many threads were refused."""

import threading
from typing import Any

from im_client.auth.credentials import Credential
from im_client.providers.openstack.api import Api
from im_client.providers.openstack.session import connect_by_line
from im_client.providers.openstack.settings import OpenStackSettings
from tests.im_client.providers.openstack.conftest import fields
from tests.im_client.providers.openstack.small_cloud import SmallCloud


def test_a_thread_whose_credentials_another_has_renewed_goes_on_with_them(cloud: SmallCloud) -> None:
    passwords = iter(("old", "new", "new", "new"))
    connected: list[str] = []

    def connect() -> Any:
        connected.append(next(passwords))
        line = Credential("ost", "OpenStack", fields(cloud, connected[-1]))
        return connect_by_line(line, OpenStackSettings())[0]()

    api = Api(connect, "here")
    api._opened()
    renewed: list[bool] = []

    def other() -> None:
        api._opened()
        is_used.set()
        may_renew.wait(5)
        renewed.append(api.renew())

    is_used, may_renew = threading.Event(), threading.Event()
    thread = threading.Thread(target=other, name="other")
    thread.start()
    assert is_used.wait(5)
    assert api.renew()
    may_renew.set()
    thread.join(5)
    assert renewed == [True]
    assert connected == ["old", "new"]
    api._opened()
    assert not api.renew()
    api.close()
