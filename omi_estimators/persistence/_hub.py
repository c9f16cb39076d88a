"""Models on the Hugging Face Hub: the file that `save` writes and, as its README, the card in it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import omi_estimators
from omi_estimators._text import clean_text
from omi_estimators._validation import naming_package
from omi_estimators.persistence._container import CARD, PATIENTS, decode_card, read_bytes, unpack
from omi_estimators.persistence._save import load, save

_FILE = "model.omi"
_TAGS = ("ecg", "electrocardiogram", "12-lead-ecg", "research-use-only")
_README = """\
---
{header}
---

Research use only; not a medical device.

```python
from omi_estimators.persistence import from_hub

model = from_hub("{repo_id}")  # revision="..." for one that stays as it is
```

{card}"""


def push_to_hub(
    model: Any,
    repo_id: str,
    *,
    license: str,
    tags: Collection[str] = (),
    private: bool = True,
    token: str | bool | None = None,
    message: str = "Model of omi_estimators",
    **card: Any,
) -> str:
    """Put a model on the Hugging Face Hub: its file, and its card as the README.

    Nothing else of this package but `from_hub` speaks to the Hub.

    Parameters
    ----------
    model : estimator or path-like
        A model, which is saved first, or a file that `save` wrote.
    repo_id : str
        Where to, such as "my-name/my-model"; made if it is not there.
    license : str
        Of the model, as the Hub calls it, such as "cc-by-4.0". Nobody but you knows it.
    tags : collection of str, default=()
        To be found by, beside those that every model of this package gets.
    private : bool, default=True
        Whether nobody else may see it. A repository that is there stays as it is.
    token : str, bool or None, default=None
        As in `huggingface_hub`: None is the environment variable HF_TOKEN, or what ``hf auth login`` has stored.
    message : str
        Of the commit.
    **card
        What `save` takes, such as ``metrics=``, for a model that is not yet a file.

    Returns
    -------
    str
        The hash of the commit, for ``from_hub(revision=...)``.

    Raises
    ------
    ConnectionError
        If the Hub cannot be reached, or does not do it.
    FileNotFoundError
        If there is no such file.
    ImportError
        If `huggingface_hub` is not installed (the extra `hub`).
    ModelFileError
        If the file is no model file.
    PermissionError
        If the token does not allow it.
    TypeError
        If the model cannot be saved, or `card` is given for a file.
    ValueError
        If the file holds hashes of patients, the repository is public although `private` is asked for, or the Hub does
        not know the licence or allow the name.

    See Also
    --------
    from_hub : The way back.
    save : What is in the file.

    Examples
    --------
    >>> from omi_estimators.persistence import push_to_hub
    >>> push_to_hub("forest.omi", "my-name/my-forest", license="cc-by-4.0")  # doctest: +SKIP
    """
    with _speaking_to_hub(repo_id) as hub, tempfile.TemporaryDirectory() as folder:
        path = model
        if not isinstance(model, str | os.PathLike):
            path = Path(folder, _FILE)
            save(model, path, **card)
        elif card:
            raise TypeError(f"{model} has its card; leave out {', '.join(card)}.")
        data = read_bytes(path)
        members = unpack(data, str(path))[1]
        if PATIENTS in members:
            raise ValueError(
                "The file holds hashes of patients, from which ids can be guessed; save it without remember_patients."
            )
        facts = hub.ModelCardData(license=license, library_name="omi_estimators", tags=[*_TAGS, *tags])
        text = _README.format(header=facts.to_yaml(), repo_id=repo_id, card=decode_card(members[CARD], str(path)))
        api = hub.HfApi(token=token, library_name="omi_estimators", library_version=omi_estimators.__version__)
        api.create_repo(repo_id, private=private, exist_ok=True)
        if private and not api.model_info(repo_id).private:
            raise ValueError(f"{repo_id} is there and public; make it private, or say private=False.")
        files = {_FILE: data, "README.md": text.encode()}
        added = [hub.CommitOperationAdd(name, content) for name, content in files.items()]
        return str(api.create_commit(repo_id, added, commit_message=message).oid)


def from_hub(
    repo_id: str,
    filename: str = _FILE,
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    trusted: Collection[str] = (),
) -> Any:
    """Load a model from the Hugging Face Hub, as safely as `load` does: nothing in the file is run.

    The file is kept in the cache of `huggingface_hub`, from which it is taken again, without a network too. Its path,
    for `read_card`, `load_profile` and the command line, is what ``huggingface_hub.hf_hub_download`` returns.

    Parameters
    ----------
    repo_id : str
        Such as "somebody/their-model".
    filename : str, default="model.omi"
        The file in it.
    revision : str, optional
        A commit's hash, so that you get the model that you have looked at whatever its owner does, or a branch or tag;
        the newest if None.
    token : str, bool or None, default=None
        As in `push_to_hub`; for private models.
    cache_dir : path-like, optional
        Instead of the cache of `huggingface_hub`.
    trusted : collection of str, default=()
        As in `load`.

    Returns
    -------
    estimator
        As from `load`.

    Raises
    ------
    ConnectionError
        If the Hub cannot be reached and the file is not in the cache.
    FileNotFoundError
        If there is no such repository, revision or file, or it is private and the token is not for it.
    ImportError
        If `huggingface_hub` is not installed (the extra `hub`).
    ModelFileError
        If the file is none that `save` wrote, or holds what is not declared.
    PermissionError
        If its owner has to let you in first.

    See Also
    --------
    push_to_hub : Puts a model there.

    Examples
    --------
    >>> from omi_estimators.persistence import from_hub
    >>> model = from_hub("my-name/my-forest", revision="5a8e1c...")  # doctest: +SKIP
    """
    with _speaking_to_hub(repo_id, filename, revision) as hub:
        known = {"library_name": "omi_estimators", "library_version": omi_estimators.__version__}
        where = {"revision": revision, "token": token, "cache_dir": cache_dir}
        path = hub.hf_hub_download(repo_id, filename, **where, **known)
    return load(path, trusted=trusted)


@contextmanager
def _speaking_to_hub(repo_id: str, filename: str = _FILE, revision: str | None = None) -> Iterator[Any]:
    """Give `huggingface_hub`; make of its errors those of Python, which say what to do."""
    with naming_package("huggingface_hub", "hub", "The Hugging Face Hub"):
        import huggingface_hub
        from huggingface_hub import errors
    # That of the HTTP library, whichever one this version has.
    transport: Any = next(base for base in errors.HfHubHTTPError.__mro__ if base.__name__ == "HTTPError")
    log_in = "log in with `hf auth login`, or give token="
    try:
        yield huggingface_hub
    except errors.RevisionNotFoundError as error:
        raise FileNotFoundError(f"{repo_id} has no revision {revision!r}; give a commit, branch or tag.") from error
    except errors.GatedRepoError as error:
        raise PermissionError(f"{repo_id} is gated: ask its owner on the Hub, then {log_in}.") from error
    except errors.RepositoryNotFoundError as error:
        raise FileNotFoundError(
            f"There is no repository {repo_id}, or it is private and not yours: check the name, or {log_in}."
        ) from error
    except errors.RemoteEntryNotFoundError as error:
        raise FileNotFoundError(f"{repo_id} has no file {filename}; push_to_hub calls it {_FILE}.") from error
    except errors.HfHubHTTPError as error:
        reason = clean_text(error.server_message or error, 300)
        if error.response.status_code in (401, 403):
            raise PermissionError(f"The Hub does not allow this for {repo_id}: {reason}; {log_in}.") from error
        raise ConnectionError(f"The Hub refuses this for {repo_id}: {reason}.") from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled, transport) as error:
        raise ConnectionError(
            f"The Hub cannot be reached for {repo_id}, and the cache does not have what is asked for; check the "
            "network, HF_ENDPOINT and HF_HUB_OFFLINE."
        ) from error
