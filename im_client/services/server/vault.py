"""Credentials of clouds that their owners put away: encrypted with a key file of this server, or in HashiCorp Vault.

Nothing else of a server keeps such a credential. The own vault's key is another one than the state's, so that a copy
of the state opens no cloud. HashiCorp's is asked with the caller's own token (JWT login, KV version 1, one key a
cloud, its value the auth line as JSON), as the original does; it is read here, and written with Vault's own tools.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Final, Protocol

import msgspec

from im_client.auth.credentials import Credential
from im_client.services.server.callers import Caller
from im_client.settings import Settings, VaultSettings
from im_client.state.server import ServerStore
from infracore.errors import InvalidUsage, Misconfigured, Transient, Unauthorised, Unsupported
from infracore.secrets import Seal, Secret

__all__ = ["HashicorpVault", "OwnVault", "Vault", "open_vault", "with_vault"]

_ID: Final = re.compile(r"[a-zA-Z_.][\w.-]{0,63}", re.ASCII)
_MOST: Final = 100
_TIMEOUT_S: Final = 10.0


class Vault(Protocol):
    """Where credentials of clouds are put away."""

    def read(self, caller: Caller) -> tuple[Credential, ...]:
        """Return the caller's credentials."""
        ...

    def put(self, caller: Caller, credential: Credential) -> None:
        """Put one away, in place of one with the same id."""
        ...

    def remove(self, caller: Caller, credential: str) -> None:
        """Remove one. Absent: succeeds."""
        ...


def open_vault(settings: Settings, records: ServerStore) -> Vault | None:
    """Open the vault of the settings; None where there is none.

    Raises:
        Misconfigured: its kind is unknown, or its key or address is missing.
    """
    vault = settings.server.vault
    if vault.kind == "off":
        return None
    if vault.kind == "own":
        key = vault.key_file if vault.key_file.name else settings.state_dir / "vault.key"
        return OwnVault(records, Seal.from_file(key))
    if vault.kind == "hashicorp":
        return HashicorpVault(vault)
    raise Misconfigured(f"server.vault.kind is {vault.kind!r}", "it is off, own or hashicorp")


class OwnVault:
    """The vault in the server's own store. Safe under threads."""

    def __init__(self, records: ServerStore, seal: Seal) -> None:
        self._records = records
        self._seal = seal

    def read(self, caller: Caller) -> tuple[Credential, ...]:
        found = self._records.vault(caller.name)
        return tuple(_credential(key, msgspec.json.decode(self._seal.open(text))) for key, text in found.items())

    def put(self, caller: Caller, credential: Credential) -> None:
        if _ID.fullmatch(credential.id) is None:
            raise InvalidUsage("its id is not a letter, _ or . and then letters, digits, _, . or -")
        known = self._records.vault(caller.name)
        if credential.id not in known and len(known) >= _MOST:
            raise InvalidUsage(f"there are {_MOST} credentials in your vault already")
        words = {"type": credential.type, **{key: value.reveal() for key, value in credential.fields.items()}}
        self._records.put_vault(caller.name, credential.id, self._seal.close(msgspec.json.encode(words).decode()))

    def remove(self, caller: Caller, credential: str) -> None:
        self._records.put_vault(caller.name, credential, None)


class HashicorpVault:
    """A HashiCorp Vault, asked with the caller's own token. Safe under threads."""

    def __init__(self, settings: VaultSettings) -> None:
        if not settings.url.startswith(("https://", "http://127.0.0.1:", "http://localhost:")):
            raise Misconfigured("server.vault.url is no https address", "only on loopback http will do")
        self._settings = settings

    def read(self, caller: Caller) -> tuple[Credential, ...]:
        import hvac
        import requests
        from hvac.exceptions import Forbidden, InvalidPath, InvalidRequest, VaultError

        if caller.bearer is None:
            return ()
        mount, _, path = self._settings.path.partition("/")
        client = hvac.Client(url=self._settings.url, timeout=_TIMEOUT_S)
        try:
            client.auth.jwt.jwt_login(role=self._settings.role, jwt=caller.bearer.reveal())
            name = path.replace("{sub}", caller.name.rpartition("@")[0])
            said = client.secrets.kv.v1.read_secret(path=name, mount_point=mount)["data"]
        except InvalidPath:
            return ()
        except (Forbidden, InvalidRequest) as error:
            raise Unauthorised("the vault does not take your token") from error
        except (VaultError, requests.RequestException) as error:
            raise Transient(f"the vault does not answer: {type(error).__name__}") from error
        return tuple(_credential(key, _line(key, value)) for key, value in said.items())

    def put(self, caller: Caller, credential: Credential) -> None:  # noqa: ARG002 (the protocol)
        raise Unsupported("credentials are put into HashiCorp Vault with its own tools")

    def remove(self, caller: Caller, credential: str) -> None:  # noqa: ARG002 (the protocol)
        raise Unsupported("credentials are removed from HashiCorp Vault with its own tools")


def with_vault(vault: Vault | None, caller: Caller) -> Caller:
    """Return the caller with what is in the vault behind what came along; a line that came along wins over its id."""
    if vault is None:
        return caller
    own = {credential.id for credential in caller.credentials}
    more = tuple(credential for credential in vault.read(caller) if credential.id not in own)
    return dataclasses.replace(caller, credentials=(*caller.credentials, *more))


def _line(key: str, value: object) -> Mapping[str, object]:
    try:
        line = msgspec.json.decode(value) if isinstance(value, str) else value
    except msgspec.DecodeError as error:
        raise Misconfigured(f"the entry {key!r} of your vault is no JSON") from error
    if not isinstance(line, dict):
        raise Misconfigured(f"the entry {key!r} of your vault is no object")
    return line


def _credential(key: str, words: Mapping[str, object]) -> Credential:
    kind = str(words.get("type", ""))
    fields = {name: Secret(str(value)) for name, value in words.items() if name not in {"id", "type"}}
    return Credential(key, kind, fields)
