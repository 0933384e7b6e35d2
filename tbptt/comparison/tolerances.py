"""How far two runs may be apart and count as the same."""

from __future__ import annotations

from typing import NamedTuple

from tbptt.errors import ConfigurationError

_BY_DTYPE: dict[str, tuple[float, float, float]] = {
    "float64": (1e-11, 1e-11, 1e-10),
    "float32": (1e-5, 1e-4, 1e-4),
}
"""Of states and losses, of gradients, of parameters: what rounding makes of equal arithmetic over runs at sane learning rates."""
_HALVES = (2e-2, 5e-2, 5e-2)


class Tolerance(NamedTuple):
    """Allowed is ``atol + rtol · scale``, the scale of an array being its largest magnitude on either side.

    None stands for what rounding explains in the array's dtype: in float64 1e-11 for states, losses and gradients and 1e-10 for
    parameters, in float32 1e-5, 1e-4 and 1e-4, where there are 16 bits (in mixed precision that is where layers compute) 2e-2, 5e-2
    and 5e-2, taken twice, as `rtol` and as `atol`.

    >>> from tbptt.comparison import Tolerance
    >>> Tolerance().allowed("update", "float64", 2.0)
    3e-10
    >>> Tolerance(rtol=0, atol=1e-3).allowed("update", "float64", 2.0)
    0.001
    """

    rtol: float | None = None
    atol: float | None = None

    def allowed(self, moment: str, dtype: str, scale: float) -> float:
        """The largest difference that counts as none, in an array of that dtype and scale."""
        values, gradients, parameters = _BY_DTYPE.get(dtype, _HALVES if "float" in dtype else (0.0, 0.0, 0.0))
        usual = {"update": parameters, **dict.fromkeys(("gradient", "clipping", "optimizer"), gradients)}.get(
            moment, values
        )
        rtol = usual if self.rtol is None else self.rtol
        atol = usual if self.atol is None else self.atol
        return atol + rtol * scale

    def checked(self) -> Tolerance:
        """Itself.

        Raises:
            ConfigurationError: if one of the two is negative.
        """
        for name, value in self._asdict().items():
            if value is not None and not value >= 0:
                raise ConfigurationError(f"{name} must be 0 or more, or None for the usual; received {value!r}.")
        return self
