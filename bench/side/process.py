"""Processes that the run starts: each on one core, and none of them outlives the run, however that ends."""

import ctypes
import fcntl
import os
import resource
import signal
import socket
import subprocess
import tempfile
import time

PROXY_CORE, LOAD_CORE = 0, 1
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)
_running = set()


def raise_open_files():
    """As many open files as the system gives; the children inherit it. Gives the number."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def open_files():
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def alone(say):
    """Holds a lock until the process ends: two runs on one machine would measure each other."""
    path = os.path.join(tempfile.gettempdir(), "portcullis-bench.lock")
    lock = open(path, "w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("another run measures on this machine; waiting for its end")
        fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def _settle(core, end):
    def before_exec():
        _libc.prctl(PR_SET_PDEATHSIG, end)
        os.sched_setaffinity(0, {core} if core < os.cpu_count() else {0})

    return before_exec


# Who is not root may read the memory figures only of processes that allow it.
MEASURABLE = {"PORTCULLIS_ALLOW_CORE_DUMPS": "1"}


def spawn(command, core, environment=None, end=signal.SIGTERM, **streams):
    """Starts it in a session of its own: Ctrl-C reaches the run only, which then decides the order. `end` comes when we die."""
    process = subprocess.Popen(
        command, start_new_session=True, env={**os.environ, **MEASURABLE, **(environment or {})}, preexec_fn=_settle(core, end), **streams
    )
    _running.add(process)
    return process


def run(command, core, environment=None, timeout=60):
    """Runs it to its end and gives everything that it said."""
    process = spawn(command, core, environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    try:
        return process.communicate(timeout=timeout)[0]
    finally:
        stop(process)


def stop(process, number=signal.SIGTERM, patience=15):
    """The signal to its session, SIGKILL when that does not help."""
    if process.poll() is None:
        _signal(process, number)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            _signal(process, signal.SIGKILL)
            process.wait()
    _running.discard(process)


def stop_all():
    for process in list(_running):
        stop(process, patience=5)


def _signal(process, number):
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        pass


def ensure_free(port):
    """Somebody else behind the port would be measured in the place of what is started."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise RuntimeError(f"port {port}: {error.strerror}") from error


def wait_port(port, process, seconds=120):
    """Until something accepts on the port."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"exited with {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError(f"port {port} never opened")
