"""Systems compared on one task: settings from val, figures from test with intervals, paired tests and costs."""

from mmfeat.comparison._compare import compare
from mmfeat.comparison._comparison import Comparison
from mmfeat.comparison._systems import Reranked, System, Together

__all__ = ["Comparison", "Reranked", "System", "Together", "compare"]
