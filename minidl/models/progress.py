"""What `fit` and `evaluate` show while they run."""

from __future__ import annotations

import sys
import time
from typing import Any

from tqdm import tqdm

from minidl.callbacks import Callback, Logs

# Without the speed, so that loss and accuracy fit beside a bar in 80 columns; with validation, without the bar too.
_RUNNING = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"
_DONE = "{desc}: {percentage:3.0f}% [{elapsed}{postfix}]"


class ProgressBar(Callback):
    """One bar an epoch: batches done, time left, loss and metrics so far."""

    _bar: Any = None

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._open(f"epoch {epoch + 1}/{self.params['epochs']}")

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._advance(logs)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._close(logs)

    def on_test_begin(self, logs: Logs | None = None) -> None:
        if self._bar is None:  # else validation runs inside an epoch, under its bar
            self._open("evaluate")

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if self._bar is not None and self._bar.desc.startswith("evaluate"):
            self._advance(logs)

    def on_test_end(self, logs: Logs | None = None) -> None:
        if self._bar is not None and self._bar.desc.startswith("evaluate"):
            self._close(logs)

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        self._open("predict")

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._advance(logs)

    def on_predict_end(self, logs: Logs | None = None) -> None:
        self._close(logs)

    def close(self) -> None:
        """Leave the line whole when training ends in the middle of an epoch."""
        if self._bar is not None:
            self._close(None)

    def _open(self, title: str) -> None:
        steps = self.params["steps"]
        shown = None if steps is None else _RUNNING  # tqdm counts alone where it knows no end
        self._bar = tqdm(total=steps, desc=title, unit="batch", dynamic_ncols=True, mininterval=0.2, bar_format=shown)

    def _advance(self, logs: Logs | None) -> None:
        self._bar.set_postfix_str(format_logs(logs), refresh=False)
        self._bar.update()

    def _close(self, logs: Logs | None) -> None:
        if logs:
            self._bar.set_postfix_str(format_logs(logs), refresh=False)
            self._bar.bar_format = self._bar.bar_format and _DONE
            self._bar.dynamic_ncols = self._bar.ncols = None  # the last word is not cut off, but wrapped
        self._bar.close()
        self._bar = None


class EpochLines(Callback):
    """One line an epoch, for logs and files."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        seconds = time.perf_counter() - self._started
        print(f"epoch {epoch + 1}/{self.params['epochs']}  {seconds:.1f} s  {format_logs(logs)}", flush=True)


def display(verbose: Any) -> list[Callback]:
    """The callback for a value of `verbose`: 0 silent, 1 a bar, 2 a line an epoch, "auto" by where the output goes."""
    if verbose == "auto":
        verbose = 1 if sys.stderr.isatty() or hasattr(sys, "ps1") else 2
    if verbose not in (0, 1, 2, True, False):
        raise ValueError(f'verbose must be 0, 1, 2 or "auto", got {verbose!r}')
    kinds: list[list[Callback]] = [[], [ProgressBar()], [EpochLines()]]
    return kinds[int(verbose)]


def format_logs(logs: Logs | None) -> str:
    return "  ".join(f"{name} {value:.4f}" for name, value in (logs or {}).items() if isinstance(value, float))
