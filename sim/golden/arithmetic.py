"""The functions of docs/numerics.md that every cell is made of, in numpy, elementwise on int64."""

import numpy as np
import numpy.typing as npt

from sparnn.sim.aliases import IntArray

__all__ = ["hard_sigmoid", "rne", "saturate", "sigmoid", "tanh", "tanh15"]


def rne(a: npt.ArrayLike, n: npt.ArrayLike) -> IntArray:
    """`a / 2^n` rounded to the nearest integer, ties to even; elementwise, `n >= 0`."""
    a, n = np.asarray(a, np.int64), np.asarray(n, np.int64)
    assert np.all((n >= 0) & (n <= 62))
    quotient = a >> n
    remainder = a - (quotient << n)
    # Compared with what is missing to the next integer, so that nothing overflows.
    missing = (np.int64(1) << n) - remainder
    up = (remainder > missing) | ((remainder == missing) & (quotient & 1 == 1))
    return quotient + up


def saturate(a: npt.ArrayLike, bits: int) -> IntArray:
    """`a` clamped to the range of `bits`-bit signed integers."""
    return np.clip(np.asarray(a, np.int64), -(1 << (bits - 1)), (1 << (bits - 1)) - 1)


_H = np.minimum(32767, np.arange(257) * 1024)
_T = np.minimum(32767, np.rint(np.tanh(np.arange(257) / 32) * 32768)).astype(np.int64)


def tanh15(z: npt.ArrayLike, most: int = 32767) -> IntArray:
    """tanh of 16-bit `z` in units of 2^-12, in Q15: a table of 256 chords, odd by construction.

    `z` counts as `most` where it is larger in magnitude.
    """
    return _chords(_T, z, most)


def _chords(table: IntArray, z: npt.ArrayLike, most: int) -> IntArray:
    z = np.asarray(z, np.int64)
    m = np.minimum(np.abs(z), most)
    i, r = m >> 7, m & 127
    t = table[i] + (((table[i + 1] - table[i]) * r + 64) >> 7)
    return np.where(z < 0, -t, t)


# `clip`, in 2^-11, is the largest magnitude of the argument that counts; 32767: none.


def tanh(p: npt.ArrayLike, f: int, clip: int = 32767) -> IntArray:
    """tanh of 16-bit `p` in format `f`, in Q15."""
    return tanh15(_norm(p, f - 12), min(2 * clip, 32767))


def sigmoid(p: npt.ArrayLike, f: int, clip: int = 32767) -> IntArray:
    """σ of 16-bit `p` in format `f`, in Q15, 0 … 32767."""
    return (32768 + tanh15(_norm(p, f + 1 - 12), clip)) >> 1


def hard_sigmoid(p: npt.ArrayLike, f: int, clip: int = 32767) -> IntArray:
    """1/2 + p / 4, kept within 0 and 1, of 16-bit `p` in format `f`, in Q15."""
    return (32768 + _chords(_H, _norm(p, f + 1 - 12), clip)) >> 1


def _norm(p: npt.ArrayLike, n: int) -> IntArray:
    p = np.asarray(p, np.int64)
    return saturate(rne(p, n) if n >= 0 else p << -n, 16)
