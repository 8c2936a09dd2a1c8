"""Postings of consecutive passages in the file format of bm25s, weighted by their own statistics alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from retrievers.errors import IndexFormatError
from retrievers.storage.index_folder import map_array
from retrievers.storage.segments import SourceFolder

_BLOCK = 2**22  # postings that are merged at a time
_NAMES = {
    "lengths": "lengths.npy",
    "indptr": "indptr.csc.index.npy",
    "indices": "indices.csc.index.npy",
    "weights": "data.csc.index.npy",
}


class Weighting(NamedTuple):
    """BM25's parameters, as in :class:`retrievers.bm25.retriever.BM25Retriever`."""

    k1: float
    b: float

    def norms(self, lengths: NDArray[np.integer], mean_length: float) -> NDArray[np.floating]:
        """K = k1 (1 - b + b len / avglen) of passages, ``(n_passages,)``."""
        with np.errstate(invalid="ignore"):  # a mean length of 0, when there are only stop words
            return self.k1 * (1 - self.b + self.b * lengths / np.float64(mean_length))


class WordSegment:
    """The words of consecutive passages.

    Attributes:
        lengths: Words per passage, int32 ``(n_passages,)``.
        indptr: Where each word's postings start, ``(n_words + 1,)``; words that are newer than the segment have none.
        indices: Passages, counted from the segment's first, int32 ``(n_postings,)``.
        weights: idf * tf / (tf + K), float32 ``(n_postings,)``.
        source: The folder that the segment's folder ``name`` is in; None in memory.
    """

    def __init__(
        self,
        arrays: dict[str, NDArray[Any]],
        weighting: Weighting,
        source: SourceFolder | None = None,
        name: str = "",
    ) -> None:
        """Take arrays by their names above."""
        self.lengths, self.indptr, self.indices, self.weights = (arrays[key] for key in _NAMES)
        self.source, self.name = source, name
        self._weighting = weighting

    @classmethod
    def build(
        cls, words: NDArray[np.int32], lengths: NDArray[np.int32], n_words: int, weighting: Weighting
    ) -> WordSegment:
        """Index passages, ``words`` being those of all of them one after another, ``(lengths.sum(),)``."""
        keys = words.astype(np.int64) << 32 | np.repeat(np.arange(len(lengths)), lengths)
        keys.sort()
        first = np.flatnonzero(np.diff(keys, prepend=-1))
        frequencies = np.diff(first, append=len(keys))
        found = keys[first] >> 32, (keys[first] & 0xFFFFFFFF).astype(np.int32), frequencies
        df, indices, weights = _weigh(*found, 0, n_words, lengths, weighting.norms(lengths, _mean(lengths)))
        arrays = {"lengths": lengths, "indptr": _starts(df), "indices": indices, "weights": weights}
        return cls(arrays, weighting)

    @classmethod
    def open(cls, source: SourceFolder, root: Path, name: str, weighting: Weighting) -> WordSegment:
        """Map the arrays in ``root / name``; they can be linked from ``source``, which is ``root``."""
        arrays = {
            key: map_array(root / name / file_name, np.floating if key == "weights" else np.integer)
            for key, file_name in _NAMES.items()
        }
        starts, n_postings = arrays["indptr"], len(arrays["indices"])
        if not len(starts) or starts[-1] != n_postings or len(arrays["weights"]) != n_postings:
            raise IndexFormatError(f"{root / name}: the postings do not fit each other; index the corpus again")
        return cls(arrays, weighting, source, name)

    @classmethod
    def merge(
        cls, parts: Sequence[tuple[WordSegment, NDArray[np.bool_]]], place: tuple[SourceFolder, Path, str] | None = None
    ) -> WordSegment:
        """Make one of what is to be kept of each part, ``(n_passages,)``: in memory, or in a new folder."""
        weighting = parts[0][0]._weighting
        lengths = np.concatenate([segment.lengths[keep] for segment, keep in parts])
        blocks = _merged_blocks(parts, lengths, weighting.norms(lengths, _mean(lengths)))
        if place is None:
            df, indices, weights = map(np.concatenate, zip(*blocks, strict=True))
            arrays = {"lengths": lengths, "indptr": _starts(df), "indices": indices, "weights": weights}
            return cls(arrays, weighting)
        source, root, name = place
        (root / name).mkdir()
        n_postings = sum(int(keep[segment.indices].sum()) for segment, keep in parts)
        dfs: list[NDArray[np.int64]] = []
        with (
            (root / name / _NAMES["indices"]).open("wb") as indices_file,
            (root / name / _NAMES["weights"]).open("wb") as weights_file,
        ):
            _write_header(indices_file, np.int32, n_postings)
            _write_header(weights_file, np.float32, n_postings)
            for block_df, block_indices, block_weights in blocks:
                dfs.append(block_df)
                block_indices.tofile(indices_file)
                block_weights.tofile(weights_file)
        _write_rest(root / name, {"lengths": lengths, "indptr": _starts(np.concatenate(dfs))}, weighting)
        return cls.open(source, root, name, weighting)

    def hand_on(self, source: SourceFolder, root: Path, name: str) -> WordSegment:
        """The same segment in another folder, its files linked or, where that cannot be, copied."""
        (root / name).mkdir()
        left = {key: getattr(self, key) for key in _NAMES}
        for key, file_name in _NAMES.items():
            if self.source is not None and self.source.link(f"{self.name}/{file_name}", root / name / file_name):
                del left[key]
        _write_rest(root / name, left, self._weighting, n_passages=len(self.lengths))
        return WordSegment.open(source, root, name, self._weighting)

    def rename(self, root: Path, name: str) -> None:
        """Rename the segment's folder, which is in ``root``."""
        (root / self.name).rename(root / name)
        self.name = name

    def postings(self, word: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Passages of the segment with the word, ``(df,)``, and their weights, ``(df,)``."""
        if word + 1 >= len(self.indptr):
            return self.indices[:0], self.weights[:0]
        start, end = self.indptr[word], self.indptr[word + 1]
        return self.indices[start:end], self.weights[start:end]

    def norms(self) -> NDArray[np.floating]:
        """K of each passage by the statistics of the segment, ``(n_passages,)``."""
        return self._weighting.norms(self.lengths, _mean(self.lengths))

    def dfs(self, first: int, end: int) -> NDArray[np.int64]:
        """Number of passages with each word of a range, ``(end - first,)``."""
        n_known = len(self.indptr) - 1
        counts = np.zeros(end - first, dtype=np.int64)
        known = np.diff(self.indptr[min(first, n_known) : min(end, n_known) + 1])
        counts[: len(known)] = known
        return counts

    def frequencies(
        self, first: int, end: int, norms: NDArray[np.floating]
    ) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.floating]]:
        """Word, passage and term frequency of all postings of a range of words, each ``(n_found,)``."""
        df = self.dfs(first, end)
        start = self.indptr[min(first, len(self.indptr) - 1)]
        indices, weights = (array[start : start + df.sum()] for array in (self.indices, self.weights))
        saturation = weights / np.repeat(idf(df, len(self.lengths)), df)  # tf / (tf + K)
        return np.repeat(np.arange(first, end), df), indices, np.rint(saturation * norms[indices] / (1 - saturation))


def idf(df: NDArray[np.integer] | int, n_passages: int) -> NDArray[np.floating]:
    """Inverse document frequency in Lucene's form, always above 0."""
    return np.log1p((n_passages - np.asarray(df) + 0.5) / (np.asarray(df) + 0.5))


def _merged_blocks(
    parts: Sequence[tuple[WordSegment, NDArray[np.bool_]]], lengths: NDArray[np.int32], norms: NDArray[np.floating]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]]:
    """Document frequencies, passages and weights for one range of words after another."""
    n_words = max(len(segment.indptr) for segment, _ in parts) - 1
    n_postings = np.cumsum(sum(segment.dfs(0, n_words) for segment, _ in parts))
    cuts = np.searchsorted(n_postings, np.arange(_BLOCK, n_postings[-1] if n_words else 0, _BLOCK)) + 1
    own_norms = [segment.norms() for segment, _ in parts]
    new_places, n_before = [], 0
    for _, keep in parts:
        new_places.append((np.cumsum(keep) - 1 + n_before).astype(np.int32))
        n_before += int(keep.sum())
    edges = np.unique([0, *cuts, n_words]) if n_words else [0, 0]  # passages without any word have one empty range
    for first, end in pairwise(edges):
        pieces = []
        for (segment, keep), own, places in zip(parts, own_norms, new_places, strict=True):
            words, indices, frequencies = segment.frequencies(int(first), int(end), own)
            kept = keep[indices]
            pieces.append((words[kept], places[indices[kept]], frequencies[kept]))
        words, indices, frequencies = map(np.concatenate, zip(*pieces, strict=True))
        order = np.argsort(words, kind="stable")  # by word, then by passage, as the parts are in order
        found = words[order], indices[order], frequencies[order]
        yield _weigh(*found, int(first), int(end), lengths, norms)


def _weigh(
    words: NDArray[np.integer],
    indices: NDArray[np.int32],
    frequencies: NDArray[np.number],
    first: int,
    end: int,
    lengths: NDArray[np.int32],
    norms: NDArray[np.floating],
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    df = np.bincount(words - first, minlength=end - first)
    weights = idf(df, len(lengths))[words - first] * frequencies / (frequencies + norms[indices])
    return df, indices, weights.astype(np.float32)


def _mean(lengths: NDArray[np.int32]) -> float:
    return float(lengths.mean()) if len(lengths) else 0.0


def _starts(df: NDArray[np.int64]) -> NDArray[np.integer]:
    starts = np.concatenate([[0], np.cumsum(df)])
    return starts.astype(np.int32 if starts[-1] < 2**31 else np.int64)


def _write_header(file: BinaryIO, dtype: type, length: int) -> None:
    description = np.lib.format.dtype_to_descr(np.dtype(dtype))
    header = {"descr": description, "fortran_order": False, "shape": (length,)}
    np.lib.format.write_array_header_1_0(file, header)


def _write_rest(
    folder: Path, arrays: dict[str, NDArray[Any]], weighting: Weighting, n_passages: int | None = None
) -> None:
    """Write arrays, and what bm25s wants beside them."""
    for key, array in arrays.items():
        np.save(folder / _NAMES[key], array, allow_pickle=False)
    parameters = {
        **weighting._asdict(),
        "delta": 0.5,
        "method": "lucene",
        "idf_method": "lucene",
        "dtype": "float32",
        "int_dtype": "int32",
        "num_docs": len(arrays["lengths"]) if n_passages is None else n_passages,
        "backend": "numpy",
    }
    (folder / "params.index.json").write_text(json.dumps(parameters, indent=4), encoding="utf-8")
    (folder / "vocab.index.json").write_text("{}", encoding="utf-8")  # the vocabulary is kept once, beside the segments
