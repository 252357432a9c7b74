"""The SQL statements of an SQLite store."""

from __future__ import annotations

from collections.abc import Sequence

ROW = 'student, moment, event_id, item, skills, kind, correct, "group", decision, retracted, checksum'
FIRST = ("", -(2**63), "")  # before every (student, moment, id)
EVENTS = f"SELECT {ROW} FROM events WHERE (student, moment, event_id) > (?, ?, ?) AND retracted = 0 ORDER BY 1, 2, 3 LIMIT ?"
RETRACTED = EVENTS.replace("retracted = 0", "retracted = 1")
EVENTS_OF = f"SELECT {ROW} FROM events WHERE student = ? AND (moment, event_id) > (?, ?) AND retracted = 0 ORDER BY 2, 3 LIMIT ?"
EVENTS_ON = EVENTS_OF.replace("ORDER", "AND skills IN (SELECT value FROM json_each(?)) ORDER")
EVENTS_BY_ID = f"SELECT {ROW} FROM events WHERE event_id IN"
DECIDED = "SELECT student, moment, decision_id, content FROM decisions WHERE"
DECISIONS = f"{DECIDED} (student, moment, decision_id) > (?, ?, ?) ORDER BY 1, 2, 3 LIMIT ?"
DECISIONS_OF = f"{DECIDED} student = ? AND (moment, decision_id) > (?, ?) ORDER BY 2, 3 LIMIT ?"
STATES = "SELECT student, version, model, state FROM students WHERE student >= ? ORDER BY 1 LIMIT ?"
STATES_OF = "SELECT student, version, model, state FROM students WHERE student IN"
# "+": one look at the index, not one for each student
NEW_EVENT = f"""
    INSERT INTO events ({ROW}) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11
    WHERE NOT EXISTS (SELECT 1 FROM corrections WHERE original = ?3 AND +student IN ('', ?1) AND content <> '')
    AND NOT EXISTS (SELECT 1 FROM corrections WHERE event_id = ?3 AND event_id <> '' AND content <> '')
    ON CONFLICT DO NOTHING"""
ADD_EVENT = f"INSERT INTO events ({ROW}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
RETRACT = "UPDATE events SET retracted = 1 WHERE event_id = ? AND student = ? AND retracted = 0"
MOVE = "UPDATE students SET version = version + 1, model = ?, state = ? WHERE student = ? AND version = ?"
ADD_STUDENT = "INSERT INTO students (student, version, model, state) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
NEW_STUDENT = "INSERT INTO students SELECT ?, version, ?, ? FROM first_version WHERE true ON CONFLICT DO NOTHING"
LEAVE_VERSIONS = (
    "UPDATE first_version SET version = max(version, 1 + v) FROM (SELECT version AS v FROM students WHERE student = ?)"
)
LEAVE_NO_RETRACTIONS = """
    DELETE FROM corrections WHERE student = '' AND original IN (
        SELECT original FROM corrections WHERE student = :student UNION SELECT event_id FROM corrections WHERE student = :student
    )"""
CORRECTIONS = "SELECT original, student, event_id, content FROM corrections"
CORRECTIONS_OF = f"{CORRECTIONS} WHERE original IN"
CORRECTIONS_BY = f"{CORRECTIONS} WHERE content <> '' AND event_id <> '' AND event_id IN"
CHECKPOINTS = "SELECT student, moment, event_id, model, content FROM checkpoints"
ADD_CHECKPOINT = "INSERT INTO checkpoints (student, moment, event_id, model, content) VALUES (?, ?, ?, ?, ?)"
ADD_CORRECTION = "INSERT INTO corrections (original, student, event_id, content) VALUES (?, ?, ?, ?)"
APPLY_CORRECTION = """
    INSERT INTO corrections (original, student, event_id, content) SELECT ?1, ?2, ?3, ''
    WHERE EXISTS (SELECT * FROM events WHERE event_id = ?1 AND retracted = 1)
    ON CONFLICT (original, student) DO UPDATE SET content = '' WHERE event_id = excluded.event_id AND content <> ''"""
APPLY_WAITING = """
    UPDATE corrections SET content = '' WHERE original = ? AND student = ? AND event_id = ? AND content <> ''"""
APPLY_RETRACTION = "DELETE FROM corrections WHERE original = ? AND student = ? AND event_id = ?"
WAIT = """
    INSERT INTO corrections (original, student, event_id, content) SELECT ?1, ?2, ?3, ?4
    WHERE NOT EXISTS (SELECT * FROM events WHERE event_id = ?1) ON CONFLICT DO NOTHING"""
ADD_DECISION = "INSERT INTO decisions (decision_id, student, moment, content) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
EXPOSE = "INSERT INTO exposures VALUES (?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count"


def marks(values: Sequence[str]) -> str:
    """A question mark for each value."""
    return ", ".join("?" * len(values))
