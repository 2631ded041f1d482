"""Models in files. `archive` is the file itself, `models` what is written into it."""

from minidl.saving.models import load_model, load_model_and_extra, load_weights, save_model, save_weights
