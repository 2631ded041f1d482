"""PyTorch with CUDA graphs: each step is recorded once, and then played as a whole, without its launches' cost."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from benchmarks import inputs
from benchmarks.contestants import pytorch
from benchmarks.contestants.pytorch import DocumentModel, Step, tensor, wait
from benchmarks.peers import DEVICE

__all__ = ["document_infer", "document_train", "lstm_infer", "lstm_train", "wait"]


def _recorded(body: Step) -> Step:
    """A step that plays what the body does, after the few runs beside the main stream that a recording needs."""
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            body()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = body()

    def step() -> Any:
        graph.replay()
        return result

    return step


def document_train(batch: int, time: int, rate: float, optimizer: str) -> Step:
    model, loss_of = DocumentModel(rate).to(DEVICE), nn.BCEWithLogitsLoss()
    learning_rate = inputs.LEARNING_RATES[optimizer]
    parameters = [p for p in model.parameters() if p.requires_grad]
    stepper: torch.optim.Optimizer = torch.optim.SGD(parameters, learning_rate)
    if optimizer == "adam":
        stepper = torch.optim.Adam(parameters, learning_rate, eps=inputs.EPSILON, fused=True, capturable=True)
    x, y = map(tensor, inputs.document_batch(batch, time))

    def body() -> Any:
        stepper.zero_grad(set_to_none=False)
        loss = loss_of(model(x), y)
        loss.backward()
        stepper.step()
        return loss

    before = {name: value.clone() for name, value in model.state_dict().items()}
    play = _recorded(body)
    model.load_state_dict(before)  # the runs before the recording have trained

    def step() -> Any:
        return play().item()

    return step


def document_infer(batch: int, time: int) -> Step:
    with torch.inference_mode():
        return _recorded(pytorch.document_infer(batch, time))


def lstm_train(batch: int, time: int, features: int, units: int) -> Step:
    return _recorded(pytorch.lstm_train(batch, time, features, units))


def lstm_infer(batch: int, time: int, features: int, units: int) -> Step:
    with torch.inference_mode():
        return _recorded(pytorch.lstm_infer(batch, time, features, units))
