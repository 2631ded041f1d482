"""The document's model: Embedding(1000, 64), LSTM(128), Dropout, LSTM(128), Dropout, Dense(1)."""

from __future__ import annotations

from benchmarks import inputs, machine
from benchmarks.process import Field, check_agreement, race
from benchmarks.result import Result
from benchmarks.setting import Setting

ABLE = ("ours", "pytorch", "keras_model")


def operations(batch: int, time: int, training: bool) -> float:
    """Multiplications and additions in the products of the two LSTMs; backward does twice those of forward."""
    columns = 4 * inputs.UNITS
    forward = 2 * batch * time * columns * (inputs.FEATURES + 3 * inputs.UNITS)
    return forward * (3 if training else 1)


def run(setting: Setting) -> Result:
    result = setting.result("seed_model", "The document's model", ABLE)
    for threads in setting.threads:
        ceiling = machine.fma_ceiling(setting.isa, threads)
        result.notes.append(f"Measured ceiling on {machine.in_words(threads)}: {ceiling:.0f} GFLOP/s.")
        distance = machine.Distance(setting.isa, threads)
        with Field(setting.peers(ABLE), threads) as contestants:
            for time in (100, 40):
                check_agreement(contestants, "document_train", batch=32, time=time, rate=0.0, optimizer="sgd")
                check_agreement(contestants, "document_infer", steps=1, batch=32, time=time)
                _race(result, contestants, setting.rounds, ceiling, threads, 32, time, distance)
        with Field(setting.peers(("ours", "pytorch")), threads) as contestants:
            for batch in setting.pick((1, 8, 64, 256), (1,)):
                _race(result, contestants, setting.rounds, ceiling, threads, batch, 100, distance)
        result.notes += distance.notes()
    _aim(result, setting)
    return result


def _race(
    result: Result,
    contestants: Field,
    rounds: int,
    ceiling: float,
    threads: int,
    batch: int,
    time: int,
    distance: machine.Distance,
) -> None:
    distance.measure()
    trained = race(contestants, "document_train", rounds, batch=batch, time=time, rate=0.5, optimizer="adam")
    result.add_race(_case("training", batch, time, threads), trained, operations(batch, time, True), ceiling)
    distance.measure()
    used = race(contestants, "document_infer", rounds, batch=batch, time=time)
    result.add_race(_case("inference", batch, time, threads), used, operations(batch, time, False), ceiling)


def _case(what: str, batch: int, time: int, threads: int) -> str:
    return f"{what}, B {batch}, T {time}, {machine.in_words(threads)}"


def _aim(result: Result, setting: Setting) -> None:
    share = 0.65 if setting.isa == "x86-64-v3" else 0.70
    for threads in setting.threads:
        step = _case("training", 32, 100, threads)
        result.aim(f"{step}, of PyTorch with malloc kept", 0.60, result.ratio_to(step, "pytorch, malloc kept"))
        result.aim(f"{step}, of PyTorch as installed", 0.36, result.ratio_to(step, "pytorch"))
        result.aim(f"{step}, share of the FMA ceiling", share, result.share_of(step), at_most=False)
        short = _case("training", 32, 40, threads)
        result.aim(f"{short}, of the fastest", 0.65, result.ratio_to_fastest(short))
        for time in (100, 40):
            used = _case("inference", 32, time, threads)
            result.aim(f"{used}, of the fastest", 0.90, result.ratio_to_fastest(used))
        for what in ("training", "inference"):
            one = _case(what, 1, 100, threads)
            result.aim(f"{one}, of the fastest", 0.50, result.ratio_to_fastest(one))
