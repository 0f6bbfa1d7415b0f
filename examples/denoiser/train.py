"""Train a noise suppressor: a GRU that gives a gain for each band of speech in noise.

    python examples/denoiser/train.py --data data

DATA: a folder with the recordings of asterisk-core-sounds-*-wav, see README.md. Needs scipy.
"""

import pathlib
import sys
import wave

import numpy as np
import torch
from torch import nn

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from audio import BANDS, RATE, STEP, bands, features, frames
from common import arguments, export, fit, keep
from judge import quality

UNITS = 48
FRAMES = 128
SAMPLES = FRAMES * STEP
TRAIN, TEST = 480, 8
#: The voice that is kept for the test.
HELD_OUT = "fr"


class Suppressor(nn.Module):
    """A GRU over the bands, and a linear layer with σ on each of its steps."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(BANDS, UNITS, batch_first=True)
        self.head = nn.Linear(UNITS, BANDS)

    def forward(self, x):
        """x [batch, frames, bands] -> gains [batch, frames, bands], 0 to 1."""
        out, _ = self.gru(x)
        return torch.sigmoid(self.head(out))


def speech(folder, random):
    """Audio of SAMPLES samples each: training voices, and the one that is held out."""
    voices = {}
    for file in sorted(folder.rglob("*.wav")):
        with wave.open(str(file)) as opened:
            if opened.getframerate() != RATE or opened.getsampwidth() != 2:
                continue
            audio = np.frombuffer(opened.readframes(opened.getnframes()), "<i2") / 32768
        if len(audio) > RATE and np.sqrt(np.mean(audio**2)) > 0.01:
            voices.setdefault(file.relative_to(folder).parts[0], []).append(audio)
    for name, own in voices.items():
        voices[name] = [own[k] for k in random.permutation(len(own))]
    held = next(name for name in voices if f"-{HELD_OUT}-" in name)

    def cut(audio):
        start = int(random.integers(0, max(1, len(audio) - SAMPLES)))
        part = audio[start : start + SAMPLES]
        return np.pad(part, (0, SAMPLES - len(part))) * 0.1 / np.sqrt(np.mean(part**2))

    others = [voices[name] for name in sorted(voices) if name != held]
    training = [cut(own[k]) for k in range(TRAIN // len(others)) for own in others]
    return training, [cut(audio) for audio in voices[held][:TEST]], others


def noise(random, others):
    """Noise whose spectrum falls, or other voices all at once, from 0 to 10 dB below."""
    if random.random() < 0.5:
        spectrum = np.fft.rfft(random.normal(size=SAMPLES))
        slope = random.uniform(0, 1)
        audio = np.fft.irfft(spectrum / np.maximum(np.arange(len(spectrum)), 60) ** slope, SAMPLES)
    else:
        audio = np.zeros(SAMPLES)
        for own in others:
            for k in random.integers(0, len(own), 2):
                audio += np.resize(own[k], SAMPLES)
    return audio * 0.1 * 10 ** (-random.uniform(0, 10) / 20) / np.sqrt(np.mean(audio**2))


def mixed(clean, random, others):
    """(noisy audio, features, the gains that are right)."""
    other = noise(random, others)
    ours, theirs = bands(frames(clean)), bands(frames(other))
    gains = np.sqrt(ours / (ours + theirs + 1e-9)).astype(np.float32)
    noisy = np.round(np.clip(clean + other, -1, 1) * 32767).astype(np.int16)
    return noisy, features(frames(noisy / 32768)), gains


def main():
    found = arguments(__doc__, HERE)
    random = np.random.default_rng(found.seed)
    training, test, others = speech(found.data, random)
    made = [mixed(clean, random, others) for clean in training]
    x, gains = np.stack([one[1] for one in made]), np.stack([one[2] for one in made])
    made = [mixed(clean, random, others) for clean in test]
    held = {
        "x": np.stack([one[1] for one in made]),
        "noisy": np.stack([one[0] for one in made]),
        "clean": np.stack([np.round(one * 32767).astype(np.int16) for one in test]),
    }
    model = Suppressor()
    fit(model, x, gains, nn.functional.mse_loss, epochs=30, rate=6e-3, seed=found.seed, batch=16)
    given = export(model, held["x"], found.output / "gru.onnx", "x", "gains")
    untouched = quality({"gains": np.ones_like(given)}, held)
    print(f"float: {quality({'gains': given}, held):.2f} dB, as it was {untouched:.2f} dB")
    keep(
        found.output,
        "denoiser",
        train={"x": x, "target": gains},
        calibrate={"x": x[::20]},
        test=held,
    )


if __name__ == "__main__":
    main()
