"""RNNoise's 42 features of a frame, from 48 kHz audio; what prepare.py runs on recordings.

After J.-M. Valin (2018), section III: energies of 22 bands, their cepstrum, how it changes, and how
the signal looks a pitch period ago. The pitch search is a plain search of the normalized
correlation, not the published one's stages.
"""

import itertools

import numpy as np

__all__ = ["BANDS", "FRAME", "RATE", "analyse", "features", "synthesize"]

RATE = 48_000
FRAME = 480
WINDOW = 2 * FRAME
#: Edges of the bands in bins of 50 Hz.
EDGES = 4 * np.array(
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 34, 40, 48, 60, 78, 100]
)
BANDS = len(EDGES)
CEPSTRA, DELTAS = 8, 6
SHORTEST, LONGEST = 60, 768  # samples of a pitch period


def _window():
    half = np.sin(0.5 * np.pi * (np.arange(FRAME) + 0.5) / FRAME) ** 2
    rising = np.sin(0.5 * np.pi * half)
    return np.concatenate([rising, rising[::-1]])


def _triangles():
    """[bands, bins]: each band fades into the next one; the two at the ends count double."""
    shape = np.zeros((BANDS, FRAME + 1))
    for band, (low, high) in enumerate(itertools.pairwise(EDGES)):
        fade = np.arange(high - low) / (high - low)
        shape[band, low:high] += 1 - fade
        shape[band + 1, low:high] += fade
    shape[[0, -1]] *= 2
    return shape


_SHAPE, _WINDOW = _triangles(), _window()
_COSINE = np.cos(np.outer(np.arange(BANDS), np.arange(BANDS) + 0.5) * np.pi / BANDS)
_COSINE[0] *= np.sqrt(0.5)
_COSINE *= np.sqrt(2 / BANDS)


def analyse(audio):
    """[frames, 481]: spectra of overlapping windows, one every 480 samples."""
    padded = np.concatenate([np.zeros(FRAME), audio])
    starts = range(0, len(audio) // FRAME * FRAME, FRAME)
    return np.stack([np.fft.rfft(_WINDOW * padded[i : i + WINDOW]) / WINDOW for i in starts])


def synthesize(spectra, gains):
    """Audio of the spectra, each band scaled by its gain, [frames, 22]."""
    shape = _SHAPE.copy()
    shape[[0, -1]] /= 2
    scaled = spectra * (gains @ shape)
    audio = np.zeros(FRAME * (len(spectra) + 1))
    for frame, one in enumerate(np.fft.irfft(scaled * WINDOW)):
        audio[frame * FRAME : frame * FRAME + WINDOW] += _WINDOW * one
    return audio[FRAME:]


def features(audio):
    """[frames, 42] float32 of samples in −32768 … 32767."""
    spectra = analyse(audio)
    padded = np.concatenate([np.zeros(LONGEST + FRAME), audio])
    found = np.zeros((len(spectra), 42), np.float32)
    history = np.zeros((CEPSTRA, BANDS))
    for frame, spectrum in enumerate(spectra):
        end = LONGEST + frame * FRAME + WINDOW
        period = _period(padded[end - WINDOW - LONGEST : end])
        past = np.fft.rfft(_WINDOW * padded[end - WINDOW - period : end - period]) / WINDOW
        energy, past_energy = (_SHAPE @ np.abs(one) ** 2 for one in (spectrum, past))
        likeness = _SHAPE @ np.real(spectrum * np.conj(past))
        likeness = likeness / np.sqrt(0.001 + energy * past_energy)
        cepstrum = _COSINE @ _floored(np.log10(0.01 + energy))
        cepstrum[:2] -= 12, 4
        history = np.roll(history, 1, axis=0)
        history[0] = cepstrum
        now, before, earlier = history[:3]
        row = np.concatenate(
            [
                cepstrum,
                (now - earlier)[:DELTAS],
                (now - 2 * before + earlier)[:DELTAS],
                (_COSINE @ likeness)[:DELTAS] - [1.3, 0.9, 0, 0, 0, 0],
                [0.01 * (period - 300), _variability(history)],
            ]
        )
        row[:DELTAS] = (now + before + earlier)[:DELTAS]
        found[frame] = row
    return found


def _floored(levels):
    """No band is more than 7 below the loudest before it, or falls by more than 1.5 to the next."""
    loudest, follow = -2.0, -2.0
    out = np.empty_like(levels)
    for band, level in enumerate(levels):
        out[band] = max(loudest - 7, follow - 1.5, level)
        loudest, follow = max(loudest, out[band]), max(follow - 1.5, out[band])
    return out


def _period(samples):
    """The period whose past looks most like the last window."""
    now = samples[-WINDOW::2]
    best, period = -1.0, SHORTEST
    for lag in range(SHORTEST, LONGEST, 2):
        past = samples[-WINDOW - lag : -lag : 2]
        score = float(now @ past) / np.sqrt(1 + float(now @ now) * float(past @ past))
        if score > best + 0.01:
            best, period = score, lag
    return period


def _variability(history):
    """How far each of the last cepstra is from the one most like it."""
    distance = ((history[:, np.newaxis] - history) ** 2).sum(axis=2)
    np.fill_diagonal(distance, np.inf)
    return distance.min(axis=1).sum() / CEPSTRA - 2.1
