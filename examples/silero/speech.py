"""The spoken test recordings of Debian's alsa-utils, as 16 kHz frames for the detector."""

import pathlib
import wave

import numpy as np

__all__ = ["CALIBRATION", "CONTEXT", "FRAME", "INPUT", "RATE", "frames", "utterance"]

RATE = 16_000
FRAME = 512  # samples, 32 ms
CONTEXT = 64  # samples of the previous frame that the detector sees again
PAUSE = 26  # frames of silence around every recording

# No recording is in both lists. "Noise" is noise, not speech.
CALIBRATION = ("Front_Center", "Rear_Left", "Side_Right")
INPUT = ("Front_Left", "Noise", "Front_Right", "Rear_Center", "Side_Left", "Rear_Right")

_DECIMATION = 3  # 48 kHz to 16 kHz
_TAPS = 191  # Kaiser window, beta 8: about 80 dB of stop band, 1.3 kHz of transition


def _read(path):
    """A mono 16-bit 48 kHz WAV file as float64 in -1..1."""
    with wave.open(str(path)) as file:
        form = (file.getnchannels(), file.getsampwidth(), file.getframerate())
        if form != (1, 2, RATE * _DECIMATION):
            raise ValueError(
                f"{path}: (channels, bytes, rate) is {form}, needed (1, 2, {RATE * _DECIMATION})"
            )
        return np.frombuffer(file.readframes(-1), "<i2") / 32768.0


def _downsample(audio):
    """48 kHz to 16 kHz: windowed-sinc low-pass at 7.2 kHz, then every third sample."""
    cutoff = 0.9 / _DECIMATION
    n = np.arange(_TAPS) - (_TAPS - 1) / 2
    kernel = cutoff * np.sinc(cutoff * n) * np.kaiser(_TAPS, 8.0)
    return np.convolve(audio, kernel / kernel.sum(), mode="same")[::_DECIMATION]


def utterance(folder, names):
    """The recordings with silence before, between and after: [samples] float32, whole frames."""
    pause = np.zeros(PAUSE * FRAME)
    pieces = [pause]
    for name in names:
        pieces += [_downsample(_read(pathlib.Path(folder) / f"{name}.wav")), pause]
    audio = np.concatenate(pieces)
    return audio[: len(audio) // FRAME * FRAME].astype(np.float32)


def frames(audio):
    """[samples] -> [frames, 576]: each frame behind the last 64 samples of the one before."""
    padded = np.concatenate([np.zeros(CONTEXT, np.float32), audio])
    return np.stack([padded[i : i + CONTEXT + FRAME] for i in range(0, len(audio), FRAME)])
