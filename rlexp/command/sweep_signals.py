"""Signals of a sweep whose jobs run in processes of joblib."""

from __future__ import annotations

import multiprocessing.resource_tracker
import os
import signal
import threading

from rlexp.launch import early
from rlexp.launch.stopping import note_stop, noted_stop

STOPPED = "RLEXP_STOPPED"
"""The variable that tells processes that start later that the sweep is to end; its value is the signal."""
SAVE_SECONDS = 60.0
"""Time that jobs in other processes have to save and return after a signal: a video may have to be closed."""


def forward_signals() -> None:
    """Hand SIGINT and SIGTERM on to the processes of the jobs, and wait for these to save and return.

    The processes inherit that signals are held back, so that none comes before they have a handler: `note_stops`.
    """
    multiprocessing.resource_tracker.ensure_running()  # else joblib starts it, which lets signals through again
    signals = (signal.SIGINT, signal.SIGTERM)
    for number in signals:
        signal.signal(number, lambda signum, _: forward(signum))
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)

    def wait() -> None:
        while True:
            forward(signal.sigwait(signals))

    threading.Thread(target=wait, daemon=True).start()


def forward(signum: int) -> None:
    """Ask the processes of the jobs to stop; the first signal counts."""
    if noted_stop():
        return
    note_stop(signum)
    os.environ[STOPPED] = str(int(signum))
    print(f"{signal.Signals(signum).name}: waiting for the jobs to save and end", flush=True)
    early.send(signum, early.children())
    timer = threading.Timer(SAVE_SECONDS, early.leave, (signum,))
    timer.daemon = True
    timer.start()


def inherited_stop() -> int:
    """Return the signal that came before this process was started; 0 if none did."""
    return int(os.environ.get(STOPPED, "0"))
