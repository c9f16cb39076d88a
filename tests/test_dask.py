"""Loops spread over a Dask cluster of processes: equal to local ones, whoever dies; and blocks of larger arrays."""

from __future__ import annotations

import os
import signal
import threading
import time

import joblib
import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold

from omi_estimators import ECGFilter, MedianBeat, NeuroKitFeatures, make_forest_pipeline
from omi_estimators.datasets import make_omi_ecgs

distributed = pytest.importorskip("distributed")

# Closing a cluster, Dask leaves sockets to the garbage collector.
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture(scope="module")
def client():
    """Return a client of two workers, processes of one thread."""
    cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None)
    with cluster, distributed.Client(cluster) as client:
        yield client


@pytest.fixture(scope="module")
def ecgs():
    return make_omi_ecgs(n_patients=60, records_per_patient=1, prevalence=0.4, random_state=0)


class Killer:
    """Kills one of the workers once tasks run, and knows when."""

    def __init__(self, client):
        client.wait_for_workers(2, timeout=60)
        self._client = client
        self._victim = next(iter(client.run(os.getpid).values()))
        self.killed_at = np.inf
        self._thread = threading.Thread(target=self._kill)

    def __enter__(self):
        self._thread.start()
        return self

    def _kill(self):
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if any(self._client.processing().values()):
                time.sleep(0.2)
                os.kill(self._victim, signal.SIGKILL)
                self.killed_at = time.monotonic()
                return
            time.sleep(0.01)

    def __exit__(self, *args):
        self._thread.join()


def test_features_with_a_worker_killed(client, ecgs):
    expected = NeuroKitFeatures().fit_transform(ecgs.X)
    with Killer(client) as killer, joblib.parallel_config(backend="dask"):
        found = NeuroKitFeatures(n_jobs=-1).fit_transform(ecgs.X)
        assert killer.killed_at < time.monotonic()
    np.testing.assert_array_equal(found, expected)


def test_grid_search_with_a_worker_killed(client, ecgs, tmp_path):
    def search(cache):
        forest = make_forest_pipeline(500, n_estimators=10, memory=str(cache), random_state=0)
        found = GridSearchCV(forest, {"forest__max_depth": [2, 4]}, cv=StratifiedGroupKFold(3), scoring="roc_auc")
        return found.fit(ecgs.X, ecgs.y, groups=ecgs.groups)

    local = search(tmp_path / "local")
    with Killer(client) as killer, joblib.parallel_config(backend="dask", scatter=[ecgs.X]):
        spread = search(tmp_path / "spread")
        assert killer.killed_at < time.monotonic()
    for name in ("split0_test_score", "split1_test_score", "split2_test_score", "mean_test_score"):
        np.testing.assert_array_equal(spread.cv_results_[name], local.cv_results_[name])
    np.testing.assert_array_equal(spread.predict_proba(ecgs.X), local.predict_proba(ecgs.X))


def test_blocks_of_a_zarr_array(client, ecgs, tmp_path):
    """The recipe of docs/scaling.md."""
    zarr = pytest.importorskip("zarr")
    da = pytest.importorskip("dask.array")
    X = ecgs.X[:20]
    stored = zarr.create_array(tmp_path / "ecgs.zarr", shape=X.shape, chunks=(8, *X.shape[1:]), dtype=X.dtype)
    stored[:] = X
    records = da.from_zarr(tmp_path / "ecgs.zarr")
    features = NeuroKitFeatures().fit(X[:2])
    table = records.map_blocks(
        features.transform,
        dtype=np.float64,
        drop_axis=2,
        chunks=(records.chunks[0], (len(features.get_feature_names_out()),)),
        meta=np.empty((0, 0)),
    )
    np.testing.assert_array_equal(table.compute(), features.transform(X))
    beats = MedianBeat().fit(X[:2])
    shape = beats.transform(X[:1]).shape
    blocks = records.map_blocks(
        lambda block: beats.transform(ECGFilter().fit_transform(block)),
        dtype=np.float32,
        chunks=(records.chunks[0], (shape[1],), (shape[2],)),
        meta=np.empty((0, 0, 0), dtype=np.float32),
    )
    blocks.to_zarr(tmp_path / "beats.zarr")
    expected = MedianBeat().fit_transform(ECGFilter().fit_transform(X))
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "beats.zarr")[:], expected)
