"""Ctrl-C and the termination signal: the work is left in order, or after a while at once, with one sentence.

Inputs: signals. Outputs: `Stopped` in the main thread. Nothing heavy is imported here, so that it holds from the start.

A signal raises in the main thread, and only once that thread is back from the compiled program that it runs: compiling
takes many seconds. So a thread of its own watches. Where the work has not ended by itself `PATIENCE` seconds after the
signal, or the signal comes twice, the thread puts away the working folders and ends the process. It ends without the
interpreter's own last steps, during which compiled programs of other threads would run on into memory that is gone.
"""

import atexit
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType, TracebackType

PATIENCE = 5.0
"""Seconds."""
_TWICE = 0.5
"""Seconds from which on a second signal is a second wish: `timeout` and batch systems send the same one twice."""
_A_MOMENT, _AGAIN = 0.02, 0
"""Seconds until a signal is sent again that came at a bad moment, and the byte that asks for it."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(KeyboardInterrupt):
    """Somebody wants the work to end; raised by SIGINT and SIGTERM alike.

    Args:
        signum: the signal.
    """

    def __init__(self, signum: int):
        super().__init__(signum)
        self.signum = signum


class Stopping:
    """While it is entered in the main thread, signals that nobody else handles raise `Stopped` there, once.

    Attributes:
        by: the first signal that came, None before.
    """

    def __init__(self):
        self.by: int | None = None
        self._handlers: dict[int, object] = {}
        self._raised, self._resent = False, 0
        self._watcher: threading.Thread | None = None

    def __enter__(self) -> "Stopping":
        if threading.current_thread() is not threading.main_thread():
            return self
        usual = (signal.default_int_handler, signal.SIG_DFL)  # under nohup they are ignored, and stay so
        self._handlers = {s: handler for s in _SIGNALS if (handler := signal.getsignal(s)) in usual}
        if self._handlers and os.name == "posix":
            reads, self._writes = os.pipe()
            os.set_blocking(self._writes, False)
            self._former_wakeup = signal.set_wakeup_fd(self._writes, warn_on_full_buffer=False)
            self._watcher = threading.Thread(target=self._watch, args=(reads,), daemon=True)
            self._watcher.start()
        self._former_hook, sys.unraisablehook = sys.unraisablehook, self._unraisable
        self._former_print, sys.excepthook = sys.excepthook, self._print
        for signum in self._handlers:
            signal.signal(signum, self._handle)
        return self

    def __exit__(self, *_) -> None:
        if not self._handlers:
            return
        self.done()
        for signum, handler in self._handlers.items():
            signal.signal(signum, handler)
        sys.unraisablehook, sys.excepthook = self._former_hook, self._former_print
        if self._watcher is not None:
            signal.set_wakeup_fd(self._former_wakeup)
            os.close(self._writes)
            self._watcher.join()

    def done(self) -> None:
        """From now on nothing is raised any more."""
        self._raised = True

    def end_process(self, code: int) -> None:
        """Let the process end: a stopped one at once; from one that is done a signal takes its last steps, and does
        nothing once the interpreter no longer hears it.
        """
        if self.by is not None:
            for stream in (sys.stdout, sys.stderr):
                with suppress(Exception):
                    stream.flush()
            os._exit(code)
        for signum in self._handlers:
            signal.signal(signum, lambda signum, frame: os._exit(code))
        # The interpreter would have them kill it, as if the work had not been done.
        atexit.register(lambda: [signal.signal(signum, signal.SIG_IGN) for signum in self._handlers])

    def exit_code(self, error: BaseException) -> int | None:
        """That of a run which ended with an error because it was stopped, whatever the error; None for another one.

        Libraries make an error of their own of an exception that comes at a bad moment, as NumPy does while it is
        imported.
        """
        if self.by is not None:
            return 128 + self.by
        return 130 if isinstance(error, KeyboardInterrupt) else None

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if self.by is None:
            self.by = signum
        if self._raised:
            return
        if self._watcher is not None and _imports(frame):
            self._send_again()
        else:
            self._raised = True
            raise Stopped(self.by)

    def _unraisable(self, lost: object) -> None:
        """In a finaliser or a callback an exception goes nowhere: ours is raised again after that."""
        if self._watcher is not None and isinstance(lost.exc_value, Stopped):
            self._raised = False
            self._send_again()
        else:
            self._former_hook(lost)

    def _print(self, kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
        """Cython prints what it then finds unraisable, and nobody is to see a traceback for a signal."""
        if not isinstance(error, Stopped):
            self._former_print(kind, error, where)

    def _send_again(self) -> None:
        os.write(self._writes, bytes([_AGAIN]))

    def _watch(self, reads: int) -> None:
        first, since = 0, 0.0
        while True:
            left = max(0.0, since + PATIENCE - time.monotonic()) if first else None
            if not select.select([reads], [], [], left)[0]:
                end_at_once(first)
            received = os.read(reads, 64)
            if not received:
                os.close(reads)
                return
            wishes = [signum for signum in received if signum in self._handlers]
            again = min(self._resent, len(wishes))
            self._resent -= again
            if wishes[again:] and not first:
                first, since = wishes[again], time.monotonic()
            elif wishes[again:] and time.monotonic() > since + _TWICE:
                end_at_once(first)
            if _AGAIN in received:
                time.sleep(_A_MOMENT)
                self._resent += 1
                signal.pthread_kill(threading.main_thread().ident, first)


def _imports(frame: FrameType | None) -> bool:
    """Whether a module is being imported: extensions print, swallow or turn what is raised then."""
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


def end_at_once(signum: int) -> None:
    """Put away the working folders, say so, and end the process."""
    kept = put_away()
    show_cursor = "\x1b[?25h\n" if os.isatty(2) else ""  # a progress bar may have hidden it
    with suppress(OSError):
        os.write(2, f"{show_cursor}jaxdark: stopped, {said_of(kept)}\n".encode())
    os._exit(128 + signum)


def put_away() -> Sequence[object]:
    """Put away the working folders of this process; returns those that keep an unfinished run."""
    with suppress(Exception):
        if (places := sys.modules.get("jaxdark.io.atomic")) is not None:  # an import might wait for the main thread
            return places.abandon()
    return ()


def said_of(kept: Sequence[object]) -> str:
    """What a user is told of an unfinished run that is kept in some folders, or not."""
    if not kept:
        return "nothing unfinished is kept; give the same command to start again"
    return f"what was done is kept in {', '.join(map(str, kept))}; give the same command to resume there"
