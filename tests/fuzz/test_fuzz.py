"""Whatever comes in is refused in one error or read as what it says: mutants of every format at every door."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import pytest

import adaptrace as at
from fuzz import checks

resource = pytest.importorskip("resource", reason="Windows does not say how much memory a process had")
from fuzz import doors, run, worker  # noqa: E402
from fuzz.mutate import MUTATORS  # noqa: E402
from fuzz.seeds import MAKERS, MODEL, golden_models, seed  # noqa: E402

MUTANTS = 2_000
CORPUS = sorted(path for path in run.CORPUS.iterdir() if "--" in path.name)


def test_no_mutant_comes_out_raw_crashes_or_is_believed() -> None:
    told = list(run.outcomes(0, 0, MUTANTS))
    assert [each.number for each in told] == list(range(MUTANTS))
    assert [each for each in told if each.outcome not in worker.GOOD] == []
    shares = [sum(each.outcome == name for each in told) / MUTANTS for name in worker.GOOD]
    assert min(shares[:2]) > 0.1, "mutants must be neither all too wild nor all too tame"


@pytest.mark.parametrize("path", CORPUS, ids=[path.name for path in CORPUS])
def test_what_failed_once_fails_no_more(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / path.name.partition("--")[2]
    copy.write_bytes(path.read_bytes())
    found = worker.watched(path.name.partition("--")[0], copy, tmp_path / "scratch")
    assert found[0] in worker.GOOD, found


def test_every_family_is_mutated() -> None:
    assert {case.seed for case in doors.CASES} >= set(golden_models())
    assert {case.seed for case in doors.CASES} >= set(MAKERS)
    assert {case.door for case in doors.CASES} == doors.DOORS.keys()


@pytest.mark.parametrize("how", list(MUTATORS))
def test_a_mutant_is_the_same_bytes_again(how: str) -> None:
    name = next(case.seed for case in doors.CASES if case.how == how)
    first, again = ([MUTATORS[how](seed(name), Random(f"7 {n}")) for n in range(40)] for _ in range(2))
    assert first == again
    assert len(set(first)) > 30


def test_numbers_that_are_no_probabilities_are_seen() -> None:
    for wrong in (np.nan, -0.1, 1.1, 0.0):
        with pytest.raises(checks.Nonsense):
            checks.probabilities([0.5, wrong], "prediction")
    checks.probabilities([0.0, 1.0], "mastery", ends=True)


def test_rows_under_another_name_are_seen(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(seed("log.csv"))
    log = at.Log.read(path)
    checks.names(path, log)
    path.write_bytes(seed("log.csv").replace(b"\nZo\xc3\xab 7", b"\nBo", 1))
    with pytest.raises(checks.WrongName):
        checks.names(path, log)


def raises() -> None:
    raise KeyError("x")


def hangs() -> None:
    while True:
        pass


def crashes() -> None:
    os.abort()


@pytest.mark.parametrize(("fault", "said"), [(raises, "raw"), (hangs, "slow"), (crashes, "crash")])
def test_a_fault_of_any_kind_is_told(
    fault: Callable[[], None], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "worker.py"
    script.write_text(
        "import sys\n"
        f"sys.path[:0] = {[str(Path(__file__).parents[1])]!r}\n"
        "from fuzz import doors, test_fuzz, worker\n"
        "from pathlib import Path\n"
        "worker.warm_up, worker.SECONDS = lambda folder: None, 1\n"
        f"doors.DOORS[doors.CASES[1].door] = lambda path, folder: test_fuzz.{fault.__name__}()\n"
        "worker.main(Path(sys.argv[1]), *map(int, sys.argv[2:]))\n"
    )
    monkeypatch.setattr(worker, "__file__", str(script))
    told = list(run.outcomes(0, 1, 3))
    assert [each.outcome for each in told] == [said, said]


def test_known_cases(tmp_path: Path) -> None:
    """Files that once crashed the process, or gave rows to the wrong name; they are measured, not kept here."""
    data = os.environ.get("ADAPTRACE_DATA")
    cases = Path(data, "..", "cases", "corpus") if data else None
    if cases is None or not cases.is_dir():
        pytest.skip("ADAPTRACE_DATA is not set, or has no folder of cases beside it")
    uses: dict[str, Callable[[Path], object]] = {
        ".json": lambda path: checks.model(at.load(path), doors.golden_log("kinds")),
        ".parquet": lambda path: at.score_dataset(path, tmp_path / "out", model=MODEL),
        ".arrow": lambda path: doors.use_log(at.Log.read(path)),
    }
    for path in sorted(cases.iterdir()):
        with contextlib.suppress(at.AdaptraceError):
            uses[path.suffix](path)
