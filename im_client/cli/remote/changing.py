"""The commands that change something, asked of a server: show the plan, ask, do, report."""

from pathlib import Path
from typing import Any, Final

from im_client.cli.change import follow
from im_client.cli.problems import say_problems
from im_client.cli.remote.session import Session, again, opened
from im_client.cli.render import plan_view
from im_client.cli.shapes import plan_shape
from im_client.cli.templates import make_request
from im_client.services.model import Verb
from im_client.services.plan_file import is_plan_file
from im_client.services.remote import changing
from im_client.services.remote.model import Kind, RemotePlan
from im_client.services.remote.reading import find
from im_client.services.remote.template import compose
from infracore.cli.console import ask, needs_answer, print_data, print_json, say, say_rendered
from infracore.errors import InvalidUsage, Unsupported
from infracore.exitcodes import ExitCode

__all__ = [
    "carry_out",
    "deploy_",
    "destroy_",
    "plan_",
    "reboot_",
    "reconfigure_",
    "refuse_wait",
    "scale_",
    "start_",
    "stop_",
]

_SEE_PLAN: Final = "; `im plan` shows what would be done"


def plan_(*, target: str, out: Path | None, destroy: bool, detailed_exitcode: bool, as_json: bool, **given: Any) -> int:
    """`im plan`."""
    if destroy and any(given.values()):
        raise InvalidUsage("--destroy plans what is there: it takes no template, inputs or provider")
    if out is not None:
        raise Unsupported("a plan for a server is not kept: im deploy makes it anew, and asks", "leave --out out")
    _refuse_terms(given)
    with opened() as session:
        if destroy:
            infra = find(session.server, target)
            plan = changing.prepare_destroy(session.server, infra, skip_hooks=False)
        else:
            plan = _deployment(session, target, given)
    say_problems(plan.warnings)
    if as_json:
        print_json(plan_shape(plan))
    else:
        print_data(plan_view(plan))
    return ExitCode.CHANGES_PENDING if detailed_exitcode and not plan.plan.is_empty else ExitCode.DONE


def deploy_(*, target: str, yes: bool, wait_s: float | None, as_json: bool, **given: Any) -> int:
    """`im deploy`."""
    needs_answer(yes, also=_SEE_PLAN)
    refuse_wait(wait_s)
    _refuse_terms(given)
    with opened() as session:
        plan = _deployment(session, target, given)
        words = ["deploy", target, *(word for add_on in given["add_ons"] for word in ("--add", add_on))]
        name = plan.infrastructure.name if not plan.is_new else given["name"] or plan.infrastructure.name
        # inputs are not repeated: they may be secret
        return carry_out(
            session, plan, [*words, "--name", name], f"Do this to {name} at {session.server.address}?",
            yes=yes, as_json=as_json,
        )  # fmt: skip


def _refuse_terms(given: dict[str, Any]) -> None:
    if given["expire"] or given["budget"] or given["unknown_prices"]:
        raise InvalidUsage(
            "lease and budget are set by who runs the server, not over the network: who asks could undo them",
            "leave --expire, --budget and --unknown-prices out; there: im expire INFRA 8h, im deploy ... --budget 0.50",
        )


def _deployment(session: Session, target: str, given: dict[str, Any]) -> RemotePlan:
    if is_plan_file(session.cwd / target):
        raise InvalidUsage(f"{target} is a plan for this computer, not for a server", "deploy the template")
    makes_values = session.server.kind is Kind.OURS
    composed = compose(session.settings, session.cwd, make_request(target, **given), makes_values=makes_values)
    return changing.prepare_deploy(session.server, composed, named=given["name"] is not None)


def scale_(
    *,
    words: tuple[str, ...],
    remove: tuple[str, ...],
    image: str | None,
    yes: bool,
    wait_s: float | None,
    as_json: bool,
) -> int:
    """`im scale`."""
    from im_client.cli.commands.scale import parse_words

    if image is not None:
        raise InvalidUsage("golden images are chosen where the server is", "leave --image out")
    named, counts = parse_words(words, remove)
    needs_answer(yes, also=_SEE_PLAN)
    refuse_wait(wait_s)
    with opened() as session:
        infra = find(session.server, named)
        plan = changing.prepare_scale(session.server, infra, counts, remove)
        if named is None:
            say(f"infrastructure {plan.infrastructure.name}, the only one there is")
        sizes = [f"{group}={count}" for group, count in counts.items()]
        removed = [word for one in remove for word in ("--remove", one)]
        question = f"Scale {plan.infrastructure.name} so?"
        return carry_out(session, plan, ["scale", infra, *sizes, *removed], question, yes=yes, as_json=as_json)


def destroy_(*, infra: str, skip_hooks: bool, yes: bool, wait_s: float | None, as_json: bool) -> int:
    """`im destroy`."""
    needs_answer(yes, also=_SEE_PLAN)
    refuse_wait(wait_s)
    with opened() as session:
        found = find(session.server, infra)
        plan = changing.prepare_destroy(session.server, found, skip_hooks=skip_hooks)
        if skip_hooks and session.server.kind is Kind.ORIGINAL:
            say(f"an {Kind.ORIGINAL} runs no stop and delete hooks: --skip-hooks changes nothing")
        words = ["destroy", found, *(["--skip-hooks"] if skip_hooks else [])]
        question = f"Delete {plan.infrastructure.name} ({found}) with all its machines?"
        return carry_out(session, plan, words, question, yes=yes, as_json=as_json)


def carry_out(session: Session, plan: RemotePlan, words: list[str], question: str, *, yes: bool, as_json: bool) -> int:
    """Show a plan, ask, carry it out and report. `words` is the command that goes on where it is interrupted."""
    say_problems(plan.warnings)
    if as_json:
        print_json({"type": "plan", **plan_shape(plan)}, in_one_line=True)
    else:
        say_rendered(plan_view(plan))
    if plan.plan.is_empty and not plan.is_new and plan.verb is not Verb.DESTROY and plan.body is None:
        if as_json:
            print_json(_unchanged(plan), in_one_line=True)
        return ExitCode.DONE
    if not ask(question, yes, also=_SEE_PLAN):
        say("nothing was changed")
        return ExitCode.FAILED
    return follow(
        lambda listener, cancel: changing.apply(session.server, plan, listener=listener, cancel=cancel),
        again=again(*words),
        as_json=as_json,
    )


def _unchanged(plan: RemotePlan) -> dict[str, Any]:
    from im_client.cli.shapes import report_shape
    from im_client.services.model import ApplyReport
    from im_client.state.store import RunState

    named = plan.infrastructure
    return report_shape(ApplyReport(named.id, named.name, "", plan.verb, RunState.DONE, (), {}, (), "", 0.0))


def start_(*, infra: str, nodes: tuple[str, ...], wait_s: float | None, as_json: bool) -> int:
    """`im start`."""
    return _order(Verb.START, infra, nodes, wait_s, as_json=as_json)


def stop_(*, infra: str, nodes: tuple[str, ...], wait_s: float | None, as_json: bool) -> int:
    """`im stop`."""
    return _order(Verb.STOP, infra, nodes, wait_s, as_json=as_json)


def reboot_(*, infra: str, nodes: tuple[str, ...], wait_s: float | None, as_json: bool) -> int:
    """`im reboot`."""
    return _order(Verb.REBOOT, infra, nodes, wait_s, as_json=as_json)


def reconfigure_(*, infra: str, nodes: tuple[str, ...], wait_s: float | None, as_json: bool) -> int:
    """`im reconfigure`."""
    return _order(Verb.RECONFIGURE, infra, nodes, wait_s, as_json=as_json)


def _order(verb: Verb, infra: str, nodes: tuple[str, ...], wait_s: float | None, *, as_json: bool) -> int:
    refuse_wait(wait_s)
    with opened() as session:
        found = find(session.server, infra)
        return follow(
            lambda listener, cancel: changing.order(
                session.server, found, verb, nodes, listener=listener, cancel=cancel
            ),
            again=again(verb.value, found, *nodes),
            as_json=as_json,
            with_outputs=False,
        )


def refuse_wait(wait_s: float | None) -> None:
    """Raise InvalidUsage where somebody would wait for a lock."""
    if wait_s is not None:
        raise InvalidUsage("--wait is for a lock of this computer; a server has its own", "leave it out")
