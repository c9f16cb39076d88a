"""Fitted models in files that cannot run code: save, load, the card inside, and the parts of a model."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "_container": ["ModelFileError", "read_card"],
        "_examples": ["find_example", "load_example"],
        "_hub": ["from_hub", "push_to_hub"],
        "_onnx": ["export_onnx"],
        "_declared": ["iterate_parts"],
        "_save": ["ModelVersionWarning", "find_known_patients", "load", "load_profile", "save"],
    },
)
