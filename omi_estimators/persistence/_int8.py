"""An ONNX model whose convolutions compute in 8-bit integers, by ONNX Runtime's static quantization."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_BATCH = 32


def quantize(model: Any, beats: NDArray[np.float32]) -> bytes:
    """Return a quantized model: weights per channel, activations in the ranges that they take for `beats`.

    Parameters
    ----------
    model : onnx.ModelProto
        Of an input ``beat``.
    beats : ndarray of shape (n_records, n_leads, n_samples)
        What the model will see.

    Returns
    -------
    bytes
        The file.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    root = logging.getLogger()
    level = root.level
    # It recommends a step of preparation, on the root logger, that changes nothing for folded convolutions.
    root.setLevel(logging.ERROR)
    try:
        with tempfile.TemporaryDirectory(prefix="omi-estimators-") as folder:
            path = Path(folder, "model.onnx")
            quantize_static(
                model,
                path,
                _Reader(beats),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                weight_type=QuantType.QInt8,
                activation_type=QuantType.QUInt8,
                op_types_to_quantize=["Conv"],
            )
            return path.read_bytes()
    finally:
        root.setLevel(level)


class _Reader:
    """Hands beats to the calibration, a batch at a time, as its `CalibrationDataReader` does."""

    def __init__(self, beats: NDArray[np.float32]):
        self._batches: Iterator[dict[str, NDArray[np.float32]]] = (
            {"beat": beats[start : start + _BATCH]} for start in range(0, len(beats), _BATCH)
        )

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """Return the next batch, None after the last."""
        return next(self._batches, None)
