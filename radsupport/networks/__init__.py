"""Neural networks as sources of features and risks: U-Net, ResNet, 3-D CNN, and what they look at."""

import warnings

from tqdm import TqdmWarning

# monai asks for tqdm's notebook bars, which want ipywidgets; bars are text here, so nothing is missing.
warnings.filterwarnings("ignore", message="IProgress not found", category=TqdmWarning)
