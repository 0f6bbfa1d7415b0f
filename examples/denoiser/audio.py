"""Bands of speech in noise, and speech from gains of the bands. 8 kHz, 16 ms a frame.

Windows are square roots of Hann, of 32 ms, both ways; bands are triangles on the mel scale.
"""

import numpy as np

__all__ = ["BANDS", "RATE", "SIZE", "STEP", "bands", "features", "frames", "restored", "sisdr"]

RATE = 8000
SIZE, STEP = 256, 128
BANDS = 20

_WINDOW = np.sqrt(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(SIZE) / SIZE))


def _triangles():
    """Weight of each bin in each band, [BANDS, bins]; over the bands they sum to 1."""

    def mel(f):
        return 1127 * np.log1p(np.asarray(f) / 700)

    places = mel(np.arange(SIZE // 2 + 1) * RATE / SIZE)
    centres = np.linspace(0, mel(RATE / 2), BANDS)
    return np.maximum(0, 1 - np.abs(places - centres[:, None]) / (centres[1] - centres[0]))


_TRIANGLES = _triangles()


def frames(audio):
    """Spectra, [frames, bins]."""
    padded = np.pad(audio, (SIZE - STEP, 0))
    count = (len(padded) - SIZE) // STEP + 1
    places = np.arange(count)[:, None] * STEP + np.arange(SIZE)
    return np.fft.rfft(padded[places] * _WINDOW)


def bands(spectra):
    """Energies of the bands, [frames, BANDS]."""
    return np.abs(spectra) ** 2 @ _TRIANGLES.T


def features(spectra):
    """What the network reads: logarithms of the energies, about within -2 and 2, in steps of
    1/128, with which the files stay small."""
    return (np.round(64 * (np.log10(bands(spectra) + 1e-6) + 2)) / 128).astype(np.float32)


def restored(spectra, gains):
    """Audio of spectra whose bands have been multiplied."""
    parts = np.fft.irfft(spectra * (gains @ _TRIANGLES), SIZE) * _WINDOW
    audio = np.zeros(len(parts) * STEP + SIZE - STEP)
    for place, part in enumerate(parts):
        audio[place * STEP : place * STEP + SIZE] += part
    return audio[SIZE - STEP :]


def sisdr(found, wanted):
    """Scale-invariant signal to distortion ratio in decibels, of audio [samples]."""
    found = found[: len(wanted)]
    wanted = wanted[: len(found)]
    part = (found @ wanted) / (wanted @ wanted) * wanted
    return 10 * np.log10((part @ part) / ((found - part) @ (found - part)))
