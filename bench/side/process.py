"""Processes that the run starts: each on one core, and none of them outlives the run, however that ends."""

import ctypes
import os
import resource
import signal
import socket
import subprocess
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


def _settle(core):
    def before_exec():
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        os.sched_setaffinity(0, {core} if core < os.cpu_count() else {0})

    return before_exec


def spawn(command, core, environment=None, **streams):
    """Starts it in a session of its own: Ctrl-C reaches the run only, which then decides the order."""
    process = subprocess.Popen(
        command, start_new_session=True, env={**os.environ, **(environment or {})}, preexec_fn=_settle(core), **streams
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


def stop(process, patience=15):
    """SIGTERM to its session, SIGKILL when that does not help."""
    if process.poll() is None:
        _signal(process, signal.SIGTERM)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            _signal(process, signal.SIGKILL)
            process.wait()
    _running.discard(process)


def stop_all():
    for process in list(_running):
        stop(process, 5)


def _signal(process, number):
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        pass


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
