"""Looks that are shared."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from im_client.plan.model import Phase
from im_client.providers.cloud.looks import Looks
from im_client.providers.cloud.model import Server
from infracore.errors import NotFound, Transient


def server(name: str) -> Server:
    return Server(name, name, "t", "infra", Phase.RUNNING)


class Cloud:
    """Counts looks; the first one lasts until `go` is set."""

    def __init__(self, count: int) -> None:
        self.names = [f"m{number}" for number in range(count)]
        self.ones: list[str] = []
        self.lists = 0
        self.entered, self.go = threading.Event(), threading.Event()

    def one(self, name: str) -> Server:
        self.ones.append(name)
        self.entered.set()
        assert self.go.wait(10)
        if name not in self.names:
            raise NotFound(name)
        return server(name)

    def every(self) -> list[Server]:
        self.lists += 1
        return [server(name) for name in self.names]


def test_one_alone_looks_at_one_machine() -> None:
    cloud = Cloud(3)
    cloud.go.set()
    looks = Looks(cloud.one, cloud.every)
    assert looks.get("m1").name == "m1"
    with pytest.raises(NotFound):
        looks.get("other")
    assert (cloud.ones, cloud.lists) == (["m1", "other"], 0)


def test_those_who_ask_meanwhile_share_the_next_look() -> None:
    cloud = Cloud(20)
    looks = Looks(cloud.one, cloud.every)
    with ThreadPoolExecutor(21) as pool:
        first = pool.submit(looks.get, "m0")
        assert cloud.entered.wait(10)
        others = [pool.submit(looks.get, name) for name in (*cloud.names[1:], "gone")]
        while len(looks._next.ids) < 20:
            pass
        cloud.go.set()
        assert first.result(10).name == "m0"
        assert [other.result(10).name for other in others[:-1]] == cloud.names[1:]
        with pytest.raises(NotFound):
            others[-1].result(10)
    assert (cloud.ones, cloud.lists) == (["m0"], 1)


def test_an_error_reaches_all_that_wait_and_the_next_look_is_a_new_one() -> None:
    cloud = Cloud(2)
    cloud.go.set()
    failures = [Transient("busy")]

    def one(name: str) -> Server:
        if failures:
            raise failures.pop()
        return cloud.one(name)

    looks = Looks(one, cloud.every)
    with pytest.raises(Transient, match="busy"):
        looks.get("m0")
    assert looks.get("m0").name == "m0"


def test_a_look_that_is_broken_off_is_no_sight_of_an_empty_cloud() -> None:
    def one(name: str) -> Server:
        raise KeyboardInterrupt

    looks = Looks(one, list)
    with pytest.raises(KeyboardInterrupt):
        looks.get("m0")
