"""Fit the example model of the wheel again: `python .ci/example.py PTBXL`, PTBXL being PTB-XL's records 1 to 500."""

import sys
import warnings

from omi_estimators import RiskTierClassifier, make_forest_pipeline, save
from omi_estimators.datasets import load_ptbxl
from omi_estimators.metrics import bootstrap_intervals
from omi_estimators.persistence import find_example
from omi_estimators.typicality import ECGProfile

NOTES = """\
MI of any age against normal ECGs, mostly old infarctions: it is not occlusion MI (OMI), and it is not for patients.
It is here to try the package with.

- Positive class: MI
- Data: PTB-XL 1.0.3, records 1 to 500, those with MI or normal, by Wagner P. et al. (doi:10.1038/s41597-020-0495-6),
  under CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/). The file holds none of the records.
- Made by `python .ci/example.py` of the repository."""
FIGURES = {
    "roc_auc": "AUROC",
    "average_precision": "average precision",
    "brier_score": "Brier score",
    "calibration_slope": "calibration slope",
    "calibration_intercept": "calibration intercept",
}

warnings.simplefilter("ignore")
ecgs = load_ptbxl(sys.argv[1])
forest = make_forest_pipeline(ecgs.sampling_rate, n_estimators=200, min_samples_leaf=2, random_state=0)
model = RiskTierClassifier(forest, random_state=0).fit(ecgs.X, ecgs.y, groups=ecgs.groups)
profile = ECGProfile(ecgs.sampling_rate).fit(ecgs.X, groups=ecgs.groups, age=ecgs.age, sex=ecgs.sex)
scores = {"model": model.out_of_fold_[model.usable_]}
given = {"groups": ecgs.groups[model.usable_], "folds": model.fold_[model.usable_], "random_state": 0}
found = bootstrap_intervals(ecgs.y[model.usable_], scores, list(FIGURES), **given)["model"]
metrics = {text: found[name] for name, text in FIGURES.items()}
metrics |= {"rule-out below": model.thresholds_.rule_out, "rule-in from": model.thresholds_.rule_in}
path = find_example("mi-forest") if len(sys.argv) < 3 else sys.argv[2]
where = "the training records, out of 5 folds by patient"
save(model, path, y=ecgs.y, groups=ecgs.groups, metrics=metrics, evaluated_on=where, notes=NOTES, profile=profile)
