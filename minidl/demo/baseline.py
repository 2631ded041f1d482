"""The yardstick of the demo: logistic regression on a bag of words, in plain NumPy.

It sees which words a text holds, and nothing of their order.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

PENALTY = 1.0


def bag_of_words_accuracy(
    train_texts: Sequence[str], train_labels: Sequence[int], test_texts: Sequence[str], test_labels: Sequence[int]
) -> float:
    """The share of the test texts that the best such classifier for the training texts gets right.

    Labels are 0 or 1.

    >>> bag_of_words_accuracy(["good film", "bad film"], [1, 0], ["a good book", "a bad book"], [1, 0])
    1.0
    """
    words = sorted({word for text in train_texts for word in _words(text)})
    columns = {word: column for column, word in enumerate(words)}
    weights = fit_logistic(_bags(train_texts, columns), np.asarray(train_labels, np.float64))
    predicted = _bags(test_texts, columns) @ weights > 0
    return float(np.mean(predicted == np.asarray(test_labels, bool)))


def fit_logistic(x: np.ndarray, y: np.ndarray, steps: int = 50) -> np.ndarray:
    """The weights w (D) that minimize Σ log(1 + exp(−s·xw)) + λ/2 |w|², s = 2y − 1, by Newton's method.

    x (N, D) holds a column of ones for the bias. The penalty makes the function strictly convex,
    so that there is one answer. RuntimeError if the steps do not suffice to find it.
    """
    w = np.zeros(x.shape[1])
    for _ in range(steps):
        p = 1 / (1 + np.exp(-(x @ w)))
        gradient = x.T @ (p - y) + PENALTY * w
        if np.abs(gradient).max() < 1e-8:
            return w
        hessian = (x.T * (p * (1 - p))) @ x + PENALTY * np.eye(len(w))
        w -= np.linalg.solve(hessian, gradient)
    raise RuntimeError(f"Newton's method did not converge in {steps} step(s)")


def _bags(texts: Sequence[str], columns: dict[str, int]) -> np.ndarray:
    """Row by text, column by word: 1 where the text holds the word; the last column is the bias."""
    bags = np.zeros((len(texts), len(columns) + 1))
    bags[:, -1] = 1
    for row, text in enumerate(texts):
        bags[row, [columns[word] for word in _words(text) if word in columns]] = 1
    return bags


def _words(text: str) -> list[str]:
    return re.findall(r"[\w']+", text.lower())
