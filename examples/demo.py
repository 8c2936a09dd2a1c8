"""Ask three questions of the example corpus and write one explanation page for each to `demo/`."""

from pathlib import Path

from rag.cli import run

HERE = Path(__file__).parent
OUT = HERE.parent / "demo"
INDEX = OUT / "islands.index"
QUESTIONS = {
    "two-passages-say-so": "In which year did Surtsey emerge from the ocean?",
    "two-passages-together": "Which whirlpool lies off the island where Orwell wrote Nineteen Eighty-Four?",
    "old-and-new": "When did drivers stop paying to use the Skye Bridge?",
}

if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    run(["index", str(HERE / "islands"), "--out", str(INDEX)])
    for name, question in QUESTIONS.items():
        print()
        run(["ask", question, "--index", str(INDEX), "--html", str(OUT / f"{name}.html")])
