"""Every public estimator of scikit-learn is saved and answers bit for bit, or is refused for a stated reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.model_files import all_scikit_learn, describe, find_differences, fit_small
from omi_estimators import load, save
from omi_estimators.persistence import ModelFileError, iterate_parts
from omi_estimators.persistence._declared import REFUSED, UNCHECKED, find_type, name_type

KINDS = all_scikit_learn()
# Of each family of state: the normal run tries these.
SOME = (
    *(
        "CalibratedClassifierCV",
        "ColumnTransformer",
        "CountVectorizer",
        "GradientBoostingClassifier",
        "IsotonicRegression",
    ),
    *("HistGradientBoostingClassifier", "IsolationForest", "IterativeImputer", "KMeans", "LinearSVC", "MLPClassifier"),
    *("OneHotEncoder", "PCA", "PoissonRegressor", "RandomForestClassifier", "SVC", "SelectKBest", "SplineTransformer"),
    *("StackingClassifier", "TargetEncoder", "TunedThresholdClassifierCV", "VotingClassifier"),
)


def test_every_estimator_has_a_public_name_that_leads_back_to_it():
    for name, kind in KINDS.items():
        public = name_type(kind)
        assert public is not None, name
        assert "._" not in public
        if public in REFUSED:
            with pytest.raises(ModelFileError):
                find_type(public)
        else:
            assert find_type(public) is kind


@pytest.mark.parametrize("name", SOME)
@pytest.mark.filterwarnings("ignore")
def test_what_is_saved_answers_bit_for_bit(name):
    assert find_differences(*fit_small(KINDS[name])) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(KINDS))
@pytest.mark.filterwarnings("ignore")
def test_what_comes_of_each_stands_in_the_page(name):
    page = (Path(__file__).parents[2] / "docs/model_files.md").read_text()
    row = next(line for line in page.splitlines() if line.startswith("|") and f"`{name}`" in line)
    assert row.split("|")[1].strip() == describe(name, KINDS[name])


@pytest.mark.parametrize("name", [kind.rpartition(".")[2] for kind in sorted(UNCHECKED)])
@pytest.mark.filterwarnings("ignore")
def test_what_compiled_code_follows_unchecked_is_refused_unless_named(name, tmp_path):
    model, _ = fit_small(KINDS[name])
    save(model, tmp_path / "model.omi")
    with pytest.raises(ModelFileError, match=rf"trusted=\['{name_type(type(model))}'\]"):
        load(tmp_path / "model.omi")
    assert len(list(iterate_parts(load(tmp_path / "model.omi", trusted=[name_type(type(model))])))) >= 1
