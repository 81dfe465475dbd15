"""Measures the training steps of PyTorch in an eager loop: normalised float data in memory, batches selected by a
permutation of indices, the faster of the fused and the foreach Adam, and no wait for results. Under mpirun with several
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


def net_of(widths):
    layers = []
    for n_in, n_out in zip(widths, widths[1:]):
        layers += [nn.Linear(n_in, n_out), nn.ReLU()]
    net = nn.Sequential(*layers[:-1])
    if SIZE == 1:
        return net
    return nn.parallel.DistributedDataParallel(net, gradient_as_bucket_view=True)


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
    net = net_of(options.widths)
    adams = {name: torch.optim.Adam(net.parameters(), **{name: True}) for name in ("fused", "foreach")}
    for batch in options.batches:
        loops = {name: Loop(net, x, y, batch, adam) for name, adam in adams.items()}
        if options.first_step:
            loops["fused"](1)
            print("step 1", flush=True)
            break
        seconds = {name: peer.calibrate(loop, options.seconds, wait, agree) for name, loop in loops.items()}
        name = min(seconds, key=seconds.get)
        rate = peer.measure(loops[name], batch, options.seconds, seconds[name], wait)
        if RANK == 0:
            peer.report(batch, rate, adam=name)
    if SIZE > 1: # Gloo's threads may outlive the group and crash the interpreter at exit
        wait()
        sys.stdout.flush()
        os._exit(0)


main()
