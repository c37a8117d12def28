"""Access tokens of oidc-agent, asked over its socket.

Protocol: oidc-agent's documentation, "IPC-API": one JSON object there, one back. The agent takes plain JSON as well as
encrypted messages (measured with 4.2.6); the socket belongs to the user alone, so that nothing is gained by the latter.
"""

import socket
from typing import Final

import msgspec

from im_client.auth.claims import check_token
from infracore.errors import Misconfigured, TimedOut, Unauthorised
from infracore.secrets import Secret

__all__ = ["ask_agent"]

_MOST_BYTES: Final = 256 * 1024
_NAME: Final = "oidc-agent"


class _Answer(msgspec.Struct):
    status: str = ""
    access_token: str = ""
    error: str = ""
    info: str = ""


def ask_agent(path: str, *, account: str, issuer: str, least_s: float, limit_s: float) -> Secret:
    """Return a token that lives for `least_s` seconds at least; blocks, as the agent may ask the issuer.

    `account` is the short name in the agent; where it is "", the agent chooses one of the issuer.

    Raises:
        Unauthorised: the agent has none. Misconfigured: there is no agent. TimedOut: it does not answer.
    """
    asked: dict[str, object] = {"request": "access_token", "min_valid_period": int(least_s), "application_hint": "im"}
    asked |= {"account": account} if account else {"issuer": issuer}
    whom = f"account {account}" if account else f"an account of {issuer}"
    try:
        said = msgspec.json.decode(_exchange(path, msgspec.json.encode(asked), limit_s), type=_Answer)
    except TimeoutError as error:
        raise TimedOut(f"{_NAME} gave no token within {limit_s:g} s", "is it waiting for a password?") from error
    except OSError as error:
        raise Misconfigured(
            f"{_NAME} does not answer at {path}: {error.strerror or error}", "start it, and set OIDC_SOCK: oidc-agent"
        ) from error
    except msgspec.MsgspecError:
        raise Misconfigured(f"what listens at {path} is no {_NAME}: it answers what is none of its JSON") from None
    if said.status != "success" or not said.access_token:
        raise Unauthorised(
            f"{_NAME} has no token of {whom}: {(said.error or 'no reason given')[:300]}",
            said.info[:300] or f"run: oidc-add {account or 'ACCOUNT'}",
        )
    return check_token(said.access_token, f"the token of {_NAME}")


def _exchange(path: str, asked: bytes, limit_s: float) -> bytes:
    with socket.socket(socket.AF_UNIX) as agent:
        agent.settimeout(limit_s)
        agent.connect(path)
        agent.sendall(asked)
        answer = b""
        while (piece := agent.recv(65536)) and len(answer) <= _MOST_BYTES:
            answer += piece
        return answer
