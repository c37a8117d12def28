#!/usr/bin/python
# Copyright: the authors of im-clues
# Apache License 2.0
"""Cards for Raspberry Pis, by `im flash`."""

import json
import os

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
---
module: raspberry_pi_flash
short_description: Write cards for Raspberry Pis, each customised for its node
description:
  - Runs C(im flash) on the computer that the cards are in, for all nodes at once.
  - A card that has this image and this configuration already is not written again.
  - Each card goes its own way; those that failed are in I(cards), and the module fails if any did, unless
    I(fail_if_any) is false.
author: the authors of im-clues
requirements: [im-clues, mtools, e2fsprogs]
options:
  nodes:
    description: Node to its variables, as hosts have them (C(raspberry_pi_node), C(raspberry_pi_device) ...).
    type: dict
    required: true
  image:
    description: Image for all of them, in place of each node's C(raspberry_pi_image); file, address or name.
    type: str
    default: ""
  sha256:
    description: Digest of that image's file.
    type: str
    default: ""
  os_list:
    description: Image list of rpi-imager, address or file, in which the image is a name.
    type: str
    default: ""
  bmap:
    description: Block map of the image, address or file.
    type: str
    default: ""
  verify:
    description: Whether all is read back and compared.
    type: bool
    default: true
  eject:
    description: Whether cards that are done are ejected.
    type: bool
    default: false
  force_devices:
    description: Disks that are written although they are large or inside the computer.
    type: list
    elements: path
    default: []
  fail_if_any:
    description: Whether a card that failed lets the module fail; otherwise only what stops all of them does.
    type: bool
    default: true
  program:
    description: The program C(im).
    type: path
    default: im
  state_dir:
    description: Where host keys are kept; empty is C(im)'s own setting.
    type: path
  cache_dir:
    description: Where fetched images are kept; empty is C(im)'s own setting.
    type: path
attributes:
  check_mode:
    support: full
"""

EXAMPLES = r"""
- name: Write the cards that are in this computer
  raspberry_pi_flash:
    nodes:
      pi-1:
        raspberry_pi_device: /dev/sda
        raspberry_pi_node: {user: ana, authorized_keys: ["ssh-ed25519 AAAA..."]}
    image: /srv/raspios-lite.img.xz
  delegate_to: localhost
"""

RETURN = r"""
cards:
  description: Node to what became of its card; of a card that is as it was only C(state) is there.
  returned: success
  type: dict
  sample: {pi-1: {state: done, device: /dev/sda, verified: true, host_key: "ssh-ed25519 AAAA...", error: null}}
exit_code:
  description: That of C(im flash).
  returned: when cards were written
  type: int
known_hosts:
  description: File with the host keys of the boards.
  returned: when cards were written
  type: str
"""

_OPTIONS = {
    "nodes": {"type": "dict", "required": True},
    "image": {"type": "str", "default": ""},
    "sha256": {"type": "str", "default": ""},
    "os_list": {"type": "str", "default": ""},
    "bmap": {"type": "str", "default": ""},
    "verify": {"type": "bool", "default": True},
    "eject": {"type": "bool", "default": False},
    "force_devices": {"type": "list", "elements": "path", "default": []},
    "fail_if_any": {"type": "bool", "default": True},
    "program": {"type": "path", "default": "im"},
    "state_dir": {"type": "path"},
    "cache_dir": {"type": "path"},
}
_WORDS = {"image": "", "sha256": "--sha256", "os_list": "--os-list", "bmap": "--bmap"}
_SOME_FAILED = 4


def main():
    """Run as a module."""
    # no_log for nodes alone would put stars in place of every name that the answer holds
    module = AnsibleModule(_OPTIONS, no_log=True, supports_check_mode=True)
    asked = module.params
    argv = [asked["program"], "flash"]
    for name, flag in _WORDS.items():
        if asked[name]:
            argv += [flag, asked[name]] if flag else [asked[name]]
    for device in asked["force_devices"]:
        argv += ["--force-device", device]
    argv += ["--nodes", "-", "--all", "--if-needed", "--json"]
    argv += ["--eject"] if asked["eject"] else []
    argv += [] if asked["verify"] else ["--no-verify"]
    argv += ["--dry-run"] if module.check_mode else ["--yes"]
    folders = {"IM_STATE_DIR": asked["state_dir"], "IM_CACHE_DIR": asked["cache_dir"]}
    environment = {name: value for name, value in folders.items() if value}
    status, out, err = module.run_command(
        argv, data=json.dumps(asked["nodes"]), environ_update={**environment, "NO_COLOR": "1"}, cwd=os.getcwd()
    )
    plan, report = _lines(out)
    if plan is None or (report is None and (status or not module.check_mode)):
        _end(module.fail_json, msg=_reason(err) or f"im flash ended with {status}", exit_code=status, cards={})
    if report is None:
        cards = {card["name"]: {"state": card["state"], "device": card["device"]} for card in plan["cards"]}
        _end(module.exit_json, changed=any(card["state"] != "unchanged" for card in cards.values()), cards=cards)
    cards = {card["name"]: card for card in report["cards"]}
    result = {"changed": report["changed"], "cards": cards, "known_hosts": report["known_hosts"], "exit_code": status}
    if status == 0 or (status == _SOME_FAILED and not asked["fail_if_any"]):
        _end(module.exit_json, **result)
    failed = [f"{name}: {card['error']['message']}" for name, card in cards.items() if card["error"]]
    _end(module.fail_json, msg="; ".join(failed) or _reason(err) or f"im flash ended with {status}", **result)


def _end(how, **result):
    """End; what was given to the module, passwords among it, is not repeated in the answer."""
    how(invocation={}, **result)


def _lines(text):
    """Return plan and report out of the JSON lines, None for what is not there."""
    found = {}
    for line in text.splitlines():
        if line.startswith("{"):
            value = json.loads(line)
            found[value.get("type")] = value
    return found.get("plan"), found.get("report")


def _reason(text):
    """Return what was said on standard error: errors, each with its hint."""
    reasons = []
    for line in text.splitlines():
        kind, _, said = line.partition(": ")
        if kind == "error":
            reasons.append(said)
        elif kind == "hint" and reasons:
            reasons[-1] += f" ({said})"
    return "; ".join(reasons)


if __name__ == "__main__":
    main()
