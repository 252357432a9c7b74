"""The tables of a PostgreSQL store, and the functions that are kept in the database."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from adaptrace.errors import StoreError
from adaptrace.tutor.store.base import RESTORE, STRAY, Fault, unchecked

if TYPE_CHECKING:
    import psycopg

LOCK = 0x61646170747261  # "adaptra": the advisory lock of those who create or migrate

# the n-th brings schema n to n + 1; never edit one that was released
MIGRATIONS = (
    """
    CREATE TABLE adaptrace_store (
        schema integer NOT NULL,
        first_version bigint NOT NULL  -- of the next new student: none that a forgotten one had
    );
    INSERT INTO adaptrace_store VALUES (0, 1);
    CREATE TABLE adaptrace_students (
        student text COLLATE "C" PRIMARY KEY,
        version bigint NOT NULL,
        model text NOT NULL,
        state text NOT NULL
    ) WITH (fillfactor = 70);  -- room for the next version on the same page
    CREATE TABLE adaptrace_events (
        event_id text COLLATE "C" PRIMARY KEY,
        student text COLLATE "C" NOT NULL,
        item text NOT NULL,
        skills jsonb NOT NULL,
        kind text NOT NULL,
        correct double precision NOT NULL,
        moment bigint NOT NULL,
        "group" text NOT NULL,
        decision text NOT NULL,
        retracted boolean NOT NULL
    );
    CREATE INDEX adaptrace_events_in_order ON adaptrace_events (student, moment, event_id);
    CREATE INDEX adaptrace_events_retracted ON adaptrace_events (student, moment, event_id) WHERE retracted;
    CREATE TABLE adaptrace_decisions (
        decision_id text COLLATE "C" PRIMARY KEY,
        student text COLLATE "C" NOT NULL,
        moment bigint NOT NULL,
        content text NOT NULL
    );
    CREATE INDEX adaptrace_decisions_in_order ON adaptrace_decisions (student, moment, decision_id);
    CREATE TABLE adaptrace_exposures (item text COLLATE "C" PRIMARY KEY, shown bigint NOT NULL);
    CREATE TABLE adaptrace_exposed (total bigint NOT NULL);
    INSERT INTO adaptrace_exposed VALUES (0);

    CREATE FUNCTION adaptrace_write(moves jsonb, events jsonb, retractions jsonb) RETURNS SETOF text LANGUAGE plpgsql
    -- plans made on small tables serve large ones; what they seem to cost must not start the compiler
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
    AS $$
    BEGIN
        PERFORM FROM adaptrace_students AS s
            WHERE s.student = ANY (ARRAY(SELECT m ->> 'student' FROM jsonb_array_elements(moves) AS m))
            ORDER BY s.student FOR UPDATE;
        RETURN QUERY
            SELECT m.student FROM jsonb_to_recordset(moves) AS m (student text, since bigint)
            LEFT JOIN adaptrace_students AS s ON s.student = m.student WHERE m.since <> coalesce(s.version, 0)
            UNION SELECT n.student FROM jsonb_to_recordset(events) AS n (event_id text, student text)
            JOIN adaptrace_events AS e ON e.event_id = n.event_id
            UNION SELECT r.student FROM jsonb_to_recordset(retractions) AS r (event_id text, student text)
            LEFT JOIN adaptrace_events AS e ON e.event_id = r.event_id AND e.student = r.student AND NOT e.retracted
            WHERE e.event_id IS NULL;
        IF FOUND THEN RETURN; END IF;
        INSERT INTO adaptrace_students SELECT m.student, s.first_version - 1 + m.version, m.model, m.state
            FROM jsonb_to_recordset(moves) AS m (student text, since bigint, version bigint, model text, state text),
                adaptrace_store AS s
            WHERE m.since = 0 ORDER BY m.student;
        UPDATE adaptrace_students AS s SET version = m.version, model = m.model, state = m.state
            FROM jsonb_to_recordset(moves) AS m (student text, since bigint, version bigint, model text, state text)
            WHERE s.student = m.student AND m.since > 0;
        INSERT INTO adaptrace_events SELECT * FROM jsonb_populate_recordset(NULL::adaptrace_events, events) ORDER BY event_id;
        UPDATE adaptrace_events AS e SET retracted = true
            FROM jsonb_to_recordset(retractions) AS r (event_id text) WHERE e.event_id = r.event_id;
    END $$;
    CREATE FUNCTION adaptrace_expose(items text[], rate double precision) RETURNS SETOF text LANGUAGE plpgsql
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
    AS $$
    DECLARE
        counted bigint;
    BEGIN
        SELECT total INTO counted FROM adaptrace_exposed FOR UPDATE;
        RETURN QUERY SELECT i.item FROM unnest(items) WITH ORDINALITY AS i (item, place)
            JOIN adaptrace_exposures AS e ON e.item = i.item WHERE e.shown >= 1 + rate * counted ORDER BY i.place;
        IF FOUND THEN RETURN; END IF;
        INSERT INTO adaptrace_exposures AS e SELECT i.item, 1 FROM unnest(items) AS i (item)
        ON CONFLICT (item) DO UPDATE SET shown = e.shown + 1;
        UPDATE adaptrace_exposed SET total = total + cardinality(items);
    END $$;
    """,
    """
    CREATE FUNCTION adaptrace_forget(name text) RETURNS bigint LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $$
    DECLARE
        left_version bigint;
        removed bigint;
    BEGIN
        -- a student without a row gets one until the end: whoever writes a first event waits at its key
        INSERT INTO adaptrace_students AS s VALUES (name, 0, '', '')
            ON CONFLICT (student) DO UPDATE SET version = s.version RETURNING s.version INTO left_version;
        UPDATE adaptrace_store SET first_version = 1 + left_version WHERE first_version <= left_version;
        DELETE FROM adaptrace_events WHERE student = name;
        GET DIAGNOSTICS removed = ROW_COUNT;
        DELETE FROM adaptrace_decisions WHERE student = name;
        DELETE FROM adaptrace_students WHERE student = name;
        RETURN removed;
    END $$;
    """,
    """
    ALTER TABLE adaptrace_events ADD COLUMN IF NOT EXISTS checksum bigint;  -- of what never changes; NULL: of an older schema
    CREATE TABLE IF NOT EXISTS adaptrace_corrections (  -- corrections, and retractions that wait for their event
        original text COLLATE "C" NOT NULL,
        student text COLLATE "C" NOT NULL,  -- '' of a retraction: nobody knows yet whose event it is
        event_id text COLLATE "C" NOT NULL,  -- of the event that replaces it; '' of a retraction
        content text NOT NULL,  -- what waits; '' once it is applied
        PRIMARY KEY (original, student)
    );
    CREATE UNIQUE INDEX IF NOT EXISTS adaptrace_corrections_waiting
        ON adaptrace_corrections (event_id) WHERE content <> '' AND event_id <> '';
    CREATE INDEX IF NOT EXISTS adaptrace_corrections_student ON adaptrace_corrections (student);
    INSERT INTO adaptrace_corrections  -- nobody knows what replaced them
        SELECT event_id, student, '', '' FROM adaptrace_events WHERE retracted ON CONFLICT DO NOTHING;
    CREATE TABLE IF NOT EXISTS adaptrace_checkpoints (
        student text COLLATE "C" NOT NULL,
        moment bigint NOT NULL,
        event_id text COLLATE "C" NOT NULL,
        model text NOT NULL,
        content text NOT NULL,
        PRIMARY KEY (student, moment, event_id)
    );

    DROP FUNCTION IF EXISTS adaptrace_write(jsonb, jsonb, jsonb);
    CREATE OR REPLACE FUNCTION adaptrace_write(moves jsonb, events jsonb, retractions jsonb, corrections jsonb, checkpoints jsonb)
    RETURNS SETOF text LANGUAGE plpgsql
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
    AS $$
    DECLARE
        left_version bigint;
        locked bigint;
        names text[] := ARRAY(SELECT m ->> 'student' FROM jsonb_array_elements(moves) AS m);
    BEGIN
        LOCK TABLE adaptrace_corrections IN ROW SHARE MODE;  -- nothing begins to wait (adaptrace_wait) for an event of this write
        -- whoever forgets one of the new students is waited for at its key: only then is it known what is stored
        LOOP
            INSERT INTO adaptrace_students SELECT m.student, 0, '', ''
                FROM jsonb_to_recordset(moves) AS m (student text, since bigint) WHERE m.since = 0 ORDER BY m.student
            ON CONFLICT DO NOTHING;
            PERFORM FROM adaptrace_students AS s WHERE s.student = ANY (names) ORDER BY s.student FOR UPDATE;
            GET DIAGNOSTICS locked = ROW_COUNT;
            -- a student who came meanwhile may have been forgotten before the row was locked: then it is made again
            EXIT WHEN locked = (SELECT count(*) FROM adaptrace_students AS s WHERE s.student = ANY (names)) AND NOT EXISTS (
                SELECT FROM jsonb_to_recordset(moves) AS m (student text, since bigint)
                LEFT JOIN adaptrace_students AS s ON s.student = m.student WHERE m.since = 0 AND s.student IS NULL
            );
        END LOOP;
        RETURN QUERY
            SELECT m.student FROM jsonb_to_recordset(moves) AS m (student text, since bigint)
            LEFT JOIN adaptrace_students AS s ON s.student = m.student WHERE m.since <> coalesce(s.version, 0)
            UNION SELECT n.student FROM jsonb_to_recordset(events) AS n (event_id text, student text)
            JOIN adaptrace_events AS e ON e.event_id = n.event_id
            UNION SELECT r.student FROM jsonb_to_recordset(retractions) AS r (event_id text, student text)
            LEFT JOIN adaptrace_events AS e ON e.event_id = r.event_id AND e.student = r.student AND NOT e.retracted
            WHERE e.event_id IS NULL
            UNION SELECT n.student FROM jsonb_to_recordset(events) AS n (event_id text, student text)
            JOIN adaptrace_corrections AS k ON k.original = n.event_id AND k.student IN (n.student, '') AND k.content <> ''
            WHERE NOT EXISTS (
                SELECT FROM jsonb_to_recordset(corrections) AS c (original text, student text)
                WHERE c.original = k.original AND c.student = k.student
            )
            UNION SELECT n.student FROM jsonb_to_recordset(events) AS n (event_id text, student text)
            JOIN adaptrace_corrections AS k ON k.event_id = n.event_id AND k.content <> '' AND k.event_id <> ''
            WHERE NOT EXISTS (
                SELECT FROM jsonb_to_recordset(corrections) AS c (original text, student text)
                WHERE c.original = k.original AND c.student = k.student
            )
            UNION SELECT c.writer
            FROM jsonb_to_recordset(corrections) AS c (original text, student text, event_id text, content text, writer text)
            LEFT JOIN adaptrace_corrections AS k ON k.original = c.original AND k.student = c.student
            WHERE k.event_id <> c.event_id OR k.content = '' OR ((c.student = '' OR c.content <> '') AND k.original IS NULL)
            UNION SELECT c.writer FROM jsonb_to_recordset(corrections) AS c (original text, writer text)
            WHERE NOT EXISTS (SELECT FROM adaptrace_events AS e WHERE e.event_id = c.original AND e.retracted)
                AND NOT EXISTS (SELECT FROM jsonb_to_recordset(retractions) AS r (event_id text) WHERE r.event_id = c.original)
                AND NOT EXISTS (SELECT FROM jsonb_to_recordset(events) AS n (event_id text) WHERE n.event_id = c.original);
        IF FOUND THEN
            DELETE FROM adaptrace_students AS s USING jsonb_to_recordset(moves) AS m (student text)
                WHERE s.student = m.student AND s.version = 0;
            RETURN;
        END IF;
        IF EXISTS (SELECT FROM jsonb_to_recordset(moves) AS m (since bigint) WHERE m.since = 0) THEN
            SELECT s.first_version - 1 INTO left_version FROM adaptrace_store AS s FOR SHARE;
        END IF;
        UPDATE adaptrace_students AS s SET model = m.model, state = m.state,
                version = m.version + CASE WHEN m.since = 0 THEN left_version ELSE 0 END
            FROM jsonb_to_recordset(moves) AS m (student text, since bigint, version bigint, model text, state text)
            WHERE s.student = m.student;
        INSERT INTO adaptrace_events SELECT * FROM jsonb_populate_recordset(NULL::adaptrace_events, events) ORDER BY event_id;
        UPDATE adaptrace_events AS e SET retracted = true
            FROM jsonb_to_recordset(retractions) AS r (event_id text) WHERE e.event_id = r.event_id;
        IF corrections <> '[]' THEN
            INSERT INTO adaptrace_corrections
                SELECT c.original, c.student, c.event_id, ''
                FROM jsonb_to_recordset(corrections) AS c (original text, student text, event_id text) ORDER BY 1, 2
            ON CONFLICT (original, student) DO UPDATE SET content = '';
            DELETE FROM adaptrace_corrections AS k  -- nothing is left to note of a retraction
                USING jsonb_to_recordset(corrections) AS c (original text) WHERE k.original = c.original AND k.student = '';
        END IF;
        IF checkpoints <> '{}' THEN  -- student: all that are to be kept
            DELETE FROM adaptrace_checkpoints WHERE student IN (SELECT jsonb_object_keys(checkpoints));
            INSERT INTO adaptrace_checkpoints
                SELECT k.* FROM jsonb_each(checkpoints) AS c (student, kept),
                    jsonb_populate_recordset(NULL::adaptrace_checkpoints, c.kept) AS k;
        END IF;
    END $$;
    CREATE OR REPLACE FUNCTION adaptrace_wait(waiting jsonb) RETURNS boolean LANGUAGE plpgsql
    SET enable_seqscan = off SET jit = off
    AS $$
    BEGIN
        LOCK TABLE adaptrace_corrections IN EXCLUSIVE MODE;  -- no event comes (adaptrace_write) meanwhile
        INSERT INTO adaptrace_corrections SELECT w.* FROM jsonb_populate_record(NULL::adaptrace_corrections, waiting) AS w
            WHERE NOT EXISTS (SELECT FROM adaptrace_events AS e WHERE e.event_id = w.original)
        ON CONFLICT DO NOTHING;
        RETURN FOUND;
    END $$;
    CREATE OR REPLACE FUNCTION adaptrace_forget(name text) RETURNS bigint LANGUAGE plpgsql
    SET enable_seqscan = off SET jit = off
    AS $$
    DECLARE
        left_version bigint;
        removed bigint;
    BEGIN
        -- a student without a row gets one until the end: whoever writes a first event waits at its key
        INSERT INTO adaptrace_students AS s VALUES (name, 0, '', '')
            ON CONFLICT (student) DO UPDATE SET version = s.version RETURNING s.version INTO left_version;
        UPDATE adaptrace_store SET first_version = 1 + left_version WHERE first_version <= left_version;
        DELETE FROM adaptrace_events WHERE student = name;
        GET DIAGNOSTICS removed = ROW_COUNT;
        DELETE FROM adaptrace_decisions WHERE student = name;
        DELETE FROM adaptrace_checkpoints WHERE student = name;
        DELETE FROM adaptrace_corrections AS r USING adaptrace_corrections AS c
            WHERE r.student = '' AND c.student = name AND r.original IN (c.original, c.event_id);
        DELETE FROM adaptrace_corrections WHERE student = name;
        DELETE FROM adaptrace_students WHERE student = name;
        RETURN removed;
    END $$;
    """,
)

NAMES = re.compile(r"^ *CREATE (?:OR REPLACE )?(?:TABLE|INDEX|UNIQUE INDEX|FUNCTION) (?:IF NOT EXISTS )?(\w+)", re.MULTILINE)
KEYS = re.compile(r"^ *CREATE TABLE (?:IF NOT EXISTS )?(\w+) \([^;]*?PRIMARY KEY", re.MULTILINE)
_FOUND = """
    SELECT relname FROM pg_class WHERE relname LIKE 'adaptrace%%' AND pg_table_is_visible(oid)
        AND NOT EXISTS (SELECT FROM pg_index WHERE indexrelid = pg_class.oid AND NOT indisvalid)
    UNION SELECT proname FROM pg_proc WHERE proname LIKE 'adaptrace%%' AND pg_function_is_visible(oid)"""
_STRAYS = """
    SELECT event_id FROM adaptrace_events AS e
    WHERE NOT EXISTS (SELECT FROM adaptrace_students AS s WHERE s.student = e.student) ORDER BY 1"""


def faults_of(rows: Callable[[str], list[tuple[Any, ...]]]) -> Iterator[Fault]:
    """Tables, indexes, keys and functions that are missing or not valid, and events of nobody."""
    try:
        found = {name for (name,) in rows(_FOUND)}
        script = "".join(MIGRATIONS)
        for name in sorted({*NAMES.findall(script), *(f"{table}_pkey" for table in KEYS.findall(script))} - found):
            yield Fault("file", None, f"table, index, key or function {name} is missing or not valid", RESTORE)
        yield from (STRAY._replace(id=event_id) for (event_id,) in rows(_STRAYS))
        yield from unchecked(rows("SELECT count(*) FROM adaptrace_events WHERE checksum IS NULL")[0][0])
    except StoreError as error:
        yield Fault("file", None, str(error), f"check the server; {RESTORE}")


def migrate(connection: psycopg.Connection[tuple[Any, ...]], place: str) -> None:
    """Bring the tables to this version's schema, one process at a time."""
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        schema = 0
        if connection.execute("SELECT to_regclass('adaptrace_store')").fetchall() != [(None,)]:
            ((schema,),) = connection.execute("SELECT schema FROM adaptrace_store").fetchall()
        if schema > len(MIGRATIONS):
            newest = len(MIGRATIONS)
            raise StoreError(f"{place}: schema {schema}, this version reads up to {newest}; upgrade adaptrace")
        for number, script in enumerate(MIGRATIONS[schema:], schema + 1):
            connection.execute(script.encode())
            connection.execute("UPDATE adaptrace_store SET schema = %s", [number])
