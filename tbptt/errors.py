"""Every error this library raises on purpose, and the builtin a caller would have guessed.

    TbpttError
    ├── BackendError
    │   ├── UnknownBackendError        (LookupError)   no backend of that name
    │   ├── BackendNotInstalledError   (ImportError)   known, but its framework is missing
    │   ├── BackendImportError         (ImportError)   its plug-in raised while it was imported
    │   └── DeviceError                (LookupError)   no such device on this machine
    ├── ConfigurationError             (ValueError)    a wrong argument, or arguments that exclude each other
    ├── ModuleProtocolError            (TypeError)     a module lacks something the trainer needs, or returned a wrong thing
    ├── ScheduleError                  (ValueError)    a truncation schedule that cannot be
    ├── StructureError                 (ValueError)    two trees that should have one structure have two
    ├── ShapeError                     (ValueError)    an axis is missing, or lengths disagree
    ├── DataError                      (ValueError)    data that cannot be read or cut
    ├── GradientError                  (ValueError)    a loss nothing can be differentiated from
    ├── WeightsError                   (ValueError)    a weight file that does not fit the module
    ├── RecordingError                 (ValueError)    a recorded run that cannot be read
    ├── ScriptError                    (RuntimeError)  a script that was run for somebody failed
    └── NonFiniteError                 (ArithmeticError) a loss or gradient is NaN or infinite

A message says what happened, what was expected, what was received, and what to do.
"""


class TbpttError(Exception):
    """Base of every error raised on purpose."""


class BackendError(TbpttError):
    """Something is wrong with the choice of an engine."""


class UnknownBackendError(BackendError, LookupError):
    """No backend of that name is registered."""


class BackendNotInstalledError(BackendError, ImportError):
    """The backend is known, its framework is not installed."""


class BackendImportError(BackendError, ImportError):
    """The backend's plug-in raised while it was imported."""


class DeviceError(BackendError, LookupError):
    """The device asked for does not exist here."""


class ConfigurationError(TbpttError, ValueError):
    """A wrong argument, or arguments that exclude each other."""


class ModuleProtocolError(TbpttError, TypeError):
    """A module lacks something the trainer needs, or returned a wrong thing."""


class ScheduleError(TbpttError, ValueError):
    """A truncation schedule that cannot be."""


class StructureError(TbpttError, ValueError):
    """Two trees that should have the same structure do not."""


class ShapeError(TbpttError, ValueError):
    """An axis is missing, or lengths disagree."""


class DataError(TbpttError, ValueError):
    """Data that cannot be read or cut."""


class GradientError(TbpttError, ValueError):
    """A loss nothing can be differentiated from, or a graph that is gone."""


class WeightsError(TbpttError, ValueError):
    """A weight file that does not fit the module."""


class RecordingError(TbpttError, ValueError):
    """A recorded run that cannot be read, or does not belong to what it is compared with."""


class ScriptError(TbpttError, RuntimeError):
    """A script that was run for somebody failed."""


class NonFiniteError(TbpttError, ArithmeticError):
    """A loss, a gradient or a norm is NaN or infinite."""
