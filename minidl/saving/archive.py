"""The file that a model is saved in: a zip of `minidl.json` and one .npy an array, as NumPy's .npz.

Nothing in it is ever executed: the description is JSON, the arrays are read without pickle. It
can be looked into with `unzip -p model.minidl minidl.json` and `numpy.load("model.minidl")`.
Equal models give equal bytes.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BytesIO
from typing import IO, Any

import numpy as np

VERSION = 1

_DESCRIPTION = "minidl.json"
_HDF5 = b"\x89HDF\r\n\x1a\n"  # how such a file begins
_BY_KERAS = "as Keras writes, which minidl does not read; take get_weights() there to set_weights() here"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date of a zip; the true one would make equal models differ

Path = str | os.PathLike[str]


def write(path: Path, description: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
    """Write a description that JSON can hold, and arrays by name.

    The file appears, or takes the place of an older one, only when it is whole.
    """
    text = json.dumps({"format": VERSION, **description}, default=_plain, indent=1)
    with _replacing(path) as file, zipfile.ZipFile(file, "w") as archive:
        archive.writestr(zipfile.ZipInfo(_DESCRIPTION, _EPOCH), text)
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy", _EPOCH), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The description and the arrays of a file that `write` made.

    Raises:
        OSError: the file is not there or cannot be read.
        ValueError: it is damaged, was not written by minidl, or by a version that this one cannot read.
    """
    with open(path, "rb") as file:
        if file.read(len(_HDF5)) == _HDF5:
            raise ValueError(f"{os.fspath(path)} is an HDF5 file, {_BY_KERAS}")
        try:
            description, arrays = _members(file)
        except Exception as error:  # zip, zlib, struct, JSON and NumPy each fail in several ways of their own
            raise ValueError(f"{os.fspath(path)} is damaged, or is no file that minidl saved ({error})") from error
    version = description.get("format")
    if version != VERSION:
        raise ValueError(
            f"{os.fspath(path)} has format {version!r} and this version of minidl reads format {VERSION}; "
            f"load it with the version that saved it"
        )
    return description, arrays


def _members(file: IO[bytes]) -> tuple[dict[str, Any], dict[str, Any]]:
    with zipfile.ZipFile(file) as archive:
        if "model.weights.h5" in archive.namelist():
            raise ValueError(f"it is a .keras file, {_BY_KERAS}")
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            raise ValueError("its members are compressed, which minidl never does: a small file could fill the memory")
        # Members are read whole, so that the checksum is compared before anything is made of one.
        description = json.loads(archive.read(_DESCRIPTION))
        if not isinstance(description, dict):
            raise ValueError(f"{_DESCRIPTION} holds no object")
        names = [name for name in archive.namelist() if name != _DESCRIPTION]
        return description, {name.removesuffix(".npy"): _array(archive.read(name)) for name in names}


def _array(content: bytes) -> Any:
    return np.lib.format.read_array(BytesIO(content), allow_pickle=False)


def destination(path: Path) -> str:
    """Where a file of this name is written to: a link is followed, not replaced. An error if that cannot be."""
    target = os.path.realpath(path)
    folder = os.path.dirname(target)
    if not os.path.isdir(folder):
        raise FileNotFoundError(errno.ENOENT, "there is no such folder to save in", folder)
    if os.path.isdir(target):
        raise IsADirectoryError(errno.EISDIR, "this is a folder; give the name of a file", target)
    if os.path.exists(target) and not os.path.isfile(target):  # replacing /dev/null would break the machine
        raise FileExistsError(errno.EEXIST, "this is a device or a pipe, not a file that can be replaced", target)
    return target


def try_out(path: Path) -> None:
    """The error that writing to `path` would end in, if its folder takes no new file. Nothing is left behind."""
    with suppress(_Enough), _replacing(path):
        raise _Enough


class _Enough(Exception):  # noqa: N818
    """Ends a trial before the new file takes the place of the old one."""


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file to write to. Under the name `path` there is first what was there before, then the whole new file."""
    target = destination(path)
    temporary = f"{target}.{secrets.token_hex(4)}.part"
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if os.path.exists(target):
            shutil.copymode(target, temporary)
        os.replace(temporary, target)
    except OSError as error:  # under the name that was asked for; a full disk comes without one
        raise OSError(error.errno, error.strerror or str(error), target) from error
    finally:
        with suppress(OSError):  # it is gone if all went well
            os.unlink(temporary)


def _plain(value: Any) -> Any:
    """NumPy's numbers, types and arrays as JSON has them, and a function by its name."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if isinstance(value, np.dtype):
        return value.name
    name = getattr(value, "__name__", "")
    if callable(value) and name.isidentifier():
        return {"function": name}
    raise TypeError(
        f"{value!r} cannot be saved: get_config() may return numbers, strings, lists and dicts of them, "
        f"and functions that have a name"
    )
