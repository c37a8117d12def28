"""Plans in words."""

from im_client.plan.build import build
from im_client.plan.explain import rows, sentences, summary
from im_client.plan.model import Known, Phase
from tests.im_client.plan.world import LIMITS, apply, cluster, with_phase

DEPLOYED = apply(build("inf", cluster(), Known(), LIMITS), Known(), cluster())


def test_an_empty_plan_says_that_there_is_nothing_to_do() -> None:
    plan = build("inf", cluster(), DEPLOYED, LIMITS)
    assert summary(plan) == "Nothing to do: 3 machines are as they shall be."
    assert sentences(plan) == []


def test_a_new_machine_an_update_and_a_replacement_are_explained() -> None:
    assert sentences(build("inf", cluster(), Known(), LIMITS))[1] == (
        "wn-1 is created: the template asks for 2 of wn (CPUs 1, memory 1 GiB, image debian)"
    )
    assert sentences(build("inf", cluster(memory=2**31), DEPLOYED, LIMITS)) == [
        "wn-1 is changed in place: changed in place (memory: 1 GiB -> 2 GiB)",
        "wn-2 is changed in place: changed in place (memory: 1 GiB -> 2 GiB)",
    ]
    replaced = build("inf", cluster(image="ubuntu"), DEPLOYED, LIMITS)
    assert sentences(replaced)[0] == (
        "wn-1 is deleted and made anew: image cannot be changed on a machine of fake "
        "(image: debian -> ubuntu, which forces a new machine; "
        "before that runs work.Standard.stop, work.Standard.delete)"
    )
    assert summary(replaced) == "Plan: 2 to replace, 3 to configure; 0 unchanged."


def test_rows_mark_what_happens_and_warnings_come_last() -> None:
    plan = build("inf", cluster(1), with_phase(DEPLOYED, "wn-1", Phase.UNKNOWN), LIMITS)
    assert rows(plan)[:2] == [
        ("-", "delete", "wn-2", "wn is scaled in to 1"),
        ("", "", "", "before that runs work.Standard.stop, work.Standard.delete"),
    ]
    assert sentences(plan)[-1].startswith("warning: the provider could not be asked about wn-1")
