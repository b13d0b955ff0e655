"""What a pickle would do, found out without doing it.

torch's restricted unpickler runs no code, but a crafted pickle can still keep it busy for ever: a
tuple of tuples that shares its parts is small in the file and endless to hash. So the program is
walked first, on sizes instead of objects.
"""

from __future__ import annotations

import pickle
import pickletools
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, Final, cast, final

_MOST_STEPS: Final = 400_000
_LARGEST_VALUE: Final = 5_000_000
_DEEPEST_VALUE: Final = 64
_MOST_MEMBERS: Final = 200_000
_LARGEST_PROGRAM: Final = 32 << 20
_ZIP: Final = b"PK\x03\x04"
_END_OF_ZIP: Final = b"PK\x05\x06"
_END_BYTES: Final = 22 + 0xFFFF
_PROGRAMS_OF_OLD_FILES: Final = 5
"""Files from before torch 1.6: a magic number, a version, the system, the object, the storages."""

_TORCH: Final = (
    "BFloat16Storage ByteStorage BoolStorage CharStorage DoubleStorage FloatStorage HalfStorage"
    " IntStorage LongStorage ShortStorage bfloat16 bool float16 float32 float64 float8_e4m3fn"
    " float8_e5m2 int16 int32 int64 int8 uint8"
)
_BUILDERS: Final = frozenset(
    {
        "collections OrderedDict",
        "torch Size",
        "torch._utils _rebuild_parameter",
        "torch._utils _rebuild_tensor",
        "torch._utils _rebuild_tensor_v2",
        "torch._utils _rebuild_tensor_v3",
        "torch.nn.parameter Parameter",
        "torch.storage TypedStorage",
        "torch.storage UntypedStorage",
        "torch.storage _LegacyStorage",
    }
    | {f"torch {name}" for name in _TORCH.split()}
)
"""All that a table of tensors is built with. torch allows more, which no adapter needs."""

_LEAVES: Final = frozenset(
    {"NONE", "NEWTRUE", "NEWFALSE", "EMPTY_TUPLE", "EMPTY_LIST", "EMPTY_DICT"}
    | {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINSTRING"}
)
_POPPED: Final[Mapping[str, int]] = MappingProxyType(
    {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3, "BINPERSID": 1, "APPEND": 2, "SETITEM": 3}
    | {"REDUCE": 2, "NEWOBJ": 2, "BUILD": 2}
)
_CALLS: Final = frozenset({"REDUCE", "NEWOBJ"})
_POPPED_TO_MARK: Final[Mapping[str, int]] = MappingProxyType(
    {"TUPLE": 0, "APPENDS": 1, "SETITEMS": 1}
)
"""How many values below the mark are taken as well."""


class RefusedPickle(ValueError):
    """Why a pickle is not loaded."""


@final
@dataclass(frozen=True)
class _Value:
    """A value on the unpickler's stack: how many parts it has written out in full, how deep."""

    size: int = 1
    depth: int = 1
    is_builder: bool = False


_LEAF: Final = _Value()
_BUILDER: Final = _Value(is_builder=True)


def survey(path: Path) -> None:
    """Walk the programs of a torch file; `RefusedPickle` says what they should not do."""
    with path.open("rb") as file:
        is_zip = file.read(len(_ZIP)) == _ZIP
        file.seek(0)
        if is_zip:
            _survey_zip(file, path.stat().st_size)
        else:
            _survey_old(file)


def _survey_zip(file: BufferedIOBase, size: int) -> None:
    file.seek(max(0, size - _END_BYTES))
    _, found, end = file.read().rpartition(_END_OF_ZIP)
    if not found or int.from_bytes(end[6:8], "little") >= min(_MOST_MEMBERS, 0xFFFF):
        raise RefusedPickle("the zip archive is cut off, or has too many members")
    file.seek(0)
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            names = {member.filename for member in members}
            # A TorchScript archive, for which torch has another loader.
            is_script = any(name.endswith("/constants.pkl") for name in names)
            packed = any(member.compress_type != zipfile.ZIP_STORED for member in members)
            total = sum(member.file_size for member in members)
            if packed or is_script or total > size or len(names) != len(members):
                raise RefusedPickle("the zip archive is not one that torch writes")
            programs = [member for member in members if member.filename.endswith("/data.pkl")]
            if len(programs) != 1 or programs[0].file_size > _LARGEST_PROGRAM:
                raise RefusedPickle("the zip archive is not one that torch writes")
            with archive.open(programs[0]) as program:
                _walk(cast("BufferedIOBase", program))
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise RefusedPickle(f"the zip archive is damaged: {error}") from error


def _survey_old(file: BufferedIOBase) -> None:
    for _ in range(_PROGRAMS_OF_OLD_FILES):
        if not file.read(1):
            return
        file.seek(-1, 1)
        _walk(file)


def _walk(program: BufferedIOBase) -> None:
    """Follow one program to its end."""
    stack: list[_Value | None] = []
    memo: dict[int, _Value] = {}
    for step, (name, argument) in enumerate(_steps(program)):
        if step >= _MOST_STEPS:
            raise RefusedPickle(f"it takes more than {_MOST_STEPS} steps")
        if name in _LEAVES:
            stack.append(_LEAF)
        elif name in ("BINPUT", "LONG_BINPUT"):
            memo[argument] = _top(stack)
        elif name in ("BINGET", "LONG_BINGET"):
            if argument not in memo:
                raise RefusedPickle("it is damaged")
            stack.append(memo[argument])
        elif name == "MARK":
            stack.append(None)
        elif name == "GLOBAL":
            if argument not in _BUILDERS:
                raise RefusedPickle(f"it asks for {argument.replace(' ', '.')}")
            stack.append(_BUILDER)
        elif name not in ("PROTO", "STOP"):
            stack.append(_made(name, stack))


def _steps(program: BufferedIOBase) -> Iterator[tuple[str, Any]]:
    try:
        for code, argument, _ in pickletools.genops(cast("IO[bytes]", program)):
            yield code.name, argument
    except (ValueError, EOFError, pickle.UnpicklingError) as error:
        raise RefusedPickle(f"it is damaged: {error}") from error


def _made(name: str, stack: list[_Value | None]) -> _Value:
    """Take what an instruction takes and return what it leaves."""
    if name in _POPPED_TO_MARK:
        taken = _taken_to_mark(stack, _POPPED_TO_MARK[name])
    elif name in _POPPED:
        taken = [_popped(stack) for _ in range(_POPPED[name])]
    else:
        raise RefusedPickle(f"it uses {name}")
    if name in _CALLS and not taken[-1].is_builder:
        raise RefusedPickle("it calls what it has made itself")
    made = _Value(
        1 + sum(value.size for value in taken), 1 + max((v.depth for v in taken), default=0)
    )
    # A list or table grows by one level only, however often it is added to.
    if name in ("APPEND", "APPENDS", "SETITEM", "SETITEMS", "BUILD"):
        inner = max((value.depth for value in taken[:-1]), default=0)
        made = _Value(made.size, max(taken[-1].depth, 1 + inner))
    if made.size > _LARGEST_VALUE or made.depth > _DEEPEST_VALUE:
        raise RefusedPickle("its values are endless")
    return made


def _taken_to_mark(stack: list[_Value | None], below: int) -> list[_Value]:
    taken: list[_Value] = []
    while stack and (value := stack.pop()) is not None:
        taken.append(value)
    return [*taken, *(_popped(stack) for _ in range(below))]


def _popped(stack: list[_Value | None]) -> _Value:
    value = stack.pop() if stack else None
    if value is None:
        raise RefusedPickle("it is damaged")
    return value


def _top(stack: list[_Value | None]) -> _Value:
    value = stack[-1] if stack else None
    if value is None:
        raise RefusedPickle("it is damaged")
    return value
