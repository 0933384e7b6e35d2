"""The whole conformance suite on this backend, and what the backend lacks."""

from tbptt.testing import BackendConformance


class TestNumpy(BackendConformance):
    backend = "tbptt_numpy:backend"
    lacks = dict.fromkeys(
        (
            "test_a_number_beside_a_tensor_half_precision[bfloat16-int]",
            "test_half_precision_passes_through[bfloat16]",
            "test_many_tensors_promote_the_same_in_any_order_half_precision",
            "test_two_tensors_promote_half_precision[bfloat16-float32]",
            "test_two_tensors_promote_half_precision[bfloat16-float64]",
            "test_two_tensors_promote_half_precision[float16-bfloat16]",
            "test_two_tensors_promote_half_precision[int64-bfloat16]",
        ),
        "NumPy has no bfloat16",
    )
