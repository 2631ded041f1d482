"""The benchmarks measure what they say they measure."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import pytest

import minidl as md
from benchmarks import inputs, lstm_scaling, machine, native, seed_model, stages
from benchmarks.peers import MINIDL
from benchmarks.process import Field, RefusedError, Timing, check_agreement, race, ratio
from benchmarks.result import Result, Row
from minidl.kernels import reference

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the benchmarks know where Linux tells its facts")

ISAS = [isa for isa in native.LEVELS if isa in md.kernels.cpu.available_isas()] if md.kernels.cpu else []


class Fake:
    """A contestant that answers at once with values of its own."""

    def __init__(self, *values: float) -> None:
        self.values = values

    def ask(self, **command: Any) -> Any:
        return list(self.values) if "values" in command else [1.0] * command.get("run", 0)


class Refusing(Fake):
    def ask(self, **command: Any) -> Any:
        raise RefusedError("no such task")


# ---- code beside the kernels --------------------------------------------------------------


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", stages.STAGES)
def test_every_stage_computes_the_lstm_of_the_reference(name: str, isa: str) -> None:
    x, weights = inputs.uniform(12, 7, 5), inputs.lstm_weights(5, 32)
    zero = np.zeros((12, 32), np.float32)
    expected = reference.lstm_forward(x, zero, zero, *weights)[0]
    np.testing.assert_allclose(stages.stage(name, isa)(x, *weights), expected, rtol=0, atol=1e-6)


@pytest.mark.skipif(not ISAS, reason="the kernels in C are not built here")
def test_a_machine_can_do_something(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "COPY_BYTES", 1 << 20)
    for threads in (1, 2):
        ceilings = machine.ceilings(ISAS[-1], threads)
        assert ceilings.keys() == {"fma_gflops", "scale_gbs", "update_gbs", "read_gbs"}
        assert all(0.01 < value < 1e6 for value in ceilings.values())


def test_the_document_s_model_takes_the_operations_that_are_counted_for_it() -> None:
    assert seed_model.operations(32, 100, training=False) == pytest.approx(1.468e9, rel=1e-3)
    first, second = ((32, 100, 64, 128), (32, 100, 128, 128))
    assert seed_model.operations(32, 100, True) == sum(lstm_scaling.operations(c, True) for c in (first, second))


# ---- the race -----------------------------------------------------------------------------


def test_ratios_are_taken_within_a_round() -> None:
    slow_machine_later = Timing([1.0, 1.0, 10.0]), Timing([2.0, 2.0, 20.0])
    assert ratio(*slow_machine_later) == 0.5


def test_contestants_that_compute_different_numbers_are_not_timed() -> None:
    check_agreement({"a": Fake(1.0, 0.5), "b": Fake(1.00001, 0.5)}, "task")
    with pytest.raises(RuntimeError, match=r"a computes \[1.0, 0.5\], b computes \[1.0, 0.6\]"):
        check_agreement({"a": Fake(1.0, 0.5), "b": Fake(1.0, 0.6)}, "task")
    with pytest.raises(RuntimeError, match="nan"):
        check_agreement({"a": Fake(1.0), "b": Fake(float("nan"))}, "task")


def test_a_contestant_that_refuses_a_task_is_left_out() -> None:
    timings = race({"a": Fake(), "b": Refusing()}, "task", rounds=2)
    assert list(timings) == ["a"]
    assert timings["a"].rounds == [1.0, 1.0]


def test_a_process_computes_and_names_its_errors() -> None:
    with Field([MINIDL], threads=1) as contestants:
        ours = contestants["minidl"]
        ours.ask(prepare="tiny_op", **{"with": {}})
        assert ours.ask(values=2) == [2.5, 2.5]
        assert all(0 < t < 60 for t in ours.ask(run=3))
        with pytest.raises(RefusedError, match="minidl: AttributeError"):
            ours.ask(prepare="no_such_task", **{"with": {}})
        assert ours.ask(values=1) == [2.5]


def test_a_process_that_ended_is_an_error() -> None:
    with Field([MINIDL], threads=1) as contestants:
        contestants["minidl"]._process.kill()
        contestants["minidl"]._process.wait()
        with pytest.raises(RuntimeError, match="the process of minidl ended with status -9"):
            contestants["minidl"].ask(run=1)


# ---- what is written ----------------------------------------------------------------------


@pytest.fixture
def result() -> Result:
    result = Result("name", "A title", {"processor": "one", "cores": 2}, {"minidl": "minidl 0", "other": "other 1"})
    result.add_race("case", {"minidl": Timing([2.0, 4.0, 3.0]), "other": Timing([4.0, 8.0, 6.0])}, 6e9, ceiling=4.0)
    return result


def test_a_row_has_rate_share_and_ratio(result: Result) -> None:
    ours, theirs = result.rows
    assert (ours.value, ours.low, ours.high, ours.rate, ours.share, ours.ratio) == (3.0, 2.0, 4.0, 2.0, 0.5, None)
    assert (theirs.value, theirs.ratio) == (6.0, 0.5)


def test_a_missed_target_is_printed_as_missed(result: Result) -> None:
    result.aim("fast", 0.6, result.ratio_to_fastest("case"))
    result.aim("faster", 0.4, result.ratio_to_fastest("case"))
    result.aim("near the ceiling", 0.7, result.share_of("case"), at_most=False)
    result.aim("of another", 0.7, result.ratio_to("case", "absent"))
    assert [t.verdict for t in result.targets] == ["reached", "MISSED", "MISSED", "not measured"]
    assert "| faster | ≤ 0.4 | 0.5 | MISSED |" in result.markdown()


def test_the_worst_case_of_many_counts(result: Result) -> None:
    result.rows += [Row("worse", "other", 1.0, ratio=2.0)]
    result.aim_all("all", ["case", "worse", "never run"], 1.0, mean=1.0)
    each, mean = result.targets
    assert (each.text, each.reached, each.verdict) == ("all, each (worst: worse)", 2.0, "MISSED")
    assert (mean.reached, mean.verdict) == (1.0, "reached")


def test_a_result_is_written_as_json_and_as_a_table(result: Result, tmp_path: Any) -> None:
    result.write(tmp_path)
    assert json.loads((tmp_path / "name.json").read_text())["rows"][1]["ratio"] == 0.5
    assert "| case | minidl |  | 3 s | 2 s – 4 s | 2.0 G/s | 50% |  |" in (tmp_path / "name.md").read_text()
