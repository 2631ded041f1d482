"""A command beside this process, which can neither hang it nor be lost with what it said."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent


class Command:
    """What it prints goes to a file, for a grandchild that lives on would keep a pipe open."""

    def __init__(self, command: Sequence[str], **environment: str) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (for as long as the command is there)
        self._process: subprocess.Popen[bytes] | None = None
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))  # minidl may not be installed
        self.status: int | None = None  # None after one that was stopped
        self._text = ""
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=self._said,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": path, **environment},
                cwd=ROOT,
                start_new_session=True,
            )
        except OSError as error:
            self._said.write(str(error).encode())

    def wait(self, timeout: float) -> str:
        """What it has printed by its end, or until it is stopped with all its children."""
        if self._said.closed:
            return self._text
        stopped = ""
        if self._process is not None:
            try:
                self.status = self._process.wait(max(0.0, timeout))
            except subprocess.TimeoutExpired:
                stopped = f"stopped after {timeout:.0f} s"
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
        with self._said:
            self._said.seek(0)
            said = self._said.read().decode(errors="replace")
        self._text = f"{said.rstrip()}\n{stopped}".strip() if stopped else said
        return self._text


def last_lines(text: str, n: int = 6) -> str:
    return "\n".join(text.strip().splitlines()[-n:]) or "nothing was printed"
