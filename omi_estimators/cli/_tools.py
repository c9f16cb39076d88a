"""What the commands share: how they speak and refuse, labels, records and models from files, the first measuring."""

from __future__ import annotations

import argparse
import errno
import importlib.util
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omi_estimators._text import clean_text

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from omi_estimators.preprocessing import Usable

SOME_FAILED = 1
BAD_INPUT = 2
INTERRUPTED = 130
# What arguments of the readers are called on the command line; for the names of leads it has no word.
_FLAGS = {"sampling_rate": "--file-rate", "unit": "--unit", "leads": "leads, in Python,"}
# The line of a card that names the positive class.
_POSITIVE = "- Positive class: "
_EXAMPLE_NOTE = "an example model: MI of any age against normal ECGs. It is not OMI, and not for patients."
_REASONS = {
    FileNotFoundError: "there is no such file",
    IsADirectoryError: "it is a folder",
    PermissionError: "it may not be opened",
}


def say(text: str) -> None:
    """Print to stderr: what is not the result."""
    print("\n".join(clean_text(line, 10_000) for line in text.split("\n")), file=sys.stderr)


@contextmanager
def say_warnings(*ignored: type[Warning]) -> Iterator[list[str]]:
    """Say once, as a note, what is warned of inside but for the kinds ignored; the list holds the same afterwards."""
    told: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        for category in ignored:
            warnings.simplefilter("ignore", category)
        yield told
    told += dict.fromkeys(str(item.message) for item in caught)
    for text in told:
        say(f"note: {text}")


def name_flags(text: str) -> str:
    """Return words of the library with the arguments of its readers called as on the command line."""
    return re.sub(rf"\b({'|'.join(_FLAGS)})=(?=(\S?))", lambda m: _FLAGS[m[1]] + " " * (m[2].strip(";,.") != ""), text)


def explain(error: Exception) -> str:
    """Return in one line why input is bad."""
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        reason = _REASONS.get(type(error), error.strerror)
        text = reason if error.filename is None else f"{error.filename}: {reason}"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        text += "; make room there, or choose another place, and give the same command again"
    return name_flags(" ".join(text.split()))


def positive(text: str) -> int:
    """Return an argument as a whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1; got {text!r}")
    return int(text)


def check_jobs_and_seed(args: argparse.Namespace) -> None:
    """Raise a ValueError for a number of processes or a seed that is none."""
    if args.jobs == 0:
        raise ValueError("--jobs must be a number of processes, or -1 for all cores; got 0.")
    if getattr(args, "seed", 0) < 0:
        raise ValueError(f"--seed must be at least 0; got {args.seed}.")


def _class_name(text: str) -> str:
    if not text.strip() or len(text) > 40 or clean_text(text) != text:
        raise argparse.ArgumentTypeError(f"must be a name of 1 to 40 letters that can be printed; got {text!r}")
    return text


def name_positive(args: argparse.Namespace, model: Any) -> str:
    """Return what the positive class is called: as given, by the model or by its card; a mere number is no name."""
    from omi_estimators.persistence import read_card

    name = args.positive or str(find_positive(model))
    if name not in ("1", "1.0", "True"):
        return clean_text(name, 40)
    told = [line for line in read_card(args.model).splitlines() if line.startswith(_POSITIVE)]
    return clean_text(told[0].removeprefix(_POSITIVE), 40) if told else "positive"


def find_positive(model: Any) -> Any:
    """Return the label of the positive class."""
    return getattr(model, "pos_label_", model.classes_[1])


def name_both(positive: str | None) -> list[str] | None:
    """Return names of the negative and the positive class; None where nobody has named the latter."""
    return None if positive in (None, "positive") else [f"no {positive}", positive]


def tell_positive(positive: str | None) -> str:
    """Return the line of a card by which `name_positive` knows the name again, and an empty one; "" without a name."""
    return "" if positive in (None, "positive") else f"{_POSITIVE}{positive}\n\n"


def file_options(args: argparse.Namespace) -> dict[str, Any]:
    """Return what was said of files of plain numbers, as `read_ecg` takes it."""
    params = {"sampling_rate": args.file_rate, "unit": args.unit}
    return {name: value for name, value in params.items() if value is not None}


def check_report(folder: Path) -> None:
    """Raise an error if a report could not be drawn, or not be written."""
    if importlib.util.find_spec("matplotlib") is None:
        from omi_estimators._validation import how_to_install

        raise ImportError(f"The report needs matplotlib; install it with: {how_to_install('plot')}")
    check_writable(folder, "report", "--out")


def check_writable(path: Path, what: str, option: str) -> None:
    """Raise an OSError if `path` cannot be made: the nearest folder that is there is none, or not to be written to."""
    folder = path.absolute()
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise OSError(f"The {what} cannot be written to {path}: {folder} is not a writable folder; choose {option}.")


def check_new_file(path: Path, what: str, option: str) -> None:
    """Raise an error if a file cannot be written there."""
    check_writable(path.absolute().parent, what, option)
    if path.is_dir():
        raise ValueError(f"{option} must be a file; {path} is a folder.")


@contextmanager
def keeping_measured(args: argparse.Namespace) -> Iterator[Path]:
    """Give the folder in which what is measured is kept: that of `--cache`, else one that goes at the end."""
    if args.cache is None:
        with tempfile.TemporaryDirectory(prefix="omi-estimators-") as folder:
            yield Path(folder)
    else:
        args.lost += f"; what is finished is in {args.cache}, and the same command goes on from there"
        yield args.cache


def make_models(args: argparse.Namespace, names: Sequence[str], cache: Path, **net_params: Any) -> dict[str, Any]:
    """Return candidates by name, unfitted, as the options say."""
    from omi_estimators.candidates import make_candidates

    given = {"max_epochs": args.epochs, "width": args.width, "n_members": args.members}
    return make_candidates(
        names,
        args.sampling_rate,
        memory=str(cache),
        n_jobs=args.jobs,
        net_params=net_params | {name: value for name, value in given.items() if value is not None},
        calibrated=args.calibrate,
    )


def expand_files(given: Sequence[Path]) -> list[Path]:
    """Return the files that are ECGs of their own, those of folders in order; say of how many others are not."""
    from omi_estimators.readers import find_ecg_files

    files = find_ecg_files(given)
    if not files:
        raise ValueError(f"There are no files in {', '.join(map(str, given))}.")
    others = len({path for path in given if not path.is_dir()} - set(files))
    if others:
        say(f"note: {others} of the files given belong to the record of another one, and have no line of their own.")
    return files


def name_uniquely(files: Sequence[Path], taken: Sequence[str] = ()) -> list[str]:
    """Return a name of letters, digits, _ and - for each file that no other has, whatever the case of its letters."""
    names: list[str] = []
    used = set(taken)
    for path in files:
        stem = re.sub(r"[^A-Za-z0-9_-]+", "_", path.stem)
        name, number = stem, 1
        while name.lower() in used:
            number += 1
            name = f"{stem}_{number}"
        used.add(name.lower())
        names.append(name)
    return names


_COLUMNS = ("file", "label", "patient")


def read_labels(path: Path, folder: Path, more: Sequence[str] = ()) -> pd.DataFrame:
    """Read a table of labels.

    Parameters
    ----------
    path : Path
        A CSV file with the columns `file`, `label` (0 or 1) and perhaps `patient`.
    folder : Path
        What `file` is relative to.
    more : sequence of str
        Further columns to keep where they are there; their cells may be empty.

    Returns
    -------
    DataFrame
        `file`, `label` as int, `patient` as str if it is there, `path`, and further columns: numbers if all cells are.

    Raises
    ------
    OSError
        If the table or the folder is absent.
    ValueError
        If a column is missing, a cell empty, a label another than 0 and 1, a file named twice, or a class absent.
    """
    import pandas as pd

    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder.as_posix()!r}; --data must be that of the ECG files.")
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, skipinitialspace=True)
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ValueError(f"{path.name} cannot be read as a CSV table: {error}") from error
    table.columns = [str(column).strip().lower() for column in table.columns]
    missing = [column for column in _COLUMNS[:2] if column not in table]
    if missing:
        raise ValueError(
            f"{path.name} has the columns {', '.join(table.columns)}, but not {' and '.join(missing)}; it must have "
            "file, label (0 or 1) and should have patient."
        )
    table = table.apply(lambda cells: cells.str.strip())
    further = {column: _read_column(table[column]) for column in more if column in table and column not in _COLUMNS}
    table = table[[column for column in _COLUMNS if column in table]]
    _check_cells(table, path.name)
    labels = table["label"].astype(float).astype(int)
    for label in (0, 1):
        if not (labels == label).any():
            raise ValueError(f"{path.name} has no record with label {label}; both classes are needed.")
    return table.assign(label=labels, path=[str(folder / name) for name in table["file"]], **further)


def _read_column(cells: pd.Series) -> pd.Series:
    """Return a column as numbers if all its cells are such or empty, else as words, None where empty."""
    import pandas as pd

    known = cells.where(cells != "", None)
    try:
        return pd.to_numeric(known)
    except ValueError:
        return known


def _check_cells(table: pd.DataFrame, name: str) -> None:
    """Raise a ValueError that names the first row with a bad cell; rows count from 2, as editors show them."""
    if table.empty:
        raise ValueError(f"{name} has no rows.")
    for column in table:
        empty = (table[column] == "").to_numpy()
        if empty.any():
            raise ValueError(f"{name} has an empty {column} in row {int(empty.argmax()) + 2}.")
    bad = ~table["label"].isin(["0", "1", "0.0", "1.0"]).to_numpy()
    if bad.any():
        row = int(bad.argmax())
        raise ValueError(f"{name} has label {table['label'].iloc[row]!r} in row {row + 2}; a label is 0 or 1.")
    twice = table["file"].duplicated().to_numpy()
    if twice.any():
        raise ValueError(f"{name} names {table['file'].iloc[int(twice.argmax())]!r} twice; give each file one row.")


def read_records(
    labels: pd.DataFrame, sampling_rate: float, duration: float, args: argparse.Namespace
) -> tuple[Any, pd.DataFrame]:
    """Return the ECGs of a table of labels, and the table with what the files say beside it.

    Of a file that cannot be read the ECG is NaN, and `error` says why. `file_patient`, `file_age` and `file_sex` are
    from the files. Raises a ValueError if no file can be read.
    """
    from omi_estimators.readers import load_ecgs

    with say_warnings():
        X, read = load_ecgs(
            labels["path"],
            sampling_rate,
            duration,
            read_params=file_options(args),
            n_jobs=args.jobs,
            on_error="keep",
            verbose=True,
        )
    if not (read["error"] == "").any():
        raise ValueError(f"None of the {len(read)} files could be read; the first: {read['error'].iloc[0]}")
    found = {"file_patient": "patient_id", "file_age": "age", "file_sex": "sex", "error": "error"}
    read["error"] = read["error"].map(name_flags)
    return X, labels.assign(**{name: read[column].to_numpy() for name, column in found.items()})


def knows_patients(table: pd.DataFrame) -> bool:
    """Return whether the table, or every file, names the patient."""
    return "patient" in table or bool(table["file_patient"].notna().all())


def read_cohort(args: argparse.Namespace, columns: Sequence[str] = ()) -> tuple[Any, pd.DataFrame, int]:
    """Return the ECGs that `--data` and `--labels` name and that can be read, their rows, and how many cannot be.

    Rows keep their numbers in the table. Raises a ValueError if those that can be read are of one class.
    """
    X, table = read_records(read_labels(args.labels, args.data, columns), args.sampling_rate, args.duration, args)
    kept = (table["error"] == "").to_numpy()
    check_both_classes(table["label"][kept])
    return (X if kept.all() else X[kept]), table[kept], int((~kept).sum())


def check_both_classes(labels: Collection[int]) -> None:
    """Raise a ValueError if the records that are left are of one class."""
    if len(set(labels)) < 2:
        raise ValueError("The records that could be read and measured are of one class only; both 0 and 1 are needed.")


def find_patients(table: pd.DataFrame) -> NDArray[np.object_]:
    """Return who each record is of: from the table, else from the files, else each its own, with a word of warning."""
    import numpy as np

    if "patient" in table:
        return table["patient"].to_numpy(dtype=object)
    if table["file_patient"].notna().all():
        say("note: patients are those that the files name.")
        return table["file_patient"].to_numpy(dtype=object)
    say(
        "note: neither the table nor every file names the patient, so each file counts as a patient of its own. If "
        "somebody has two, figures are too good and their intervals too narrow; add a column patient."
    )
    return np.arange(len(table)).astype(object)


def find_column(table: pd.DataFrame, name: str, file_name: str) -> Any:
    """Return a column to split by: from the table, or age and sex from the files."""
    if name in table:
        return table[name].to_numpy()
    if name not in ("age", "sex") or table[f"file_{name}"].isna().all():
        columns = [str(column) for column in table.columns if column != "path" and not str(column).startswith("file_")]
        raise ValueError(f"{file_name} has no column {name!r} for --subgroup, and no file tells it; it has {columns}.")
    values = table[f"file_{name}"].to_numpy()
    return values if name == "age" else [{0: "male", 1: "female"}.get(sex) for sex in values.tolist()]


def model_file(text: str) -> Path:
    """Return the file of a model, as an argument names it: a path, or an example model that comes with the package."""
    if not text.startswith("example:"):
        return Path(text)
    from omi_estimators.persistence import find_example

    try:
        path = find_example(text.removeprefix("example:"))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    say(f"note: {_EXAMPLE_NOTE}")
    return path


def model_notes(path: Path) -> list[str]:
    """Return what must be known of a model wherever it is used."""
    from omi_estimators.persistence import find_example

    return [_EXAMPLE_NOTE] if path.parent == find_example("mi-forest").parent else []


def load_model(path: Path, notes: list[str] | None = None) -> tuple[Any, float, int]:
    """Return the model, and the rate (Hz) and number of samples of the records that it was fitted on.

    What its loading warns of, such as other versions, is said, and added to `notes`.
    """
    from omi_estimators.persistence import iterate_parts, load

    with say_warnings() as told:
        model = load(path)
    if notes is not None:
        notes += told
    if not hasattr(model, "predict_proba") or len(getattr(model, "classes_", ())) != 2:
        raise ValueError(f"{path.name} holds a {type(model).__name__}, not a fitted classifier of two classes.")
    for part in iterate_parts(model):
        found = vars(part)
        if "sampling_rate" in found and "n_samples_in_" in found:
            return model, float(found["sampling_rate"]), int(found["n_samples_in_"])
    raise ValueError(f"{path.name} holds a {type(model).__name__} that does not start from raw ECGs; give a pipeline.")


_CHUNK = 32  # records between two steps of the progress bar


def measure_records(X: Any, estimators: Collection[str], sampling_rate: float, *, n_jobs: int, cache: Path) -> Usable:
    """Fill the cache of beats and features, showing progress.

    Done once and in parallel, so that the folds' times are those of learning.

    Parameters
    ----------
    X : array of shape (n_records, 12, n_samples)
        ECGs in millivolts.
    estimators : collection of str
        Of `CANDIDATES`; they decide what is measured.
    sampling_rate : float
        Hz.
    n_jobs : int
        Processes.
    cache : Path
        Where to keep it.

    Returns
    -------
    Usable
        Which records have beats and features, and why the others have none.

    Raises
    ------
    ValueError
        If almost none has.
    """
    from tqdm import tqdm

    from omi_estimators.pipelines import make_forest_pipeline, make_net_pipeline
    from omi_estimators.preprocessing import Usable, check_usable, measure_steps

    # The steps that work on one record at a time; the regression's beats are those of the net.
    wanted = set(estimators)
    steps = {}
    if wanted & {"forest", "extra_trees", "fusion"}:
        steps["features"] = make_forest_pipeline(sampling_rate, memory=str(cache), n_jobs=n_jobs)[:1]
    if wanted - {"forest", "extra_trees", "prior"}:
        steps["beats"] = make_net_pipeline(sampling_rate, memory=str(cache), n_jobs=n_jobs)[:2]
    usable = Usable.from_reasons([""] * len(X))
    with say_warnings():
        for what, measure in steps.items():
            fitted = measure.fit(X[:1]).steps
            if not sys.stderr.isatty():
                say(f"measuring {what} of {len(X)} records")
            # Where stderr is no terminal, there is no bar.
            bar = tqdm(total=len(X), desc=f"measuring {what}", unit="record", file=sys.stderr, disable=None)
            with bar, warnings.catch_warnings():
                # Told below, of all records together.
                warnings.simplefilter("ignore")
                for start in range(0, len(X), _CHUNK):
                    bar.update(len(measure_steps(fitted, X[start : start + _CHUNK]).usable.mask))
            usable &= measure_steps(fitted, X).usable
    check_usable(usable)
    return usable


_FOLDER = {"metavar": "DIR", "type": Path}
_NUMBER = {"metavar": "N", "type": positive}
_MODEL_HELP = "a file that omi-estimators fit or omi_estimators.save wrote, or example:mi-forest"
_POSITIVE_HELP = "what the positive class is called, such as OMI"
_SUBGROUP_HELP = "column to split by; may be given repeatedly"
_OPTIONS: dict[str, dict[str, Any]] = {
    "model": {"metavar": "MODEL", "type": model_file, "help": _MODEL_HELP},
    "files": {"metavar": "FILE", "type": Path, "nargs": "+", "help": "ECG files of any kind, or folders of such"},
    "--data": _FOLDER | {"help": "folder of the ECG files"},
    "--labels": {"metavar": "CSV", "type": Path, "help": "their table with the columns file, label, patient"},
    "--subgroup": {"metavar": "COLUMN", "action": "append", "default": [], "help": _SUBGROUP_HELP},
    "--positive": {"metavar": "NAME", "type": _class_name, "help": _POSITIVE_HELP},
    "--file-rate": _NUMBER | {"metavar": "HZ", "help": "of files of plain numbers (CSV, NPY, MAT)"},
    "--unit": {"choices": ("mV", "uV", "V"), "help": "of files of plain numbers"},
    "--sampling-rate": _NUMBER | {"metavar": "HZ", "default": 500, "help": "to work at (default: 500)"},
    "--duration": _NUMBER | {"metavar": "S", "default": 10, "help": "of each record that is used (default: 10)"},
    "--folds": _NUMBER | {"default": 5, "help": "folds by patient (default: 5)"},
    "--epochs": _NUMBER | {"help": "most epochs of the net (default: that of the classifier)"},
    "--width": _NUMBER | {"help": "channels of the net's first stage (default: 64)"},
    "--members": _NUMBER | {"help": "networks that are averaged (default: 5)"},
    "--seed": {"metavar": "N", "type": int, "default": 0, "help": "of everything that chance decides (default: 0)"},
    "--cache": _FOLDER,
    "--jobs": {"metavar": "N", "type": int, "default": -1, "help": "processes; -1 means all cores (default: -1)"},
}
"""The options that several commands have."""


def add_command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], int], words: str | None, *, lost: str, **settings: Any
) -> Callable[..., None]:
    """Add a command, and return what adds options to it: by name, as all commands have them but for what is given.

    Parameters
    ----------
    commands : object
        From `add_subparsers`.
    name : str
        Of the command.
    run : callable
        What it does.
    words : str or None
        Docstring of its module: after the first paragraph the description, and after that what stands below the help.
    lost : str
        What is missing after Ctrl-C.
    **settings
        For the parser, such as `help`.
    """
    description, _, epilog = (words or "").partition("\n\n")[2].partition("\n\n")
    formatter = argparse.RawDescriptionHelpFormatter
    parser = commands.add_parser(
        name, description=description, epilog=epilog.rstrip(), formatter_class=formatter, **settings
    )
    parser.set_defaults(run=run, lost=lost)

    def add(*names: str, **changes: Any) -> None:
        for option in names:
            parser.add_argument(option, **(_OPTIONS.get(option, {}) | changes))

    return add
