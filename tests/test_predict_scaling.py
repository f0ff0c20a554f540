"""The predictions' arithmetic: parts, roofline, exchange of gradients, reading."""

from types import SimpleNamespace

import pytest
from predict_scaling import LINKS, Links, part_of, scaling, seconds_by_part

from iart.ops.flops import HALF, Work
from iart.training.gpu_predictions import GPUS, Assumptions, Gpu


@pytest.mark.parametrize(
    ('module', 'operator', 'part'),
    [
        ('IART.swin_backbone.forward_1.layers.0', 'aten._scaled_dot_product_flash_attention_for_cpu', 'attention'),
        ('IART.swin_backbone.forward_1', 'aten.addmm', 'linear'),
        ('IART.swin_backbone.backward_2', 'aten.convolution', 'conv'),
        ('IART.swin_backbone.backward_2', 'aten.native_layer_norm', 'norm, GELU, copies'),
        ('IART.implicit_warp.k', 'aten.addmm', 'alignment'),
        ('IART.spynet.basic_module.0', 'aten.convolution', 'SPyNet'),
        ('IART.upconv1', 'aten.convolution', 'reconstruction, rest'),
        ('', 'aten.stack', 'reconstruction, rest'),
    ],
)
def test_every_operator_has_a_part(module, operator, part):
    assert part_of(module, operator) == part


def test_seconds_by_part():
    gpu = Gpu(fp32=1.0, tf32=1.0, half=4.0, bandwidth=100.0, memory=1.0)
    counts = {
        ('IART.swin_backbone', f'aten.mm{HALF}'): Work(flops=int(8e12), bytes=int(1e9), calls=3),
        ('IART.swin_backbone', 'aten.add'): Work(flops=0, bytes=int(200e9), calls=2),
        ('IART.spynet', 'aten.convolution'): Work(flops=0, bytes=0, calls=7),
    }
    assert seconds_by_part(counts, gpu, Assumptions(0.5, 0.5, kernel=1.0, launch=9.0)) == {
        'linear': 4.0,
        'norm, GELU, copies': 4.0,
        'SPyNet': 7.0,
    }


def test_scaling():
    arguments = SimpleNamespace(gpus=[1, 8, 64], node=8, overlap=0.5, loader=4.0, workers=2)
    rows = scaling(1.0, int(1e9), 1, Links(link=10.0, network=1.0), 86400, arguments)
    assert rows[0][1:4] == ['1.000', '1.0', '100%']
    assert rows[1][1] == '1.000'  # 0.175 s on the links of the machine, hidden by a third of a second
    assert rows[2][1] == f'{1 + 2 * 63 / 64 - 1 / 3:.3f}'
    slow = scaling(1.0, int(1e9), 16, Links(link=10.0, network=1.0), 86400, arguments)
    assert slow[0][1] == '2.000', '16 clips at 8 a second'
    assert slow[0][6] == '2.00'


def test_every_gpu_has_links():
    assert LINKS.keys() == GPUS.keys()
