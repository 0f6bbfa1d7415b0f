"""Train a classifier of spoken languages: bands of speech, a convolution, a GRU, softmax.

    python examples/spoken/train.py --data data

DATA: a folder with the recordings of asterisk-core-sounds-*-wav, see README.md.
"""

import pathlib
import sys
import wave

import numpy as np
import torch
from torch import nn

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "denoiser")]

from audio import BANDS, RATE, STEP, features, frames
from common import arguments, export, fit, keep

#: One voice for each, the first two are one person's.
LANGUAGES = ("en", "es", "fr", "it", "ru")
CHANNELS, UNITS = 24, 48
FRAMES = 96
EACH, HELD_OUT = 300, 40


class Classifier(nn.Module):
    """A convolution over the frames, every second one kept, a GRU, and a linear layer behind it."""

    def __init__(self):
        super().__init__()
        self.front = nn.Conv1d(BANDS, CHANNELS, 5, stride=2, padding=2)
        self.gru = nn.GRU(CHANNELS, UNITS, batch_first=True)
        self.head = nn.Linear(UNITS, len(LANGUAGES))

    def logits(self, x):
        seen = torch.relu(self.front(x.transpose(1, 2))).transpose(1, 2)
        out, _ = self.gru(seen)
        return self.head(out[:, -1])

    def forward(self, x):
        """x [batch, 96, bands] -> probabilities [batch, 5]."""
        return torch.softmax(self.logits(x), dim=-1)


def recordings(folder, language):
    """Audio of more than a second, each of another sentence, at one loudness."""
    for file in sorted(folder.glob(f"asterisk-core-sounds-{language}-wav/**/*.wav")):
        with wave.open(str(file)) as opened:
            if opened.getframerate() != RATE or opened.getsampwidth() != 2:
                continue
            audio = np.frombuffer(opened.readframes(opened.getnframes()), "<i2") / 32768
        level = np.sqrt(np.mean(audio**2))
        if len(audio) > RATE and level > 0.01:
            yield audio * 0.1 / level


def heard(audio, random):
    """A piece in noise, through another room and microphone, as what the network reads."""
    start = int(random.integers(0, max(1, len(audio) - FRAMES * STEP)))
    part = audio[start : start + FRAMES * STEP]
    part = np.pad(part, (0, FRAMES * STEP - len(part)))
    part = part + random.normal(size=len(part)) * 0.1 * 10 ** (-random.uniform(10, 30) / 20)
    found = features(frames(part)).astype(np.float64)
    found += random.normal(size=2) @ [np.linspace(-0.3, 0.3, BANDS), np.full(BANDS, 0.1)]
    return (np.round(128 * (found - found.mean(axis=0))) / 128).astype(np.float32)


def main():
    found = arguments(__doc__, HERE)
    random = np.random.default_rng(found.seed)
    sets = ([], []), ([], [])
    for label, language in enumerate(LANGUAGES):
        own = list(recordings(found.data, language))
        own = [own[k] for k in random.permutation(len(own))][: EACH + HELD_OUT]
        for number, audio in enumerate(own):
            held = number < HELD_OUT
            for _ in range(1 if held else 2):
                sets[held][0].append(heard(audio, random))
                sets[held][1].append(label)
    (x, labels), (test_x, test_labels) = ((np.stack(a), np.array(b)) for a, b in sets)
    model = Classifier()
    # In training without the softmax, which is in the loss.
    model.forward, whole = model.logits, model.forward
    loss = nn.functional.cross_entropy
    fit(model, x, labels, loss, epochs=12, rate=4e-3, seed=found.seed, batch=64)
    model.forward = whole
    given = export(model, test_x, found.output / "gru.onnx", "x", "probabilities")
    right = int((given.argmax(1) == test_labels).sum())
    print(f"float: {right} of {len(test_labels)}; {len(x)} for training")
    chosen = np.random.default_rng(found.seed).permutation(len(x))[:24]
    keep(
        found.output,
        "spoken",
        train={"x": x, "labels": labels},
        calibrate={"x": x[chosen]},
        test={"x": test_x, "labels": test_labels},
    )


if __name__ == "__main__":
    main()
