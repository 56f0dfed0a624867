"""Neural networks as sources of features and risks: U-Net, ResNet and 3-D CNN, and what they look at.

`compute` takes the section `deep` of a study file and what it is `Given` (patients, scans, windows, folders), trains
the network where it is trained, and returns a `DeepResult`: the table of everybody's features, how it was trained, what
it saw. `describe` lets networks that were trained before describe new patients. `trainers`, `settings_table`, `layers`
and `blocks` (to be drawn) describe the network, `between_phases` asks how alike the features of two phases are,
`second_reader` scores the outlines of another reader, `by_sample_size` lets networks learn from fewer patients,
`own_outlines` puts what a U-Net outlines in the place of the reader's outline,
`attend` shows where a network that gives risks looks. Networks, training loop and checkpoints lie in `unet`, `resnet`,
`cnn3d` and `training`; the environment variable ``RADSUPPORT_DEVICE`` chooses where they compute.
"""

import warnings

from tqdm import TqdmWarning

# monai asks for tqdm's notebook bars, which want ipywidgets; bars are text here, so nothing is missing.
warnings.filterwarnings("ignore", message="IProgress not found", category=TqdmWarning)

from radsupport.networks.attention import attend  # noqa: E402
from radsupport.networks.inputs import Given  # noqa: E402
from radsupport.networks.outlines import own_outlines  # noqa: E402
from radsupport.networks.result import between_phases, blocks, settings_table  # noqa: E402
from radsupport.networks.schemes import by_sample_size, second_reader  # noqa: E402
from radsupport.networks.sources import compute, describe, layers, trainers  # noqa: E402

__all__ = [
    "Given", "attend", "between_phases", "blocks", "by_sample_size", "compute", "describe", "layers", "own_outlines",
    "second_reader", "settings_table", "trainers",
]  # fmt: skip
