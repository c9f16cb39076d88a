"""What is kept on disk - beats, features, finished folds, checkpoints - under one key, by one write and one read.

A file is 32 bytes of SHA-256 and, of all that follows, a safetensors body: arrays, and JSON as one more that says
where each belongs. Nothing in it is ever executed, as a pickle would be. The digest is against damage, not malice.

A key is made of data, parameters, versions, and code: of each class and function inside, its bytecode, what this refers
to, and its module's file. So code that is changed on disk only, or in memory only, is other code.
"""

from __future__ import annotations

import contextlib
import dis
import functools
import importlib
import json
import math
import os
import platform
import secrets
import sys
import sysconfig
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from hashlib import file_digest, sha256
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from importlib.util import resolve_name
from pathlib import Path
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, ModuleType
from typing import Any, Self

import numpy as np
import safetensors.numpy
from joblib.hashing import NumpyHasher
from numpy.typing import NDArray

import omi_estimators

# What these say changes how long a fit takes, not what comes of it, where they belong to a class of these packages.
_IRRELEVANT = frozenset({"_skl_callbacks", "checkpoint_dir", "memory", "n_jobs", "verbose"})
_OWNERS = ("omi_estimators", "sklearn", "skorch")

_LIBRARIES = {name: version(name) for name in ("joblib", "neurokit2", "numpy", "pandas", "scipy", "skorch", "torch")}
_LIBRARIES["sklearn"] = version("scikit-learn")
with contextlib.suppress(PackageNotFoundError):
    _LIBRARIES["sktime_cython"] = version("sktime-cython")
_CODE = (type, FunctionType, ModuleType)
_METHODS = (staticmethod, classmethod, property, functools.cached_property)
_HEAP_TYPE = 1 << 9  # CPython's flag of types that were made while running
_STANDARD = tuple(os.path.join(sysconfig.get_path(name), "") for name in ("stdlib", "platstdlib"))


def _digest_file(path: str | Path) -> str:
    """Return a digest of a file's content."""
    with open(path, "rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _digest_package(package: Path) -> str:
    """Return a digest of the source files of a package; without them, as in a zip file, of nothing."""
    digests = [(path.relative_to(package).as_posix(), _digest_file(path)) for path in sorted(package.rglob("*.py"))]
    return sha256(repr(digests).encode()).hexdigest()


# As early as possible: a file changed while the process runs is not what runs.
_SOURCE_DIGEST = _digest_package(Path(omi_estimators.__file__).parent)


class CheckedMemory:
    """A cache of a function's results in joblib's folder, in files of this module: joblib's own are pickles.

    Parameters
    ----------
    memory : str, path, joblib.Memory, CheckedMemory or None
        Where to keep results; None keeps none.

    Raises
    ------
    ValueError
        If it is a cache of another kind.

    Examples
    --------
    >>> from omi_estimators._store import CheckedMemory
    >>> CheckedMemory(None).cache(len)([1, 2, 3])
    3
    """

    def __init__(self, memory: Any):
        self.location = getattr(memory, "location", memory)
        if not isinstance(self.location, (str, os.PathLike, type(None))):
            raise ValueError(f"memory must be a folder, or a joblib.Memory that has one; got {memory!r}.")

    def cache(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function with a cache.

        Parameters
        ----------
        function : callable
            One that a module defines by name; gives arrays, numbers, text, and dataclasses of these.

        Returns
        -------
        callable
            Gives the same, and can be sent to another process.

        Raises
        ------
        OSError
            If the folder of the function cannot be made. One that is full, or read-only, later on costs time only, with
            a warning.
        """
        if self.location is None:
            return function
        folder = Path(self.location, "joblib", "omi_estimators", function.__name__)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OSError(
                f"memory={str(self.location)!r} cannot be written to ({error}); give a folder with write permission, "
                "or None to keep no results."
            ) from error
        return functools.partial(_recall, folder, function, make_key(function))


def _recall(folder: Path, function: Callable[..., Any], identity: str, /, *args: Any, **kwargs: Any) -> Any:
    """Return a result that is kept, else compute and keep it."""
    path = folder / f"{make_key(identity, args, kwargs)}.kept"
    result = read_file(path, f"cached result of {function.__name__}", "it is computed again")
    if result is None:
        result = function(*args, **kwargs)
        write_file(path, result, f"cache of {function.__name__}", "It is computed again each time.", durable=False)
    return result


def write_file(path: Path, value: Any, name: str, otherwise: str, *, durable: bool = True) -> None:
    """Keep a value in a file of its own; if that fails, warn, as the value itself is as good as before.

    Parameters
    ----------
    path : Path
        Its stem is the key, which is part of the content.
    value : object
        Arrays, tensors, numbers, text, None, and lists, tuples, dictionaries and dataclasses of ours with these.
    name, otherwise : str
        What it is, and what follows if it cannot be written, for the warning.
    durable : bool, default=True
        Whether to wait until the disk has it.
    """
    arrays: dict[str, np.ndarray] = {}
    try:
        text = json.dumps({"key": path.stem, "value": _pack(value, arrays)})
        body = safetensors.numpy.save({**arrays, "text": np.frombuffer(text.encode(), dtype=np.uint8)})
        replace_file(path, sha256(body).digest() + body, durable=durable)
    except (OSError, TypeError) as error:
        # Without the file's name, so that Python shows it once and not for each.
        warnings.warn(
            f"The {name} cannot be written to {path.parent} ({getattr(error, 'strerror', None) or error}). {otherwise}",
            UserWarning,
            stacklevel=3,
        )


def read_file(path: Path, name: str, otherwise: str) -> Any:
    """Return the value in a file, or None if there is none or, with a warning, if it is not what was written.

    Parameters
    ----------
    path : Path
        The file.
    name, otherwise : str
        What it is, and what follows if it is not read, for the warning.

    Returns
    -------
    object
        The value, equal bit for bit.
    """
    try:
        content = path.read_bytes()
        if sha256(memoryview(content)[32:]).digest() != content[:32]:
            raise ValueError("it is damaged: its content does not match its digest")
        arrays = safetensors.numpy.load(content[32:])
        found = json.loads(arrays["text"].tobytes())
        if found["key"] != path.stem:
            raise ValueError("it belongs to another key")
        return _unpack(found["value"], arrays)
    except FileNotFoundError:
        return None
    except Exception as error:
        # Sealed, it is still anybody's file, and may be of any form.
        warnings.warn(
            f"The {name} {path} is ignored ({error}); {otherwise}. If this comes again, check the disk.",
            UserWarning,
            stacklevel=3,
        )
        return None


def replace_file(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Write a file beside its place and rename it, so that there is never half of one.

    Parameters
    ----------
    path : Path
        Where to. Until it is renamed, what is written lies beside it under ``.<stem>.*.part``.
    content : bytes
        The content.
    durable : bool, default=True
        Whether to wait until the disk has it.

    Raises
    ------
    OSError
        If the folder cannot be written to, or the disk is full. What was at `path` is then still there.
    """
    # Not by tempfile, whose files only their owner may read.
    beside = path.with_name(f".{path.stem}.{secrets.token_hex(8)}.part")
    try:
        with beside.open("xb") as file:
            file.write(content)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    # The new name has to reach the disk too; only where a folder can be opened, so not on Windows.
    if durable and os.name == "posix":
        descriptor = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class NewRows:
    """A float32 array that is filled row by row, in memory or in an .npy file that has its name once it is whole.

    A context: left before ``finish``, as by an error, nothing stays on the disk. What a killed process leaves lies
    beside the place under ``.<stem>.*.part``.

    Parameters
    ----------
    shape : tuple of int
        Of as many rows as may come.
    path : path-like, optional
        The .npy file; one that is there is replaced at the end. Without it the array is in memory.

    Attributes
    ----------
    array : ndarray or memmap
        The rows, to be filled.
    """

    def __init__(self, shape: tuple[int, ...], path: str | os.PathLike[str] | None):
        self._path = None if path is None else Path(path).absolute()
        self.array: NDArray[np.float32]
        if self._path is None:
            self.array = np.empty(shape, dtype=np.float32)
        else:
            self._part = self._path.with_name(f".{self._path.stem}.{secrets.token_hex(8)}.part")
            self.array = np.lib.format.open_memmap(self._part, mode="w+", dtype=np.float32, shape=shape)

    def __enter__(self) -> Self:
        return self

    def finish(self, n_rows: int) -> NDArray[np.float32]:
        """Return the first `n_rows`; of a file, which then holds no others, as a memory map."""
        if self._path is None:
            return self.array[:n_rows]
        mapped, shape = self.array, (n_rows, *self.array.shape[1:])
        assert isinstance(mapped, np.memmap)
        mapped.flush()
        start = mapped.offset
        # Windows renames no file that is open.
        del mapped, self.array
        with self._part.open("r+b") as file:
            # The library leaves room for the digits of any number of rows.
            np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
            if file.tell() != start:
                raise OSError(
                    f"{self._path} cannot be ended: its header is as long as {file.tell()}, not {start}, bytes."
                )
            file.truncate(start + 4 * math.prod(shape))
        os.replace(self._part, self._path)
        whole: NDArray[np.float32] = np.lib.format.open_memmap(self._path, mode="r+")
        return whole

    def __exit__(self, *_: object) -> None:
        vars(self).pop("array", None)
        if self._path is not None:
            self._part.unlink(missing_ok=True)


def _is_tensor(value: Any) -> bool:
    """Return whether a value is torch's, without loading torch."""
    return "torch" in sys.modules and isinstance(value, sys.modules["torch"].Tensor)


def _flatten(tensor: Any) -> tuple[np.ndarray, dict[str, Any]]:
    """Return the bytes of a tensor, and what else it is. The layout in memory decides the order of sums."""
    flat = tensor.detach().cpu().contiguous().reshape(-1).view(sys.modules["torch"].uint8).numpy()
    return flat, {"dtype": str(tensor.dtype)[6:], "shape": list(tensor.shape), "stride": list(tensor.stride())}


def _pack(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """Return a value as JSON can hold it, with its arrays put aside under a name."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    name = str(len(arrays))
    if _is_tensor(value):
        arrays[name], layout = _flatten(value)
        return {"tensor": name, **layout}
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biuf":
        arrays[name] = np.ascontiguousarray(value).reshape(-1)
        return {"array" if isinstance(value, np.ndarray) else "scalar": name, "shape": value.shape}
    if type(value) in (list, tuple):
        return {type(value).__name__: [_pack(part, arrays) for part in value]}
    if isinstance(value, Mapping):
        return {"dict": [[key, _pack(part, arrays)] for key, part in value.items()]}
    if type(value).__module__.startswith("omi_estimators."):
        parts = value if isinstance(value, tuple) else [getattr(value, field.name) for field in fields(value)]
        return {"class": [type(value).__module__, type(value).__qualname__], "parts": [_pack(p, arrays) for p in parts]}
    raise TypeError(f"a {type(value).__name__} has no place in it")


def _unpack(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """Return what `_pack` was given."""
    match value:
        case {"tensor": name, "dtype": dtype, "shape": shape, "stride": stride}:
            torch = sys.modules["torch"]
            flat = torch.from_numpy(arrays[name]).view(getattr(torch, dtype))
            return torch.empty_strided(shape, stride, dtype=flat.dtype).copy_(flat.view(shape))
        case {"array": name, "shape": shape}:
            return arrays[name].reshape(shape)
        case {"scalar": name}:
            return arrays[name][0]
        case {"list": parts} | {"tuple": parts}:
            return (list if "list" in value else tuple)(_unpack(part, arrays) for part in parts)
        case {"dict": items}:
            return {key: _unpack(part, arrays) for key, part in items}
        case {"class": [str() as module, name], "parts": parts} if module.startswith("omi_estimators."):
            cls: Any = getattr(sys.modules.get(module), name, None)
            if not (is_dataclass(cls) or hasattr(cls, "_fields")):
                raise ValueError(f"{module}.{name} is no class of results")
            return cls(*(_unpack(part, arrays) for part in parts))
    return value


def make_key(*parts: Any, name: str = "This", otherwise: str = "keep nothing") -> str:
    """Return the key of all that decides a result.

    Parameters
    ----------
    *parts : object
        Data, parameters, estimators, functions. A path, or text that is one, counts with its file's content. `n_jobs`
        and the like do not count in estimators of this package, scikit-learn and skorch; in a caller's own they do.
    name, otherwise : str
        What the parts are, and what to do instead, for the error.

    Returns
    -------
    str
        Hexadecimal digits.

    Raises
    ------
    ValueError
        If something cannot be told from others of its kind: it cannot be pickled, or its code has no source.
    """
    inside = _Inside()
    try:
        digests: list[Any] = [inside.digest(part) for part in parts]
        for code in inside.found:  # which grows meanwhile
            digests.append(inside.describe(code))
    except Exception as error:
        # Whatever pickling raises; what to do is the same.
        raise ValueError(
            f"{name} cannot be told apart from others on disk ({error}); use what can be pickled, or {otherwise}."
        ) from error
    others = sorted(inside.roots - _LIBRARIES.keys() - sys.stdlib_module_names - {"omi_estimators"})
    versions = omi_estimators.__version__, platform.python_version(), [(root, _find_version(root)) for root in others]
    everything = digests, sorted(inside.files), _SOURCE_DIGEST, sorted(_LIBRARIES.items()), versions
    return sha256(repr(everything).encode()).hexdigest()[:40]


_find_distributions = functools.cache(packages_distributions)


@functools.cache
def _find_version(root: str) -> str:
    """Return the version of whatever has installed a package, empty if that is not known."""
    return " ".join(version(name) for name in sorted(set(_find_distributions().get(root, ()))))


class _Hasher(NumpyHasher):
    """joblib's hash of a value, for which code is what it does, and a path what its file holds."""

    def __init__(self, inside: _Inside):
        super().__init__("sha256", coerce_mmap=True)
        self._inside = inside

    def save(self, obj: Any) -> None:
        """Write a value to the digest."""
        try:
            super().save(self._inside.replace(obj))
        except TypeError as error:
            # joblib takes a TypeError for one of its own, tries again, and then leaves out what cannot be pickled.
            raise ValueError(error) from error

    def save_global(self, obj: Any, name: str | None = None, **kwargs: Any) -> None:
        """Write what can be pickled by name only, as functions in C, with the file that it comes from."""
        self.save(sys.modules.get(getattr(obj, "__module__", "")))
        super().save_global(obj, name, **kwargs)


class _Inside:
    """Everything that a key meets inside its parts.

    Attributes
    ----------
    found : list
        Classes, functions and modules of the caller; a digest names one by its place in this list.
    files : set of str
        Digests of the files that these come from.
    roots : set of str
        Packages that others have installed.
    """

    def __init__(self) -> None:
        self.found: list[Any] = []
        self.files: set[str] = set()
        self.roots: set[str] = set()
        self._places: dict[int, int] = {}
        self._paths: dict[str, str] = {}  # texts, with digests where they are paths
        self._digest_file = functools.cache(_digest_file)

    def digest(self, value: Any) -> str:
        """Return a digest of a value."""
        return str(_Hasher(self).hash(value))

    def replace(self, obj: Any) -> Any:
        """Return what is to be pickled in place of an object."""
        match obj:
            case str() if type(obj) in (str, np.str_):
                return self._read_path(str(obj))
            case os.PathLike():
                return self._read_path(os.fspath(obj))
            case np.ndarray() if obj.dtype.kind in "UT":
                return obj.dtype.str, obj.shape, obj.tolist()
            case type() | FunctionType() | ModuleType():
                return self._name(obj)
            case BuiltinFunctionType() if isinstance(obj.__self__, ModuleType | None):
                return sys.modules.get(obj.__module__), obj.__qualname__
            case _ if isinstance(obj, _METHODS) or hasattr(type(obj), "cache_info"):
                return type(obj), [getattr(obj, part, None) for part in ("fget", "fset", "fdel", "func", "__wrapped__")]
            case BaseException():
                # Some libraries have exceptions pickled with their traceback.
                return type(obj), obj.args, vars(obj)
            case _ if _is_tensor(obj):
                return _flatten(obj)
        if str(getattr(obj, "dtype", "")).startswith("str") and hasattr(obj, "to_numpy"):
            # Columns of text, which pandas may keep in another library's memory.
            labels = getattr(obj, "index", None), getattr(obj, "name", None)
            return type(obj), obj.to_numpy(dtype=object).tolist(), *labels
        if hasattr(type(obj), "get_params"):
            state = vars(obj) | obj.get_params(deep=False)
            if type(obj).__module__.partition(".")[0] in _OWNERS:
                # Under f_ skorch has the files that it writes.
                return type(obj), {n: v for n, v in state.items() if n not in _IRRELEVANT and not n.startswith("f_")}
            return type(obj), state
        return obj

    def _read_path(self, text: str) -> str:
        """Return text; if it is the path of a file, or of a WFDB record, with the digest of the content."""
        if text not in self._paths:
            headers = [name for name in {f"{text}.hea", f"{os.path.splitext(text)[0]}.hea"} if os.path.isfile(name)]
            names = {text, *headers}
            for header in headers:
                # A header names the files of its signals, each at the beginning of a line.
                lines = Path(header).read_text(encoding="utf-8", errors="replace").splitlines()
                names |= {os.path.join(os.path.dirname(header), line.split()[0]) for line in lines if line.strip()}
            digests = [self._digest_file(name) for name in sorted(names) if os.path.isfile(name)]
            self._paths[text] = "\n".join([text, *digests])
        return self._paths[text]

    def _name(self, code: Any) -> Any:
        """Return the name of code that is installed, the place in `found` of the caller's."""
        name = code.__name__ if isinstance(code, ModuleType) else code.__module__
        module = sys.modules.get(name)
        if module is not None and _is_installed(module):
            qualname = "" if code is module else code.__qualname__
            # Types like that of None are under no name, and come from C; all else that is not is made by the caller.
            is_static = isinstance(code, type) and not code.__flags__ & _HEAP_TYPE
            owner: Any = module
            for part in qualname.split("."):
                owner = getattr(owner, part, None)
            if code is module or is_static or owner is code:
                self.roots.add(name.partition(".")[0])
                return f"{name}:{qualname}"
        if id(code) not in self._places:
            self._places[id(code)] = len(self.found)
            self.found.append(code)
        return "code", self._places[id(code)]

    def describe(self, code: Any) -> list[str]:
        """Return digests of what a class, function or module of the caller is made of and refers to."""
        module = code if isinstance(code, ModuleType) else sys.modules.get(code.__module__)
        file = getattr(module, "__file__", None)
        own: list[Any]
        if isinstance(code, FunctionType):
            file = code.__code__.co_filename
            # An empty cell is one of a function that was never left.
            cells = [cell.cell_contents for cell in code.__closure__ or () if cell != CellType()]
            own = [_read_code(code.__code__), code.__defaults__, code.__kwdefaults__, vars(code), cells]
            referred = _find_referred(code)
        elif isinstance(code, type):
            own = [code.__qualname__, code.__bases__, type(code)]
            # Python's own notes are no attributes of the caller's.
            notes = {name for name in vars(code) if name[:2] == name[-2:] == "__"} | {"_abc_impl"}
            methods = (*_METHODS, FunctionType)
            referred = {n: v for n, v in vars(code).items() if n not in notes or isinstance(v, methods)}
        else:
            own, referred = [code.__name__], {n: v for n, v in vars(code).items() if isinstance(v, _CODE)}
        has_source = file is not None and os.path.isfile(file)
        if has_source:
            self.files.add(self._digest_file(file))
        digests = [self.digest(part) for part in own]
        for name, value in sorted(referred.items()):
            try:
                digests += [name, self.digest(value)]
            except Exception:
                # An open file, a lock: where the source says what it is, that stands for it.
                if not has_source or "<locals>" in code.__qualname__:
                    raise
        return digests


def _is_installed(module: ModuleType) -> bool:
    """Return whether a module is this package's, the standard library's or that of an installed package."""
    root, file = module.__name__.partition(".")[0], getattr(module, "__file__", None)
    if file is None:
        origin = getattr(getattr(module, "__spec__", None), "origin", None)
        return origin in ("built-in", "frozen") or root in sys.builtin_module_names
    installed = file.startswith(_STANDARD) or not {"site-packages", "dist-packages"}.isdisjoint(Path(file).parts)
    return installed or root == "omi_estimators" or root in _LIBRARIES


def _nest(code: CodeType) -> Iterator[CodeType]:
    """Yield bytecode, and that of functions inside it."""
    yield code
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield from _nest(part)


def _read_code(code: CodeType) -> str:
    """Return all of bytecode that decides what it does."""
    constants = [_read_code(part) if isinstance(part, CodeType) else part for part in code.co_consts]
    ordered = [sorted(map(repr, part)) if isinstance(part, frozenset) else part for part in constants]
    names = code.co_name, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars
    numbers = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags
    return repr((names, numbers, ordered, code.co_code, code.co_exceptiontable))


def _find_referred(function: FunctionType) -> dict[str, Any]:
    """Return what a function refers to by name, outside and in modules of the caller's."""
    names = {name for code in _nest(function.__code__) for name in code.co_names}
    found = {name: function.__globals__[name] for name in names & function.__globals__.keys()}
    found |= {f"import {module.__name__}": module for module in _find_imported(function)}
    modules = [value for value in found.values() if isinstance(value, ModuleType) and not _is_installed(value)]
    for module in modules:  # which grows meanwhile
        for name in names & vars(module).keys():
            value = found[f"{module.__name__}.{name}"] = vars(module)[name]
            if isinstance(value, ModuleType) and not _is_installed(value) and value not in modules:
                modules.append(value)
    return found


def _find_imported(function: FunctionType) -> Iterator[ModuleType]:
    """Yield modules that a function imports when it runs."""
    for code in _nest(function.__code__):
        steps = list(dis.get_instructions(code)) if dis.opmap["IMPORT_NAME"] in code.co_code[::2] else []
        for level, listed, step in zip(steps, steps[1:], steps[2:], strict=False):
            if step.opname == "IMPORT_NAME":
                for part in ("", *(f".{part}" for part in listed.argval or ())):
                    with contextlib.suppress(ImportError):
                        home = function.__globals__.get("__package__") or ""
                        yield importlib.import_module(resolve_name("." * level.argval + step.argval, home) + part)
