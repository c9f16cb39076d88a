"""The model file itself: a zip of a few named members, nothing compressed, sealed by a hash of all its bytes.

Knows nothing of models, and needs nothing but the standard library: a card is read without loading torch.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import struct
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from omi_estimators._text import clean_text, is_plain_text

FORMAT = "omi_estimators model"
FORMAT_VERSION = 2

CARD, MODEL, ARRAYS, MANIFEST = "card.md", "model.json", "arrays.safetensors", "manifest.json"
_MEMBERS = frozenset({CARD, MODEL, ARRAYS, MANIFEST})
# What the model was trained on, where `save` was given it.
PROFILE, PROFILE_ARRAYS = "profile.json", "profile.safetensors"
PATIENTS = "patients.json"
_OPTIONAL = frozenset({PROFILE, PROFILE_ARRAYS, PATIENTS})

# Written as the zip's comment, which is the end of the file, so that it can cover every byte before it.
_SEAL = b"sha256:"
_SEAL_SIZE = len(_SEAL) + 64

# More than any model here needs, and still read into memory at once.
_MOST_BYTES = 8 * 2**30
_MOST_CARD_BYTES = 2**20
_MOST_VERSIONS = 30
_MOST_VERSION_LETTERS = 100

_ENCRYPTED = 0x1


class ModelFileError(ValueError):
    """A file is no model of ours, is damaged, or holds what `load` does not trust. Nothing of it was run.

    Parameters
    ----------
    message : str
        What is wrong with the file.
    """

    def __init__(self, message: str):
        # Names come from the file, and what a terminal would obey is no name.
        super().__init__(clean_text(message))


def require(holds: Any, message: str) -> None:
    """Raise a ModelFileError with a message unless something holds."""
    if not holds:
        raise ModelFileError(message)


def pack(members: dict[str, bytes], facts: dict[str, Any]) -> bytes:
    """Return the bytes of a model file.

    Parameters
    ----------
    members : dict of str to bytes
        Content by member name.
    facts : dict
        What the manifest says beside the format, and the size and hash of each member; plain JSON.

    Returns
    -------
    bytes
        A zip, its members stored as they are, with a hash of everything at the end.
    """
    manifest = {"format": FORMAT, "format_version": FORMAT_VERSION, **facts, "members": _list(members)}
    buffer = io.BytesIO()
    with ZipFile(buffer, "w", ZIP_STORED) as archive:
        for name, data in (members | {MANIFEST: json.dumps(manifest, indent=1).encode()}).items():
            archive.writestr(ZipInfo(name), data)
        archive.comment = bytes(_SEAL_SIZE)
    return seal(buffer.getvalue()[:-_SEAL_SIZE])


def _list(members: dict[str, bytes]) -> dict[str, Any]:
    return {name: {"size": len(data), "sha256": sha256(data)} for name, data in members.items()}


def seal(body: bytes) -> bytes:
    """Return bytes with their hash after them."""
    return body + _SEAL + sha256(body).encode()


def sha256(data: bytes) -> str:
    """Return the SHA-256 of bytes in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def unpack(data: bytes, name: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return the manifest and the members of a model file, after checking all that can be checked without a model.

    Parameters
    ----------
    data : bytes
        The file.
    name : str
        What to call it in errors.

    Returns
    -------
    manifest : dict
        What `pack` was given as facts, and the format.
    members : dict of str to bytes
        Content by member name.

    Raises
    ------
    ModelFileError
        If the bytes are not what `pack` made of such members.
    """
    _check_seal(data, name)
    try:
        with ZipFile(io.BytesIO(data)) as archive:
            ends = archive.comment == data[-_SEAL_SIZE:]
            require(ends, f"{name} is damaged: its zip does not end where the file does.")
            _check_members(archive.infolist(), len(data), name)
            members = {info.filename: archive.read(info) for info in archive.infolist()}
    except ModelFileError:
        raise
    # What zipfile raises for bytes that are no zip, or contradict themselves.
    except (BadZipFile, EOFError, NotImplementedError, OSError, OverflowError, ValueError, struct.error) as error:
        raise ModelFileError(f"{name} is damaged or no model file: {error}.") from error
    manifest = _read_manifest(members.pop(MANIFEST), name)
    are_listed = manifest["members"] == _list(members)
    require(are_listed, f"{name} is damaged: its members are not those that its manifest lists.")
    return manifest, members


def _check_seal(data: bytes, name: str) -> None:
    """Raise a ModelFileError unless the bytes end with their own hash."""
    require(data, f"{name} is empty; save the model again.")
    is_pickle = data.startswith((b"\x80", b"\x1f\x8b", b"\x78\x9c", b"\x78\x01", b"\x78\xda", b"BZ"))
    guess = "; it looks like a pickle or joblib file, which runs any code when it is opened" if is_pickle else ""
    what = f"{name} is no model file of omi_estimators, or its end is missing{guess}"
    require(data[-_SEAL_SIZE:-64] == _SEAL, f"{what}. load reads what save(model, path) wrote.")
    is_whole = data[-64:] == sha256(data[:-_SEAL_SIZE]).encode()
    require(is_whole, f"{name} is damaged: its content does not match its SHA-256. Copy or save the model again.")
    is_zip = data.startswith(b"PK\x03\x04")
    require(is_zip, f"{name} is no model file: it starts with {data[:4]!r} instead of a zip's first bytes.")


def _check_members(infos: list[ZipInfo], n_bytes: int, name: str) -> None:
    """Raise a ModelFileError for members that `pack` does not write; before any is read."""
    names = [info.filename for info in infos]
    require(
        "model.skops" not in names,
        f"{name} is of format version 1, which this omi_estimators does not read. Load it with the omi_estimators "
        "that wrote it (the card names it), keep the model with joblib, and save it again with this one.",
    )
    for info in infos:
        is_known = info.filename in _MEMBERS | _OPTIONAL
        require(is_known, f"{name} has a member that no model file has: {info.filename!r}.")
        is_plain = info.compress_type == ZIP_STORED and info.compress_size == info.file_size
        is_plain &= not info.flag_bits & _ENCRYPTED
        what = f"{name}: member {info.filename!r} is compressed or encrypted; a model file's are stored as they are."
        require(is_plain, what)
    require(len(set(names)) == len(names), f"{name} has two members of one name.")
    missing = sorted(_MEMBERS - set(names))
    require(not missing, f"{name} is no model file: it has no {', '.join(missing)}.")
    # Members that lie over each other are how a small zip without compression becomes large.
    fits = sum(info.file_size for info in infos) <= n_bytes
    require(fits, f"{name}: its members claim more bytes than the file has.")


def _read_manifest(data: bytes, name: str) -> dict[str, Any]:
    """Return the manifest; raise a ModelFileError if it is none, or of a later format."""
    try:
        manifest = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{name} has a manifest that is no JSON: {error}.") from error
    is_ours = isinstance(manifest, dict) and manifest.get("format") == FORMAT
    require(is_ours, f"{name} is no model file: its manifest does not say format={FORMAT!r}.")
    version, versions = manifest.get("format_version"), manifest.get("versions")
    mend = f"this omi_estimators reads version {FORMAT_VERSION}; install the one that wrote it, or a later one"
    require(version == FORMAT_VERSION, f"{name} has format version {version!r}, and {mend}.")
    texts = [*versions, *versions.values()] if isinstance(versions, dict) else [None]
    are_plain = all(isinstance(text, str) and text.isprintable() for text in texts)
    are_short = len(texts) <= 2 * _MOST_VERSIONS and all(len(str(text)) <= _MOST_VERSION_LETTERS for text in texts)
    require(are_plain and are_short, f"{name}: its manifest names no versions.")
    require(isinstance(manifest.get("members"), dict), f"{name}: its manifest lists no members.")
    return manifest


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Return the content of a file.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ModelFileError
        If it is a folder or a device, or is larger than any model.
    """
    file = Path(path)
    try:
        status = file.stat()
    except FileNotFoundError as error:
        raise FileNotFoundError(error.errno, "There is no such model file", str(file)) from error
    is_file, n_bytes = stat.S_ISREG(status.st_mode), status.st_size
    require(is_file, f"{file} is no file; give the path of a file that save(model, path) wrote.")
    require(n_bytes <= _MOST_BYTES, f"{file} has {n_bytes} bytes; a model file has at most {_MOST_BYTES}.")
    return file.read_bytes()


def read_members(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return the manifest and the members of a model file, as `unpack` does."""
    return unpack(read_bytes(path), str(path))


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file so that there is either all of it, or what was there before.

    Parameters
    ----------
    path : path-like
        Where to. A symbolic link is followed.
    data : bytes
        The content.

    Raises
    ------
    OSError
        If the folder is not there or not writable, `path` is a folder, or the disk is full.
    """
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(f"{path} is a folder; give the path of a file in it, such as model.omi.")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {target.parent} to write {target.name} to; make it first.")
    # What only reads a card does without the libraries of the store.
    from omi_estimators._store import replace_file

    replace_file(target, data)


def read_card(path: str | os.PathLike[str]) -> str:
    """Return the card of a model file, without loading the model.

    Parameters
    ----------
    path : path-like
        A file that `save` wrote.

    Returns
    -------
    str
        Markdown, under the headings of Mitchell et al. (doi:10.1145/3287560.3287596).

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ModelFileError
        If it is no model file, or a damaged one.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from omi_estimators import LeadScaler, save
    >>> from omi_estimators.persistence import read_card
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "scaler.omi"
    ...     save(LeadScaler(), path)
    ...     print(read_card(path).splitlines()[0])
    # LeadScaler
    """
    return decode_card(read_members(path)[1][CARD], str(path))


def decode_card(data: bytes, name: str) -> str:
    """Return the text of a card; raise a ModelFileError for bytes that are none, or could steer a terminal."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise ModelFileError(f"{name} has a card that is no UTF-8 text: {error}.") from error
    is_card = len(data) <= _MOST_CARD_BYTES and "\t" not in text and is_plain_text(text)
    require(is_card, f"{name} has a card of more than {_MOST_CARD_BYTES} bytes, or with control characters.")
    return text
