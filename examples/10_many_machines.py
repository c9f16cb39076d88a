"""
Many machines
=============

Features, cross-validation and grid search are loops of joblib, and Dask spreads these over a cluster. Give the address
of a scheduler (``tcp://host:8786``), or nothing for two processes on this computer. A worker that dies costs its own
tasks only, which others do again. The ECGs are simulated, so the scores say nothing about a hospital.
"""

import argparse
from contextlib import ExitStack

import joblib
from dask.distributed import Client, LocalCluster
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
from sklearn.pipeline import make_pipeline

from omi_estimators import NeuroKitFeatures
from omi_estimators.datasets import make_omi_ecgs


def main() -> None:
    """Measure features and search over a forest on a cluster."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scheduler", nargs="?", help="address of a Dask scheduler")
    scheduler = parser.parse_args().scheduler
    ecgs = make_omi_ecgs(n_patients=60, prevalence=0.4, random_state=0)
    with ExitStack() as stack:
        address = scheduler or stack.enter_context(LocalCluster(n_workers=2, dashboard_address=None))
        stack.enter_context(Client(address))

        # Blocks of records go to the workers with their tasks.
        with joblib.parallel_config(backend="dask"):
            table = NeuroKitFeatures(n_jobs=-1).set_output(transform="pandas").fit_transform(ecgs.X)
        print(f"{table.shape[1]} features of {len(table)} records")

        # What all tasks need is scattered: each worker then has its own copy, and none is lost with a worker.
        features = table.to_numpy()
        forest = make_pipeline(SimpleImputer(), RandomForestClassifier(100, random_state=0))
        search = GridSearchCV(
            forest,
            {"randomforestclassifier__max_features": ["sqrt", 0.2], "randomforestclassifier__min_samples_leaf": [1, 5]},
            scoring="roc_auc",
            cv=StratifiedGroupKFold(3),
        )
        with joblib.parallel_config(backend="dask", scatter=[features]):
            search.fit(features, ecgs.y, groups=ecgs.groups)
    print(f"AUROC {search.best_score_:.3f} with {search.best_params_}")


if __name__ == "__main__":
    main()
