"""Ask three questions of the example corpus and write one explanation page for each to `demo/`."""

from pathlib import Path

from rag.cli import run

HERE = Path(__file__).parent
OUT = HERE.parent / "demo"
INDEX = OUT / "islands.index"
QUESTIONS = {
    "single": "Which engineer designed the lighthouse on Muckle Flugga?",
    "double": "In which year did the volcanic eruption that created Surtsey begin?",
    "current": "How do people travel by road between Streymoy and Sandoy today?",
}

if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    run(["index", str(HERE / "islands"), "--out", str(INDEX)])
    for name, question in QUESTIONS.items():
        print()
        run(["ask", question, "--index", str(INDEX), "--html", str(OUT / f"{name}.html")])
