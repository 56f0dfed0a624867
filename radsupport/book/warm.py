"""One process that has imported everything, and copies of it that run chapters: nobody imports twice.

The Snakefile calls `start`; its jobs call this file by its path (``python -I radsupport/book/warm.py CHAPTER STUDY``),
which loads nothing but the standard library, hands arguments and output over, and waits. The server imports the rooms
when the first chapter asks or at once, forks a copy per job, and the copy runs `build.main`. Before anything else runs
in it, the copy forks once more: that second copy becomes the notebook's kernel (`kernel.Forked`). Nothing outlives the
build: the server ends with the process that started it, its copies end with it or with the job that waits for them.
Where there is no server, or none any more, the job imports and runs the chapter itself, as it does without Snakemake.
"""

import atexit
import gc
import importlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

#: Relative to the project root: the path of a socket may not be longer than about 100 characters.
SOCKET = ".snakemake/warm.sock"
#: Threads of numerical libraries (read as they are loaded), and how a kernel draws.
SETTINGS = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
) | {"MPLBACKEND": "module://matplotlib_inline.backend_inline", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
LOADED = (
    "papermill", "ipykernel.kernelapp", "radsupport.book.build", "radsupport.book.site", "radsupport.claims",
    "radsupport.evaluate", "radsupport.networks", "radsupport.nomogram", "radsupport.radiomics",
    "torch._inductor.config",  # what torch.use_deterministic_algorithms imports: two seconds in every chapter 04
)  # fmt: skip
OF_THE_SITE = ("radsupport.book.build", "radsupport.book.site", "radsupport.book.gate")  #: all that a site needs
_BEGUN = b"+"


def start(now: bool = False) -> subprocess.Popen[bytes] | None:
    """Start the server; it lives while this process does and the value that is returned is kept.

    It imports everything `now`, or what a site needs now and the rest when the first chapter asks.

    None outside Linux, where libraries that were loaded need not survive a fork: jobs run without a server there.
    """
    if sys.platform != "linux":
        return None
    os.makedirs(os.path.dirname(SOCKET), exist_ok=True)
    if os.path.exists(SOCKET):
        os.unlink(SOCKET)
    with socket.socket(socket.AF_UNIX) as listener:
        try:
            listener.bind(SOCKET)
        except OSError:  # a network folder that has no sockets
            return None
        listener.listen(128)
        number = listener.fileno()
        command = [sys.executable, os.path.abspath(__file__), "--serve", str(number), *["now"] * now]
        return subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[number], env=os.environ | SETTINGS)


def serve(listener: socket.socket, now: bool = False) -> int:
    """Answer every job with a copy of this process until standard input ends; return the exit status of this copy."""
    atexit.register(_end)  # before all others, so that it comes after them
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the jobs are told by their own
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # copies report to their job; no zombies
    ready = now
    _import_everything(LOADED if now else OF_THE_SITE)
    while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
        connection = listener.accept()[0]
        given, files, _, _ = socket.recv_fds(connection, 65536, 2)
        if not files:  # the job was killed while it asked
            connection.close()
            continue
        if not ready and not given.startswith(b"site"):
            _import_everything()
            ready = True
        if os.fork() == 0:
            listener.close()
            return _work(connection, given.decode().split("\0"), files)
        for number in (connection.detach(), *files):
            os.close(number)
    return 0


def _end() -> None:
    """End this process or a copy at once: to take apart all that was imported costs each of them most of a second."""
    if sys.__stdout__ is not None:
        sys.__stdout__.flush()
    os._exit(0)


def _import_everything(names: Sequence[str] = LOADED) -> None:
    for name in names:
        importlib.import_module(name)
    from radsupport.book.imports import code_of

    for notebook in Path("notebooks").glob("*.ipynb"):
        code_of(notebook)  # kept in memory, so that no copy reads the package
    gc.collect()
    gc.freeze()  # copies share these pages: the collector is not to write into them


def _work(connection: socket.socket, given: list[str], files: list[int]) -> int:
    """Run one job in this copy and tell its exit status; or be the kernel of that job."""
    from radsupport.book import build, kernel

    kernel.end_with_parent()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number, file in enumerate(files, 1):
        os.dup2(file, number)
        os.close(file)
    if kernel.fork():
        connection.close()
        kernel.end_with_parent()
        return kernel.run()
    threading.Thread(target=_end_with_job, args=[connection], daemon=True).start()
    codes = [1]
    atexit.register(_tell, connection, codes)  # last, so that the traceback of an error is out before the job ends
    connection.sendall(_BEGUN)
    kernel.copy_workers()  # those who draw synthetic patients
    sys.argv = ["radsupport.book.build", *given]
    codes.append(build.main())
    return codes[-1]


def _tell(connection: socket.socket, codes: list[int]) -> None:
    sys.stdout.flush()
    connection.sendall(bytes(codes[-1:]))


def _end_with_job(connection: socket.socket) -> None:
    """Wait until the job that asked is gone, and end."""
    try:
        while connection.recv(1):
            pass
    except OSError:
        pass
    os._exit(1)


def ask(arguments: list[str]) -> int:
    """Have a copy of the server run a chapter and return its exit status; without a server, run it in this process."""
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(SOCKET)
            socket.send_fds(connection, ["\0".join(arguments).encode()], [1, 2])
            begun = connection.recv(1)
        except OSError:
            begun = b""
        if begun:
            code = _exit_status(connection)
            if code is None:
                what = "Chapter {} of study {}".format(*arguments[:2])
                print(f"{what}: the process that ran it is gone (killed, or out of memory).", file=sys.stderr)
            return 1 if code is None else code
    os.execv(sys.executable, [sys.executable, "-m", "radsupport.book.build", *arguments])


def _exit_status(connection: socket.socket) -> int | None:
    try:
        found = connection.recv(1)
    except OSError:
        return None
    return found[0] if found else None


if __name__ == "__main__":
    if sys.argv[1] == "--serve":
        sys.path[0] = os.getcwd()
        sys.exit(serve(socket.socket(fileno=int(sys.argv[2])), "now" in sys.argv))
    sys.exit(ask(sys.argv[1:]))
