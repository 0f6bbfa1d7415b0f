"""Train the speaker classifier, prune it to a third, fold its batch norms, write the files here.

    python examples/vowels/train.py --data FOLDER -o examples/vowels

FOLDER holds JapaneseVowels_TRAIN.ts and _TEST.ts, as README.md says. Needs torch (an optional
extra), onnx and onnxruntime. The seed is printed; training runs on one thread, so a rerun with the
same package versions repeats the same figures.
"""

import argparse
import pathlib

import numpy as np
import onnx
import onnxruntime
import torch
from build_onnx import INPUTS, SPEAKERS, fold_batch_norm, network
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence, pad_packed_sequence

HIDDEN = 64
LAYERS = 2
KEPT = 0.33
ACTIVITY = 0.2  # weight of the hidden states' mean magnitude in the loss
FRAMES = 29
CALIBRATION, CALIBRATION_FRAMES = 64, 12
TOLERANCE = 1e-4


def load(path):
    """Utterances [frames, 12] float32, and speakers 0-8."""
    utterances, speakers = [], []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.strip() or line[0] in "#@":
            continue
        *series, speaker = line.split(":")
        values = [[float(number) for number in one.split(",")] for one in series]
        if len(values) != INPUTS:
            raise SystemExit(f"{path}: {len(values)} series in a line, not {INPUTS}")
        utterances.append(np.array(values, np.float32).T)
        speakers.append(int(speaker) - 1)
    return utterances, np.array(speakers, np.int64)


class Classifier(nn.Module):
    """Bidirectional ReLU layers, directions summed; batch norm before each and the head."""

    def __init__(self):
        super().__init__()
        sizes = [INPUTS] + [HIDDEN] * LAYERS
        self.norms = nn.ModuleList(nn.BatchNorm1d(size) for size in sizes)
        self.rnns = nn.ModuleList(
            nn.RNN(size, HIDDEN, nonlinearity="relu", bidirectional=True) for size in sizes[:-1]
        )
        for rnn in self.rnns:
            for weight in (rnn.weight_hh_l0, rnn.weight_hh_l0_reverse):
                nn.init.orthogonal_(weight, gain=0.7)
        self.head = nn.Linear(HIDDEN, SPEAKERS)

    def forward(self, packed):
        """A PackedSequence -> logits of every utterance (the mean over its frames), activity."""
        activity = 0.0
        for norm, rnn in zip(self.norms, self.rnns, strict=False):
            data = norm(packed.data)
            out, _ = rnn(packed._replace(data=data))
            both = out.data
            activity = activity + both.abs().mean()
            packed = PackedSequence(both[:, :HIDDEN] + both[:, HIDDEN:], *packed[1:])
        logits = self.head(self.norms[-1](packed.data))
        padded, lengths = pad_packed_sequence(packed._replace(data=logits))
        return padded.sum(0) / lengths[:, None], activity

    def matrices(self):
        return [
            parameter
            for rnn in self.rnns
            for name, parameter in rnn.named_parameters()
            if name.startswith("weight")
        ]

    def folded(self):
        """The layers and the head without batch norms, float64."""
        scales, shifts = [], []
        for norm in self.norms:
            scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
            scales.append(scale.detach().numpy())
            shifts.append(
                (norm.bias.double() - norm.running_mean.double() * scale).detach().numpy()
            )
        layers = []
        for rnn, scale, shift in zip(self.rnns, scales, shifts, strict=False):
            named = {name: p.detach().double().numpy() for name, p in rnn.named_parameters()}

            def both(name, named=named):
                return np.stack([named[f"{name}_l0"], named[f"{name}_l0_reverse"]])

            weight, bias = fold_batch_norm(both("weight_ih"), both("bias_ih"), scale, shift)
            layers.append(
                {
                    "W": weight,
                    "R": both("weight_hh"),
                    "B": np.concatenate([bias, both("bias_hh")], axis=1),
                }
            )
        head_weight, head_bias = fold_batch_norm(
            self.head.weight.detach().double().numpy(),
            self.head.bias.detach().double().numpy(),
            scales[-1],
            shifts[-1],
        )
        return layers, head_weight, head_bias


def fit(model, utterances, speakers, *, epochs, rate, seed, masks=None):
    """Adam with a cosine schedule and some noise; with ``masks`` the zeros stay zero."""
    masks = masks or {}
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    tensors = [torch.from_numpy(one) for one in utterances]
    labels = torch.from_numpy(speakers)
    spread = torch.cat(tensors).std(0)
    model.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(tensors), generator=generator).split(30):
            noisy = [
                tensors[k] + 0.1 * spread * torch.randn(tensors[k].shape, generator=generator)
                for k in batch
            ]
            optimizer.zero_grad()
            logits, activity = model(pack_sequence(noisy, enforce_sorted=False))
            loss = nn.functional.cross_entropy(logits, labels[batch], label_smoothing=0.05)
            (loss + ACTIVITY * activity).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            with torch.no_grad():
                for parameter, mask in masks.items():
                    parameter.mul_(mask)
        schedule.step()
    model.eval()


def prune(model, utterances, speakers, *, seed):
    """Each matrix by magnitude to 70, 50 and 33 %, with retraining under the masks."""
    for kept in (0.7, 0.5, KEPT):
        masks = {}
        for parameter in model.matrices():
            drop = parameter.numel() - round(kept * parameter.numel())
            order = parameter.detach().abs().flatten().argsort(stable=True)
            mask = torch.ones(parameter.numel())
            mask[order[:drop]] = 0.0
            masks[parameter] = mask.view_as(parameter)
        with torch.no_grad():
            for parameter, mask in masks.items():
                parameter.mul_(mask)
        fit(model, utterances, speakers, epochs=40, rate=2e-3, seed=seed, masks=masks)


def scores(model, utterances):
    with torch.no_grad():
        packed = pack_sequence([torch.from_numpy(x) for x in utterances], enforce_sorted=False)
        return model(packed)[0].numpy()


def save(path, model, utterances, speakers):
    """Write the folded model; (accuracy in ONNX Runtime, largest difference from PyTorch)."""
    onnx.save(network(*model.folded()), path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    means = np.stack(
        [session.run(["logits"], {"x": x[np.newaxis]})[0][0].mean(axis=0) for x in utterances]
    )
    expected = scores(model, utterances)
    error = float(np.abs(means - expected).max() / max(1.0, np.abs(expected).max()))
    if error > TOLERANCE:
        raise SystemExit(
            f"{path.name}: ONNX Runtime without batch norms differs from PyTorch with them by "
            f"{error:.2e} of the largest logit, limit {TOLERANCE:.0e}"
        )
    return float((means.argmax(1) == speakers).mean()), error


def hidden_zeros(model, utterances):
    """Share of zeros in each layer's hidden states, and in what the layer passes on."""
    with torch.no_grad():
        packed = pack_sequence([torch.from_numpy(x) for x in utterances], enforce_sorted=False)
        shares = []
        for norm, rnn in zip(model.norms, model.rnns, strict=False):
            both = rnn(packed._replace(data=norm(packed.data)))[0].data
            total = both[:, :HIDDEN] + both[:, HIDDEN:]
            shares.append([float((values == 0).float().mean()) for values in (both, total)])
            packed = PackedSequence(total, *packed[1:])
    return shares


def cropped(utterances, frames):
    """[n, frames, 12]: the beginnings of those that are long enough."""
    return np.stack([one[:frames] for one in utterances if len(one) >= frames])


def padded(utterances):
    """[n, FRAMES, 12], zeros behind each utterance, and lengths."""
    x = np.zeros((len(utterances), FRAMES, INPUTS), np.float32)
    for number, one in enumerate(utterances):
        x[number, : len(one)] = one
    return x, np.array([len(one) for one in utterances], np.int64)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=pathlib.Path, required=True, help="folder of the .ts files")
    parser.add_argument("-o", "--output", type=pathlib.Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=80)
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    train_x, train_y = load(args.data / "JapaneseVowels_TRAIN.ts")
    test_x, test_y = load(args.data / "JapaneseVowels_TEST.ts")
    print(f"seed {args.seed}, {len(train_x)} training utterances, {len(test_x)} held out")

    chosen = np.random.default_rng(args.seed).permutation(len(train_x))[:CALIBRATION]
    np.savez_compressed(
        args.output / "calibrate.npz", x=cropped([train_x[k] for k in chosen], CALIBRATION_FRAMES)
    )
    x, lengths = padded(test_x)
    np.savez_compressed(args.output / "test.npz", x=x, lengths=lengths, labels=test_y)
    whole = lengths == np.bincount(lengths).argmax()
    np.savez_compressed(
        args.output / "input.npz", x=x[whole, : lengths[whole][0]], labels=test_y[whole]
    )

    model = Classifier()
    fit(model, train_x, train_y, epochs=args.epochs, rate=5e-3, seed=args.seed)
    for name in ("rnn.onnx", "rnn_pruned33.onnx"):
        if name != "rnn.onnx":
            prune(model, train_x, train_y, seed=args.seed)
        accuracy, error = save(args.output / name, model, test_x, test_y)
        kept = [float((w != 0).float().mean()) for w in model.matrices()]
        print(
            f"{name:<20} accuracy {accuracy:.4f}, weights kept {np.mean(kept):.3f}, "
            f"max |onnxruntime - torch| / max |torch| {error:.1e}"
        )
        for number, (own, passed) in enumerate(hidden_zeros(model, test_x)):
            print(f"    layer {number}: {own:.1%} of h zero, {passed:.1%} of the sum of directions")


if __name__ == "__main__":
    main()
