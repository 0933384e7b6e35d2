"""The promises of `tbptt.protocols.Devices`, on every device of the machine."""

from __future__ import annotations

import gc
import re
from typing import Any

import numpy as np
import pytest

from tbptt.testing.conformance.base import Conformance
from tbptt.testing.conformance.tensor_checks import array

LARGE = 8 * 2**20  # elements of float64: 64 MiB, which no allocator keeps ready


class DevicesConformance(Conformance):
    """Names of devices, and what lives where."""

    def test_devices_are_named_and_the_cpu_comes_first(self) -> None:
        """``cpu``, then ``gpu:0``, ``gpu:1``, ... without a gap, the same list at every call."""
        available = self.engine.devices.available()
        assert available[:1] == ["cpu"], f"the first device must be 'cpu'; received {available}"
        kinds = {name.partition(":")[0] for name in available[1:]}
        assert all(re.fullmatch(r"[a-z]+:\d+", name) for name in available[1:]), (
            f"names are like 'gpu:0'; received {available}"
        )
        for kind in kinds:
            numbers = [int(name.partition(":")[2]) for name in available[1:] if name.startswith(f"{kind}:")]
            assert numbers == list(range(len(numbers))), f"numbered from 0; received {available}"
        assert self.engine.devices.available() == available

    def test_new_tensors_live_where_they_are_told_to(self) -> None:
        """By the argument `device` of everything that makes one, and by a scope."""
        t, devices = self.engine.tensors, self.engine.devices
        for name in devices.available():
            made: list[Any] = [
                t.zeros(2, dtype="float64", device=name),
                t.full((2,), 1, device=name),
                t.asarray(np.array([1.0]), device=name),
                t.arange(3, device=name),
                t.parameter(np.ones(2), device=name),
            ]
            with devices.scope(name):
                made += [t.zeros(2, dtype="float64"), t.asarray(np.array([1.0])), t.parameter(np.ones(2))]
            received = [devices.device_of(x) for x in made]
            assert received == [name] * len(made), f"asked for {name}; received {received}"

    def test_a_scope_ends(self) -> None:
        """Also by an error."""
        t, devices = self.engine.tensors, self.engine.devices
        before = devices.device_of(t.zeros(2, dtype="float64"))
        for name in devices.available():
            with pytest.raises(RuntimeError, match="on purpose"), devices.scope(name):
                raise RuntimeError("on purpose")
            assert devices.device_of(t.zeros(2, dtype="float64")) == before

    def test_place_moves_the_values_and_leaves_what_is_there(self) -> None:
        """The same object where the tensor already is on that device."""
        t, devices = self.engine.tensors, self.engine.devices
        values = np.arange(6.0).reshape(2, 3)
        x = t.asarray(values, device="cpu")
        assert devices.place(x, "cpu") is x, "a tensor that is there already must come back itself"
        for name in devices.available():
            there = devices.place(x, name)
            assert devices.device_of(there) == name, f"expected {name}, received {devices.device_of(there)}"
            assert devices.place(there, name) is there
            np.testing.assert_array_equal(array(self.engine, there), values, strict=True)
            np.testing.assert_array_equal(array(self.engine, devices.place(there, "cpu")), values, strict=True)

    def test_memory_used_counts_bytes(self) -> None:
        """A tensor of 64 MiB is seen while it is held."""
        devices = self.engine.devices
        for name in devices.available():
            gc.collect()  # nothing of an earlier test is to go meanwhile
            before = devices.memory_used(name)
            held = self.engine.tensors.ones((LARGE,), dtype="float64", device=name)
            devices.synchronize(name)
            grown = devices.memory_used(name) - before
            assert isinstance(grown, int), f"a number of bytes; received a {type(grown).__name__}"
            assert grown >= LARGE * 8 * 0.9, f"{name} holds {LARGE * 8} bytes more, of which {grown} are counted"
            del held

    def test_synchronize_returns_when_the_work_is_done(self) -> None:
        """On every device, also where there is nothing to wait for."""
        for name in self.engine.devices.available():
            x = self.engine.tensors.ones((64, 64), dtype="float64", device=name)
            product = self.engine.tensors.matmul(x, x)
            self.engine.devices.synchronize(name)
            assert array(self.engine, product)[0, 0] == 64
