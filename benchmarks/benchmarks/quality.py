"""How good predictions are on the bundled sample: a speed-up that costs accuracy shows here."""

from __future__ import annotations

import adaptrace as at
from adaptrace.evaluate.metrics import auc, log_loss
from adaptrace.models import MODELS


class Quality:
    """Fitted to four fifths of the students, measured on the others."""

    params = tuple(name for name in MODELS if name != "fsrs")
    param_names = ("model",)

    def setup(self, name: str) -> None:
        train, test = at.sample_log().split(seed=0)
        self.correct = test.correct
        self.predicted = MODELS[name]().fit(train).predict(test)

    def track_auc(self, name: str) -> float:
        return auc(self.correct, self.predicted)

    def track_log_loss(self, name: str) -> float:
        return log_loss(self.correct, self.predicted)
