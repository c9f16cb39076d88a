"""PTB-XL from PhysioNet to the user's disk."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

_URL = "https://physionet.org/files/ptb-xl/1.0.3/"
_SUMS = "SHA256SUMS.txt"
_TABLES = ("ptbxl_database.csv", "scp_statements.csv", "LICENSE.txt")
_LINE = re.compile(r"^([0-9a-fA-F]{64}) [ *]?(.+)$")
_TIMEOUT = 60  # seconds
_RETRIES = 2


def fetch_ptbxl(
    data_home: str | os.PathLike[str] | None = None,
    *,
    sampling_rate: int = 500,
    n_jobs: int = 8,
    base_url: str = _URL,
    verbose: bool = True,
) -> Path:
    """Download PTB-XL 1.0.3 from PhysioNet; calls the network.

    The data are described in [1]_. Each file is checked by the SHA-256 that PhysioNet publishes beside it. What is
    there and right is not fetched again, so that an interrupted call goes on where it was. The records at 500 Hz take
    2.6 GB, those at 100 Hz 0.5.

    Parameters
    ----------
    data_home : path-like, optional
        Folder for the data; by default ``omi_estimators_data/ptb-xl-1.0.3`` in the home directory.
    sampling_rate : {500, 100}, default=500
        Which of the two published versions of the records.
    n_jobs : int, default=8
        Files fetched at the same time, by threads.
    base_url : str, optional
        Where the files are, ending in a slash; for a mirror.
    verbose : bool, default=True
        Whether to show a progress bar.

    Returns
    -------
    Path
        The folder, for `load_ptbxl`.

    Raises
    ------
    OSError
        If a file cannot be fetched or written; what is there stays there, and the same call goes on.
    ValueError
        If a file does not have its SHA-256, the list of sums is none, or `sampling_rate` is another.
    ImportError
        If `pooch` is not installed (`pip install omi-estimators[io]`).

    Notes
    -----
    The list of sums itself is trusted as it comes over HTTPS. Licence of the data: CC BY 4.0.

    References
    ----------
    .. [1] Wagner P. et al., "PTB-XL, a large publicly available electrocardiography dataset",
       Scientific Data 7:154 (2020). doi:10.1038/s41597-020-0495-6

    Examples
    --------
    >>> from omi_estimators.datasets import fetch_ptbxl, load_ptbxl
    >>> ptbxl = load_ptbxl(fetch_ptbxl(sampling_rate=100), sampling_rate=100)  # doctest: +SKIP
    """
    if sampling_rate not in (100, 500):
        raise ValueError(f"PTB-XL is published at 100 and 500 Hz; got sampling_rate={sampling_rate!r}.")
    pooch = _import_pooch()
    folder = Path.home() / "omi_estimators_data" / "ptb-xl-1.0.3" if data_home is None else Path(data_home)
    base_url = base_url if base_url.endswith("/") else f"{base_url}/"
    folder.mkdir(parents=True, exist_ok=True)
    sums = _fetch_sums(pooch, base_url, folder)
    wanted = [name for name in sums if name in _TABLES or name.startswith(f"records{sampling_rate}/")]
    missing = [name for name in _TABLES[:2] if name not in wanted]
    if missing:
        raise ValueError(f"{base_url}{_SUMS} does not list {missing[0]}, so it is not that of PTB-XL; check base_url.")
    registry = {name: f"sha256:{sums[name]}" for name in wanted}
    store = pooch.create(path=folder, base_url=base_url, registry=registry, retry_if_failed=_RETRIES)
    _fetch_all(pooch, store, wanted, n_jobs, verbose)
    return folder


def _import_pooch() -> Any:
    try:
        import pooch
    except ImportError as error:
        raise ImportError(
            "Fetching data needs the package pooch, which is not installed; "
            "install it with: pip install omi-estimators[io]"
        ) from error
    # It says of each of 40,000 files that it is fetched.
    pooch.get_logger().setLevel(logging.WARNING)
    return pooch


def _fetch_sums(pooch: Any, base_url: str, folder: Path) -> dict[str, str]:
    """Return the published SHA-256 of each file by its name, of which none may lead out of the folder."""
    path = folder / _SUMS
    try:
        pooch.HTTPDownloader(timeout=_TIMEOUT)(f"{base_url}{_SUMS}", str(path), None)
    except OSError as error:
        raise OSError(
            f"{base_url}{_SUMS} cannot be fetched: {_shorten(error)}. Check the network and base_url."
        ) from error
    sums = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        found = _LINE.match(line.strip())
        if found is None:
            continue
        name = found[2].removeprefix("./")
        parts = PurePosixPath(name).parts
        if name.startswith("/") or ".." in parts or "\\" in name or ":" in name:
            raise ValueError(f"{base_url}{_SUMS} names a file outside its folder, {name!r}; nothing was fetched.")
        sums[name] = found[1].lower()
    if not sums:
        raise ValueError(f"{base_url}{_SUMS} holds no SHA-256 sums; check base_url.")
    return sums


def _fetch_all(pooch: Any, store: Any, names: Iterable[str], n_jobs: int, verbose: bool) -> None:
    """Fetch what is not there yet, several files at a time."""
    from joblib import Parallel, delayed
    from tqdm import tqdm

    names = list(names)
    downloader = pooch.HTTPDownloader(timeout=_TIMEOUT)
    tasks = (delayed(_fetch)(store, name, downloader) for name in names)
    fetched = Parallel(n_jobs=n_jobs, require="sharedmem", return_as="generator_unordered")(tasks)
    for _ in tqdm(fetched, total=len(names), desc="PTB-XL", unit="file", file=sys.stderr, disable=not verbose):
        pass


def _fetch(store: Any, name: str, downloader: Any) -> None:
    """Fetch one file if it is absent or damaged; say which, if it cannot be."""
    try:
        store.fetch(name, downloader=downloader)
    except ValueError as error:
        raise ValueError(
            f"{name} from {store.base_url} does not have the SHA-256 {store.registry[name].partition(':')[2]} that is "
            "published for it, and was not kept. Call again; if it stays so, the server or the way to it is at fault."
        ) from error
    except OSError as error:
        raise OSError(
            f"{name} cannot be fetched from {store.base_url} to {store.path}: {_shorten(error)}. Call again to go on."
        ) from error


def _shorten(error: Exception) -> str:
    return " ".join(str(error).split())[:200].rstrip(".")
