"""The OpenAPI document and the server say the same: schemathesis tries to break either, with all its checks.

Which templates are valid no JSON schema can say, so for bodies 400 counts as a proper answer to one that fits the
schema; likewise 409, 412 and 415, which depend on the state and on headers.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.im_client.api.templates import tosca
from tests.rigs.im_serve import im_serve

pytestmark = [pytest.mark.schemathesis, pytest.mark.timeout(900)]

_CONFIG = """\
[checks]
positive_data_acceptance.expected-statuses = ["2xx", 400, 401, 403, 404, 409, 412, 413, 415, 422]
negative_data_rejection.expected-statuses = ["4xx"]
missing_required_header.expected-statuses = [400, 401, 406, 422]
"""


@pytest.mark.parametrize(("is_admin", "only"), [(False, "."), (True, "^/users")])
def test_schemathesis_finds_nothing(is_admin: bool, only: str, tmp_path: Path) -> None:
    with im_serve(tmp_path, IM_SERVER_WAIT_S="5") as server:
        ana, fay = server.user("ana"), server.user("fay", admin=is_admin)
        made = ana("POST", "/infrastructures", tosca(1), Content_Type="text/yaml")
        ana.settle(made)
        infra = made.headers["infid"]
        # no owner: what it works on must not be destroyed while it works
        ana("POST", f"/infrastructures/{infra}/authorization", '{"username": "fay", "role": "operator"}')
        operation = made.headers["operation"].rsplit("/", 1)[1]
        values = f'infra = "{infra}"\nvm = 0\ndisk = 0\ncloud = "fk"\noperation = "{operation}"\n'
        (tmp_path / "schemathesis.toml").write_text(f"{_CONFIG}\n[parameters]\n{values}")
        done = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli"),
                *("--config-file", str(tmp_path / "schemathesis.toml"), "run", f"{server.url}/openapi.json"),
                *("-H", f"Authorization: {fay.auth}", "--include-path-regex", only),
                *("--checks", "all", "--max-examples", os.environ.get("IM_TEST_EXAMPLES", "25"), "--seed", "1"),
                *("--request-timeout", "20", "--no-color", "--suppress-health-check", "all"),
            ],
            capture_output=True,
            text=True,
            timeout=850,
            cwd=tmp_path,
            check=False,
        )
        said = done.stdout + done.stderr
        assert done.returncode == 0, said[-12_000:]
        assert server.running.process.poll() is None
        assert "Traceback" not in server.running.said()
