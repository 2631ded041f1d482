"""The benchmarks measure what they say they measure."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import on_device
import pytest

import minidl as md
from benchmarks import __main__ as command_line
from benchmarks import (
    aims,
    breakdown,
    footprint,
    gpu,
    gpu_proof,
    gpu_speed,
    gpu_start,
    inputs,
    lstm_scaling,
    machine,
    native,
    seed_model,
    stages,
    worker,
)
from benchmarks.command import Command
from benchmarks.contestants import ours
from benchmarks.journal import Journal
from benchmarks.peers import GPU_PEERS, MINIDL, PEERS, Peer
from benchmarks.process import (
    EndedError,
    FailedError,
    Field,
    Pace,
    RefusedError,
    Timing,
    at_once,
    check_agreement,
    race,
    ratio,
    run_race,
)
from benchmarks.result import Result, Row
from benchmarks.setting import Setting
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


# ---- the command line ---------------------------------------------------------------------


class Unmeasured:
    """A benchmark that must not be run."""

    def run(self, setting: Setting) -> Result:
        raise AssertionError(f"it was measured with {setting}")


@pytest.fixture
def refusal(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Callable[..., str]:
    """What the command says of arguments that it refuses before it measures."""
    monkeypatch.setattr(command_line, "_module", lambda name: Unmeasured())

    def refused(*argv: str) -> str:
        with pytest.raises(SystemExit) as ended:
            command_line.main(argv)
        assert ended.value.code == 2
        return capsys.readouterr().err.splitlines()[-1]

    return refused


@pytest.mark.parametrize("given", ["0", "-1", "x", "", "1.5"])
def test_rounds_are_a_positive_integer(refusal: Callable[..., str], given: str) -> None:
    assert refusal("overhead", "--rounds", given).endswith(f"--rounds: expected a positive integer, got {given!r}")


@pytest.mark.parametrize("given", ["x", ",", "0", "-1", "1,", "1000000"])
def test_threads_are_as_many_as_there_are_cores_at_most(refusal: Callable[..., str], given: str) -> None:
    most = len(os.sched_getaffinity(0))
    expected = f"--threads: expected numbers from 1 to {most}, the cores there are, between commas, got {given!r}"
    assert refusal("overhead", "--threads", given).endswith(expected)


def test_the_summary_of_the_aims_is_that_of_the_results_beside_it() -> None:
    written = (aims.RESULTS / "README.md").read_text(encoding="utf-8")
    machines = re.findall(r"\[(\w+)\]\(\1\)", written)
    assert len(machines) >= 3
    assert written == aims.summary(machines), "run `python -m benchmarks.aims > benchmarks/results/README.md`"


def test_an_aim_that_is_missed_stands_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(aims, "RESULTS", tmp_path)
    one, other = (Result("ops", "", {}, {}) for _ in range(2))
    one.aim("exp, each (worst: exp 4096)", 1, 1.2)
    other.aim("exp, each (worst: exp 65536)", 1, 0.9)
    other.aim("share", 0.8, 0.85, at_most=False)
    one.write(tmp_path / "one")
    other.write(tmp_path / "other")
    lines = aims.summary(["one", "other"]).splitlines()
    assert "| exp, each | ≤ 1 | **1.2** exp 4096 | 0.9 |" in lines
    assert "| share | ≥ 0.8 |  | 0.85 |" in lines


def test_results_have_a_place_before_they_are_measured(
    refusal: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.touch()
    for place, why in {file: "File exists", file / "below": "Not a directory"}.items():
        expected = f"--output: expected a folder that can be written to, got {str(place)!r}: {why}; name another"
        assert refusal("overhead", "--output", str(place)).endswith(expected)
    with pytest.raises(AssertionError, match="it was measured"):
        command_line.main(["overhead", "--output", str(tmp_path / "new" / "folder")])
    assert not list((tmp_path / "new" / "folder").iterdir())
    monkeypatch.setattr(command_line, "try_out", Mock(side_effect=OSError(30, "Read-only file system")))
    assert "Read-only file system; name another" in refusal("overhead", "--output", str(tmp_path))


def test_a_result_that_cannot_be_written_any_more_is_printed(
    monkeypatch: pytest.MonkeyPatch, result: Result, tmp_path: Path, capsys: Any
) -> None:
    monkeypatch.setattr(command_line, "_module", lambda name: Mock(run=lambda setting: result))
    monkeypatch.setattr(Result, "write", Mock(side_effect=OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        command_line.main(["overhead", "--output", str(tmp_path)])
    assert result.markdown() in capsys.readouterr().out


def test_what_is_not_installed_is_named_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any
) -> None:
    monkeypatch.setitem(sys.modules, "packaging.requirements", None)
    monkeypatch.delitem(sys.modules, "benchmarks.footprint", raising=False)
    monkeypatch.setattr("benchmarks.overhead.run", Unmeasured().run)
    command_line.main([])
    *listed, blank, advice = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == [*command_line.NAMES, *command_line.ON_GPU]
    assert not blank and advice.endswith("python -m benchmarks stages")
    assert "footprint     From outside: import time, " in listed[4]
    with pytest.raises(SystemExit, match=r"packaging\S* is needed and not installed: pip install -e '.\[bench\]'"):
        command_line.main(["overhead", "footprint", "--output", str(tmp_path)])


def test_what_is_not_said_of_threads_and_peers() -> None:
    arguments = command_line._parser().parse_args(["overhead"])
    assert (arguments.threads, arguments.peers) == (tuple(sorted({1, len(os.sched_getaffinity(0))})), None)
    assert command_line._parser().parse_args(["--threads", "1, 1"]).threads == (1,)


def test_an_unknown_name_is_refused_with_those_there_are(refusal: Callable[..., str]) -> None:
    said = refusal("overhaed")
    assert "expected one of 'seed_model', " in said and "[]" not in said
    assert said.endswith("'gpu', 'all', got 'overhaed'; did you mean 'overhead'?")
    for unknown in ("tpu", "numpy;tpu", ""):
        said = refusal("overhead", "--peers", unknown)
        assert "--peers: expected one of 'pytorch', 'pytorch, malloc kept', 'keras/tensorflow', " in said
        assert said.endswith(f", 'numpy', 'none', got {unknown.split(';')[-1]!r}")
    assert refusal("overhead", "--peers", "torch").endswith("got 'torch'; did you mean 'pytorch'?")


def test_help_tells_the_peers_and_where_results_go(capsys: Any) -> None:
    with pytest.raises(SystemExit):
        command_line.main(["--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert f"{'; '.join(peer.name for peer in PEERS)}; or none" in said
    assert "(default: benchmarks/results/ under the current folder)" in said


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
        memory = machine.Memory(ISAS[-1], threads)
        for value in (machine.fma_ceiling(ISAS[-1], threads), *map(memory.measure, memory.WAYS)):
            assert 0.01 < value < 1e6


@pytest.mark.skipif(
    not ISAS or len(os.sched_getaffinity(0)) < 2, reason="the kernels are not built, or there is one core to run on"
)
def test_the_distance_of_two_cores_is_measured_where_two_threads_are() -> None:
    near = machine.Distance("plain", 2)
    assert near.notes() == []
    for _ in range(3):
        near.measure()
    (note,) = near.notes()
    least, most, median = map(int, re.findall(r"(\d+)(?: to| ns)", note))
    assert 5 < least <= median <= most < 1e6 and "on 2 threads" in note
    alone = machine.Distance("plain", 1)
    alone.measure()
    assert alone.notes() == []


def test_the_document_s_model_takes_the_operations_that_are_counted_for_it() -> None:
    assert seed_model.operations(32, 100, training=False) == pytest.approx(1.468e9, rel=1e-3)
    first, second = ((32, 100, 64, 128), (32, 100, 128, 128))
    assert seed_model.operations(32, 100, True) == sum(lstm_scaling.operations(c, True) for c in (first, second))


def test_a_breakdown_tells_the_kernels_of_a_step_and_what_is_outside_of_them() -> None:
    add, exp = md.kernels.add, md.kernels.serving().exp
    x = md.Tensor(inputs.uniform(200, 300), requires_grad=True)

    def step() -> None:
        x.zero_grad()
        (md.exp(x) + 1.0).backward(x)
        time.sleep(0.01)

    seconds, calls = breakdown.break_down(step, rounds=3, seconds=0.05)
    assert calls == {"exp": 1, "add": 1, "multiply": 1} and set(seconds) == {*calls, breakdown.REST}
    assert 0.01 <= seconds[breakdown.REST] < 1 and all(0 < value < 1 for value in seconds.values())
    assert md.kernels.add is add and md.kernels.serving().exp is exp


def test_a_kernel_that_another_one_calls_is_part_of_it() -> None:
    clocks = breakdown.Clocks()
    inner = clocks.around("inner", lambda: time.sleep(0.01))
    clocks.around("outer", inner)()
    assert clocks.calls == {"outer": 1} and clocks.seconds["outer"] >= 0.01


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
    begun: list[int] = []
    timings = race({"a": Fake(), "b": Refusing()}, "task", rounds=2, before_round=lambda: begun.append(1))
    assert list(timings) == ["a"] and len(begun) == 2
    assert timings["a"].rounds == [1.0, 1.0]


def test_a_process_computes_and_names_its_errors() -> None:
    with Field([MINIDL], threads=1) as contestants:
        ours = contestants["minidl"]
        ours.ask(prepare="tiny_op", **{"with": {}})
        assert ours.ask(values=2) == [2.5, 2.5]
        assert all(0 < t < 60 for t in ours.ask(run=3))
        assert len(ours.ask(run=2, calls=3)) == 2
        with pytest.raises(FailedError, match=r"minidl: TypeError: exp|minidl: TypeError: .*n"):
            ours.ask(prepare="exp", **{"with": {"n": None}})
        with pytest.raises(RefusedError, match="minidl: there is no no_such_task") as refused:
            ours.ask(prepare="no_such_task", **{"with": {}})
        assert refused.type is RefusedError


BROKEN = Peer("broken", "no_such_module", ())


def test_the_peak_of_a_contestant_is_its_own() -> None:
    held = np.ones(80_000_000)  # 610 MiB in this process, from which the other one comes
    with Field([MINIDL], threads=1) as contestants:
        contestants["minidl"].ask(prepare="exp", **{"with": {"n": 4096}})
        assert 20 < contestants["minidl"].peak_mib < 300
    assert held[-1] == 1


def test_a_process_that_ended_is_an_error_with_its_last_words_and_can_be_started_again() -> None:
    with Field([MINIDL, BROKEN], threads=1) as contestants:
        contestants["minidl"]._process.kill()
        contestants["minidl"]._process.wait()
        with pytest.raises(EndedError, match="the process of minidl ended with status -9$"):
            contestants["minidl"].ask(run=1)
        contestants.start_again("minidl")
        assert len(contestants["minidl"].ask(run=1)) == 1
        with pytest.raises(
            EndedError, match=r"broken ended with status 1\n(.*\n)*ModuleNotFoundError: .*no_such_module"
        ):
            contestants["broken"].ask(run=1)


def test_a_process_that_does_not_answer_is_ended() -> None:
    with (
        Field([MINIDL], threads=1, patience=0.01) as contestants,
        pytest.raises(EndedError, match="status -9 for want of an answer in 0.01 s"),
    ):
        contestants["minidl"].ask(run=1)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are listed by Linux")
def test_a_run_that_is_told_to_end_leaves_no_process_behind(tmp_path: Path) -> None:
    """A contestant is stopped between its turns, so it does not end by itself when nobody is there any more."""
    command = [sys.executable, "-m", "benchmarks", "overhead", "--quick", "--peers", "none", "--output", str(tmp_path)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    run = subprocess.Popen(command, cwd=Path(__file__).parent.parent, **quiet)  # type: ignore[call-overload]
    listed = Path(f"/proc/{run.pid}/task/{run.pid}/children")

    def stopped(pid: str) -> bool:
        with contextlib.suppress(OSError):
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
        return False

    while not any(map(stopped, children := listed.read_text().split())):
        assert run.poll() is None, "it ended before it had a contestant"
        time.sleep(0.005)
    run.terminate()
    assert run.wait(60) == 128 + signal.SIGTERM
    assert not any(map(stopped, children))


def test_who_takes_turns_is_asked_by_the_thread_that_ends_the_run() -> None:
    """Another one could stop a contestant after it was let go on to its end, and that would be waited for for ever."""
    threads = at_once(lambda name: threading.get_ident(), ["a", "b"], together=False)
    assert threads == dict.fromkeys(["a", "b"], threading.get_ident())
    assert at_once(lambda name: threading.get_ident(), ["a"], together=True)["a"] != threading.get_ident()


def test_calls_that_are_queued_share_one_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr(worker.time, "perf_counter", lambda: float(done.count("wait")))
    assert worker._times(lambda: done.append("step"), lambda: done.append("wait"), 2, calls=4) == [0.25, 0.25]
    assert done == ["step"] * 4 + ["wait"] + ["step"] * 4 + ["wait"]


def test_a_race_goes_on_without_who_fails_in_it() -> None:
    class Tiring(Fake):
        def ask(self, **command: Any) -> Any:
            self.values = (*self.values, 1.0)
            if len(self.values) > 6:
                raise EndedError("tired")
            return super().ask(**command)

    failed = []
    fakes: Any = {"a": Fake(), "b": Tiring(), "c": Refusing()}
    pace = Pace(rounds=3, turn=10.0, least=3, calls=2)
    timings = run_race(fakes, "task", {}, pace, lambda name, error: failed.append((name, str(error))))
    assert {name: timing.rounds for name, timing in timings.items()} == {"a": [1.0] * 3}
    assert failed == [("c", "no such task"), ("b", "tired")]


def test_long_inputs_repeat_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = inputs.uniform(2, 6, scale=3.0)
    np.testing.assert_array_equal(drawn, np.random.default_rng((0, 2, 6)).uniform(-3, 3, (2, 6)).astype(np.float32))
    monkeypatch.setattr(inputs, "REPEATED", 5)
    x = inputs.uniform(2, 6).reshape(-1)
    assert len({*x.tolist()}) == 5 and x.dtype == np.float32
    np.testing.assert_array_equal(x, np.tile(x[:5], 3)[:12])


# ---- what is written ----------------------------------------------------------------------


@pytest.fixture
def result() -> Result:
    result = Result("name", "A title", {"processor": "one", "cores": 2}, {"minidl": "minidl 0", "other": "other 1"})
    result.add_race("case", {"minidl": Timing([2.0, 4.0, 3.0]), "other": Timing([4.0, 8.0, 6.0])}, 6e9, ceiling=4.0)
    return result


def test_a_share_is_that_of_the_ceiling_in_its_round(result: Result) -> None:
    timings = {"minidl": Timing([1.0, 2.0, 4.0]), "other": Timing([2.0, 2.0, 2.0])}
    result.add_race("far", timings, 8e9, ceiling=[16.0, 4.0, 4.0])
    assert [row.share for row in result.rows[-2:]] == [0.5, 1.0]


def test_a_row_has_rate_share_and_ratio(result: Result) -> None:
    ours, theirs = result.rows
    assert (ours.value, ours.low, ours.high, ours.rate, ours.share, ours.ratio) == (3.0, 2.0, 4.0, 2.0, 0.5, None)
    assert (theirs.value, theirs.ratio) == (6.0, 0.5)


def test_each_precision_has_a_minidl_of_its_own_to_be_compared_with(result: Result) -> None:
    timings = {name: Timing([value]) for name, value in {"minidl": 4.0, "a": 4.0, "half": 2.0, "b": 1.0}.items()}
    result.add_race("two", timings, against={"half": "half", "b": "half"})
    assert [row.ratio for row in result.rows[2:]] == [None, 1.0, None, 2.0]
    assert (result.ratio_to_fastest("two"), result.ratio_to_fastest("two", "half")) == (1.0, 2.0)
    result.aim_all("all", ["two"], 1.5, ours="half")
    assert result.targets[-1].reached == 2.0
    assert "| 2.00 × by half |" in result.markdown()
    result.add_race("three", {"a": Timing([1.0])})  # ours has failed
    assert result.rows[-1].ratio is None


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
    result.aim_all("all", ["never run"], 1.0)
    assert "| all, each | ≤ 1 |  | not measured |" in result.markdown()


def test_a_name_with_a_comma_stands_by_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Peer, "versions", "1.0")
    monkeypatch.setattr(Peer, "installed", False)
    setting = Setting(True, 1, (1,), None, tmp_path)
    (note,) = setting.result("overhead", "Overhead", ("ours", "pytorch", "hips_autograd")).notes
    assert note == "Not installed, so not measured: pytorch; pytorch, malloc kept; autograd."
    monkeypatch.setattr(Peer, "installed", True)
    there = setting.result("overhead", "Overhead", ("ours", "pytorch"))
    assert there.notes == []
    assert "Versions: minidl: 1.0; pytorch: 1.0; pytorch, malloc kept: 1.0." in there.markdown()


def test_one_thread_is_one() -> None:
    for threads, words in {1: ", 1 thread", 2: ", 2 threads"}.items():
        assert seed_model._case("training", 32, 100, threads).endswith(words)
        assert lstm_scaling._case("train", (1, 2, 3, 4), threads).endswith(words)


def test_an_import_is_compared_with_numpy_s_of_the_same_round(monkeypatch: pytest.MonkeyPatch, result: Result) -> None:
    seconds = iter([0.0, 1.0, 0.9, 0.0, 2.0, 1.2, 0.0, 3.0, 2.8])
    monkeypatch.setattr(footprint, "_seconds", lambda code: next(seconds))
    footprint._imports(result, ["minidl", "numpy"], 3)
    (target,) = result.targets
    assert target.text == "import, seconds over NumPy's, median of the rounds' differences"
    assert target.reached == pytest.approx(0.2)  # the difference of the medians is 0.8


def test_a_table_says_what_its_ratio_is_of_where_it_has_one(result: Result) -> None:
    assert "\n\n“minidl takes”: its time over that of the row, round by round, the median. " in result.markdown()
    del result.rows[1:]
    assert "minidl takes" not in result.markdown() and "| case |  | median after it |" in result.markdown()


def test_a_result_is_written_as_json_and_as_a_table(result: Result, tmp_path: Any) -> None:
    result.write(tmp_path)
    assert json.loads((tmp_path / "name.json").read_text())["rows"][1]["ratio"] == 0.5
    assert "| case | minidl | 3 s | 2 s – 4 s | 2.0 G/s | 50% |  |" in (tmp_path / "name.md").read_text()


# ---- on a GPU: what can be known of it without one ------------------------------------------

TINY: dict[str, Any] = {"DOCUMENTS": ((2, 5),), "LSTMS": ((2, 3, 4, 8),), "ROWS": 50, "UNITS": 8, "CLASSES": 16}


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in TINY.items():
        for module in (gpu_speed, gpu_start):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(gpu_speed, "_far", lambda: 1 << 9)


def tasks() -> list[tuple[str, dict[str, Any]]]:
    """All that is raced on a GPU, small."""
    kernels = [(task, arguments) for task, (arguments, _) in gpu_speed.kernels(1 << 9).items()]
    layers = [(f"lstm_{what}", dict(gpu_speed.lstm((2, 3, 4, 8)))) for what in ("train", "infer")]
    document = ("document_train", gpu_speed.document(2, 5)), ("document_infer", {"batch": 2, "time": 5})
    return [*kernels, *layers, *document]


def means(step: Callable[[], Any], times: int = 1) -> list[float]:
    return [float(np.mean(np.abs(worker._on_host(step())))) for _ in range(times)]


def test_every_task_runs_on_the_device(tiny: None) -> None:
    for task, arguments in tasks():
        md.random.set_seed(0)
        expected = means(getattr(ours, task)(**arguments))
        md.random.set_seed(0)
        with on_device.cupy(), md.use("cuda"):
            step = getattr(ours, task)(**arguments)
            assert means(step) == pytest.approx(expected, rel=1e-5), task
            assert len(worker._times(step, md.devices.synchronize, 1, calls=2)) == 1


def test_every_task_of_pytorch_computes_the_same_and_what_a_graph_plays_too(
    tiny: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    from benchmarks.contestants import pytorch, pytorch_graph

    def recorded(body: Callable[[], Any]) -> Callable[[], Any]:
        for _ in range(4):
            body()
        return body

    monkeypatch.setattr(pytorch_graph, "_recorded", recorded)
    for task, arguments in tasks():
        if task in ("dropout", "adam"):
            getattr(pytorch, task)(**arguments)()
            continue
        if task == "document_train":
            arguments = gpu_speed.document(2, 5, "sgd", 0.0)
        expected = means(getattr(ours, task)(**arguments), 3)
        for module in (pytorch, pytorch_graph):
            if hasattr(module, task):
                assert means(getattr(module, task)(**arguments), 3) == pytest.approx(expected, rel=1e-4), task
    assert {name for name, _ in tasks() if hasattr(pytorch_graph, name)} == {*pytorch_graph.__all__} - {"wait"}


def test_an_array_is_as_long_as_the_memory_allows() -> None:
    assert gpu_speed.fitting(140 << 30) == gpu_speed.fitting(80 << 30) == 1 << 28
    assert gpu_speed.fitting(12 << 30) == 1 << 27
    assert gpu_speed.fitting(0) == 1 << 20


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(Result("gpu", "On the GPU", {}, {}), tmp_path)


def test_a_part_that_fails_is_a_note_and_what_there_is_is_written(journal: Journal, tmp_path: Path) -> None:
    with journal.part("the first"), journal.part("inside"):
        raise ValueError("\n".join(map(str, range(9))))
    assert journal.result.notes == ["inside: failed with ValueError: 3\n4\n5\n6\n7\n8"]
    assert json.loads((tmp_path / "gpu.json").read_text())["notes"] == journal.result.notes
    journal.result.notes.append("so far")
    with pytest.raises(KeyboardInterrupt), journal.part("stopped"):
        raise KeyboardInterrupt
    assert "so far" in (tmp_path / "gpu.md").read_text()


class Named(Fake):
    """A contestant with a precision."""

    def __init__(self, precision: str, *values: float) -> None:
        super().__init__(*values)
        self.peer = replace(MINIDL, precision=precision)

    def close(self) -> None:
        self.values = ()


class Dying(Named):
    def ask(self, **command: Any) -> Any:
        raise FailedError("out of memory")


def test_who_computes_other_numbers_is_left_out_and_named(journal: Journal) -> None:
    off = 1.001
    fakes: Any = {
        "minidl": Named("float32", 1.0), "a": Named("float32", off), "minidl, tf32": Named("tf32", off),
        "b": Named("tf32", 1.1), "c": Named("float32", 1.0),
    }  # fmt: skip
    races = gpu_speed.Races(journal, fakes, Pace(1))
    races.race("case", "task", {}, check={})
    assert [row.contestant for row in journal.result.rows] == ["minidl", "minidl, tf32", "c"]
    texts = [
        f"case: minidl computes [1.0], {name}, which is left out."
        for name in ("a computes [1.001]", "b computes [1.1]")
    ]
    assert journal.result.notes == texts
    replace(races, until=-1.0).race("late", "task", {}, check={})
    assert journal.result.notes[-1] == "late: not run, for want of time." and len(journal.result.rows) == 3


def test_who_fails_has_new_processes_until_it_is_out(journal: Journal) -> None:
    class Fakes(dict[str, Any]):
        again: list[str] = []

        def start_again(self, name: str) -> None:
            self.again.append(name)

    fakes: Any = Fakes(minidl=Named("float32", 1.0), bad=Dying("float32"))
    races = gpu_speed.Races(journal, fakes, Pace(1))
    for case in ("one", "two", "three", "four"):
        races.race(case, "task", {}, check=None if case == "two" else {})
    assert fakes.again == ["bad", "bad"] and list(fakes) == ["minidl"]
    assert journal.result.notes == [
        "one: out of memory", "two: out of memory", "three: out of memory",
        "bad failed 3 times and takes no further part.",
    ]  # fmt: skip
    assert [row.case for row in journal.result.rows] == ["one", "two", "three", "four"]


def runs(pid: str) -> bool:
    try:
        return Path("/proc", pid, "stat").read_text().split()[2] not in "XZ"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_command_that_hangs_is_stopped_with_its_children() -> None:
    start = time.perf_counter()
    command = Command(["sh", "-c", "sleep 60 & printf $!; wait"])
    child, end = command.wait(2.0).splitlines()
    assert end == "stopped after 2 s" and command.status is None
    assert time.perf_counter() - start < 30
    while runs(child) and time.perf_counter() - start < 30:  # a killed process may live on until it is next scheduled
        time.sleep(0.01)
    assert not runs(child)


def test_a_command_has_a_status_an_environment_and_the_package() -> None:
    code = "import os, minidl; print(os.environ['WHAT'], minidl.__file__); os._exit(3)"
    command = Command([sys.executable, "-P", "-c", code], WHAT="that")
    assert command.wait(60).split() == ["that", str(Path(gpu.__file__).parents[1] / "minidl" / "__init__.py")]
    assert command.status == 3
    assert "No such file" in Command(["no_such_program"]).wait(1)


SAID = """[gw1] [ 50%] FAILED tests/test_x.py::test_a[1]
[gw0] [100%] PASSED tests/test_x.py::test_b
=================================== FAILURES ===================================
E   assert 1 == 2
=========================== short test summary info ============================
SKIPPED [10] tests/test_y.py:7: looks into the stand-in
FAILED tests/test_x.py::test_a[1] - assert 1 == 2
============ 1 failed, 1 passed, 10 skipped in 9.87s ============
"""


def test_the_verdict_on_the_tests_says_what_failed_and_why_some_were_skipped() -> None:
    first, *rest = gpu_proof.verdict(SAID, True).splitlines()
    assert first.endswith(", which use no GPU: 1 failed, 1 passed, 10 skipped in 9.87s")
    assert rest == [
        "- SKIPPED [10] tests/test_y.py:7: looks into the stand-in",
        "- FAILED tests/test_x.py::test_a[1] - assert 1 == 2",
    ]
    assert gpu_proof.failures(SAID).splitlines()[:2] == SAID.splitlines()[2:4]
    assert gpu_proof.failures("1 passed").strip() == "1 passed"
    stopped = SAID[: SAID.index("====")] + "stopped after 9 s"
    assert gpu_proof.verdict(stopped, False).endswith("test_lstm_kernel.py: stopped after 9 s, 1 failed, 1 passed")


def test_the_verdict_of_the_checker_needs_tests_that_ran() -> None:
    clean = "28 passed, 99 deselected in 9.5s\n========= ERROR SUMMARY: 0 errors\n"
    assert gpu_proof.checked("memcheck", clean).endswith("28 passed, 99 deselected in 9.5s; ERROR SUMMARY: 0 errors")
    assert gpu_proof.checked("memcheck", "No module\n= ERROR SUMMARY: 0 errors").endswith(
        "No module\n= ERROR SUMMARY: 0 errors"
    )
    hazards = "28 passed in 9.5s\n========= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)"
    assert gpu_proof.checked("racecheck", hazards).endswith(
        "; RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)"
    )


@pytest.mark.parametrize("workers", [0, 14])
def test_the_tests_that_are_to_prove_it_exist(workers: int) -> None:
    command = gpu_proof.tests_command(workers, quick=False)
    assert ("-n" in command) == (workers > 0)
    paths = [part.removeprefix("--ignore=") for part in command if "tests" in part]
    assert len(paths) > 2 and all((Path(gpu.__file__).parents[1] / path).exists() for path in paths)


def test_the_checker_watches_every_kernel_once() -> None:
    """The code that it runs, here without it and on the processor."""
    options = [*gpu_proof.PYTEST[3:], "--collect-only"]
    command = Command([sys.executable, "-c", gpu_proof.WATCH, *options])
    said = command.wait(120)
    assert command.status == 0 and said.count("::test_the_same_results[cuda-") >= 28, said
    assert said.count("lstm-float32-contiguous") == 1


def test_a_whole_run(tiny: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any) -> None:
    """On the processor, where the GPU would be: every part with its names and arguments, one contestant broken."""
    there = [replace(peer, packages=(), environment={}) for peer in GPU_PEERS if peer.module == "ours"]
    torch = [replace(peer, environment={}) for peer in GPU_PEERS if peer.module == "pytorch" and find_spec("torch")]
    monkeypatch.setattr(gpu_speed, "pace", lambda setting: Pace(setting.rounds, 0, 0))
    monkeypatch.setattr(gpu, "GPU_PEERS", [*there, *torch, BROKEN])
    monkeypatch.setattr(gpu.cuda, "missing", lambda: "")
    monkeypatch.setattr(gpu.cuda, "device", lambda: "a GPU")
    monkeypatch.setattr(gpu, "BUILD", [sys.executable, "-c", "raise SystemExit('no compiler')"])
    monkeypatch.setattr(gpu, "ABOUT", "print('PyTorch of today')")
    monkeypatch.setattr(gpu_start, "START", "print(0.5, 0.25)")
    monkeypatch.setattr(gpu_proof, "tests_command", lambda *_: [sys.executable, "-c", "print('3 passed in 1 s')"])
    monkeypatch.setattr(gpu_proof, "_sanitizer", lambda: None)
    result = gpu.run(Setting(False, 1, (1,), None, tmp_path))

    names = [peer.name for peer in (*there, *torch)]
    cases = [f"{task}, by itself" for task in gpu_speed.kernels(1)]
    cases += [f"document's model, {what}, B 2, T 5" for what in ("training", "inference")]
    cases += [f"LSTM, {what}, B 2, T 3, 4→8" for what in ("train", "infer")]
    for case in cases:
        who = [name for name in names if "by itself" not in case or "tf32" not in name]
        assert {row.contestant for row in result.rows if row.case == case} == {*who}, result.notes
    assert all(0 < (result.share_of(case) or 0) < 100 for case in cases if "by itself" in case)
    notes = "\n".join(result.notes)
    for text in (
        "The kernels in C were not built: no compiler", "broken failed 3 times", "PyTorch of today",
        "3 passed in 1 s", "compute-sanitizer was not found", "over 512 numbers",
    ):  # fmt: skip
        assert text in notes, notes
    assert "failed with" not in notes and "to be compiled" not in notes and notes.count("ModuleNotFoundError") == 3, (
        notes
    )
    verdicts = {target.text: target.verdict for target in result.targets}
    assert verdicts["first training step of the second process, after CuPy's import, seconds"] == "reached"
    assert ("not measured" in verdicts.values()) == (not torch)
    assert (tmp_path / "gpu.md").read_text() == result.markdown()
    assert " s  LSTM, train, B 2, T 3, 4→8\n" in capsys.readouterr().out
