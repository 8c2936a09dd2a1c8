"""Questions with known answers: their file layouts, splits, scores and hard negatives."""

from rag.questions.loading import load_questions
from rag.questions.matching import holds_answer, whole_words
from rag.questions.negatives import mine_negatives
from rag.questions.question import AnswerPlace, Question, QuestionSet, draw_questions, split_by_article
from rag.questions.scoring import AnswerScore, score_answer

__all__ = [
    "AnswerPlace",
    "AnswerScore",
    "Question",
    "QuestionSet",
    "draw_questions",
    "holds_answer",
    "load_questions",
    "mine_negatives",
    "score_answer",
    "split_by_article",
    "whole_words",
]
