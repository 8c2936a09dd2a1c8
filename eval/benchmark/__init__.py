"""Attribution against its alternatives: speed, and error at equal budgets, in one run on one machine."""

from eval.benchmark.ablations import VARIANTS, Variant
from eval.benchmark.report import BenchmarkResult
from eval.benchmark.run import benchmark_attribution
from eval.benchmark.settings import QUICK, SECTIONS, BenchmarkSettings
from eval.benchmark.tables import Section, Table

__all__ = [
    "QUICK",
    "SECTIONS",
    "VARIANTS",
    "BenchmarkResult",
    "BenchmarkSettings",
    "Section",
    "Table",
    "Variant",
    "benchmark_attribution",
]
