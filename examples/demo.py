"""Ask three questions of the example corpus and write one explanation page for each to `demo/`."""

import sys
from pathlib import Path

from rag.cli import run

HERE = Path(__file__).parent
OUT = HERE.parent / "demo"
INDEX = OUT / "islands.index"
QUESTIONS = {
    "two-passages-say-so": "In which year did Surtsey emerge from the ocean?",
    "two-passages-together": "Behind which church is the man buried who got relics of Franklin's crew from the Inuit?",
    "old-and-new": "How high is Hvannadalshnjúkur?",
}

if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    codes = [run(["index", str(HERE / "islands"), "--out", str(INDEX)])]
    for name, question in QUESTIONS.items():
        print()
        codes.append(run(["ask", question, "--index", str(INDEX), "--html", str(OUT / f"{name}.html")]))
    sys.exit(max(codes))
