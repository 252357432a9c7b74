"""One student, live: no compiled code, so no first-call delay."""

from __future__ import annotations

import adaptrace as at

from . import data


class Observe:
    def setup(self) -> None:
        self.student = at.Student(data.warmed_up())
        self.student.observe("first", 1, skills=["7"])

    def time_observe(self) -> None:
        self.student.observe("70", 1, skills=["7"])

    def time_observe_several_skills(self) -> None:
        self.student.observe("71", 0, skills=["7", "8", "9"])

    def time_predict(self) -> None:
        self.student.predict("70", skills=["7"])

    def time_mastery(self) -> None:
        self.student.mastery("7")


class Restore:
    """A student's state from the log of all students, and from what was kept of it."""

    def setup(self) -> None:
        self.model, self.log = data.warmed_up(), at.Log.from_arrow(data.simulated(100_000))
        self.kept = at.Student.from_log(self.model, self.log, student=100).to_dict()

    def time_from_log(self) -> None:
        at.Student.from_log(self.model, self.log, student=100)

    def time_from_dict(self) -> None:
        at.Student.from_dict(self.kept, self.model)
