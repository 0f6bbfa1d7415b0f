"""Train a spotter of the 26 words of the radio alphabet: convolution, GRU, softmax.

    python examples/keywords/train.py --data data

DATA: a folder with recordings and synthesized words, see README.md. Needs scipy.
"""

import pathlib
import string
import sys
import wave

import numpy as np
import torch
from scipy.signal import resample_poly
from torch import nn

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "denoiser")]

from audio import BANDS, RATE, STEP, features, frames
from common import arguments, export, fit, keep

CHANNELS, UNITS = 32, 96
FRAMES = 80
SAMPLES = FRAMES * STEP
#: Recorded voices that say the same words; the last one is only heard in the test.
VOICES = ("fr", "ru", "en")
HELD_OUT = VOICES[-1]
OTHER = len(string.ascii_lowercase)
#: Pieces for training of a recorded word, of a synthesized one; of other speech in all.
RECORDED, SYNTHESIZED, SENTENCES = 40, 6, 1500
TEST_EACH, TEST_SENTENCES = 6, 44


class Spotter(nn.Module):
    """A convolution over the frames, every second one kept, a GRU, and a linear layer behind it."""

    def __init__(self):
        super().__init__()
        self.front = nn.Conv1d(BANDS, CHANNELS, 5, stride=2, padding=2)
        self.gru = nn.GRU(CHANNELS, UNITS, batch_first=True)
        self.head = nn.Linear(UNITS, OTHER + 1)
        self.dropout = nn.Dropout(0.3)

    def logits(self, x):
        seen = torch.relu(self.front(x.transpose(1, 2))).transpose(1, 2)
        out, _ = self.gru(self.dropout(seen))
        return self.head(self.dropout(out[:, -1]))

    def forward(self, x):
        """x [batch, 80, bands] -> probabilities [batch, 27]: alpha … zulu, other."""
        return torch.softmax(self.logits(x), dim=-1)


def masked(batch, generator):
    """Some bands and some frames of each piece are not heard, others louder or softer."""
    for low, high, axis in ((0, 5, 2), (0, 10, 1)):
        size, count = batch.shape[axis], len(batch)
        width = torch.randint(low, high, (count, 1), generator=generator)
        first = (torch.rand((count, 1), generator=generator) * (size - width)).long()
        place = torch.arange(size)
        gone = (place >= first) & (place < first + width)
        batch = batch.masked_fill(gone.unsqueeze(3 - axis), 0)
    return batch + 0.1 * torch.randn((len(batch), 1, BANDS), generator=generator)


def read(file):
    """Audio of a file at 8 kHz and one loudness, without the silence at its ends."""
    with wave.open(str(file)) as opened:
        rate = opened.getframerate()
        audio = np.frombuffer(opened.readframes(opened.getnframes()), "<i2") / 32768
    if rate != RATE:
        step = np.gcd(rate, RATE)
        audio = resample_poly(audio, RATE // step, rate // step)
    loud = np.flatnonzero(np.abs(audio) > 0.04 * np.abs(audio).max(initial=1e-3))
    if len(loud) == 0:
        return audio[:0]
    audio = audio[loud[0] : loud[-1] + 1]
    return audio * 0.1 / np.sqrt(np.mean(audio**2))


def heard(audio, random, *, varied):
    """A piece in noise, through another room and microphone; varied: of another pitch and pace."""
    pace = 1.0
    if varied:
        audio = resample_poly(audio, int(random.integers(78, 126)), 100)
        pace = random.uniform(0.8, 1.25)
    spoken = frames(audio)
    spoken = spoken[np.arange(0, len(spoken), pace).astype(int)][:FRAMES]
    first = int(random.integers(0, FRAMES - len(spoken) + 1))
    noise = random.normal(size=SAMPLES) * 0.1 * 10 ** (-random.uniform(10, 30) / 20)
    spectra = frames(noise)
    spectra[first : first + len(spoken)] += spoken
    found = features(spectra).astype(np.float64)
    found += random.normal(size=2) @ [np.linspace(-0.3, 0.3, BANDS), np.full(BANDS, 0.1)]
    return (np.round(128 * (found - found.mean(axis=0))) / 128).astype(np.float32)


def words(folder):
    """(label, audio) of the words that lie in a folder's tree, by their letters."""
    for file in sorted(folder.rglob("*.wav")):
        letter = file.stem.removesuffix("_p")
        spoken = file.parent.name == "phonetic" or "synthesized" in file.parts
        if spoken and letter in string.ascii_lowercase:
            yield string.ascii_lowercase.index(letter), read(file)


def sentences(folder, random):
    """Audio of other speech, SAMPLES of each."""
    for file in sorted(folder.rglob("*.wav")):
        if file.parent.name != "phonetic":
            audio = read(file)
            if len(audio) > SAMPLES // 2:
                start = int(random.integers(0, max(1, len(audio) - SAMPLES)))
                yield audio[start : start + SAMPLES]


def recordings(data, voice):
    return data / f"asterisk-core-sounds-{voice}-wav"


def training(data, random):
    found = []
    for voice in VOICES[:-1]:
        for label, audio in words(recordings(data, voice)):
            found += [(label, audio)] * RECORDED
    for label, audio in words(data / "synthesized"):
        found += [(label, audio)] * SYNTHESIZED
    other = [s for voice in VOICES[:-1] for s in sentences(recordings(data, voice), random)]
    found += [(OTHER, other[k]) for k in random.integers(0, len(other), SENTENCES)]
    return found


def testing(data, random):
    found = [w for w in words(recordings(data, HELD_OUT)) for _ in range(TEST_EACH)]
    other = list(sentences(recordings(data, HELD_OUT), random))
    return found + [(OTHER, other[k]) for k in random.permutation(len(other))[:TEST_SENTENCES]]


def pieces(found, random, *, varied):
    x = np.stack([heard(audio, random, varied=varied) for _, audio in found])
    return x, np.array([label for label, _ in found])


def main():
    found = arguments(__doc__, HERE)
    random = np.random.default_rng(found.seed)
    x, labels = pieces(training(found.data, random), random, varied=True)
    test_x, test_labels = pieces(testing(found.data, random), random, varied=False)
    model = Spotter()
    # In training without the softmax, which is in the loss.
    model.forward, whole = model.logits, model.forward
    loss = nn.CrossEntropyLoss(label_smoothing=0.1)
    options = {"epochs": 20, "rate": 4e-3, "seed": found.seed, "batch": 64}
    fit(model, x, labels, loss, change=masked, **options)
    model.forward = whole
    given = export(model, test_x, found.output / "gru.onnx", "x", "probabilities")
    right = given.argmax(1) == test_labels
    print(f"float: {right.sum()} of {len(right)}, words {right[test_labels < OTHER].mean():.1%}")
    wrong = sorted({string.ascii_lowercase[k] for k in test_labels[~right] if k < OTHER})
    print(f"{len(x)} for training; words with an error: {' '.join(wrong)}")
    chosen = np.random.default_rng(found.seed).permutation(len(x))[:24]
    keep(
        found.output,
        "keywords",
        train={"x": x, "labels": labels},
        calibrate={"x": x[chosen]},
        test={"x": test_x, "labels": test_labels},
    )


if __name__ == "__main__":
    main()
