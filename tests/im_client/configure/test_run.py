"""The real `ansible-playbook` against a real sshd, plain and by mitogen."""

import dataclasses
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from im_client.configure.model import PlayEvent, RunResult, Strategy
from im_client.remote.hostkeys import new_key_pair
from im_client.remote.private import memory_folder
from im_client.topology.model import Artifact, ArtifactKind
from infracore.errors import Misconfigured
from infracore.secrets import Secret
from tests.im_client.configure.running import Runner, play
from tests.im_client.remote.loopback import Loopback, serve

pytestmark = [pytest.mark.ansible, pytest.mark.sshd, pytest.mark.slow]

QUIET = "gather_facts: false"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loopback]:
    started = serve(tmp_path_factory.mktemp("sshd"))
    yield started
    started.stop()


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def runner(tmp_path: Path, server: Loopback, cache: Path) -> Runner:
    return Runner(tmp_path, cache, server.access)


@pytest.fixture(params=[Strategy.PLAIN, Strategy.MITOGEN], ids=lambda s: s.value)
def any_runner(request: pytest.FixtureRequest, runner: Runner) -> Runner:
    runner.strategy = request.param
    return runner


def _ours() -> set[Path]:
    return set(memory_folder().glob(f"im-{os.getpid()}-*"))


def _log(result: RunResult) -> str:
    return result.log.read_text(encoding="utf-8")


FIRST = """
- name: Hello
  ansible.builtin.debug:
    msg: "{{ im_node }} of {{ im_group }}, {{ im_nodes | length }} nodes, {{ word }}, {{ password }}"
- name: Outputs
  ansible.builtin.set_fact:
    im_outputs: {who: "{{ inventory_hostname }}", list: [1, {a: true}], far: "{{ hostvars['spare-0'].im_group }}"}
- name: Bad on the second worker
  ansible.builtin.command: {cmd: sh -c "echo so far; echo why >&2; exit 3"}
  when: inventory_hostname == 'wn-1'
  changed_when: true
"""
SLEEP = "- name: Sleep\n  ansible.builtin.command: {cmd: sleep 300}\n  changed_when: false\n"
SECOND = """---
- hosts: localhost
  connection: local
  gather_facts: false
  vars: {word: the author's}
  tasks:
    - name: Guarded
      block:
        - {name: Fails, ansible.builtin.command: {cmd: "false"}}
      rescue:
        - {name: Mended, ansible.builtin.debug: {msg: "{{ word }}"}}
    - name: Ignored
      ansible.builtin.command: {cmd: "false"}
      ignore_errors: true
    - ansible.builtin.set_fact: {im_outputs: {token: "{{ password }}"}}
      no_log: true
"""
THIRD = """#!/bin/bash
echo "n=$n list=$list password=$password"
echo "number=$n" >> "$IM_OUTPUTS"
"""


def test_operations_of_all_kinds_run_and_a_failed_machine_drops_out_while_the_others_go_on(any_runner: Runner) -> None:
    runner = any_runner
    everywhere = ("front-0", "wn-0", "wn-1")
    inputs = {"word": "w-{{ 1 + 1 }}", "password": Secret("s3cret{{x"), "n": 7, "list": ("a", 1)}
    plays = [
        play(runner.artifact("first.yml", FIRST), "one", everywhere, inputs),
        play(runner.artifact("second.yml", SECOND), "two", everywhere, inputs),
        play(runner.artifact("third.sh", THIRD, ArtifactKind.SHELL), "three", everywhere, inputs),
    ]
    result = runner.run(plays, runner.hosts([*everywhere, "spare-0"]))
    log = _log(result)

    assert result.strategy is runner.strategy
    assert set(result.nodes) == set(everywhere)
    front, bad = result.nodes["front-0"], result.nodes["wn-1"]
    assert front.ok
    assert result.nodes["wn-0"].ok
    assert front.ended == tuple(p.id for p in plays)
    assert front.outputs == {
        "one": {"configure": {"who": "front-0", "list": (1, {"a": True}), "far": "spare"}},
        "two": {"configure": {"token": "s3cret{{x"}},
        "three": {"configure": {"number": "7"}},
    }
    assert not bad.ok
    assert bad.ended == ()
    assert bad.failure is not None
    assert (bad.failure.task, bad.failure.play, bad.failure.unreachable) == (
        "Bad on the second worker", plays[0].id, False,
    )  # fmt: skip
    assert (bad.failure.file, bad.failure.line) == (str(runner.folder / "first.yml"), 8)
    assert "non-zero return code" in bad.failure.message
    assert bad.failure.last_lines == ("so far", "why")
    assert f"front-0 of front, 4 nodes, w-2, {'***'}" in log
    assert "second.yml:9)" in log
    assert "s3cret" not in log
    assert {e.kind for e in runner.events} >= {"play", "task", "ok", "changed", "failed", "skipped"}
    assert all("s3cret" not in e.text for e in runner.events)
    assert _ours() == set()


def test_inputs_are_seen_in_their_play_alone(runner: Runner) -> None:
    probe = runner.artifact(
        "probe.yml", "- ansible.builtin.set_fact: {im_outputs: {seen: \"{{ word | default('none') }}\"}}\n"
    )
    result = runner.run([play(probe, "a", ["n-0"], {"word": "w"}), play(probe, "b", ["n-0"])], runner.hosts(["n-0"]))
    assert result.nodes["n-0"].outputs == {"a": {"configure": {"seen": "w"}}, "b": {"configure": {"seen": "none"}}}


def test_when_all_machines_of_a_play_fail_the_machines_of_later_plays_still_run(runner: Runner) -> None:
    bad = runner.artifact(
        "bad.yml", f"- hosts: all\n  {QUIET}\n  tasks: [{{ansible.builtin.fail: {{msg: refused}}}}]\n"
    )
    good = runner.artifact("good.yml", f"- hosts: all\n  {QUIET}\n  tasks: [{{ansible.builtin.debug: {{msg: yes}}}}]\n")
    plays = [play(bad, "one", ["front-0"]), play(good, "two", ["front-0", "wn-0"]), play(good, "three", ["front-0"])]
    result = runner.run(plays, runner.hosts(["front-0", "wn-0"]))
    assert result.nodes["wn-0"].ok
    assert result.nodes["wn-0"].ended == ("two.Standard.configure",)
    assert result.nodes["front-0"].ended == ()
    failure = result.nodes["front-0"].failure
    assert failure is not None
    assert (failure.message, failure.play) == ("refused", "one.Standard.configure")
    assert Path(failure.file).name == "bad.yml"
    assert failure.line == 3


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- hosts: all\n  tasks: [\n", "broken.yml:3:1: this is not YAML"),
        ("a: mapping\n", "neither a list of tasks nor a list of plays"),
        (f"- hosts: all\n  {QUIET}\n  roles: [there.is.no.such.role]\n", "there.is.no.such.role"),
        ("- no_such_module_at_all: {x: 1}\n", "no_such_module_at_all"),
    ],
)
def test_a_broken_playbook_fails_its_machines_and_no_others(runner: Runner, text: str, says: str) -> None:
    good = runner.artifact("good.yml", f"- hosts: all\n  {QUIET}\n  tasks: [{{ansible.builtin.debug: {{msg: yes}}}}]\n")
    plays = [
        play(good, "one", ["a-0", "b-0"]),
        play(runner.artifact("broken.yml", text), "two", ["a-0"]),
        play(good, "three", ["a-0", "b-0"]),
    ]
    result = runner.run(plays, runner.hosts(["a-0", "b-0"]))
    assert result.nodes["b-0"].ok
    assert result.nodes["b-0"].ended == ("one.Standard.configure", "three.Standard.configure")
    failure = result.nodes["a-0"].failure
    assert failure is not None
    assert result.nodes["a-0"].ended == ("one.Standard.configure",)
    assert failure.play == "two.Standard.configure"
    assert says in " ".join((failure.message, *failure.last_lines))
    assert Path(failure.file).name == "broken.yml"


def test_an_unreachable_machine_is_told_from_one_that_fails(any_runner: Runner) -> None:
    runner = any_runner
    absent = dataclasses.replace(runner.access, port=1)
    wrong = dataclasses.replace(runner.access, host_key=new_key_pair()[0])
    hosts = runner.hosts(["a-0", "b-0", "c-0"], b_0=absent, c_0=wrong)
    task = runner.artifact("t.yml", "- ansible.builtin.command: {cmd: 'true'}\n  changed_when: false\n")
    result = runner.run([play(task, "one", ["a-0", "b-0", "c-0"])], hosts)
    assert result.nodes["a-0"].ok
    for name in ("b-0", "c-0"):
        failure = result.nodes[name].failure
        assert failure is not None
        assert failure.unreachable
    wrong_key = result.nodes["c-0"].failure
    assert wrong_key is not None
    assert "host key" in wrong_key.message.lower()


def test_roles_files_and_imports_beside_a_playbook_are_found_and_places_are_the_author_s(runner: Runner) -> None:
    runner.artifact(
        "work/roles/greet/tasks/main.yml", '- name: In the role\n  ansible.builtin.fail: {msg: "{{ greeting }}"}\n'
    )
    runner.artifact("work/roles/greet/defaults/main.yml", "greeting: default\n")
    runner.artifact("work/templates/t.j2", "{{ word }}")
    runner.artifact("shared/more.yml", "- ansible.builtin.debug: {msg: more}\n")
    runner.artifact("work/inner.yml", f"- hosts: localhost\n  connection: local\n  {QUIET}\n  roles: [greet]\n")
    outer = runner.artifact(
        "work/outer.yml",
        f"""---
- hosts: localhost
  connection: local
  {QUIET}
  tasks:
    - ansible.builtin.import_tasks: ../shared/more.yml
    - ansible.builtin.set_fact: {{im_outputs: {{text: "{{{{ lookup('ansible.builtin.template', 't.j2') }}}}"}}}}
- import_playbook: inner.yml
""",
    )
    result = runner.run([play(outer, "one", ["a-0"], {"word": "hi", "greeting": "ours"})], runner.hosts(["a-0"]))
    node = result.nodes["a-0"]
    assert node.outputs == {"one": {"configure": {"text": "hi"}}}
    assert node.failure is not None
    assert node.failure.message == "ours"
    assert node.failure.task.endswith("In the role")
    assert (Path(node.failure.file), node.failure.line) == (runner.folder / "work/roles/greet/tasks/main.yml", 1)


def test_a_limit_keeps_the_plays_to_some_machines(runner: Runner) -> None:
    task = runner.artifact("t.yml", "- ansible.builtin.debug: {msg: hi}\n")
    result = runner.run([play(task, "one", ["a-0", "b-0"])], runner.hosts(["a-0", "b-0"]), limit=("b-0",))
    assert set(result.nodes) == {"b-0"}
    assert result.nodes["b-0"].ok


def test_nothing_to_do_runs_nothing(runner: Runner) -> None:
    result = runner.run([], runner.hosts(["a-0"]))
    assert (result.nodes, result.cancelled) == ({}, False)


def test_no_secret_stands_on_a_command_line_or_in_the_environment(runner: Runner) -> None:
    look = """
- ansible.builtin.shell:
    cmd: cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' | grep -c '[z]ztop' || true
  changed_when: false
  register: seen
- ansible.builtin.set_fact: {im_outputs: {seen: "{{ seen.stdout }}"}}
"""
    script = (
        'c=$(cat /proc/[0-9]*/cmdline 2>/dev/null | tr "\\0" "\\n" | grep -c "[z]ztop"); '
        + 'echo "seen=$c" > "$IM_OUTPUTS"\n'
    )
    secret = {"password": Secret("zztop")}
    plays = [
        play(runner.artifact("look.yml", look), "tasks", ["a-0"], secret),
        play(runner.artifact("look.sh", script, ArtifactKind.SHELL), "script", ["a-0"], secret),
    ]
    outputs = runner.run(plays, runner.hosts(["a-0"])).nodes["a-0"].outputs
    assert outputs == {"tasks": {"configure": {"seen": "0"}}, "script": {"configure": {"seen": "0"}}}


def test_a_failed_script_says_its_last_lines_without_its_secrets(runner: Runner) -> None:
    script = runner.artifact("s.sh", "echo using $password\necho broken >&2\nexit 9\n", ArtifactKind.SHELL)
    result = runner.run([play(script, "one", ["a-0"], {"password": Secret("hush-hush")})], runner.hosts(["a-0"]))
    failure = result.nodes["a-0"].failure
    assert failure is not None
    assert failure.message == "the script ended with status 9"
    assert failure.last_lines[-1] == "broken"
    assert "hush" not in repr(failure) + _log(result)


@pytest.mark.parametrize("strategy", [Strategy.PLAIN, Strategy.MITOGEN])
def test_a_cancel_ends_ansible_and_leaves_nothing(runner: Runner, strategy: Strategy, tmp_path: Path) -> None:
    runner.strategy = strategy
    cancel = threading.Event()

    class Stop(list[PlayEvent]):
        def append(self, event: PlayEvent) -> None:
            if event.kind == "task" and event.text == "Sleep":
                cancel.set()

    runner.events = Stop()
    task = runner.artifact("t.yml", SLEEP)
    result = runner.run([play(task, "one", ["a-0"])], runner.hosts(["a-0"]), cancel=cancel)
    assert result.cancelled
    assert not result.nodes["a-0"].ok
    assert result.nodes["a-0"].failure is None
    assert result.elapsed_s < 60
    assert _ours() == set()
    assert _ansible_of(tmp_path) == []


def test_a_run_that_takes_too_long_fails_the_machines_that_were_not_done(runner: Runner) -> None:
    task = runner.artifact("t.yml", "- ansible.builtin.command: {cmd: sleep 300}\n  changed_when: false\n")
    result = runner.run([play(task, "one", ["a-0"])], runner.hosts(["a-0"]), settings={"timeout_s": 4.0})
    failure = result.nodes["a-0"].failure
    assert failure is not None
    assert "did not end within 4 s" in failure.message


_DRIVER = """
import sys
from pathlib import Path
from im_client.configure.model import Strategy
from im_client.remote.access import Access
from infracore.secrets import Secret
from tests.im_client.configure.running import Runner, play
folder, cache, port, user, host_key = sys.argv[1:6]
access = Access("127.0.0.1", port=int(port), user=user, host_key=host_key, private_key=Secret(sys.stdin.read()))
class Told(list):
    def append(self, event):
        if event.text == "Sleep":
            print("sleeping", flush=True)
runner = Runner(Path(folder), Path(cache), access, Strategy(sys.argv[6]), Told())
text = "- name: Sleep\\n  ansible.builtin.command: {cmd: sleep 300}\\n  changed_when: false\\n"
task = runner.artifact("t.yml", text)
runner.run([play(task, "one", ["a-0"])], runner.hosts(["a-0"]))
"""


@pytest.mark.parametrize("strategy", [Strategy.PLAIN, Strategy.MITOGEN])
def test_when_we_are_killed_ansible_ends_too(runner: Runner, tmp_path: Path, strategy: Strategy) -> None:
    access = runner.access
    assert access.private_key is not None
    words = [str(tmp_path), str(runner.cache), str(access.port), access.user, str(access.host_key), strategy.value]
    with subprocess.Popen(
        [sys.executable, "-c", _DRIVER, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(access.private_key.reveal().encode())
        child.stdin.close()
        assert child.stdout.readline() == b"sleeping\n"
        running = _ansible_of(memory_folder() / f"im-{child.pid}-")
        assert running
        child.send_signal(signal.SIGKILL)
    for pid in running:
        _until_ended(pid)


def _ansible_of(folder: Path) -> list[int]:
    """Return the processes whose command line names a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if b"ansible-playbook" in command and str(folder).encode() in command:
                found.append(int(entry.name))
    return found


def _until_ended(pid: int) -> None:
    """Wait until a process has ended; the time limit of the test is the failure."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        import select

        ready, _, _ = select.select([handle], [], [], 20)
        assert ready, f"process {pid} still runs"
    finally:
        os.close(handle)


def test_a_machine_without_a_known_host_key_is_refused_before_anything_runs(runner: Runner) -> None:
    hosts = runner.hosts(["a-0"], a_0=dataclasses.replace(runner.access, host_key=None))
    task = runner.artifact("t.yml", "- ansible.builtin.debug: {msg: hi}\n")
    with pytest.raises(Misconfigured, match="host key"):
        runner.run([play(task, "one", ["a-0"])], hosts)
    assert runner.events == []


def test_a_role_of_the_cache_folder_is_installed_once_and_used(runner: Runner) -> None:
    runner.artifact("roles/hello/tasks/main.yml", "- ansible.builtin.set_fact: {im_outputs: {said: hello}}\n")
    site = runner.artifact(
        "site.yml", f"- hosts: localhost\n  {QUIET}\n  tasks: [{{ansible.builtin.include_role: {{name: hello}}}}]\n"
    )
    role = Artifact(ArtifactKind.ROLE, str(runner.folder / "roles" / "hello"))
    result = runner.run([play(site, "one", ["a-0"], requires=(role,))], runner.hosts(["a-0"]))
    assert result.nodes["a-0"].outputs == {"one": {"configure": {"said": "hello"}}}
