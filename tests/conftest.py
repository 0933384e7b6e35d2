"""The fixture ``backend`` is the plug-in's (`tbptt.testing.plugin`). torch is imported first, as TensorFlow's libraries require."""

import torch  # noqa: F401  (before TensorFlow, wherever a test imports that)
