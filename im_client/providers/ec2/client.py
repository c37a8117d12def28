"""One connection to one account: sends, and knows neither machines nor our words. The only home of botocore."""

import functools
import os
import threading
from collections.abc import Collection, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from im_client.providers.cloud.lent import Lent
from im_client.providers.ec2.account import Account
from im_client.providers.ec2.answers import checked, told
from im_client.providers.ec2.errors import code_of, translated
from infracore.errors import Misconfigured, Transient

__all__ = ["Client"]

_CONNECTIONS: Final = 64
"""How many are kept open: more than steps run at once."""

_NOT_OURS: Final = {
    "profile": (None, None, None, None),
    "region": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}
"""Variables of botocore whose values are not looked for in AWS's configuration and environment: those are this
computer's."""


class Client:
    """Opened with the first call. Safe under threads; one answer takes `request_s` at the most."""

    def __init__(self, account: Account, request_s: float) -> None:
        self.place = account.place
        self._account = account
        self._request_s = request_s
        self._lock = threading.Lock()
        self._opened: Any = None

    @property
    def identity(self) -> str:
        """Endpoint and region, as settings, environment and AWS's configuration say it. EC2 is not asked.

        Raises:
            InfraError: no region is known.
        """
        from botocore.exceptions import BotoCoreError

        try:
            meta = self._client().meta
        except BotoCoreError as error:
            raise translated(error, "the login", self.place) from error
        return f"ec2 {meta.endpoint_url.rstrip('/')} {meta.region_name}"

    def call(self, operation: str, *, allow: Collection[str] = (), **params: Any) -> Mapping[str, Any] | None:
        """Send one request, once.

        `allow` names codes of errors for which None is the answer.

        Raises:
            InfraError: of the class that EC2's code stands for; `Transient` where no whole answer of EC2's came, and
                where the answer is asked for a member that it lacks.
        """
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError

        try:
            answer: dict[str, Any] = getattr(self._client(), operation)(**params)
        except (BotoCoreError, ClientError, ResponseParserError) as error:
            if code_of(error) in allow:
                return None
            raise translated(error, _camel(operation), self.place) from error
        whole: Mapping[str, Any] = told(answer, f"{_camel(operation)} at {self.place}")
        return whole

    def ask(self, operation: str, **params: Any) -> Mapping[str, Any]:
        """Send one request whose errors are all errors."""
        return self.call(operation, **params) or {}

    def every(self, operation: str, key: str, **params: Any) -> list[Mapping[str, Any]]:
        """Return the items of all pages. Raises `Transient` also where a page is followed by itself."""
        found: list[Mapping[str, Any]] = []
        more: dict[str, str] = {}
        seen: set[str] = set()
        while True:
            page = self.ask(operation, **params, **more)
            found += page[key]
            token = page.get("NextToken")
            if not token:
                return found
            if token in seen:
                raise Transient(f"{_camel(operation)} at {self.place} tells the same page again and again")
            seen.add(token)
            more = {"NextToken": token}

    def reset(self) -> bool:
        """Forget the connection, so that credentials are looked up anew; False where the auth file fixes them."""
        self.close()
        return not self._account.key

    def close(self) -> None:
        """Close connections."""
        with self._lock:
            if self._opened is not None:
                self._opened.close()
            self._opened = None

    def _client(self) -> Any:
        with self._lock:
            if self._opened is None:
                self._opened = self._open()
            return self._opened

    def _open(self) -> Any:
        import botocore.session
        from botocore.config import Config

        account = self._account
        session = botocore.session.Session(_NOT_OURS if account.lent is not None else None)
        session.register_component("data_loader", _loader())
        if account.region:
            session.set_config_variable("region", account.region)
        if account.key:
            secret, token = (word.reveal() if word is not None else None for word in (account.secret, account.token))
            session.set_credentials(account.key, secret, token)
        config = Config(
            connect_timeout=min(10.0, self._request_s),
            read_timeout=self._request_s,
            retries={"total_max_attempts": 1, "mode": "standard"},
            max_pool_connections=_CONNECTIONS,
            parameter_validation=True,
            user_agent_extra="im-clues",
            ignore_configured_endpoint_urls=account.lent is not None or None,
        )
        try:
            opened = session.create_client("ec2", endpoint_url=account.endpoint or None, config=config)
            _ = urlsplit(opened.meta.endpoint_url).port  # raises for 99999
        except ValueError as error:
            raise Misconfigured(
                f"region or endpoint of {self.place} is none that can be asked", "look at AWS's configuration"
            ) from error
        opened.meta.events.register("before-parse.ec2", functools.partial(checked, self.place))
        if account.lent is not None and account.is_of_line:
            opened.meta.events.register("before-send.ec2", functools.partial(_look, account.lent))
        return opened


def _look(lent: Lent, request: Any, **_: object) -> None:
    """Look where a request goes. Raises as `Lent.check`."""
    lent.check(request.url)


@functools.cache
def _loader() -> Any:
    """Return what reads EC2's description of itself: 0.2 s of CPU, so that it is kept for all connections."""
    from botocore.loaders import create_loader

    return create_loader()


def _camel(operation: str) -> str:
    return "".join(word.capitalize() for word in operation.split("_"))
