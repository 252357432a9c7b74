"""How good predictions are on the bundled sample: a speed-up that costs accuracy shows here."""

from __future__ import annotations

import adaptrace as at
from adaptrace.metrics import auc, log_loss


class Quality:
    """Fitted to four fifths of the students, measured on the others."""

    params = (False, True)
    param_names = ("forget",)

    def setup(self, forget: bool) -> None:
        train, test = at.sample_log().split(seed=0)
        self.correct = test.correct
        self.predicted = at.BKT(forget=forget).fit(train).predict(test)

    def track_auc(self, forget: bool) -> float:
        return auc(self.correct, self.predicted)

    def track_log_loss(self, forget: bool) -> float:
        return log_loss(self.correct, self.predicted)
