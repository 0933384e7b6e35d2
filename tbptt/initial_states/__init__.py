"""The state that rows begin with: given, learned, drawn, or the one another row ended with.

A model's attribute ``initial_state`` may be any callable that returns such a state, a tree. It is called with the arguments that it
names out of these, inside the step that is recorded and compiled:

    batch_size    rows
    previous      the state with which the batch before ended, cut from its past; None where there was none
    origin        `tbptt.clock.Origin`: where in epoch, rows and time the rows begin

Here are the usual ones. Their rows are where `tbptt.reset_rows` looks for them: on axis 1 of a leaf of three axes or more, (layers,
batch, units), else on axis 0, unless ``batch_axis=`` says otherwise. Plain numbers, and what is no number, pass as they are.
"""

from tbptt.initial_states.given import Given
from tbptt.initial_states.learned import Learned
from tbptt.initial_states.noise import Noise
from tbptt.initial_states.other_row import OtherRow

__all__ = ["Given", "Learned", "Noise", "OtherRow"]
