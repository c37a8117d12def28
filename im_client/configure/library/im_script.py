"""Ansible module that runs a shell script of a template on a machine.

The script and its variables come through Ansible's own channel, so that no command line shows them. Loaded by
ansible-core by its path, never imported by this package.
"""

from __future__ import annotations

import os
import subprocess
import tempfile

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: im_script
short_description: Run a script with variables that no command line shows
options:
  content: {description: Text of the script., type: str, required: true}
  environment: {description: Variables of its environment., type: dict, default: {}}
  hidden: {description: Variables whose values are masked in the output., type: dict, default: {}}
"""


def main() -> None:
    """Run the script; `NAME=value` lines that it writes to the file `$IM_OUTPUTS` become the fact `im_outputs`."""
    module = AnsibleModule(
        argument_spec={
            "content": {"type": "str", "required": True},
            "environment": {"type": "dict", "default": {}},
            "hidden": {"type": "dict", "default": {}, "no_log": True},
        }
    )
    content = module.params["content"]
    with tempfile.TemporaryDirectory(dir=module.tmpdir) as folder:
        script = os.path.join(folder, "script")  # noqa: PTH118 - old Pythons run on machines
        outputs = os.path.join(folder, "outputs")  # noqa: PTH118
        with open(script, "w", encoding="utf-8") as out:  # noqa: PTH123
            out.write(content)
        os.chmod(script, 0o700)  # noqa: PTH101
        variables = {**module.params["environment"], **module.params["hidden"]}
        environment = {**os.environ, **{k: str(v) for k, v in variables.items()}, "IM_OUTPUTS": outputs}
        argv = [script] if content.startswith("#!") else ["/bin/sh", script]
        try:
            done = subprocess.run(argv, env=environment, capture_output=True, stdin=subprocess.DEVNULL, check=False)
        except OSError as error:
            module.fail_json(msg=f"the script cannot be run: {error}")
        answer = {
            "changed": True,
            "rc": done.returncode,
            "stdout": done.stdout.decode(errors="replace"),
            "stderr": done.stderr.decode(errors="replace"),
        }
        if os.path.exists(outputs):  # noqa: PTH110
            with open(outputs, encoding="utf-8") as lines:  # noqa: PTH123
                pairs = [line.rstrip("\n").partition("=") for line in lines if "=" in line]
            answer["ansible_facts"] = {"im_outputs": {name: value for name, _, value in pairs}}
    if done.returncode != 0:
        module.fail_json(msg=f"the script ended with status {done.returncode}", **answer)
    module.exit_json(**answer)


if __name__ == "__main__":
    main()
