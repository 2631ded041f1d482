"""How far a result may lie from the truth, by dtype: the one table for all tests."""

from __future__ import annotations

from typing import Any

import numpy as np

# Of the largest entry, or of 1 where all are smaller: 32 roundings, for sums and products of a few terms each.
ROUNDING = {np.dtype(np.float32): 4e-6, np.dtype(np.float64): 8e-15}


def assert_close(actual: Any, expected: Any, slack: float = 1.0) -> None:
    """Same shape, and as close as the dtype of `actual` allows; `slack` is how often more than in the table."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape, f"shape {actual.shape}, expected {expected.shape}"
    if actual.dtype.kind != "f":
        np.testing.assert_array_equal(actual, expected)
        return
    scale = max(1.0, float(np.abs(expected).max(initial=0.0)))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=slack * ROUNDING[actual.dtype] * scale)
