"""Trains LeNet-5 on MNIST with Bayesian-Torch, for `qbnn import`.

    pip install torch numpy bayesian-torch
    python3 lenet5_bayesian_torch.py --data FOLDER --out lenet5-bt

FOLDER holds MNIST's four IDX files, compressed or not (`qbnn data path mnist` names it). Three files are written:

| file | content |
|---|---|
| `OUT.pt` | the state_dict |
| `OUT-check.npz` | 100 test images and the logits of the means, for `--check` |
| `OUT.json` | accuracy, NLL of 32 draws and of the means, as the library computes them |

Then, with the same inputs as here, (pixel / 255 - 0.1307) / 0.3081:

    qbnn import lenet5-bt.pt --net lenet5 --data mnist --mean 0.1307 --std 0.3081 --check lenet5-bt-check.npz --out runs/bt

The library's own KL (0.5.0) is the mean over the weights of a tensor and not their sum. With it a posterior forgets its
prior, so the sum is taken here, over its own formula (`kl_div` of each layer times the number of weights).
"""

import argparse
import gzip
import json
import struct
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from bayesian_torch.layers import Conv2dReparameterization, LinearReparameterization
from torch import nn

MEAN, STD = 0.1307, 0.3081
SIGMA_PRIOR = 1.0


class LeNet5(nn.Module):
    def __init__(self):
        super().__init__()
        # The library's argument prior_variance is used as a standard deviation; at 1 both are the same.
        prior = {"prior_mean": 0.0, "prior_variance": SIGMA_PRIOR, "posterior_rho_init": -5.0}
        self.conv1 = Conv2dReparameterization(1, 6, 5, padding=2, **prior)
        self.conv2 = Conv2dReparameterization(6, 16, 5, **prior)
        self.fc1 = LinearReparameterization(400, 120, **prior)
        self.fc2 = LinearReparameterization(120, 84, **prior)
        self.fc3 = LinearReparameterization(84, 10, **prior)

    def bayesian(self):
        return [self.conv1, self.conv2, self.fc1, self.fc2, self.fc3]

    def forward(self, x):
        for conv in (self.conv1, self.conv2):
            x = F.max_pool2d(F.relu(conv(x, return_kl=False)), 2)
        x = x.flatten(1)
        x = F.relu(self.fc1(x, return_kl=False))
        x = F.relu(self.fc2(x, return_kl=False))
        return self.fc3(x, return_kl=False)

    def kl(self):
        total = 0.0
        for layer in self.bayesian():
            for kind in ("kernel", "weight", "bias"):
                mu = getattr(layer, f"mu_{kind}", None)
                if not isinstance(mu, nn.Parameter):
                    continue
                sigma = F.softplus(getattr(layer, f"rho_{kind}"))
                zero, prior = torch.zeros_like(mu), torch.full_like(mu, SIGMA_PRIOR)
                total = total + layer.kl_div(mu, sigma, zero, prior) * mu.numel()
        return total

    def means(self, x):
        """Logits with every weight at its mean."""
        for conv, padding in ((self.conv1, 2), (self.conv2, 0)):
            x = F.max_pool2d(F.relu(F.conv2d(x, conv.mu_kernel, conv.mu_bias, padding=padding)), 2)
        x = x.flatten(1)
        for dense in (self.fc1, self.fc2):
            x = F.relu(F.linear(x, dense.mu_weight, dense.mu_bias))
        return F.linear(x, self.fc3.mu_weight, self.fc3.mu_bias)


def idx(folder, name):
    path = folder / name
    data = path.read_bytes() if path.exists() else gzip.decompress((folder / f"{name}.gz").read_bytes())
    axes = data[3]
    shape = struct.unpack(f">{axes}I", data[4 : 4 + 4 * axes])
    return np.frombuffer(data, np.uint8, offset=4 + 4 * axes).reshape(shape)


def inputs(images):
    return (torch.tensor(images, dtype=torch.float32)[:, None] / 255 - MEAN) / STD


def scores(probabilities, labels):
    chosen = probabilities[torch.arange(len(labels)), labels]
    accuracy = (probabilities.argmax(1) == labels).double().mean().item()
    return {"accuracy": accuracy, "nll": -chosen.clamp_min(1e-300).log().mean().item()}


@torch.no_grad()
def predict(network, x, draws):
    total = 0.0
    for _ in range(draws):
        total = total + torch.cat([network(part).double().softmax(1) for part in x.split(2000)])
    return total / draws


def main():
    parser = argparse.ArgumentParser(description="LeNet-5 on MNIST by Bayesian-Torch")
    parser.add_argument("--data", type=Path, required=True, help="folder of MNIST's IDX files")
    parser.add_argument("--out", required=True, help="what the names of the written files begin with")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    x, y = inputs(idx(args.data, "train-images-idx3-ubyte")), idx(args.data, "train-labels-idx1-ubyte")
    y = torch.tensor(y, dtype=torch.long)
    images, labels = idx(args.data, "t10k-images-idx3-ubyte"), idx(args.data, "t10k-labels-idx1-ubyte")
    labels = torch.tensor(labels, dtype=torch.long)
    network = LeNet5()
    with torch.no_grad():  # 0.1 for every weight, as the library begins, is too much for 400 inputs
        for layer in network.bayesian():
            mu = layer.mu_kernel if hasattr(layer, "mu_kernel") else layer.mu_weight
            mu.normal_(std=(2 / mu[0].numel()) ** 0.5)
            layer.mu_bias.zero_()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    batch = 100
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, args.epochs * (len(x) // batch))
    start, step, steps = time.time(), 0, args.epochs * (len(x) // batch)
    for epoch in range(args.epochs):
        loss_of_epoch = 0.0
        for chosen in torch.randperm(len(x)).split(batch):
            # The KL grows to its full weight over the first third.
            weight = min(1.0, 3 * step / steps)
            nll = F.cross_entropy(network(x[chosen]), y[chosen])
            loss = nll + weight * network.kl() / len(x)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rate.step()
            step, loss_of_epoch = step + 1, loss_of_epoch + loss.item()
        shown = scores(predict(network, inputs(images[:2000]), 4), labels[:2000])
        print(f"epoch {epoch + 1}: loss {loss_of_epoch * batch / len(x):.4f}, {shown}, {time.time() - start:.0f} s", flush=True)
    torch.save(network.state_dict(), f"{args.out}.pt")
    test = inputs(images)
    with torch.no_grad():
        logits = network.means(test)
    np.savez(f"{args.out}-check.npz", images=images[:100], logits=logits[:100].double().numpy())
    figures = {
        "epochs": args.epochs,
        "seed": args.seed,
        "draws32": scores(predict(network, test, 32), labels),
        "means": scores(logits.double().softmax(1), labels),
    }
    Path(f"{args.out}.json").write_text(json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
