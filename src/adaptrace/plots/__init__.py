"""Pictures of the library's tables: every function takes a table, or the object that has it, and gives a matplotlib ``Figure``.

They need ``adaptrace[plot]``.

No window opens and no global state is touched: save a figure with :func:`save` or its own ``savefig``; a notebook shows it.
The colours are those of Okabe & Ito (2008), which colour-blind people can tell apart; the markers differ as well.
"""

from adaptrace.plots.files import check, save
from adaptrace.plots.groups import fairness, matrix
from adaptrace.plots.models import calibration, comparison, learning_curve, periods
from adaptrace.plots.students import mastery

__all__ = ["calibration", "check", "comparison", "fairness", "learning_curve", "mastery", "matrix", "periods", "save"]
