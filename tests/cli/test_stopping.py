"""Signals: every command ends with one sentence, exit code 130 or 143, and nothing left, whenever they come."""

import os
import random
import signal
import subprocess
import sys
import threading
import time

import pytest

from jaxdark.cli.stopping import Stopped, Stopping

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
NOTHING_KEPT = "jaxdark: stopped, nothing unfinished is kept; give the same command to start again\n"

LISTENING = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
"""Where the tests run in the background, the shell has them ignore SIGINT, and so would what they start."""


def ended(program, signum=signal.SIGINT, *, after=0.0, again=None):
    """Exit code, standard error and seconds of a program that prints a line, and a signal that comes then."""
    command = [sys.executable, "-c", LISTENING + program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        too_long = threading.Timer(120, process.kill)
        too_long.daemon = True
        too_long.start()
        process.stdout.readline()
        time.sleep(after)
        start = time.perf_counter()
        process.send_signal(signum)
        if again:
            time.sleep(again)
            process.send_signal(signum)
        err = process.stderr.read()
        too_long.cancel()
        return process.wait(), err, time.perf_counter() - start


COMMAND = """
import jaxdark.cli as cli, jaxdark.cli.stopping as stopping, sys, types
commands = types.ModuleType("jaxdark.cli.commands")
import typer
commands.app = typer.Typer()
stopping.PATIENCE = 2.0

@commands.app.command()
def run():
    {body}

sys.modules["jaxdark.cli.commands"] = commands
sys.argv = ["jaxdark"]
sys.exit(cli.main())
"""
AT_WORK = """
    import hashlib, threading, time
    print("at work", flush=True)
"""
IN_A_FINALISER = """
    import time
    class Slow:
        def __del__(self):
            time.sleep(0.02)
    print("at work", flush=True)
    while True:
        Slow()
"""
IN_AN_IMPORT = """
    import pathlib, tempfile, time
    folder = pathlib.Path(tempfile.mkdtemp())
    lines = ["import time", "try:", "    time.sleep(0.5)", "except BaseException:", "    print('swallowed')"]
    (folder / "slow_module.py").write_text("\\n".join(lines))
    sys.path.insert(0, str(folder))
    print("at work", flush=True)
    import slow_module
    time.sleep(60)
"""
IN_CYTHON = """
    import time
    import numpy as np
    from scipy.stats import qmc
    def slow(*_):
        print("at work", flush=True)
        time.sleep(0.5)
        raise OSError("no table")
    np.load = slow  # of the table of directions, read at the first use, in a function that cannot raise
    try:
        qmc.Sobol(2)
    finally:
        time.sleep(60)
"""


def of(body):
    return COMMAND.format(body=body.strip())


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize(
    "body",
    [
        AT_WORK + "    time.sleep(60)",
        AT_WORK
        + "    try:\n        time.sleep(60)\n    except BaseException:\n        raise ImportError('as NumPy does')",
        IN_A_FINALISER,
        IN_AN_IMPORT,
        IN_CYTHON,
    ],
    ids=["waiting", "converted", "finaliser", "import", "cython"],
)
def test_one_sentence_wherever_the_signal_comes(body, signum, code):
    assert ended(of(body), signum, after=0.1)[:2] == (code, NOTHING_KEPT)


def test_a_compiled_program_that_goes_on_is_not_waited_for():
    body = AT_WORK + "    hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)"
    code, err, seconds = ended(of(body))
    assert (code, err) == (130, NOTHING_KEPT) and 1.5 < seconds < 30


def test_a_second_signal_ends_at_once_and_puts_the_working_folders_away(tmp_path):
    body = (
        AT_WORK
        + f"""
    from jaxdark.io import result_dir
    one, two = {[str(tmp_path / name) for name in ("one", "two")]}
    with result_dir.resumable_folder(one) as (folder, kept), result_dir.result_folder(two):
        kept.begin({{}})
        kept.save("map", {{"a": 1}})
        (folder / "half").touch()
        stopping.PATIENCE = 60.0
        print("at work", flush=True)
        hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)
    """
    )
    body = body.replace('print("at work", flush=True)\n', "\n", 1)
    code, err, seconds = ended(of(body), again=1.0)
    kept = tmp_path / ".one.partial"
    assert code == 130 and seconds < 30
    assert err == f"jaxdark: stopped, what was done is kept in {kept}; give the same command to resume there\n"
    assert [path.name for path in tmp_path.iterdir()] == [kept.name]
    assert {path.name for path in kept.iterdir()} == {"lock", "map.npz", "settings.json"}


IN_THE_LAST_STEPS = """
    import os, sys, time
    class Late:
        def __del__(self, write=os.write, sleep=time.sleep):
            write(1, b"at work\\n")
            sleep(1.0)
    sys.late = Late()
"""


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_the_interpreters_last_steps_are_those_of_a_command_that_is_done(signum):
    assert ended(of(IN_THE_LAST_STEPS), signum, after=0.1)[:2] == (0, "")


@pytest.fixture
def usual_handler():
    """Python's own, also where the shell has background processes ignore SIGINT."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, former)


def test_after_the_work_a_signal_changes_nothing(usual_handler):
    with Stopping() as stopping:
        with pytest.raises(Stopped):
            signal.raise_signal(signal.SIGTERM)
        assert stopping.by == signal.SIGTERM and stopping.exit_code(OSError()) == 143
    with Stopping() as stopping:
        assert stopping.exit_code(OSError()) is None and stopping.exit_code(KeyboardInterrupt()) == 130
        stopping.done()
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


RUN = "import sys; from jaxdark.cli import main; sys.exit(main())"
COMMANDS = {
    "fit": ["fit", "--model", "constant", "--n-starts", "8", "--toys", "20", "--out", "result"],
    "point": ["point", "C9=-1", "C10=0", "--model", "constant"],
    "scan": ["scan", "C9=-2:1:300", "C10=0", "--model", "constant", "--out", "result"],
    "sample": ["sample", "--model", "constant", "--draws", "200", "--out", "result"],
}


def stopped(name, toy, folder, wait, signum):
    """Exit code, standard error and names that are left of a command that is stopped when `wait` returns."""
    folder.mkdir()
    command = [sys.executable, "-c", LISTENING + RUN, *COMMANDS[name], "--data", str(toy)]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait(folder)
        process.send_signal(signum)
        err = process.communicate()[1]
    return process.returncode, err, sorted(path.name for path in folder.iterdir())


def test_a_fit_is_stopped_while_it_computes(toy, tmp_path):
    def begun(folder):
        while not any(folder.iterdir()):
            time.sleep(0.01)
        time.sleep(1.0)

    assert stopped("fit", toy, tmp_path / "work", begun, signal.SIGTERM) == (143, NOTHING_KEPT, [])


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_commands_are_stopped_at_any_moment(name, toy, tmp_path):
    generator = random.Random(name)
    for k in range(8):
        seconds, signum = generator.uniform(0.3, 10.0), generator.choice((signal.SIGINT, signal.SIGTERM))
        code, err, left = stopped(name, toy, tmp_path / str(k), lambda _, s=seconds: time.sleep(s), signum)
        if code == 0:
            continue
        if code == -signum and seconds < 2:  # Python itself had not yet come to the command
            assert (err, left) == ("", [])
            continue
        assert code == 128 + signum and err.startswith("jaxdark: stopped") and err.count("\n") == 1, err
        assert set(left) <= ({".result.partial"} if name == "sample" else {"result"} if name == "scan" else set())
