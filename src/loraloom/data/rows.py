"""The rows of a table of captions, and what is wrong with those that are none."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias, cast

from loraloom.data.caption_files import read_text
from loraloom.data.listing import is_spelled
from loraloom.errors import DatasetError

PICTURE: Final = "file_name"
"""The column that names the picture."""

# Best first: "text" is the convention, the others are what captioning tools write.
COLUMNS: Final = ("text", "caption", "prompt")

Row: TypeAlias = Mapping[str, object]
"""The cells of a picture by the names of their columns."""


class UnreadRow(DatasetError):
    """A row that cannot be used; `cells` are those that could be told apart all the same."""

    def __init__(self, fault: DatasetError, cells: Row) -> None:
        super().__init__(fault.code, **fault.details)
        self.cells = cells


def rows(
    path: Path, column: str | None = None, *, encoding: str | None = None
) -> Iterator[tuple[int, Row | DatasetError]]:
    """Yield the rows of a table with their lines, or what is wrong with them.

    A header without which no row can be understood is line 1, and then nothing follows.
    """
    text, _ = read_text(path, encoding)
    if path.suffix.lower() == ".csv":
        yield from _csv_rows(path, text, column)
        return
    for line, content in enumerate(text.split("\n"), start=1):
        if content.strip():
            yield line, _json_row(path, line, content)


def caption_column(row: Row, column: str | None = None) -> str | None:
    """Return the name of the column that holds the caption of a row, None if there is none."""
    wanted = COLUMNS if column is None else (column,)
    return next((name for name in wanted if name in row), None)


def _json_row(path: Path, line: int, content: str) -> Row | DatasetError:
    try:
        row = json.loads(content)
    except json.JSONDecodeError as error:
        return _malformed(path, line, error.msg)
    except (ValueError, RecursionError):
        return _malformed(path, line, "thousands of brackets or digits")
    if not isinstance(row, dict):
        return _malformed(path, line, "not an object")
    # JSON may spell half of a letter, which no text can hold.
    if "\\ud" in content.lower() and not is_spelled(json.dumps(row, ensure_ascii=False)):
        fault = DatasetError("dataset.metadata_letters", file=path.name, line=line)
        return UnreadRow(fault, cast(Row, row))
    return cast(Row, row)


def _csv_rows(
    path: Path, text: str, column: str | None
) -> Iterator[tuple[int, Row | DatasetError]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] = []
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield reader.line_num, _malformed(path, reader.line_num, str(error))
            continue
        if header and cells:
            yield reader.line_num, _row_of(path, reader.line_num, header, cells)
        elif cells:
            header = cells
            if fault := _header_fault(path, header, column):
                yield reader.line_num, fault
                return


def _header_fault(path: Path, header: Sequence[str], column: str | None) -> DatasetError | None:
    """Return what is wrong with a header, None if nothing is; letters count as they are written,
    as `datasets` counts them.
    """
    told: dict[str, object] = {"file": path.name, "line": 1, "found": quoted_names(header)}
    if twice := next((name for name in header if header.count(name) > 1), None):
        return DatasetError("dataset.metadata_columns", **told, name=twice)
    if PICTURE not in header:
        return DatasetError("dataset.metadata_header", **told, wanted=f"{PICTURE},{COLUMNS[0]}")
    if caption_column(dict.fromkeys(header), column) is None:
        return no_column(path, 1, dict.fromkeys(header), column)
    return None


def quoted_names(names: Iterable[str]) -> str:
    """Return the names of columns as they are told, one that goes on and on cut short."""
    return ", ".join(f'"{name[:40]}"' for name in names)


def _row_of(
    path: Path, line: int, header: Sequence[str], cells: Sequence[str]
) -> Row | DatasetError:
    """Return a row of a table of text; one with too many or too few cells is malformed."""
    if len(cells) != len(header):
        fault = _malformed(path, line, f"{len(cells)} cells, not {len(header)}")
        return UnreadRow(fault, dict(zip(header, cells, strict=False)))
    return dict(zip(header, cells, strict=True))


def _malformed(path: Path, line: int, reason: str) -> DatasetError:
    code = "dataset.metadata_csv" if path.suffix.lower() == ".csv" else "dataset.metadata_syntax"
    return DatasetError(code, file=path.name, line=line, reason=reason)


def no_column(path: Path, line: int, row: Row, column: str | None) -> DatasetError:
    """Return the error for a row that has no caption in the column that is to hold it."""
    return DatasetError(
        "dataset.metadata_column",
        file=path.name,
        line=line,
        wanted=column or ", ".join(COLUMNS),
        found=quoted_names(key for key in row if key != PICTURE),
    )
