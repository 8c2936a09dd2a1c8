"""Time each stage of a question on the example corpus: medians over ten questions, 20 passages each."""

import statistics
from collections import defaultdict
from pathlib import Path

from rag import Pipeline

CORPUS = Path(__file__).parent / "islands"
QUESTIONS = [
    "How high is the Old Man of Hoy?",
    "In which year did Surtsey emerge from the ocean?",
    "Who constructed the tower on the Bell Rock?",
    "Which ship of the Spanish Armada was lost on Fair Isle?",
    "What do the sheep of North Ronaldsay eat for most of the year?",
    "Which monarch pawned Orkney and Shetland to pay for a royal wedding?",
    "When did Hans Egede begin his mission in Greenland?",
    "Which company operates the overnight boat from Aberdeen to Lerwick?",
    "Who owns the island of Eigg?",
    "Which film director lies buried on Fårö?",
]

if __name__ == "__main__":
    # 100 orderings of 20 passages: up to 1,902 distinct coalitions.
    overrides = ["attribution.budget=2000", "attribution.permutations=100"]
    pipeline = Pipeline.from_config("default", corpus=CORPUS, overrides=overrides)
    pipeline.ask(QUESTIONS[0])  # the first call warms caches
    seconds, evaluations = defaultdict(list), []
    for question in QUESTIONS:
        answer = pipeline.ask(question)
        evaluations.append(answer.attribution.evaluations)
        for stage, time in answer.seconds.items():
            seconds[stage].append(time)
    print(f"20 passages, 100 orderings, {statistics.median(evaluations):.0f} coalitions (medians of {len(QUESTIONS)})")
    for stage, times in seconds.items():
        print(f"{stage:>10} {statistics.median(times):8.3f} s")
