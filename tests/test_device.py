"""Choice of a device: an unusable one is an error with a remedy; tensors that half precision must not change."""

import logging
from types import SimpleNamespace

import pytest
import torch
from torch._dynamo.testing import CompileCounter

import iart
from iart import device as devices
from iart import distributed, memory
from iart.archs.iart_arch import IART
from iart.archs.recompute_policy import kept_values
from iart.archs.stores import DeviceStore, stores
from iart.errors import UserError
from iart.inference import plan as planning
from iart.inference.costs import Allocations, Costs, measure
from iart.inference.options import PlanOptions
from iart.inference.plan import Size
from iart.ops.warp import flow_warp, gather_warp
from iart.scoring.set_report import NetworkFacts, as_dict
from iart.scoring.settings import Settings
from iart.training.memory_fallback import within_memory

CUDA = torch.device('cuda', 0)
SMALL = {'mid_channels': 8, 'embed_dim': 8, 'depths': [2], 'num_heads': [2], 'window_size': [3, 4, 4]}


@pytest.fixture
def gpu(monkeypatch):
    """A machine with GPUs as torch would describe it; call with what differs."""

    def describe(count=1, capability=(8, 0), compiled=('sm_75', 'sm_80', 'sm_90', 'compute_90'), driver=None):
        def init():
            if driver:
                raise RuntimeError(driver)

        for name, value in {
            'is_available': lambda: not driver,
            'device_count': lambda: count,
            'get_device_capability': lambda index=None: capability,
            'get_arch_list': lambda: list(compiled),
            'get_device_name': lambda index=None: 'Some GPU',
            'set_device': lambda device: None,
            'init': init,
        }.items():
            monkeypatch.setattr(torch.cuda, name, value)
        monkeypatch.setattr(torch.version, 'cuda', '13.0')

    monkeypatch.delenv('SLURM_PROCID', raising=False)
    return describe


def test_a_gpu_is_taken(gpu):
    gpu(count=2)
    assert devices.choose('auto', 1, 2) == torch.device('cuda', 1)
    assert not torch.backends.cuda.cudnn_sdp_enabled(), "cuDNN's attention gives NaN for the bias of some windows"


def test_a_driver_that_is_too_old_is_reported(gpu, caplog):
    gpu(driver='The NVIDIA driver on your system is too old (found version 12020). Please update')
    with caplog.at_level(logging.WARNING, 'iart'):
        assert devices.choose('auto').type == 'cpu'
    assert 'made for CUDA 12.2' in caplog.text
    assert 'whl/cu126' in caplog.text
    assert 'COMPUTING ON THE CPU' in caplog.text
    with pytest.raises(UserError, match=r'made for CUDA 12\.2.*whl/cu126'):
        devices.choose('cuda')


def test_a_machine_without_a_gpu_is_not_warned_of(gpu, caplog):
    gpu(driver='Found no NVIDIA driver on your system.')
    assert devices.choose('auto').type == 'cpu'
    assert 'GPU' not in caplog.text


@pytest.mark.parametrize(
    ('capability', 'compiled', 'fits'),
    [
        ((7, 0), ['sm_75', 'sm_80', 'sm_120'], False),
        ((8, 6), ['sm_75', 'sm_80'], True),  # machine code of the same major number
        ((8, 0), ['sm_86', 'sm_90'], False),
        ((12, 0), ['sm_80', 'sm_90'], False),
        ((12, 0), ['sm_80', 'compute_90'], True),  # intermediate code is compiled on the spot
        ((9, 0), ['sm_90a', 'sm_100'], True),
        ((8, 0), [], True),
    ],
)
def test_a_card_without_kernels_is_refused(gpu, capability, compiled, fits):
    gpu(capability=capability, compiled=compiled)
    if fits:
        assert devices.choose('cuda').type == 'cuda'
        return
    with pytest.raises(UserError, match=r'no kernels for it, only for .*--index-url'):
        devices.choose('cuda')


def test_bf16_on_a_card_that_emulates_it_is_refused(gpu):
    gpu(capability=(7, 5))
    with pytest.raises(UserError, match=r'bf16 on cuda:0.*take fp16'):
        devices.autocast(CUDA, 'bf16')
    devices.autocast(torch.device('cpu'), 'bf16')


@pytest.mark.parametrize(
    ('device', 'precision', 'onednn', 'avx512', 'native'),
    [
        ('cpu', 'fp16', (), False, 'fp32'),
        ('cpu', 'fp16', (), True, 'bf16'),
        ('cpu', 'fp16', ('fp16', 'bf16'), True, 'fp16'),
        ('cpu', 'fp16', ('bf16',), False, 'fp32'),
        ('cpu', 'bf16', (), False, 'bf16'),
        ('cuda', 'fp16', (), False, 'fp16'),
    ],
)
def test_fp16_on_a_processor_without_it(monkeypatch, caplog, device, precision, onednn, avx512, native):
    monkeypatch.setattr(devices.kernels, '_onednn_has', lambda name: name in onednn)
    monkeypatch.setattr(torch.cpu, '_is_avx512_bf16_supported', lambda: avx512)
    monkeypatch.setattr('platform.machine', lambda: 'x86_64')
    device = torch.device(device)
    assert devices.native_precision(device, precision) == native
    with caplog.at_level(logging.WARNING, 'iart'):
        devices.warn_of_slow_precision(device, precision)
    assert (f'{native} is faster here' in caplog.text) == (native != precision)


def test_slurm_may_show_each_process_its_own_gpu(gpu, monkeypatch):
    gpu(count=1)
    with pytest.raises(UserError, match='got 1 GPUs'):
        devices.choose('cuda', 3, 4)
    monkeypatch.setenv('SLURM_PROCID', '3')
    assert devices.choose('cuda', 3, 4).index == 0


def test_one_gpu_for_several_processes_is_refused(gpu):
    gpu(count=2)
    with pytest.raises(UserError, match='2 processes would share one GPU'):
        devices.choose('cuda:0', 1, 2)
    assert devices.choose('cuda:1', 0, 1).index == 1


@pytest.mark.parametrize(
    ('kind', 'backend', 'expected'),
    [('cpu', 'nccl', 'gloo'), ('cuda', 'nccl', 'cpu:gloo,cuda:nccl'), ('cuda', 'gloo', 'gloo')],
)
def test_the_device_decides_how_processes_talk(monkeypatch, kind, backend, expected):
    joined = {}
    monkeypatch.setattr(distributed.dist, 'init_process_group', lambda **arguments: joined.update(arguments))
    for name, value in {'RANK': '0', 'WORLD_SIZE': '1', 'MASTER_ADDR': 'localhost', 'MASTER_PORT': '29500'}.items():
        monkeypatch.setenv(name, value)
    device = torch.device(kind, 0) if kind == 'cuda' else torch.device(kind)
    distributed.launch('pytorch', device=device, backend=backend)
    assert joined['backend'] == expected
    assert joined.get('device_id') == (device if 'nccl' in expected else None)


def test_the_rank_on_the_machine_is_known_before_the_group_is_joined(monkeypatch):
    monkeypatch.setenv('LOCAL_RANK', '3')
    monkeypatch.setenv('LOCAL_WORLD_SIZE', '4')
    assert (distributed.local_rank('pytorch'), distributed.local_world_size('pytorch')) == (3, 4)
    assert (distributed.local_rank(), distributed.local_world_size()) == (0, 1)


@pytest.mark.parametrize(
    'text', ['CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`', 'cuDNN error: CUDNN_STATUS_ALLOC_FAILED']
)
def test_libraries_out_of_memory_are_understood(text):
    assert memory.lacks_memory(RuntimeError(text))


@pytest.mark.parametrize(('free', 'means_memory'), [(1, True), (60, False)])
def test_a_missing_engine_means_memory_only_when_little_is_left(monkeypatch, free, means_memory):
    monkeypatch.setattr(devices, 'free_memory', lambda device: free * 2**30)
    properties = type('Properties', (), {'total_memory': 80 * 2**30})
    monkeypatch.setattr(torch.cuda, 'get_device_properties', lambda device: properties)
    error = RuntimeError('GET was unable to find an engine to execute this computation')
    assert devices.lacks_memory(error, CUDA) == means_memory
    assert not devices.lacks_memory(error, torch.device('cpu'))


@pytest.mark.parametrize(('tf32', 'state'), [('off', (False, False)), ('conv', (True, False)), ('all', (True, True))])
def test_tf32_is_set_and_named(gpu, monkeypatch, tf32, state):
    gpu()
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    try:
        devices.configure(deterministic=False, tf32=tf32)
        assert (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32) == state
        assert devices.tf32_in_use(CUDA) == tf32
        assert devices.tf32_in_use(torch.device('cpu')) is None
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def test_a_report_names_tf32(gpu, tmp_path, monkeypatch):
    """What `--tf32` set is in report.json, and beside published figures."""
    gpu()
    settings = Settings({}, tf32=devices.tf32_in_use(CUDA))
    content = as_dict('x', [], settings, NetworkFacts(type='IART'), torch.device('cpu'), [])
    assert content['settings']['tf32'] == devices.tf32_in_use(CUDA) == 'conv'
    assert (
        as_dict('x', [], Settings({}), NetworkFacts(type='IART'), torch.device('cpu'), [])['settings']['tf32'] is None
    )


def test_memory_that_torch_has_taken_is_reported_beside_what_is_used(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'max_memory_reserved', lambda device: 3 * 2**20)
    assert devices.peak_reserved_mb(CUDA) == 3
    assert devices.peak_reserved_mb(torch.device('cpu')) is None


@pytest.mark.parametrize(('place', 'times'), [('host', 1), ('device', 0)])
def test_page_locked_memory_is_given_back_with_a_clip(monkeypatch, place, times):
    released = []
    monkeypatch.setattr(devices, 'release_pinned', lambda: released.append(1))
    with stores(place, torch.device('cpu')):
        pass
    assert len(released) == times, "the next clip's plan is to see it as free"


def test_a_search_for_algorithms_pauses_where_sizes_change():
    torch.backends.cudnn.benchmark = True
    with devices.changing_sizes():
        assert not torch.backends.cudnn.benchmark
    assert torch.backends.cudnn.benchmark


def test_apples_gpus_have_no_memory_of_their_own(monkeypatch, tmp_path):
    monkeypatch.setattr(planning.devices, 'free_memory', lambda device: 8 * 2**30)
    monkeypatch.setattr(planning.memory, 'free_host_memory', lambda: 12 * 2**30)
    budget = planning.budget(torch.device('mps'), tmp_path)
    assert budget.shared
    assert budget.host == 8 * 2**30, 'counted once, and not more than the GPU may take'


@pytest.mark.parametrize('padding', ['zeros', 'border'])
def test_gathering_samples_as_grid_sample_does(padding):
    x, flow = torch.rand(2, 3, 7, 9, requires_grad=True), (4 * torch.randn(2, 2, 7, 9)).requires_grad_()
    y, x_grid = torch.meshgrid(torch.arange(7.0), torch.arange(9.0), indexing='ij')
    place = torch.stack((x_grid, y)) + flow
    ours, expected = gather_warp(x, place, padding), flow_warp(x, flow, padding=padding)
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)
    weight = torch.rand_like(ours)
    for a, b in zip(
        torch.autograd.grad(ours, [x, flow], weight), torch.autograd.grad(expected, [x, flow], weight), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_basicsrs_networks_warp_and_estimate_flow_in_float32():
    """Its own warp makes the grid in the dtype of the feature, and bfloat16 has no odd number above 256."""
    network = iart.build_network({'type': 'BasicVSR', 'num_feat': 8, 'num_block': 1})
    warp = __import__('sys').modules['basicsr.archs.basicvsr_arch'].flow_warp
    x = torch.arange(320.0).remainder(7).view(1, 1, 1, 320).repeat(1, 1, 4, 1)
    with torch.autocast('cpu', torch.bfloat16):
        still = warp(x.bfloat16(), torch.zeros(1, 4, 320, 2)).float()
        torch.testing.assert_close(still, x, atol=0.02, rtol=0)
        assert network.spynet(torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 64)).dtype == torch.float32
    flow = torch.rand(1, 4, 320, 2)
    torch.testing.assert_close(warp(x, flow), warp.replaced(x, flow), atol=1e-6, rtol=0)


def test_a_step_that_runs_out_of_memory_recomputes_more(caplog):
    network = iart.build_network({'type': 'IART', **SMALL, 'use_checkpoint': 'auto'})
    clip, policies = torch.rand(1, 2, 3, 16, 16), []

    def gradients():
        network(clip).mean().backward()
        policies.append(network._chosen)
        if len(policies) < 3:
            raise torch.OutOfMemoryError('CUDA out of memory')
        return 'done'

    with caplog.at_level(logging.WARNING, 'iart'):
        assert within_memory(gradients, network, torch.device('cpu')) == 'done'
    assert policies == ['none', 'mlp', 'blocks']
    assert 'use_checkpoint: blocks' in caplog.text
    fixed = iart.build_network({'type': 'IART', **SMALL, 'use_checkpoint': 'none'})
    assert fixed.recompute_more() is None, 'what the options name is not changed'


@pytest.mark.parametrize('several', [False, True])
def test_a_step_that_cannot_be_smaller_is_a_message(monkeypatch, several):
    def gradients():
        raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2 GiB\nmore')

    monkeypatch.setattr(distributed, 'active', lambda: several)
    network = iart.build_network({'type': 'IART', **SMALL, 'use_checkpoint': 'auto' if several else 'backbones'})
    with pytest.raises(UserError, match=r'Tried to allocate 2 GiB\): expected a smaller step, by .*use_checkpoint'):
        within_memory(gradients, network, torch.device('cpu'))


@pytest.mark.parametrize(('reserved', 'variable', 'advised'), [(70, '', True), (42, '', False), (70, 'expand', False)])
def test_memory_in_pieces_is_advised_upon(monkeypatch, reserved, variable, advised):
    monkeypatch.setenv('PYTORCH_CUDA_ALLOC_CONF', 'expandable_segments:True' if variable else '')
    monkeypatch.setattr(torch.cuda, 'memory_reserved', lambda device: reserved * 2**30)
    monkeypatch.setattr(torch.cuda, 'memory_allocated', lambda device: 40 * 2**30)
    monkeypatch.setattr(torch.cuda, 'get_device_properties', lambda device: SimpleNamespace(total_memory=80 * 2**30))
    assert ('30.0 GB are free in pieces: PYTORCH_CUDA_ALLOC_CONF' in devices.fragmentation(CUDA)) == advised


def test_memory_of_a_step_is_counted_by_precision():
    """Counted on the null device: 20.4 GB (none) and 14.6 GB (mlp) in half precision where fp32 takes 33.1 and 21.2."""
    step = 3 * 64 * 64 * 120 * 4 / 1e9
    for policy, half, gigabytes in [
        ('none', True, 21.4),
        ('none', False, 34.7),
        ('mlp', True, 15.3),
        ('mlp', False, 22.3),
    ]:
        assert step * kept_values(policy, calls=24, blocks=18, mlp_ratio=2.0, half=half) == pytest.approx(
            gigabytes, rel=0.1
        )


@pytest.mark.parametrize('precision', ['fp32', 'bf16'])
def test_what_a_frame_takes_is_measured_apart_from_what_is_fixed(precision):
    """Biases and masks do not grow with the frame; measured on small frames alone they would be counted a hundred
    times.
    """
    network = iart.build_network({'type': 'IART', **SMALL, 'window_size': [3, 8, 8]})
    costs = measure(network, torch.device('cpu'), precision)
    assert costs.fixed > 0
    assert sum(costs.items) == pytest.approx(costs.kept)
    with torch.no_grad(), devices.autocast(torch.device('cpu'), precision), Allocations() as allocations:
        for _ in network.frames(torch.rand(1, 3, 3, 96, 96), DeviceStore):
            pass
    taken = allocations.peak - 3 * costs.kept * 96**2
    assert costs.fixed + costs.work * 96**2 == pytest.approx(taken, rel=0.15)


def test_page_locked_memory_is_counted_as_it_is_taken():
    costs = Costs(4, 1000.0, 700.0, True, items=(600.0, 100.0))
    plans = planning.plans(Size(10, 100, 100), costs, PlanOptions(kind='host'), shared=False)
    assert plans[0].host == 10 * (2**23 + 2**20), 'each tensor in a block of a power of two'


def test_the_fusion_of_a_backbone_is_one_graph():
    network = IART(**SMALL).eval()
    clip = torch.rand(1, 2, 3, 16, 16)
    with torch.no_grad():
        expected = network(clip)
        torch._dynamo.reset()
        counted = CompileCounter()
        for backbone in network.swin_backbone.values():
            backbone.compile_fusion(backend=counted, fullgraph=True)
        torch.testing.assert_close(network(clip), expected, atol=1e-5, rtol=1e-5)
    assert counted.frame_count == 1, 'fullgraph allows no break, and the passes share the graph'
