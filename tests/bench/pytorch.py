"""Measures the training steps of PyTorch in an eager loop: normalised float data in memory, batches selected by a
permutation of indices, the fastest of the fused and the foreach Adam and, for convolutions, of the two memory formats, and
no wait for results. Under mpirun with several
processes, DistributedDataParallel over Gloo partitions the global batch. Prints a JSON object for each batch size."""

import datetime
import os
import sys

import torch
import torch.distributed
from torch import nn

import peer

RANK = int(os.environ.get("OMPI_COMM_WORLD_RANK", "0"))
SIZE = int(os.environ.get("OMPI_COMM_WORLD_SIZE", "1"))


def connect():
    """Connects the processes of this mpirun, which all run on one machine, by Gloo."""
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.distributed.init_process_group("gloo", init_method=f"file://{os.environ['LOCKSTEP_BENCH_RENDEZVOUS']}",
                                         rank=RANK, world_size=SIZE, timeout=datetime.timedelta(seconds=60))


def wait():
    if SIZE > 1:
        torch.distributed.barrier()


def agree(value):
    """Returns rank 0's value on all ranks."""
    box = torch.tensor([value], dtype=torch.float64)
    if SIZE > 1:
        torch.distributed.broadcast(box, 0)
    return box.item()


def dense_net(widths):
    layers = []
    for n_in, n_out in zip(widths, widths[1:]):
        layers += [nn.Linear(n_in, n_out), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def cnn():
    return nn.Sequential(nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
                         nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
                         nn.Flatten(), nn.Linear(64 * 7 * 7, 128), nn.ReLU(), nn.Linear(128, 10))


def convolution(n_in, n_out, stride=1):
    return [nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False), nn.BatchNorm2d(n_out)]


class Block(nn.Module):
    def __init__(self, n_in, n_out, stride):
        super().__init__()
        self.inner = nn.Sequential(*convolution(n_in, n_out, stride), nn.ReLU(inplace=True), *convolution(n_out, n_out))
        same = n_in == n_out and stride == 1
        self.skip = nn.Identity() if same else nn.Conv2d(n_in, n_out, 1, stride, bias=False)

    def forward(self, x):
        return nn.functional.relu(self.inner(x) + self.skip(x), inplace=True)


def resnet20():
    layers, n_in = [*convolution(3, 16), nn.ReLU(inplace=True)], 16
    for n_out, stride in ((16, 1), (32, 2), (64, 2)):
        for block in range(3):
            layers.append(Block(n_in, n_out, stride if block == 0 else 1))
            n_in = n_out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


IMAGE_NETS = {"cnn": cnn, "resnet20": resnet20}


def distributed(net):
    return net if SIZE == 1 else nn.parallel.DistributedDataParallel(net, gradient_as_bucket_view=True)


def variants_of(options, x):
    """{name: (net, optimizer, x)}: the ways to train the net of which the fastest counts."""
    if options.widths:
        net, flat = distributed(dense_net(options.widths)), x.reshape(len(x), -1)
        return {adam: (net, torch.optim.Adam(net.parameters(), **{adam: True}), flat) for adam in ("fused", "foreach")}
    images = (x if x.ndim == 4 else x.unsqueeze(3)).permute(0, 3, 1, 2)
    variants = {}
    for name, memory in (("channels_first", torch.contiguous_format), ("channels_last", torch.channels_last)):
        net = distributed(IMAGE_NETS[options.net]().to(memory_format=memory))
        variants[name] = net, torch.optim.Adam(net.parameters(), fused=True), images.contiguous(memory_format=memory)
    return variants


class Loop:
    """Steps over the data. Each epoch has a new order, the same on all ranks; each rank uses its rows of a batch."""

    def __init__(self, net, x, y, batch, optimizer):
        self.net, self.x, self.y, self.batch, self.optimizer = net, x, y, batch, optimizer
        self.rows = slice(batch * RANK // SIZE, batch * (RANK + 1) // SIZE)
        self.generator = torch.Generator().manual_seed(1)
        self.order = ()

    def next_rows(self):
        if len(self.order) < self.batch:
            self.order = torch.randperm(len(self.x), generator=self.generator)
        rows, self.order = self.order[:self.batch], self.order[self.batch:]
        return rows[self.rows]

    def __call__(self, steps):
        for _ in range(steps):
            rows = self.next_rows()
            self.optimizer.zero_grad(set_to_none=True)
            output = self.net(self.x.index_select(0, rows))
            nn.functional.cross_entropy(output, self.y.index_select(0, rows)).backward()
            self.optimizer.step()


def main():
    options = peer.arguments(__doc__)
    torch.set_num_threads(options.threads)
    if SIZE > 1:
        connect()
    torch.manual_seed(1)
    x, y = (torch.from_numpy(part) for part in peer.training_data(options.data))
    variants = variants_of(options, x)
    for batch in options.batches:
        loops = {name: Loop(net, rows, y, batch, adam) for name, (net, adam, rows) in variants.items()}
        if options.first_step:
            next(iter(loops.values()))(1)
            if RANK == 0:
                print("step 1", flush=True)
            break
        seconds = {name: peer.calibrate(loop, options.seconds, wait, agree) for name, loop in loops.items()}
        name = min(seconds, key=seconds.get)
        rate = peer.measure(loops[name], batch, options.seconds, seconds[name], wait)
        if RANK == 0:
            peer.report(batch, rate, variant=name)
    if SIZE > 1: # Gloo's threads may outlive the group and crash the interpreter at exit
        wait()
        sys.stdout.flush()
        os._exit(0)


main()
