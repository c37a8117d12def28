"""What is said of one pod or job: the same of the picture that a daemon has, and of one that was recorded."""

from collections.abc import Mapping

from clues.decision import Decision
from clues.model import PodRef
from clues.snapshot import Snapshot

__all__ = ["NO_POD_HINT", "pod_answer"]

NO_POD_HINT = "pods and jobs that have ended are not kept"


def pod_answer(snapshot: Snapshot, decision: Decision | None, name: str, *, undecided: str) -> dict[str, object] | None:
    """Return the answer to `clues why`; None if nothing that is pending or runs has the name (NAMESPACE/NAME or NAME).

    `undecided` is said of a pending pod that the decision says nothing of.
    """
    is_batch = snapshot.slurm is not None
    namespace, slash, short = name.removeprefix("job:").rpartition("/")

    def is_it(ref: PodRef) -> bool:  # what is pending of an array is called `12_[1-9]`, and asked for by `12`
        named = ref.name == short or (is_batch and ref.name.partition("_")[0] == short)
        return named and (not slash or ref.namespace == namespace)

    def answer(ref: PodRef, said: str, details: Mapping[str, object]) -> dict[str, object]:
        return {"kind": "job" if is_batch else "pod", "name": str(ref), "summary": said, "details": details}

    for verdict in decision.pods if decision is not None else ():
        for ref in verdict.pods:
            if is_it(ref):
                place = f" ({verdict.place})" if verdict.place else ""
                said = f"{verdict.outcome}{place}" + (f": {verdict.reason}" if verdict.reason else "")
                return answer(ref, said, {"verdict": verdict})
    for pod in snapshot.pending:
        if is_it(pod.ref):
            return answer(pod.ref, undecided, {"verdict": None})
    for state in snapshot.nodes.values():
        for pod in state.pods:
            if is_it(pod.ref):
                return answer(pod.ref, f"it runs on {state.node.name}", {"verdict": None})
    return None
