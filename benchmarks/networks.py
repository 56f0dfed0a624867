"""Time the features of the networks in batches against a loop over slices, and the training of the U-Net.

    python benchmarks/networks.py            # about a minute

Every ratio is measured in this one run, in CPU seconds of one thread (wall time where the machine is free). The loop is
what hooks on a network's layer do: one slice at a time through the whole network, on the same one thread. The larger
the images, the less a batch gains: one of 128 pixels keeps a core busy by itself.
"""

from __future__ import annotations

import time
import timeit
from collections.abc import Callable

import numpy as np
import pandas as pd
import torch

from radsupport.networks import resnet, training, unet

RNG = np.random.default_rng(0)


def seconds(task: Callable[[], object], repeats: int = 3) -> float:
    """Fastest of some runs, after one that warms up."""
    task()
    return min(timeit.repeat(task, timer=time.process_time, repeat=repeats, number=1))


def hooked(network: torch.nn.Module, layer: torch.nn.Module, slices: np.ndarray, pool: Callable[..., object]) -> None:
    """Send slices one by one through a whole network and pool what a hook finds."""
    kept: list[object] = []
    hook = layer.register_forward_hook(lambda _, __, output: kept.append(pool(output)))
    with torch.no_grad():
        for one in slices:
            network(torch.as_tensor(one[None]))
    hook.remove()


def row(task: str, ours: float, loop: float, n: int) -> dict[str, object]:
    """One line of the table, in milliseconds a slice."""
    return {"task": task, "ours (ms)": 1e3 * ours / n, "loop (ms)": 1e3 * loop / n, "ratio": loop / ours}


def unet_features(channels: int, size: int, n: int) -> dict[str, object]:
    """Bottleneck features of n slices."""
    slices = RNG.uniform(size=(n, 1, size, size)).astype(np.float32)
    plain, own = unet.build_unet(channels).eval(), training.channels_last(unet.build_unet(channels))
    loop = seconds(lambda: hooked(plain, plain.down_4, slices, lambda maps: maps.mean(dim=(2, 3))))
    ours = seconds(lambda: unet.bottleneck_features(own, slices))
    return row(f"U-Net, {channels} channels, {size} px: features", ours, loop, n)


def resnet_features(depth: int, size: int, n: int) -> dict[str, object]:
    """Pooled features of n images."""
    images, names = RNG.uniform(size=(n, 3, size, size)).astype(np.float32), [str(i) for i in range(n)]
    net, own = resnet.build_resnet(depth), resnet.build_resnet(depth)
    loop = seconds(lambda: hooked(net, net.backbone.layer4, images, lambda maps: maps.amax(dim=(2, 3))))
    ours = seconds(lambda: resnet.resnet_features(own, images, names))
    return row(f"ResNet-{depth}, {size} px: features", ours, loop, n)


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    rows = [unet_features(8, 48, 256), unet_features(8, 64, 256)]
    rows += [resnet_features(depth, size, n) for depth, size, n in ((18, 64, 128), (50, 64, 64), (18, 128, 32))]
    print(pd.DataFrame(rows).to_string(index=False, float_format=lambda value: f"{value:.3g}"))


if __name__ == "__main__":
    main()
