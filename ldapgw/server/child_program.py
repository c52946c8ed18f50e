# SPDX-License-Identifier: MIT
"""The program of the gateway's child processes, which runs functions for `ldapgw.server.workers`.

The program reads calls from one pipe and writes answers to another pipe.  If the gateway closes the pipe of calls, the
program ends after the current call.  If nobody reads the pipe of answers any more, the program ends at once.

The program is a module of its own, so that a child process does not load the gateway's services.
"""

from __future__ import annotations

import gc
import os
import pickle
import select
import signal
import struct
import sys
import threading
from typing import BinaryIO, Final

# The length of a pickled call or answer, which is in front of the call or the answer.
LENGTH: Final = struct.Struct(">I")
# The niceness of the process: on a machine with one processor, answering phones has priority over the process.
NICENESS = 10


def serve_calls(calls: BinaryIO, answers: BinaryIO) -> None:
    """Run the child process's loop: read a call, write its answer, until the stream of calls ends."""
    while len(head := calls.read(LENGTH.size)) == LENGTH.size:
        answer = _call_and_pickle(calls.read(LENGTH.unpack(head)[0]))
        answers.write(LENGTH.pack(len(answer)) + answer)
        answers.flush()
        gc.collect()
        gc.freeze()


def _call_and_pickle(frame: bytes) -> bytes:
    try:
        function, args, kw = pickle.loads(frame)  # noqa: S301  by our own code, from our own pipe
        return pickle.dumps((True, function(*args, **kw)))
    except Exception as error:  # noqa: BLE001  passed on to the caller
        return pickle.dumps((False, error))


def _exit_when_unread(answers: int) -> None:
    """Exit when the gateway is gone, because a gateway that was killed (kill -9) cannot end its processes.

    :param answers: the descriptor of the pipe of answers.
    """
    pipe = select.poll()
    # No event has to be requested: poll always reports when the other end of the pipe is closed.
    pipe.register(answers, 0)
    pipe.poll()
    os._exit(1)


def main() -> None:
    """Run the child process, whose entry point this function is."""
    # Ctrl-C and systemd's SIGTERM go to all processes of the gateway; a child process ends when its pipe of calls ends.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    os.nice(NICENESS)
    answers = os.fdopen(os.dup(1), "wb")
    threading.Thread(target=_exit_when_unread, args=(os.dup(1),), daemon=True).start()
    os.dup2(2, 1)  # printed text must not mix with the answers
    # A call makes millions of values and hardly any cycle, so garbage is collected only between calls.
    gc.disable()
    serve_calls(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
