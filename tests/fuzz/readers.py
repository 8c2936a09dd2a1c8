"""Every reader of files, with files that it takes: what the property tests and the coverage-guided ones feed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

from eval.records import Records
from eval.retrieval.compare import compare
from rag.answer import Answer
from rag.offline import ContextsTask
from rag.offline.run import read_queries
from rag.offline.writing import Part, rerank_file
from rag.questions import load_questions
from rag.rerank import Ranked, Reranking
from rag.settings import Settings, load_settings
from rag.settings_base import SettingsError, load_section
from retrievers import CorpusError, Hit, load_corpus
from retrievers.corpora.trec import read_qrels, read_run, stream_run

from ..retrievers.corpora.test_documents import epub, pdf


class Reader(NamedTuple):
    """One reader: the name that its file must have, what reads it, what it takes, and the errors it may raise."""

    file: str
    read: Callable[[Path], Any]
    seeds: tuple[bytes, ...]
    errors: tuple[type[Exception], ...] = (CorpusError,)


def _lines(*values: Any) -> bytes:
    return "".join(json.dumps(value) + "\n" for value in values).encode()


PASSAGES = (
    {"id": "a", "text": "The ferry Smyril sails to Suðuroy.", "title": "Ferry", "metadata": {"year": 1893, "x": [1.5]}},
    {"_id": "b", "contents": "Sheep graze. They graze all year.", "lang": "en"},
)
SQUAD = {
    "version": "2.0",
    "data": [
        {
            "title": "Old_Man",
            "paragraphs": [
                {
                    "context": "The stack is 137 metres high. It stands on Hoy.",
                    "qas": [
                        {"id": "1", "question": "How high?", "answers": [{"text": "137 metres", "answer_start": 13}]},
                        {"id": "2", "question": "How old?", "answers": [], "is_impossible": True},
                    ],
                }
            ],
        }
    ],
}
DPR = {
    "id": "7",
    "question": "Which ferry?",
    "answers": ["Smyril"],
    "ctxs": [{"id": "c1", "title": "Ferry", "text": "Smyril sails.", "score": "1.5"}, {"text": "Sheep graze."}],
    "positive_ctxs": [{"title": "t", "text": "Smyril"}],
    "hard_negative_ctxs": [],
}
HOTPOT = {
    "_id": "h",
    "question": "Which ferry?",
    "answer": "Smyril",
    "context": [["Ferry", ["Smyril sails.", " It is white."]], ["Sheep", ["They graze."]]],
    "supporting_facts": [["Ferry", 0]],
}
MUSIQUE = {
    "id": "m",
    "question": "Which?",
    "answer": "Smyril",
    "answer_aliases": ["MS Smyril"],
    "paragraphs": [{"title": "Ferry", "paragraph_text": "Smyril sails.", "is_supporting": True}],
}
OPEN = {"question": "Which ferry?", "answer": ["Smyril", "the Smyril"]}
QUERIES = ({"_id": "q1", "text": "Which ferry?", "metadata": {"answers": ["Smyril"]}},)
CTX = {"docid": "1#0", "title": "Ferry", "text": "Smyril sails."}
JSON_FILES: dict[str, Any] = {
    "squad": SQUAD,
    "squad rows": [
        {"id": "s", "context": "In Hoy.", "question": "?", "answers": {"text": ["Hoy"], "answer_start": [3]}}
    ],
    "dpr": [DPR],
    "hotpot": [HOTPOT],
    "musique": [MUSIQUE],
    "miracl": [{"query_id": "1", "query": "Which?", "positive_passages": [CTX], "negative_passages": []}],
    "open": [OPEN],
    "triviaqa": [{"question_id": "1", "question": "?", "answer": {"value": "Hoy", "aliases": ["Háey"]}}],
    "kilt": [{"id": "1", "input": "?", "output": [{"answer": "Hoy", "provenance": [{"title": "Hoy"}]}]}],
    "bright": [{"id": "1", "query": "?", "gold_ids": ["a"], "excluded_ids": ["N/A"], "gold_answer": "x"}],
}
SGML = b"<top>\n<num> Number: 301\n<title> Ferries &amp; sheep\n<narr> Narrative:\nAny.\n</top>\n"
XML = b'<?xml version="1.0" encoding="UTF-8"?>\n<topics><topic number="1"><query>Ferries</query></topic></topics>'

RUN = b"q1 Q0 a 1 9.5 tag\nq1 Q0 b 2 8 tag\nq2 Q0 a 1 -1e3 tag\n"
QRELS = b"query-id\tcorpus-id\tscore\nq1\ta\t1\nq1\tb\t0\n"
TABLE = b'id\ttext\ttitle\n1\t"a ""quoted"" text"\tT\n2\tplain text\t\n'
POPQA = b'id\tquestion\tpossible_answers\n1\tWho?\t[""x"", ""y""]\n2\tWho else?\t[\'z\']\n'
YAML = b"""
passage_words: 80
retriever: {kind: hybrid, passages: 10, bm25: {k1: 1.2, stemmer: null}}
reader: &reader {checkpoint: embedded, max_block_tokens: 128}
attribution:
  estimator: kernel
  budget: 500
rerank: {keep: smallest}
"""
RECORDS = _lines({"made_with": {"k": 5, "reader": {"name": "x"}}}, {"id": "q1", "answer": "a"}, {"id": "q2"})
PROGRESS = json.dumps({"made_with": {"depth": 2}, "questions": 1, "bytes": 2, "told": {"{} cut": [1, 2]}}).encode()
RESULT = {
    "format": "ragshap-retrieval",
    "version": 1,
    "questions": ["q1", "q2"],
    "scores": {"bm25": {"R@1": [1.0, 0.0]}},
}


def _corpus(path: Path) -> Any:
    return list(load_corpus(path, passage_words=100))


def _questions(path: Path) -> Any:
    return load_questions([path])


def _contexts(path: Path) -> Any:
    task = ContextsTask(path, 1)
    return [item.reranked(_as_given).text.encode() for item in task]


def _as_given(_: str, hits: Sequence[Hit]) -> Reranking:
    return Reranking("", tuple(Ranked(hit.passage, 1, 1.0, None) for hit in hits), 0, 0, ())


def _records(path: Path) -> Any:
    records = Records(path, {"k": 5, "reader": {"name": "x"}})
    records.close()
    return "q1" in records


class _Item:
    def reranked(self, _: Any) -> Part:
        return Part("1")


class _Items:
    total, head, between, tail = 2, "[", ",", "]"

    def __iter__(self) -> Any:
        return iter([_Item(), _Item()])


def _progress(path: Path) -> Any:
    (path.parent / "out.partial").write_bytes(b"[1")
    rerank_file(_Items(), lambda: _as_given, path.parent / "out", {"depth": 2})


def _word_file() -> bytes:
    import docx

    document, held = docx.Document(), BytesIO()
    document.add_heading("Fees")
    document.add_paragraph("Forty crowns.")
    document.save(held)
    return held.getvalue()


READERS: dict[str, Reader] = {
    "corpus JSONL": Reader("c.jsonl", _corpus, (_lines(*PASSAGES),)),
    "corpus TSV": Reader("c.tsv", _corpus, (TABLE,)),
    "corpus SQuAD": Reader("c.json", _corpus, (json.dumps(SQUAD).encode(),)),
    "corpus Markdown": Reader("c.md", _corpus, ("# A title #\n\nText; in two sentences. Øy.\r\n".encode(),)),
    "corpus CSV": Reader("c.csv", _corpus, (b'id,text,title\n1,"a ""b"" c",d\n2,e,f\n', b"city;people\nOslo;7\n")),
    "corpus JSON": Reader("c.json", _corpus, (json.dumps([{"text": "one"}, {"id": 2, "text": "two"}]).encode(),)),
    "corpus Parquet": Reader("c.parquet", _corpus, (b"PAR1" + bytes(40) + b"PAR1",)),
    "run": Reader("r.trec", lambda path: (read_run(path), list(stream_run(path))), (RUN, b"1\ta b\t1\n1\tc\t2\n")),
    "qrels": Reader("q.tsv", read_qrels, (QRELS, b"q1 0 a 1\n")),
    "queries": Reader("queries.jsonl", read_queries, (_lines(*QUERIES),)),
    "questions JSON": Reader("q.json", _questions, tuple(json.dumps(one).encode() for one in JSON_FILES.values())),
    "questions JSONL": Reader("q.jsonl", _questions, (_lines(OPEN, OPEN), _lines(DPR))),
    "questions table": Reader(
        "q.tsv",
        _questions,
        (POPQA, b"question,answers\nWhich?,['a']\n", b"q1\tWhich ferry?\n", b"Which?\t['a', 'b']\n"),
    ),
    "questions topics": Reader("t.xml", _questions, (SGML, XML)),
    "contexts": Reader("c.json", _contexts, (json.dumps([DPR, DPR]).encode(), _lines(DPR))),
    "settings": Reader("s.yaml", load_settings, (YAML,), (SettingsError,)),
    "records": Reader("r.jsonl", _records, (RECORDS,), (SettingsError, ValueError)),
    "progress": Reader("out.progress.json", _progress, (PROGRESS,), (SettingsError, ValueError)),
    "answer": Reader("a.json", lambda path: Answer.from_json(path.read_text("utf-8", "replace")), (), (ValueError,)),
    "result": Reader("r.json", lambda path: compare(path, path), (json.dumps(RESULT).encode(),), (ValueError,)),
}

if all(find_spec(name) for name in ("pypdfium2", "lxml", "docx", "pptx")):
    READERS |= {
        "corpus PDF": Reader("c.pdf", _corpus, (pdf("One.", "Two."),)),
        "corpus EPUB": Reader("c.epub", _corpus, (epub(),)),
        "corpus DOCX": Reader("c.docx", _corpus, (_word_file(),)),
        "corpus HTML": Reader("c.html", _corpus, (b"<meta charset=utf-8><title>x</title><p>a<pre>b</pre><td>c",)),
    }


def override(text: str) -> Settings:
    """Settings from one override."""
    return load_section(Settings, None, [text])
