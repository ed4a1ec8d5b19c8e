"""What is mapped: a sparse mixture of autoencoders."""

from atlas.dictionary.checkpoint import Checkpoint, load, save
from atlas.dictionary.config import SmixaeConfig
from atlas.dictionary.smixae import Firings, Smixae, Weights
from atlas.dictionary.trained_on import TrainedOn

__all__ = ["Checkpoint", "Firings", "Smixae", "SmixaeConfig", "TrainedOn", "Weights", "load", "save"]
