"""`im flash`."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from im_client.cli.session import json_option, setting_overrides, split_pairs, yes_option
from infracore.cli.console import ask, needs_answer, print_data, print_json, say, say_rendered
from infracore.cli.lazy import ExampleCommand
from infracore.cli.tables import counted
from infracore.errors import InvalidUsage
from infracore.exitcodes import ExitCode

if TYPE_CHECKING:
    from im_client.services.flash import FlashPlan, FlashRequest
    from im_client.settings import Settings

__all__ = ["command"]

_MOST_NODES_BYTES = 4 << 20


@click.command(
    "flash",
    cls=ExampleCommand,
    short_help="Write cards for Raspberry Pis, each customised for its node.",
    examples=(
        ("im flash --list", "The cards and disks that could be written."),
        (
            "im flash raspios-lite.img.xz /dev/sda --inventory inventories/raspberry_pi --node pi-1",
            "Show the card, ask, write it, read it back, and make it the node pi-1.",
        ),
        (
            "im flash --inventory inventories/raspberry_pi --all --if-needed --eject -y",
            "Every board that has a device in the inventory, all at once; cards that are right stay as they are.",
        ),
        (
            "im flash 'Raspberry Pi OS Lite (64-bit)' --os-list os_list.json --to pi-1=/dev/sda --to pi-2=/dev/sdb"
            " --inventory inventories/raspberry_pi --dry-run",
            "An image of rpi-imager's list, for two cards; only say what would be done.",
        ),
    ),
)
@click.argument("image", required=False, default="")
@click.argument("device", required=False, default="")
@click.option("--list", "is_list", is_flag=True, help="List the disks that are, or may be, cards; write nothing.")
@click.option("--rpiboot", "is_module", is_flag=True, help="Wait for a Compute Module on USB, then list its disks.")
@click.option("--inventory", type=click.Path(path_type=Path), metavar="DIR", help="Ansible inventory with the nodes.")
@click.option("--nodes", "nodes_file", metavar="FILE", help="Nodes as YAML in place of an inventory; - is stdin.")
@click.option("--node", default="", metavar="NAME", help="The node that the card becomes.")
@click.option("--to", "to", multiple=True, metavar="NODE=DEVICE", help="A node and its card; may be repeated.")
@click.option("--all", "every", is_flag=True, help="Every node of the inventory that has a raspberry_pi_device.")
@click.option("--sha256", default="", metavar="DIGEST", help="Of the image's file as it is fetched; else refused.")
@click.option("--os-list", default="", metavar="URL|FILE", help="Image list of rpi-imager, in which IMAGE is a name.")
@click.option("--bmap", default="", metavar="FILE|URL", help="Block map of the image (bmaptool create).")
@click.option("--verify/--no-verify", default=True, help="Read all back and compare (default: yes).")
@click.option("--if-needed", is_flag=True, help="Leave cards that have this image and configuration already.")
@click.option("--eject", is_flag=True, help="Eject cards that are done, or cut their power.")
@click.option(
    "--force-device", "forced", multiple=True, metavar="DEVICE", help="Write this disk though it is large or inside."
)
@click.option("--key", "key_file", default="", metavar="FILE", help="With ssh://: log in with this private key.")
@click.option("--restart", is_flag=True, help="With ssh://: restart the machine when its disk is done.")
@click.option(
    "--from-ram",
    is_flag=True,
    help="With ssh://: flash the disk that the machine runs from; it restarts into its memory.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be written, and write nothing.")
@yes_option
@json_option
def command(
    *,
    is_list: bool,
    is_module: bool,
    key_file: str,
    restart: bool,
    from_ram: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    **given: Any,
) -> int:
    """Write IMAGE to DEVICE, or to the cards of many nodes at once.

    IMAGE is a file, an http(s) address, or a name in the OS list; without it the inventory says which. It may be packed
    with xz, zstd, gzip or zip. DEVICE is a whole disk, or a file, or ssh://USER@HOST/dev/nvme0n1: a disk of a machine
    that runs, and with --from-ram the one that it runs from.
    """
    from im_client.settings import load_settings

    if is_list or is_module:
        return _list(is_module=is_module, as_json=as_json)
    if not dry_run:
        needs_answer(yes, also="; --dry-run says what would be written")
    settings = load_settings(overrides=setting_overrides(), environ=os.environ, cwd=Path.cwd()).value
    if given["device"].startswith("ssh://"):
        from im_client.cli.flash_remotely import flash_over_ssh

        request = _request(**given)
        return flash_over_ssh(
            settings,
            request,
            key_file=key_file,
            restart=restart,
            from_ram=from_ram,
            dry_run=dry_run,
            yes=yes,
            as_json=as_json,
        )
    from im_client.cli.cards import plan_shape, plan_view
    from im_client.services.flash import prepare_flash

    plan = prepare_flash(settings, _request(**given))
    if as_json:
        print_json({"type": "plan", **plan_shape(plan)}, in_one_line=True)
    else:
        (print_data if dry_run else say_rendered)(plan_view(plan))
    if dry_run:
        say("nothing was written")
        return ExitCode.DONE
    lost = counted(len(plan.cards) - len(plan.held), "target")
    if not plan.is_empty and not ask(f"All that is on {lost} is lost. Write?", yes):
        say("nothing was written")
        return ExitCode.FAILED
    return _write(settings, plan, as_json=as_json)


def _list(*, is_module: bool, as_json: bool) -> int:
    from im_client.cli.cards import cards_table, device_shape
    from im_client.cli.interrupt import interruptible
    from im_client.services.flash import cards, module_cards

    if is_module:
        with interruptible(say, again="im flash --rpiboot") as cancel:
            found = module_cards(say, cancel)
    else:
        found = cards()
    if as_json:
        print_json({"cards": [device_shape(device) for device in found]})
    elif found:
        print_data(cards_table(found))
    else:
        say("there is no card here, and no disk but the system's own")
    return ExitCode.DONE


def _write(settings: "Settings", plan: "FlashPlan", *, as_json: bool) -> int:
    import shlex

    from im_client.cli.bars import shown
    from im_client.cli.cards import exit_code, report_shape, report_view
    from im_client.cli.interrupt import interruptible
    from im_client.services.flash import flash

    again = shlex.join(["im", *sys.argv[1:]])
    with shown(as_json=as_json) as bars, interruptible(bars.notice, again=again) as cancel:
        report = flash(settings, plan, on_progress=bars.on_progress, on_step=bars.on_step, cancel=cancel)
    if as_json:
        print_json({"type": "report", **report_shape(report)}, in_one_line=True)
    else:
        say_rendered(report_view(report))
    return exit_code(report)


def _request(*, to: tuple[str, ...], nodes_file: str | None, **given: Any) -> "FlashRequest":
    from im_client.services.flash import FlashRequest

    if given["image"].startswith("/dev/") and not given["device"]:
        raise InvalidUsage(
            f"{given['image']} stands where the image is named",
            f"im flash IMAGE {given['image']}, or --to NODE={given['image']} with the image of the inventory",
        )
    if nodes_file is not None and given["inventory"] is not None:
        raise InvalidUsage("--nodes and --inventory both name the nodes", "one of them is enough")
    pairs = tuple(split_pairs((word,), "--to").popitem() for word in to)
    return FlashRequest(**given, to=pairs, nodes=None if nodes_file is None else _nodes(nodes_file))


def _nodes(file: str) -> Mapping[str, Mapping[str, Any]]:
    """Read nodes and their variables, as hosts of an inventory have them."""
    import yaml

    from infracore.yaml_text import load_yaml, yaml_problem

    try:
        if file == "-":
            text = sys.stdin.read(_MOST_NODES_BYTES + 1)
        else:
            with Path(file).open(encoding="utf-8") as source:
                text = source.read(_MOST_NODES_BYTES + 1)
        if len(text) > _MOST_NODES_BYTES:
            raise InvalidUsage(f"the nodes of {file} are larger than {_MOST_NODES_BYTES >> 20} MiB")
        nodes = load_yaml(text, aliases=True, once=True)
    except OSError as error:
        raise InvalidUsage(f"cannot read the nodes of {file}: {error.strerror}") from error
    except (ValueError, yaml.YAMLError) as error:
        raise InvalidUsage(f"cannot read the nodes of {file}: {yaml_problem(error)}") from error
    if not isinstance(nodes, dict) or not all(isinstance(value, dict) for value in nodes.values()):
        raise InvalidUsage(f"{file} does not hold nodes", "a mapping: NODE: {raspberry_pi_node: {...}}")
    if wrong := [name for name in nodes if name is None or isinstance(name, bool)]:
        hint = "in YAML yes, no, on, off and null are no text: quote them"
        raise InvalidUsage(f"{file}: a node cannot be named {wrong[0]}", hint)
    return {str(name): value for name, value in nodes.items()}
