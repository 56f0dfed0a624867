"""Feature sources: radiomics, deep features, and their agreement between readers."""

import warnings

from tqdm import TqdmWarning

# monai asks for tqdm's notebook bars, which want ipywidgets; bars are text here, so nothing is missing.
warnings.filterwarnings("ignore", message="IProgress not found", category=TqdmWarning)
