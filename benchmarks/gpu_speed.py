"""How fast the kernels are on this GPU: the document's model, LSTMs and single kernels beside PyTorch's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from benchmarks.command import last_lines
from benchmarks.journal import Journal
from benchmarks.peers import GPU_PEERS
from benchmarks.process import (
    AGREEMENT,
    Contestant,
    Field,
    Pace,
    RefusedError,
    agree,
    at_once,
    run_race,
    values_of,
)
from benchmarks.result import OURS, Result
from benchmarks.seed_model import operations as document_operations
from benchmarks.setting import Setting

DOCUMENTS = ((32, 100), (32, 40), (1, 100), (256, 100))  # batch and time
LSTMS = (  # batch, time, features and units: the document's two, then wider ones
    (32, 100, 64, 128),
    (32, 100, 128, 128),
    *((batch, 50, units, units) for units in (256, 512, 1024) for batch in (32, 64, 128, 256)),
)
FAR = 1 << 28  # numbers in an array that no cache on a GPU holds: 1 GiB
ARRAYS = 20  # of so many numbers that minidl and PyTorch hold at a time, with what their pools of memory keep
SHORT = 1 << 20
UNITS, ROWS, CLASSES = 256, 100_000, 1024  # of a table and of logits
CALLS = 20  # of a kernel by itself that are queued before the wait

TOLERANCES = {"float32": AGREEMENT, "tf32": 5e-3}  # a factor of 10 bits is off by 5e-4
OURS_TF32 = "minidl, tf32"
AGAINST = {peer.name: OURS_TF32 for peer in GPU_PEERS if peer.precision == "tf32"}
LIVES = 3  # of a contestant whose process is started again after an error
Arguments = Mapping[str, Any]
HOW = f"""
Contestants with tf32 in their name round the factors of products to 10 bits: they are compared with minidl under
CUPY_TF32=1, the others with minidl in float32, and each target is taken among those of one precision. A step of a
model or an LSTM is timed with the wait for its end; of a single kernel {CALLS} calls are queued before one wait.
""".strip().replace("\n", " ")


def pace(setting: Setting) -> Pace:
    """Short, for there are many cases, and a turn is long enough where a step takes a few milliseconds at most."""
    return Pace(min(setting.rounds, 5), warm_up=0.05, turn=0.04, least=3, together=True)


@dataclass
class Races:
    """Races that go on without whoever fails, which a note tells."""

    journal: Journal
    contestants: Field
    pace: Pace
    until: float = float("inf")  # seconds since the start of the run, after which none begins
    precisions: tuple[str, ...] = ("float32", "tf32")  # of those who take part
    deaths: dict[str, int] = field(default_factory=dict)

    def race(
        self, case: str, task: str, arguments: Arguments, amount: float = 0, check: Arguments | None = None
    ) -> None:
        """The rows of one case, of all who compute the same where they are given `check`, if there is any."""
        if self.journal.seconds > self.until:
            self.journal.note(f"{case}: not run, for want of time.")
            return
        self.journal.say(case)
        able = self._able() if check is None else self.agreeing(case, task, 1, check)
        timings = run_race(able, task, arguments, self.pace, partial(self._failed, case))
        self.journal.result.add_race(case, timings, amount, against=AGAINST)

    def _able(self) -> dict[str, Contestant]:
        return {name: c for name, c in self.contestants.items() if c.peer.precision in self.precisions}

    def agreeing(self, case: str, task: str, steps: int, arguments: Arguments) -> dict[str, Contestant]:
        """Those who compute what the first of them does, as far as their precision allows."""
        able, found = self._able(), {}
        answers = at_once(lambda name: values_of(able[name], task, steps, arguments), able, together=True)
        for name, answer in answers.items():
            if isinstance(answer, Exception):
                self._failed(case, name, answer)
            else:
                found[name] = answer
        first = next(iter(found), None)
        for name in list(found):
            tolerance = TOLERANCES[self.contestants[name].peer.precision]
            if first is not None and not agree(found[first], found[name], tolerance):
                text = f"{case}: {first} computes {found[first]}, {name} computes {found[name]}, which is left out."
                self.journal.note(text)
                del found[name]
        return {name: self.contestants[name] for name in found}

    def _failed(self, case: str, name: str, error: Exception) -> None:
        """A note, and a new process: an error may have cost the old one its GPU."""
        if type(error) is RefusedError:
            return
        self.journal.note(f"{case}: {last_lines(str(error))}")
        self.deaths[name] = self.deaths.get(name, 0) + 1
        if self.deaths[name] < LIVES:
            self.contestants.start_again(name)
        else:
            self.contestants.pop(name).close()
            self.journal.note(f"{name} failed {LIVES} times and takes no further part.")


def measure(races: Races, setting: Setting) -> None:
    races.journal.note(HOW)
    with races.journal.part("the document's model"):
        _race_models(races, setting)
    with races.journal.part("single kernels"):
        _race_kernels(races, _far())
    with races.journal.part("LSTMs"):
        _race_layers(races, setting)


def _race_models(races: Races, setting: Setting) -> None:
    without_dropout = document(*DOCUMENTS[0], optimizer="sgd", rate=0.0)
    races.agreeing("the losses of the document's model", "document_train", 3, without_dropout)
    for batch, time in setting.pick(DOCUMENTS, DOCUMENTS[:1]):
        trained, used = (document_operations(batch, time, training) for training in (True, False))
        races.race(_model("training", batch, time), "document_train", document(batch, time), trained)
        arguments = {"batch": batch, "time": time}
        races.race(_model("inference", batch, time), "document_infer", arguments, used, check=arguments)


def _race_layers(races: Races, setting: Setting) -> None:
    for layer in setting.pick(LSTMS, LSTMS[:1]):
        for what in ("train", "infer"):
            races.race(_layer(what, layer), f"lstm_{what}", lstm(layer), check=lstm(layer))


def _race_kernels(races: Races, n: int) -> None:
    """Of the contestants in float32, for no product is in them. Short arrays show that they compute the same."""
    short, far = kernels(min(n, SHORT)), kernels(n)
    races = replace(races, precisions=("float32",), pace=replace(races.pace, calls=CALLS))
    for task, (arguments, size) in far.items():
        alone = task in ("dropout", "adam")  # nobody else draws the same numbers; a step of Adam returns none
        races.race(_kernel(task), task, arguments, size, check=None if alone else short[task][0])
    _share_of_the_copy(races.journal.result)
    races.journal.note(f"Single kernels ran over {n} numbers.")


def kernels(n: int) -> dict[str, tuple[dict[str, int], float]]:
    """The arguments of each and the bytes that it moves at least, for arrays of n numbers."""
    table, logits = {"rows": ROWS, "units": UNITS, "n": n // UNITS}, {"batch": n // CLASSES, "classes": CLASSES}
    return {
        **{task: ({"n": n}, 8 * n) for task in ("copy", "exp", "tanh", "sigmoid", "dropout")},
        "sum": ({"n": n}, 4 * n),
        "softmax": (logits, 8 * n),
        "adam": ({"n": n}, 28 * n),
        "embedding_forward": (table, 8 * n),
        "embedding_backward": (table, 4 * n + 4 * ROWS * UNITS),
    }


def _far() -> int:
    import cupy

    free, _ = cupy.cuda.runtime.memGetInfo()
    return fitting(free)


def fitting(free: int) -> int:
    """How many numbers an array may have, so that the arrays of all fit into so many bytes."""
    n = FAR
    while n > FAR >> 8 and 4 * n * ARRAYS > free:
        n //= 2
    return n


def _share_of_the_copy(result: Result) -> None:
    """Of the fastest copy of arrays as long, in bytes read and bytes written together."""
    rates = [row.rate for row in result.rows if row.case == _kernel("copy") and row.rate is not None]
    for row in result.rows:
        if rates and row.rate is not None and row.case in map(_kernel, kernels(FAR)):
            row.share = row.rate / max(rates)


# ---- names, and what is to be reached -------------------------------------------------------


def document(batch: int, time: int, optimizer: str = "adam", rate: float = 0.5) -> dict[str, Any]:
    return {"batch": batch, "time": time, "rate": rate, "optimizer": optimizer}


def lstm(layer: tuple[int, int, int, int]) -> dict[str, int]:
    return dict(zip(("batch", "time", "features", "units"), layer, strict=True))


def _model(what: str, batch: int, time: int) -> str:
    return f"document's model, {what}, B {batch}, T {time}"


def _layer(what: str, layer: tuple[int, int, int, int]) -> str:
    batch, steps, features, units = layer
    return f"LSTM, {what}, B {batch}, T {steps}, {features}→{units}"


def _kernel(task: str) -> str:
    return f"{task}, by itself"


def aim(result: Result) -> None:
    for ours, precision in ((OURS, "float32"), (OURS_TF32, "tf32")):
        for what in ("training", "inference"):
            case = _model(what, *DOCUMENTS[0])
            result.aim(f"{case}, of the fastest in {precision}", 1.0, result.ratio_to_fastest(case, ours))
        for what in ("train", "infer"):
            cases = [_layer(what, layer) for layer in LSTMS]
            result.aim_all(f"LSTM, {what}, of the fastest in {precision}", cases, 1.1, ours=ours)
    for task in kernels(FAR):
        if task != "copy":
            share = result.share_of(_kernel(task))
            result.aim(f"{_kernel(task)}, share of the copy's bandwidth", 0.85, share, at_most=False)
