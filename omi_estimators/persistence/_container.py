"""The model file itself: a zip of a few named members, nothing compressed, sealed by a hash of all its bytes.

Knows nothing of models, and needs nothing but the standard library: a card is read without loading torch.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import stat
import struct
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

FORMAT = "omi_estimators model"
FORMAT_VERSION = 1

CARD, MODEL, MANIFEST = "card.md", "model.skops", "manifest.json"
# What the model was trained on, where `save` was given it.
PROFILE = "profile.skops"
_NETWORK = re.compile(r"networks/(0|[1-9][0-9]{0,3})\.safetensors")

# Written as the zip's comment, which is the end of the file, so that it can cover every byte before it.
_SEAL = b"sha256:"
_SEAL_SIZE = len(_SEAL) + 64

# More than any model here needs, and still read into memory at once.
_MOST_BYTES = 8 * 2**30
_MOST_CARD_BYTES = 2**20
_MOST_LETTERS = 1000
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
        plain = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in message)
        super().__init__(plain if len(plain) <= _MOST_LETTERS else f"{plain[:_MOST_LETTERS]}…")


def network_member(index: int) -> str:
    """Return the name of the member that holds the weights of a network."""
    return f"networks/{index}.safetensors"


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
    listed = {name: {"size": len(data), "sha256": sha256(data)} for name, data in members.items()}
    manifest = {"format": FORMAT, "format_version": FORMAT_VERSION, **facts, "members": listed}
    buffer = io.BytesIO()
    with ZipFile(buffer, "w", ZIP_STORED) as archive:
        for name, data in (members | {MANIFEST: json.dumps(manifest, indent=1).encode()}).items():
            archive.writestr(ZipInfo(name), data)
        archive.comment = bytes(_SEAL_SIZE)
    return seal(buffer.getvalue()[:-_SEAL_SIZE])


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
            if archive.comment != data[-_SEAL_SIZE:]:
                raise ModelFileError(f"{name} is damaged: its zip does not end where the file does.")
            _check_members(archive.infolist(), len(data), name)
            members = {info.filename: archive.read(info) for info in archive.infolist()}
    except ModelFileError:
        raise
    # What zipfile raises for bytes that are no zip, or contradict themselves.
    except (BadZipFile, EOFError, NotImplementedError, OSError, OverflowError, ValueError, struct.error) as error:
        raise ModelFileError(f"{name} is damaged or no model file: {error}.") from error
    manifest = _read_manifest(members.pop(MANIFEST), name)
    listed = {member: {"size": len(content), "sha256": sha256(content)} for member, content in members.items()}
    if manifest["members"] != listed:
        raise ModelFileError(f"{name} is damaged: its members are not those that its manifest lists.")
    return manifest, members


def _check_seal(data: bytes, name: str) -> None:
    """Raise a ModelFileError unless the bytes end with their own hash."""
    if not data:
        raise ModelFileError(f"{name} is empty; save the model again.")
    if data[-_SEAL_SIZE:-64] != _SEAL:
        if data[:1] == b"\x80" or data[:2] in (b"\x1f\x8b", b"\x78\x9c", b"\x78\x01", b"\x78\xda", b"BZ"):
            raise ModelFileError(
                f"{name} is no model file of omi_estimators; it looks like a pickle or joblib file. Such a file can "
                "run any code when it is opened, so load does not. Ask for the model as save(model, path) writes it."
            )
        raise ModelFileError(
            f"{name} is no model file of omi_estimators, or its end is missing. "
            "load reads what save(model, path) wrote."
        )
    if data[-64:] != sha256(data[:-_SEAL_SIZE]).encode():
        raise ModelFileError(
            f"{name} is damaged: its content does not match its SHA-256. Copy it again, or save the model again."
        )
    if not data.startswith(b"PK\x03\x04"):
        raise ModelFileError(f"{name} is no model file: it starts with {data[:4]!r} instead of a zip's first bytes.")


def _check_members(infos: list[ZipInfo], n_bytes: int, name: str) -> None:
    """Raise a ModelFileError for members that `pack` does not write; before any is read."""
    for info in infos:
        if info.filename not in (CARD, MODEL, MANIFEST, PROFILE) and not _NETWORK.fullmatch(info.filename):
            raise ModelFileError(f"{name} has a member that no model file has: {info.filename!r}.")
        if info.compress_type != ZIP_STORED or info.flag_bits & _ENCRYPTED or info.compress_size != info.file_size:
            raise ModelFileError(
                f"{name}: member {info.filename!r} is compressed or encrypted; a model file's are stored as they are."
            )
    names = [info.filename for info in infos]
    if len(set(names)) < len(names):
        raise ModelFileError(f"{name} has two members of one name.")
    missing = {CARD, MODEL, MANIFEST} - set(names)
    if missing:
        raise ModelFileError(f"{name} is no model file: it has no {', '.join(sorted(missing))}.")
    # Members that lie over each other are how a small zip without compression becomes large.
    if sum(info.file_size for info in infos) > n_bytes:
        raise ModelFileError(f"{name}: its members claim more bytes than the file has.")


def _read_manifest(data: bytes, name: str) -> dict[str, Any]:
    """Return the manifest; raise a ModelFileError if it is none, or of a later format."""
    try:
        manifest = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{name} has a manifest that is no JSON: {error}.") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ModelFileError(f"{name} is no model file: its manifest does not say format={FORMAT!r}.")
    version = manifest.get("format_version")
    if version != FORMAT_VERSION:
        raise ModelFileError(
            f"{name} has format version {version!r}, and this omi_estimators reads version {FORMAT_VERSION}; "
            "install the omi_estimators that wrote it, or a later one."
        )
    versions = manifest.get("versions")
    if not isinstance(versions, dict) or not all(map(_is_version, versions.values())):
        raise ModelFileError(f"{name}: its manifest names no versions.")
    if not isinstance(manifest.get("members"), dict):
        raise ModelFileError(f"{name}: its manifest lists no members.")
    return manifest


def _is_version(value: Any) -> bool:
    """Return whether a value can be shown as a version."""
    return isinstance(value, str) and value.isprintable() and len(value) <= _MOST_VERSION_LETTERS


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
    if not stat.S_ISREG(status.st_mode):
        raise ModelFileError(f"{file} is no file; give the path of a file that save(model, path) wrote.")
    if status.st_size > _MOST_BYTES:
        raise ModelFileError(f"{file} has {status.st_size} bytes; a model file has at most {_MOST_BYTES}.")
    return file.read_bytes()


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
        raise IsADirectoryError(
            f"{path} is a folder; give the path of a file in it, such as {Path(path) / 'model.omi'}."
        )
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
    return decode_card(unpack(read_bytes(path), str(path))[1][CARD], str(path))


def decode_card(data: bytes, name: str) -> str:
    """Return the text of a card; raise a ModelFileError for bytes that are none, or could steer a terminal."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise ModelFileError(f"{name} has a card that is no UTF-8 text: {error}.") from error
    if len(data) > _MOST_CARD_BYTES or not all(letter.isprintable() or letter == "\n" for letter in text):
        raise ModelFileError(f"{name} has a card of more than {_MOST_CARD_BYTES} bytes, or with control characters.")
    return text
