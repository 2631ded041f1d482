"""Models: layers put together, trained with `fit`, measured with `evaluate`, used with `predict`."""

from minidl.models.model import Model
from minidl.models.sequential import Sequential
from minidl.saving import load_model
