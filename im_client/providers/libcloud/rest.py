"""Machines of an API that has them all at one path: `GET`, `DELETE PATH/ID`, `POST PATH/ID/ACTION`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from im_client.providers.cloud.model import Server
from im_client.providers.libcloud.descriptor import Power

__all__ = ["AtPath"]


@dataclass(frozen=True, slots=True)
class AtPath:
    """The functions of a descriptor that look at machines and do things to them."""

    path: str
    many: str
    """Key of a list of machines."""
    one: str
    """Key of one machine; "": an answer is a machine."""
    read: Callable[[Mapping[str, Any]], Server]
    actions: Mapping[Power, str]

    def look(self, driver: Any, server_id: str, region: str) -> Server:
        del region
        answer = driver.connection.request(f"{self.path}/{server_id}").object
        return self.read(answer[self.one] if self.one else answer)

    def every(self, driver: Any, region: str) -> Sequence[Server]:
        del region
        return [self.read(one) for one in driver._paginated_request(self.path, self.many)]

    def act(self, driver: Any, server_id: str, region: str, power: Power) -> None:
        del region
        driver.connection.request(f"{self.path}/{server_id}/{self.actions[power]}", method="POST")

    def delete(self, driver: Any, server_id: str, region: str) -> None:
        del region
        driver.connection.request(f"{self.path}/{server_id}", method="DELETE")
