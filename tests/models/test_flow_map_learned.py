from __future__ import annotations

import torch

from models.edm import Edm
from models.flow_map import FlowMap
from models.self_distillation import JumpTimes, PsdDraws, psd_loss

MEAN, SPREAD = 0.7, 0.4


class Network(torch.nn.Module):
    """F for one-dimensional data, element by element, with a second time."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(3, 64), torch.nn.SiLU(), torch.nn.Linear(64, 64), torch.nn.SiLU(), torch.nn.Linear(64, 1)
        )

    def forward(self, x, c_noise, condition, distance):
        distance = torch.zeros(len(x)) if distance is None else distance
        times = torch.stack([c_noise, distance], dim=-1)[:, None].expand(-1, x.shape[1], -1)
        return self.layers(torch.cat([x[..., None], times], dim=-1))[..., 0]


class NoCondition:
    def rows(self, rows):
        return self


def test_the_map_that_algorithm_2_learns_on_the_gaussian_flow_is_the_exact_one():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    network, generator = Network(), torch.Generator().manual_seed(0)
    flow_map = FlowMap(network, Edm())
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    steps = 1200
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        clean = MEAN + SPREAD * torch.randn(192, 8, generator=generator)
        draws = PsdDraws.sample(clean.shape, JumpTimes(), generator)
        flow, distill = psd_loss(flow_map, clean, NoCondition(), draws)
        optimiser.zero_grad()
        (flow + distill).backward()
        optimiser.step()
        schedule.step()
    noise = torch.randn(1000, 8, generator=generator)
    exact = MEAN + SPREAD * noise
    with torch.no_grad():
        jumped = [flow_map.sample(noise, NoCondition(), count) for count in (1, 2, 4)]
        expected = flow_map.sample(noise, NoCondition(), 0)
    for arrived in jumped:
        assert (arrived - exact).square().mean() < 0.05 * SPREAD**2, "a twentieth of the data's variance"
    assert (expected - MEAN).square().mean() < 0.05 * SPREAD**2, "no jump: the mean of all futures, whatever the noise"
