"""The run's process that a command forks at its start."""

import subprocess
import sys
from pathlib import Path

_WAITS = """
import os, sys, tempfile
from ptolemy_dagster import warm
line = warm.start(["scan", "p"])
if line is not None:
    if not warm.expected(line):
        sys.exit(4)
    found = warm.asked(line)
    if found is None:
        sys.exit(3)
    text, log, answer = found
    os.write(log, b"log of " + text.encode())
    os.write(answer, b"answer")
    sys.exit(5)
"""


def said(program: str) -> str:
    """What a Python program prints."""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert found.returncode == 0, found.stderr
    return found.stdout.strip()


def test_the_waiting_process_gets_request_log_and_answer_and_its_exit_code_is_read() -> None:
    program = """
log, answer = tempfile.TemporaryFile(), tempfile.TemporaryFile()
process = warm.ask("a run", [log.fileno(), answer.fileno()])
code = process.wait()
log.seek(0), answer.seek(0)
print(code, process.poll(), log.read().decode(), answer.read().decode())
print(warm.ask("another", [log.fileno(), answer.fileno()]))
"""
    assert said(_WAITS + program) == "5 5 log of a run answer\nNone"


def test_a_command_without_a_run_leaves_no_process() -> None:
    program = """
pid = warm._waiting[0].process.pid
warm.stop()
try:
    os.kill(pid, 0)
except ProcessLookupError:
    print("gone", warm._waiting)
"""
    assert said(_WAITS + program) == "gone []"


def test_the_waiting_process_makes_ready_only_when_a_run_seems_likely() -> None:
    program = """
(waiting,) = warm._waiting
if told:
    warm.expect()
waiting.line.close()
print(waiting.process.wait())
"""
    assert said(_WAITS + "told = False" + program) == "4"
    assert said(_WAITS + "told = True" + program) == "3"


def test_a_waiting_process_that_was_killed_is_replaced_by_a_new_one() -> None:
    program = """
import signal
process = warm._waiting[0].process
os.kill(process.pid, signal.SIGKILL)
os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
print(warm.ask("a run", [0, 1]))
"""
    assert said(_WAITS + program) == "None"


def test_only_a_command_that_runs_a_job_forks() -> None:
    program = """
from ptolemy_dagster import warm
for arguments in [], ["status", "p"], ["scan", "--help"], ["containerize", "p", "--dry-run"]:
    warm.start(arguments)
print(len(warm._waiting))
"""
    assert said(program) == "0"


def test_the_step_processes_come_from_a_fork_that_ends_with_its_run() -> None:
    program = """
import os, sys
from ptolemy_dagster.internals import forkserver
forkserver.PRELOAD.clear()
forkserver.fork()
from multiprocessing import forkserver as servers
process = forkserver.context().Process(target=os.getppid)
process.start()
process.join()
server = servers._forkserver._forkserver_pid
print(process.exitcode, server)
"""
    code, server = said(program).split()
    assert code == "0"
    end = Path(f"/proc/{server}/stat")
    for _ in range(500):
        if not end.exists() or end.read_text().split(")")[1].split()[0] == "Z":
            return
        subprocess.run(["sleep", "0.02"], check=True)
    raise AssertionError("it stayed")


def test_what_steps_are_forked_from_is_forked_after_the_imports_and_before_the_run() -> None:
    program = """
import os
from ptolemy_dagster import execute, warm
from ptolemy_dagster.internals import forkserver
done = []
execute._import = lambda: done.append("import")
forkserver.fork = lambda: done.append("fork")
execute.end_with_command = lambda pid: done.append("watch")
execute._execute = lambda request: done.append("run")
warm.expected = lambda line: True
out = os.dup(1)
for forks in True, False:
    text = execute.Request("blitz", "p", "launch", 1, 0, forks).as_text()
    warm.asked = lambda line: (text, os.open(os.devnull, os.O_WRONLY), 0)
    execute.execute_when_asked(None)
os.write(out, " ".join(done).encode())
"""
    assert said(program) == "import fork watch run import watch run"
