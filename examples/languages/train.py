"""Train the language classifier: letters, an embedding, an LSTM in two directions, softmax.

    python examples/languages/train.py --data data

DATA: small_LANGUAGE.msgpack.gz of wordfreq, see README.md. Needs msgpack.
"""

import gzip
import pathlib
import sys

import msgpack
import numpy as np
import torch
from torch import nn

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from common import arguments, export, fit, keep

LANGUAGES = ("en", "de", "fr", "es", "it", "nl")
#: The letters in the order of the embedding, 0 is none.
LETTERS = "-abcdefghijklmnopqrstuvwxyzàáâäçèéêëìíîïñòóôöùúûüœ"
LONGEST = 12
WORDS = 4000
HELD_OUT = 400
EMBEDDING, UNITS = 16, 32


class Classifier(nn.Module):
    """What both directions end with, and a linear layer."""

    def __init__(self):
        super().__init__()
        self.letters = nn.Embedding(len(LETTERS), EMBEDDING)
        self.lstm = nn.LSTM(EMBEDDING, UNITS, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * UNITS, len(LANGUAGES))

    def logits(self, x):
        _, (h, _) = self.lstm(self.letters(x))
        return self.head(h.transpose(0, 1).reshape(-1, 2 * UNITS))

    def forward(self, x):
        """x [batch, 12], letters by number behind zeros -> probabilities [batch, 6]."""
        return torch.softmax(self.logits(x), dim=-1)


def load(folder, seed):
    """The most frequent words that one language alone has: x, labels of training and test."""
    words = {}
    for language in LANGUAGES:
        content = gzip.decompress((folder / f"small_{language}.msgpack.gz").read_bytes())
        words[language] = [word for of in msgpack.unpackb(content)[1:] for word in of]
    of = {}
    for language, found in words.items():
        for word in found:
            of.setdefault(word, set()).add(language)
    random = np.random.default_rng(seed)
    parts = [], []
    for label, language in enumerate(LANGUAGES):
        own = [
            word
            for word in words[language]
            if 4 <= len(word) <= LONGEST and len(of[word]) == 1 and set(word) <= set(LETTERS[1:])
        ][:WORDS]
        order = random.permutation(len(own))
        for part, chosen in zip(parts, (order[HELD_OUT:], order[:HELD_OUT]), strict=True):
            part.extend((own[k], label) for k in chosen)
    for part in parts:
        x = np.zeros((len(part), LONGEST), np.int64)
        for row, (word, _) in zip(x, part, strict=True):
            row[LONGEST - len(word) :] = [LETTERS.index(letter) for letter in word]
        yield x
        yield np.array([label for _, label in part])


def main():
    found = arguments(__doc__, HERE)
    x, labels, test_x, test_labels = load(found.data, found.seed)
    model = Classifier()

    # In training without the softmax, which is in the loss.
    model.forward, whole = model.logits, model.forward
    fit(
        model,
        x,
        labels,
        nn.functional.cross_entropy,
        epochs=10,
        rate=8e-3,
        seed=found.seed,
        batch=128,
    )
    model.forward = whole
    given = export(model, test_x, found.output / "lstm.onnx", "letters", "probabilities")
    print(f"float: {int((given.argmax(1) == test_labels).sum())} of {len(test_labels)}")
    chosen = np.random.default_rng(found.seed).permutation(len(x))[:256]
    keep(
        found.output,
        "languages",
        train={"letters": x, "labels": labels},
        calibrate={"letters": x[chosen]},
        test={"letters": test_x, "labels": test_labels},
    )


if __name__ == "__main__":
    main()
