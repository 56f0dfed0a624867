"""A kernel that is a copy of the process that runs the notebook, made before anything ran in it.

`fork` makes the copy, which waits in `run` for the arguments of a kernel; after `provide` the next notebook gets it.
Where there is no copy, Jupyter starts a kernel as usual.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import warnings
from importlib.metadata import EntryPoint
from typing import Any, cast

from jupyter_client.provisioning import KernelProvisionerFactory, LocalProvisioner


class Forked:
    """The copy, with the part of `subprocess.Popen` that Jupyter asks for."""

    stdin = stdout = stderr = None

    def __init__(self, pid: int, order: int) -> None:
        self.pid, self.order = pid, order
        self.returncode: int | None = None

    def begin(self, command: list[str], environment: dict[str, str]) -> None:
        """Tell the waiting copy to be this kernel."""
        with os.fdopen(self.order, "w", encoding="utf-8") as stream:
            json.dump([command, environment], stream)

    def poll(self) -> int | None:
        """Return the exit status, None while the kernel runs."""
        if self.returncode is None:
            done, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if done else None
        return self.returncode

    def wait(self) -> int:
        """Wait for the end of the kernel."""
        if self.returncode is None:
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, if the kernel is there."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask the kernel to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the kernel."""
        self.send_signal(signal.SIGKILL)


class _Waiting:
    """The two ends of what was forked last: the copy's own, and what the first process keeps."""

    order = -1
    kernel: Forked | None = None


def fork() -> bool:
    """Copy this process, in which nothing runs yet; True in the copy."""
    order, give = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(give)
        _Waiting.order, _Waiting.kernel = order, None
        os.setsid()
        return True
    os.close(order)
    _Waiting.kernel = Forked(pid, give)
    return False


def run() -> int:
    """Wait in the copy for the arguments of a kernel, and be it; return at once where none is wanted."""
    with os.fdopen(_Waiting.order, encoding="utf-8") as stream:
        told = stream.read()
    if not told:
        return 0
    command, environment = json.loads(told)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.clear()
    os.environ.update(environment, JPY_PARENT_PID=str(os.getppid()))
    sys.argv = ["ipykernel_launcher", *command[command.index("-m") + 2 :]]
    if sys.path[0] == os.getcwd():
        del sys.path[0]  # as the launcher does; the kernel puts its own in this place
    from ipykernel.kernelapp import launch_new_instance

    copy_workers()
    launch_new_instance()
    return 0


def copy_workers() -> None:
    """Let the processes that share the work be copies of this one: each would import the rooms anew.

    A forked copy has no thread but one, and takes over what others held. Here numerical libraries have one thread, and
    those of a kernel or a job wait for messages. joblib offers the method in its copy of loky only, with a warning for
    programs of which this is not known. A copy ends with its original (Linux), also where that is killed; its garbage
    collector leaves alone what it took over: looking at it would copy it, half a second for two workers.
    """
    from joblib.externals.loky.backend import context

    warnings.filterwarnings("ignore", message="`fork` start method should not be used", category=UserWarning)
    context.set_start_method("fork")
    os.register_at_fork(after_in_child=gc.freeze)
    os.register_at_fork(after_in_child=end_with_parent)


def end_with_parent() -> None:
    """Have this process killed when the one that forked it ends, however that happens (Linux)."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Provisioner(LocalProvisioner):
    """Give a notebook the waiting copy as its kernel."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
        """Begin the copy, and return how to connect to it."""
        kernel, _Waiting.kernel = _Waiting.kernel, None
        if kernel is None:
            return await super().launch_kernel(cmd, **kwargs)
        kernel.begin(cmd, kwargs["env"])
        self.process = cast(Any, kernel)
        self.pid = self.pgid = kernel.pid
        return self.connection_info


def provide() -> None:
    """Let Jupyter take the waiting copy for the next kernel of this process, where there is one."""
    if _Waiting.kernel is not None:
        factory = KernelProvisionerFactory.instance()
        factory.provisioners["forked"] = EntryPoint("forked", f"{__name__}:Provisioner", factory.GROUP_NAME)
        factory.default_provisioner_name = "forked"
