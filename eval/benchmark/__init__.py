"""Attribution against its alternatives: speed, and error at equal budgets, in one run on one machine."""

from eval.benchmark.result import BenchmarkResult, Section
from eval.benchmark.run import SECTIONS, benchmark_attribution
from eval.benchmark.settings import QUICK, BenchmarkSettings

__all__ = ["QUICK", "SECTIONS", "BenchmarkResult", "BenchmarkSettings", "Section", "benchmark_attribution"]
