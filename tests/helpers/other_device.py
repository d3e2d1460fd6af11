"""A stand-in for a GPU: tensors that say they are on another device, compute on the processor, and refuse to meet its tensors.

What code says of devices is held to what CUDA asks: tensors of two devices in one operation are an error, but for numbers without
axes and for indices, and so is data that would have to be read on the processor without a copy to it.
"""

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = torch.device("xla", 0)  # a type that torch knows and that no test machine has
COPIES = {torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default}
WITH_INDICES = {torch.ops.aten.index.Tensor, torch.ops.aten.index_put_.default}


class DeviceTensor(torch.Tensor):
    """A tensor on the other device; `inner` holds its numbers."""

    inner: torch.Tensor

    @staticmethod
    def __new__(cls, inner):
        layout = {"strides": inner.stride(), "storage_offset": inner.storage_offset(), "dtype": inner.dtype, "device": "meta"}
        made = torch.Tensor._make_wrapper_subclass(cls, inner.shape, **layout)
        made.inner = inner
        return made

    @property
    def device(self):
        return DEVICE

    @property
    def is_cpu(self):
        return False

    def cpu(self):
        return self.inner

    def new_tensor(self, data, **options):
        return DeviceTensor(self.inner.new_tensor(data, **options))

    def tolist(self):
        return self.inner.tolist()

    def __repr__(self, *, tensor_contents=None):
        return f"DeviceTensor({self.inner!r})"

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return run(function, args, kwargs or {})


class OtherDevice(TorchDispatchMode):
    """Within, tensors can be made on `DEVICE` and moved to and from it."""

    def __enter__(self):
        torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(..., device=DEVICE) then makes it here and moves it, as for CUDA
        return super().__enter__()

    def __exit__(self, *error):
        torch._C._set_only_lift_cpu_tensors(False)
        return super().__exit__(*error)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return run(function, args, kwargs or {})


def run(function, args, kwargs):
    """An operation on the processor, whose result is on the device of its arguments, or where `device` says."""
    given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
    there = [x for x in given if isinstance(x, DeviceTensor)]
    if there and function not in COPIES | WITH_INDICES and any(not isinstance(x, DeviceTensor) and x.dim() for x in given):
        raise RuntimeError(f"{function}: expected all tensors to be on the same device, found {DEVICE} and cpu")
    wanted = kwargs.get("device")
    on_device = bool(there) if wanted is None else torch.device(wanted).type in (DEVICE.type, "meta")
    kwargs = kwargs | ({"device": torch.device("cpu")} if wanted is not None else {})
    inner_args, inner_kwargs = tree_map(lambda x: x.inner if isinstance(x, DeviceTensor) else x, (args, kwargs))
    result = function(*inner_args, **inner_kwargs)
    known = {id(x.inner): x for x in there}  # what an operation changes in place stays the same tensor

    def wrap(value):
        if not on_device or not isinstance(value, torch.Tensor):
            return value
        return known[id(value)] if id(value) in known else DeviceTensor(value)

    return tree_map(wrap, result)


def move(model):
    """The model with its parameters and buffers on `DEVICE`."""
    for module in model.modules():
        for name, parameter in list(module._parameters.items()):
            if parameter is not None:
                moved = DeviceTensor(parameter.detach())
                module._parameters[name] = torch.nn.Parameter(moved, requires_grad=parameter.requires_grad)
        for name, buffer in list(module._buffers.items()):
            if buffer is not None:
                module._buffers[name] = DeviceTensor(buffer)
    return model
