"""Where each row of NUMERICS is shown to hold: tbptt's own definition on both engines, and against the peer as installed.

Tests are named as ``file::test``: the file by its base name in `tests`, or by its path from the root where it belongs to the suite
that adapters run. `test_numerics_rows.py` checks that each of them is there.
"""

from __future__ import annotations

from typing import NamedTuple

_KERNELS = "tbptt/testing/conformance/recurrence.py"
_RULES = "tbptt/testing/conformance/optimizers.py"
_EVERY_RULE = (f"{_RULES}::test_updates_are_those_of_the_rule", f"{_RULES}::test_epsilon_is_added_where_the_rule_says")
_RULES_OF_TORCH = (
    "test_optimizer_rules.py::test_fifty_updates_equal_torch_optim",
    "test_numerics_optimizers.py::test_defaults_are_torchs_and_those_of_keras_differ",
)


class Row(NamedTuple):
    """Of the table."""

    item: str
    own: tuple[str, ...]
    """Tests of our definition, against NumPy or closed forms, on both engines."""
    peers: tuple[str, ...]
    """Tests against torch and Keras."""


ROWS = [
    Row(
        "LSTM gates",
        (
            f"{_KERNELS}::test_one_step_is_the_formula_gate_by_gate",
            f"{_KERNELS}::test_outputs_states_and_gradients_are_those_of_the_formulas",
        ),
        ("test_peers.py::test_a_stack_is_torchs", "test_peers.py::test_a_layer_is_keras"),
    ),
    Row(
        "LSTM bias",
        ("test_layers.py::test_lstm_and_rnn_have_one_bias_a_layer_and_gru_one_more_inside_its_candidate",),
        (
            "test_numerics_layers.py::test_lstm_bias_torchs_two_are_summed_and_move_it_twice_as_far",
            "test_numerics_layers.py::test_lstm_bias_keras_has_one_too_and_a_step_moves_it_as_far",
        ),
    ),
    Row(
        "GRU",
        (
            f"{_KERNELS}::test_outputs_states_and_gradients_are_those_of_the_formulas",
            "test_layers.py::test_lstm_and_rnn_have_one_bias_a_layer_and_gru_one_more_inside_its_candidate",
        ),
        (
            "test_numerics_layers.py::test_gru_torchs_biases_are_summed_outside_the_candidate_and_kept_apart_in_it",
            "test_numerics_layers.py::test_gru_keras_with_reset_after_is_the_same_and_without_is_another_layer",
        ),
    ),
    Row(
        "recurrent init",
        (
            "test_layers.py::test_torch_initialization_is_uniform_within_its_bounds",
            "test_layers.py::test_keras_initialization_is_glorot_orthogonal_and_a_forget_bias_of_one",
            "test_layers.py::test_first_weights_are_identical_to_the_bit_on_both_engines",
        ),
        ("test_numerics_layers.py::test_first_weights_of_the_peers_lie_within_the_bounds_ours_are_drawn_from",),
    ),
    Row(
        "Linear init",
        ("test_layers.py::test_torch_initialization_is_uniform_within_its_bounds",),
        (
            "test_numerics_layers.py::test_first_weights_of_the_peers_lie_within_the_bounds_ours_are_drawn_from",
            "test_numerics_layers.py::test_linear_of_either_habit_is_the_peers_layer_with_its_weights",
        ),
    ),
    Row(
        "Embedding init",
        ("test_layers.py::test_torch_initialization_is_uniform_within_its_bounds",),
        (
            "test_numerics_layers.py::test_first_weights_of_the_peers_lie_within_the_bounds_ours_are_drawn_from",
            "test_numerics_layers.py::test_embedding_is_the_peers_lookup",
        ),
    ),
    Row(
        "dropout in stacks",
        (
            "test_numerics_layers.py::test_dropout_mask_is_the_hash_of_where_it_falls",
            "test_dropout.py::test_the_hash_is_lowbias32_in_python_and_in_int32_tensors",
            "test_dropout.py::test_no_mask_is_a_shifted_or_permuted_copy_of_another_keys",
        ),
        (
            "test_numerics_layers.py::test_dropout_in_a_stack_is_torchs_layers_with_the_mask_in_between",
            "test_numerics_layers.py::test_dropout_of_keras_is_on_the_inputs_with_one_mask_for_the_window",
        ),
    ),
    Row(
        "LayerNorm eps",
        ("test_numerics_layers.py::test_layer_norm_has_torchs_epsilon_and_keras_another",),
        (
            "test_layers.py::test_layer_norm_is_torchs",
            "test_numerics_layers.py::test_layer_norm_has_torchs_epsilon_and_keras_another",
        ),
    ),
    Row(
        "cross entropy",
        ("test_functional.py::test_cross_entropy_by_its_definition",),
        (
            "test_functional.py::test_cross_entropy_is_torchs_with_the_classes_last",
            "test_functional.py::test_elementwise_losses_are_torchs",
            "test_numerics_losses.py::test_cross_entropy_from_logits_is_that_of_keras_from_logits",
            "test_numerics_losses.py::test_cross_entropy_from_probabilities_is_cut_off_by_keras_and_not_by_ours",
            "test_numerics_losses.py::test_cross_entropy_with_weights_keras_divides_by_how_many_and_ours_by_the_weights",
            "test_numerics_losses.py::test_cross_entropy_leaves_ignored_targets_out_of_the_mean_and_keras_does_too",
            "test_numerics_losses.py::test_elementwise_losses_are_those_of_keras",
        ),
    ),
    Row(
        "SGD momentum",
        _EVERY_RULE,
        (
            *_RULES_OF_TORCH,
            "test_numerics_optimizers.py::test_sgd_momentum_is_that_of_keras_while_the_rate_stays",
            "test_numerics_optimizers.py::test_sgd_momentum_of_keras_has_the_rate_inside_where_ours_and_torchs_is_outside",
        ),
    ),
    Row(
        "Adam",
        _EVERY_RULE,
        (
            *_RULES_OF_TORCH,
            "test_numerics_optimizers.py::test_adam_with_epsilon_hat_is_that_of_keras",
            "test_numerics_optimizers.py::test_adam_is_that_of_keras_with_an_epsilon_that_grows",
        ),
    ),
    Row(
        "weight decay",
        _EVERY_RULE,
        (
            *_RULES_OF_TORCH,
            "test_numerics_optimizers.py::test_weight_decay_of_both_adams_of_keras_is_our_adamw",
        ),
    ),
    Row(
        "RMSprop",
        _EVERY_RULE,
        (*_RULES_OF_TORCH, "test_numerics_optimizers.py::test_rmsprop_with_epsilon_inside_is_that_of_keras"),
    ),
    Row(
        "Adagrad",
        _EVERY_RULE,
        (
            *_RULES_OF_TORCH,
            "test_numerics_optimizers.py::test_adagrad_from_where_keras_begins_and_its_epsilon_is_that_of_keras",
        ),
    ),
    Row(
        "clip by global norm",
        (
            f"{_RULES}::test_clipping_by_the_global_norm_scales_by_the_ratio",
            f"{_RULES}::test_a_norm_that_is_not_finite_goes_by_the_formula",
            f"{_RULES}::test_a_norm_of_exactly_the_limit_or_less_changes_no_bit",
            "test_clipping.py::test_a_norm_that_is_not_finite_goes_by_the_formula_or_raises",
        ),
        (
            "test_numerics_optimizers.py::test_global_norm_torch_adds_a_millionth_to_it",
            "test_numerics_optimizers.py::test_global_norm_is_that_of_tensorflow_and_keras_and_so_is_a_nan",
        ),
    ),
    Row(
        "clipnorm in Keras",
        ("test_clipping.py::test_the_norm_is_that_of_all_elements_together",),
        ("test_numerics_optimizers.py::test_clipnorm_of_keras_is_each_variable_by_its_own_norm",),
    ),
    Row(
        "accumulation",
        ("test_accumulation.py::test_accumulating_is_one_batch_of_all_the_rows",),
        (
            "test_numerics_training.py::test_accumulation_is_a_mean_over_counted_steps_where_torch_sums_and_keras_takes_the_mean",
            "test_numerics_training.py::test_accumulation_weighs_windows_that_count_differently_where_a_mean_of_means_does_not",
        ),
    ),
    Row(
        "MultiStepLR / PiecewiseConstant",
        ("test_lr_scheduler.py::test_the_rates_are_those_of_the_closed_form",),
        (
            "test_lr_scheduler.py::test_the_rates_are_torchs",
            "test_numerics_schedulers.py::test_multi_step_changes_at_the_milestone_and_keras_one_step_later",
        ),
    ),
    Row(
        "ReduceLROnPlateau",
        ("test_lr_scheduler.py::test_patience_is_the_number_of_bad_steps_let_pass",),
        (
            "test_lr_scheduler.py::test_a_plateau_is_where_torch_sees_one",
            "test_numerics_schedulers.py::test_a_plateau_of_keras_is_acted_on_one_bad_step_earlier",
        ),
    ),
    Row(
        "exponential / cosine",
        ("test_lr_scheduler.py::test_the_rates_are_those_of_the_closed_form",),
        (
            "test_lr_scheduler.py::test_the_rates_are_torchs",
            "test_numerics_schedulers.py::test_exponential_takes_the_factor_of_a_step_and_keras_that_of_many",
            "test_numerics_schedulers.py::test_cosine_rises_again_and_ends_at_a_rate_where_keras_stays_and_takes_a_fraction",
        ),
    ),
    Row(
        "mean over windows",
        ("test_fit.py::test_epoch_means_weigh_windows_by_what_counted_in_them",),
        (
            "test_numerics_training.py::test_mean_over_windows_is_weighted_by_counted_steps_where_keras_has_a_mean_of_means",
        ),
    ),
    Row(
        "matmul precision on GPU",
        ("test_engine_switches.py::test_matrix_products_are_computed_in_float32_unless_asked",),
        ("test_engine_switches.py::test_matrix_products_are_computed_in_float32_unless_asked",),
    ),
    Row(
        "labels",
        ("test_functional.py::test_cross_entropy_by_its_definition",),
        ("test_numerics_losses.py::test_labels_may_be_any_integers_where_torch_wants_int64",),
    ),
    Row(
        "repeated rows of embeddings",  # of the facts below the table
        (
            "test_optimizer_rules.py::test_repeated_rows_of_a_sparse_gradient_are_summed",
            "test_ops_take.py::test_rows_taken_twice_get_the_sum_on_torch",
            "test_ops_take.py::test_rows_taken_twice_get_the_sum_on_tensorflow",
        ),
        ("test_numerics_optimizers.py::test_repeated_rows_are_summed_before_the_moments_and_keras_gets_them_wrong",),
    ),
    Row(
        "tolerances between engines",  # below the table too
        (
            "test_equivalence_subset.py::test_two_hundred_windows_of_the_compiled_step",
            "test_equivalence_subset.py::test_a_chaotic_setting_agrees_in_single_steps",
            "test_equivalence_subset.py::test_it_is_chaotic_on_one_engine_alone",
            "test_equivalence.py::test_fifty_windows_in_single_precision",
        ),
        (),
    ),
]

WITHOUT = {
    "BatchNorm": "not offered",
}
"""Rows without tests, and why."""
