"""Batch norm over all processes: equal to PyTorch's own over the whole batch, forward and backward."""

import copy
from datetime import timedelta

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

from defdetr_ref.training.sync_batch_norm import SyncBatchNorm, synchronise_batch_norms

SHARES = (2, 3)  # images of each process: unequal, so that a mean of means would be noticed


def whole_batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    images = 2 + 5 * torch.randn(sum(SHARES), 3, 4, 6, generator=generator, dtype=torch.float64)
    return images, torch.randn(images.shape, generator=generator, dtype=torch.float64)  # and the gradient of the output


def new_network() -> nn.Module:
    torch.manual_seed(0)
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Tanh(), nn.Sequential(nn.BatchNorm2d(3, eps=1e-2, momentum=0.3)))
    for one in (network[0], network[2][0]):
        nn.init.normal_(one.weight), nn.init.normal_(one.bias)
    return network.double()


def result_of(network, images, grad_output) -> dict[str, torch.Tensor]:
    images = images.clone().requires_grad_()
    output = network(images)
    output.backward(grad_output)
    gradients = {f"grad {name}": one.grad for name, one in network.named_parameters()}
    return {"output": output.detach(), "input": images.grad, **gradients, **copy.deepcopy(network.state_dict())}


def one_share(rank: int, folder: str) -> None:
    """What one of the processes does with its share of the batch."""
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2, timeout=timedelta(minutes=5)
    )
    network = new_network()
    synchronise_batch_norms(network)
    start = sum(SHARES[:rank])
    mine = slice(start, start + SHARES[rank])
    images, grad_output = whole_batch()
    torch.save(result_of(network, images[mine], grad_output[mine]), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_shares_equal_the_whole(tmp_path):
    expected = result_of(new_network(), *whole_batch())
    mp.start_processes(one_share, (str(tmp_path),), nprocs=2, start_method="spawn")
    shares = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    for name in ("output", "input"):
        torch.testing.assert_close(torch.cat([share[name] for share in shares]), expected[name])
    for name in expected.keys() - {"output", "input"}:
        if name.startswith("grad"):
            torch.testing.assert_close(shares[0][name] + shares[1][name], expected[name])
        else:
            torch.testing.assert_close(shares[0][name], expected[name])
            assert torch.equal(shares[0][name], shares[1][name])


def test_only_trained_batch_norms_are_replaced_and_nothing_is_lost():
    network = nn.Sequential(new_network(), nn.GroupNorm(1, 3), nn.BatchNorm1d(3)).double()
    before = {name: one for name, one in network.named_parameters()}
    state = copy.deepcopy(network.state_dict())
    network[0].eval()
    synchronise_batch_norms(network)
    assert [type(one) for one in network.modules()].count(SyncBatchNorm) == 2
    assert isinstance(network[2], nn.BatchNorm1d) and network[0][2][0].eps == 1e-2 and network[0][2][0].momentum == 0.3
    assert all(before[name] is one for name, one in network.named_parameters())
    assert all(torch.equal(state[name], tensor) for name, tensor in network.state_dict().items())
    assert not network[0][0].training


def test_a_single_process_goes_on_as_usual():
    expected = result_of(new_network(), *whole_batch())
    network = new_network()
    synchronise_batch_norms(network)
    found = result_of(network, *whole_batch())
    assert all(torch.equal(found[name], expected[name]) for name in expected)
