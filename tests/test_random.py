"""The random streams: known answers, independence of the kernels, and the shape of the distributions."""

from __future__ import annotations

import numpy as np
import pytest

import minidl as md
from minidl.kernels import reference
from minidl.random import Generator


def philox(c0: int, c1: int, c2: int, c3: int, k0: int, k1: int) -> list[int]:
    """Philox4x32-10 of one counter and key, as the paper writes it."""
    for _ in range(10):
        (high0, low0), (high1, low1) = divmod(c0 * 0xD2511F53, 1 << 32), divmod(c2 * 0xCD9E8D57, 1 << 32)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return [c0, c1, c2, c3]


# Counter, key and answer from the authors' own test vectors (Random123, tests/kat_vectors): zeros, ones, digits of π.
KNOWN = [
    ([0] * 6, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([0xFFFFFFFF] * 6, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344, 0xA4093822, 0x299F31D0],
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]


def test_the_generator_is_philox(kernels: str) -> None:
    for words, answer in KNOWN:
        assert philox(*words) == answer
    rng = Generator(1)
    for seed, offset in [(0, 0), (2**64 - 1, 2**64 - 1), (0x299F31D0A4093822, 0x85A308D3243F6A88), (1, 2**32 - 1)]:
        rng.seed, rng.offset = seed, offset
        low = 0xFFFFFFFF
        assert rng.bits(4).tolist() == philox(offset & low, offset >> 32, 0, 0, seed & low, seed >> 32)


def test_the_numbers_do_not_depend_on_the_threads() -> None:
    threads = md.get_num_threads()
    drawn = []
    try:
        for n in (1, 2, 3):
            md.set_num_threads(n)
            rng = Generator(7)
            drawn.append(
                np.concatenate([rng.bits(100_003), rng.uniform(1000), md.dropout(np.ones(9999), 0.3, rng=rng)])
            )
    finally:
        md.set_num_threads(threads)
    np.testing.assert_array_equal(drawn[0], drawn[1])
    np.testing.assert_array_equal(drawn[0], drawn[2])


def test_numpys_philox_of_twice_the_width_is_not_ours_but_blocks_are_independent() -> None:
    whole = reference.random_bits(40, 123, 2**63)
    parts = [reference.random_bits(4, 123, 2**63 + i) for i in range(10)]
    np.testing.assert_array_equal(whole, np.concatenate(parts))
    np.testing.assert_array_equal(reference.random_bits(7, 123, 2**63), whole[:7])


def test_one_seed_gives_the_same_numbers_on_every_kernel_module(kernels: str) -> None:
    rng = Generator(2**64 - 1)
    drawn = [rng.uniform(5), rng.normal((3, 3)), rng.permutation(20), rng.integers(0, 9, 7), rng.bits(9)]
    with md.use("reference"):
        rng = Generator(2**64 - 1)
        expected = [rng.uniform(5), rng.normal((3, 3)), rng.permutation(20), rng.integers(0, 9, 7), rng.bits(9)]
    for a, b in zip(drawn, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_draws_do_not_overlap() -> None:
    rng = Generator(0)
    words = np.concatenate([rng.bits(n) for n in (1, 3, 4, 5, 1000)])
    assert len(np.unique(words)) == len(words)


def test_float32_numbers_are_the_rounded_float64_numbers() -> None:
    wide, narrow = (Generator(5).normal(1000, dtype=dtype) for dtype in ("float64", "float32"))
    np.testing.assert_array_equal(wide.astype("float32"), narrow)


def test_distributions() -> None:
    rng = Generator(11)
    u, z = rng.uniform(100_000, -1, 3), rng.normal(100_001, mean=2, std=3)
    assert u.min() >= -1 and u.max() < 3
    assert abs(u.mean() - 1) < 0.02 and abs(u.std() - 4 / np.sqrt(12)) < 0.01
    assert abs(z.mean() - 2) < 0.03 and abs(z.std() - 3) < 0.03
    assert abs(((z - 2) ** 3).mean()) < 1 and abs((((z - 2) / 3) ** 4).mean() - 3) < 0.1
    counts = np.bincount(rng.integers(0, 10, 100_000), minlength=10)
    assert (abs(counts - 10_000) < 500).all()


def test_integers_that_float64_does_not_hold() -> None:
    for low in (2**53 + 1, 2**60, -(2**62)):
        drawn = Generator(0).integers(low, low + 10, 1000)
        assert sorted(set((drawn - low).tolist())) == list(range(10))


def test_a_permutation_holds_each_place_once_and_is_uniform() -> None:
    rng = Generator(4)
    assert sorted(rng.permutation(1000).tolist()) == list(range(1000))
    first = np.bincount([rng.permutation(5)[0] for _ in range(5000)], minlength=5)
    assert (abs(first - 1000) < 150).all()
    assert rng.permutation(0).shape == (0,)


def test_the_default_stream_starts_anew_from_a_seed() -> None:
    md.keras.utils.set_random_seed(9)
    a = md.random.default().bits(5)
    md.random.set_seed(9)
    np.testing.assert_array_equal(a, md.random.default().bits(5))
    state = np.random.get_state()[1].copy()
    md.layers.Dense(3)(np.zeros((2, 2), "float32"))
    np.testing.assert_array_equal(state, np.random.get_state()[1])


def test_without_a_seed_streams_differ() -> None:
    assert not np.array_equal(Generator().bits(8), Generator().bits(8))


def test_bad_arguments() -> None:
    with pytest.raises(TypeError, match="seed must be an integer or None, got 1.5"):
        Generator(1.5)  # type: ignore[arg-type]
    rng = Generator(0)
    for message, wrong in {
        "high must exceed low": lambda: rng.integers(3, 3),
        "by 2.*53 at most": lambda: rng.integers(0, 2**64),
        "high must not be below low": lambda: rng.uniform(2, 3.0, 1.0),
        "std must not be negative": lambda: rng.normal(2, std=-1.0),
        "got .nan": lambda: rng.uniform(2, np.nan),
    }.items():
        with pytest.raises(ValueError, match=message):
            wrong()
    assert rng.offset == 0
