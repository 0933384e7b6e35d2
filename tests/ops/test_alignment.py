"""Parameters lie where torch's own would: on the boundaries its kernels are fastest at."""

from __future__ import annotations

import numpy as np

import tbptt
from tbptt import nn


def test_parameters_are_aligned_as_torchs_own_are() -> None:
    with tbptt.use_backend("torch"):
        parameters = [nn.Parameter(np.ones((n, 7))) for n in range(1, 200)]
    assert {parameter.data_ptr() % 64 for parameter in parameters} == {0}


def test_a_parameter_does_not_share_its_array(backend: object) -> None:
    array = np.ones(3, "float32")
    parameter = nn.Parameter(array)
    array[:] = 5
    assert tbptt.ops.to_numpy(parameter).tolist() == [1, 1, 1]
