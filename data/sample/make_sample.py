"""Make the bundled sample: a school of sixth graders working through a playlist of mathematics.

    python data/sample/make_sample.py

Every student is simulated; the names of skills and items are made up for this project.
The seed is fixed: a run gives the same rows, which tests/data/test_sample.py checks.
"""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa

import adaptrace as at
from adaptrace.data.sample import sample_path
from adaptrace.io.atomic import replacing
from adaptrace.io.files import write_table

SEED = 20250901
STUDENTS, CLASSES = 300, 12
LEAST, MORE = 40, 7  # responses of a student in the first class; how many more in each further one

# skill: what must be mastered first
CURRICULUM: dict[str, list[str]] = {
    "Multiples and factors": [],
    "Equal shares": [],
    "Reading tables": [],
    "Equivalent fractions": ["Equal shares"],
    "Comparing fractions": ["Equivalent fractions"],
    "Adding fractions": ["Equivalent fractions", "Multiples and factors"],
    "Multiplying fractions": ["Equal shares"],
    "Dividing fractions": ["Multiplying fractions"],
    "Decimals on a number line": ["Reading tables"],
    "Multiplying decimals": ["Decimals on a number line"],
    "Ratios as comparisons": ["Equivalent fractions"],
    "Unit rates": ["Ratios as comparisons"],
    "Ratio tables": ["Ratios as comparisons", "Reading tables"],
    "Percent of a quantity": ["Unit rates", "Decimals on a number line"],
    "Negative numbers": ["Decimals on a number line"],
    "Coordinate plane": ["Negative numbers"],
    "Writing expressions": ["Multiples and factors"],
    "Order of operations": ["Writing expressions"],
    "One-step equations": ["Writing expressions"],
    "Inequalities": ["One-step equations", "Negative numbers"],
    "Area of triangles": ["Multiplying fractions"],
    "Volume of prisms": ["Area of triangles", "Multiplying fractions"],
    "Mean and median": ["Reading tables"],
    "Reading dot plots": ["Mean and median"],
}
FORMS = ("warm-up", "practice A", "practice B", "practice C", "word problem", "explain it", "find the error", "challenge")
PROVIDERS = ("Open Maths", "District bank", "Teacher made")
BOTH = (
    ("Unit rates", "Percent of a quantity"),
    ("Adding fractions", "Comparing fractions"),
    ("One-step equations", "Order of operations"),
)


def make_truth() -> at.BKT:
    """The hidden parameters that the students follow."""
    random = np.random.default_rng(SEED)
    skills = list(CURRICULUM)
    depth = np.array([_depth(skill) for skill in skills])
    return at.BKT.from_parameters(
        skills,
        prior=np.clip(0.45 - 0.12 * depth + random.normal(0, 0.05, len(skills)), 0.05, 0.7).tolist(),
        learn=random.uniform(0.12, 0.3, len(skills)).tolist(),
        forget=random.uniform(0.002, 0.01, len(skills)).tolist(),
        guess=random.uniform(0.08, 0.25, len(skills)).tolist(),
        slip=random.uniform(0.05, 0.14, len(skills)).tolist(),
    )


def _depth(skill: str) -> int:
    return max((1 + _depth(need) for need in CURRICULUM[skill]), default=0)


def make_catalog() -> dict[str, list[dict[str, object]]]:
    """Eight items a skill, and projects that need two."""
    items: list[dict[str, object]] = []
    for number, skill in enumerate(CURRICULUM, 1):
        for form, name in enumerate(FORMS):
            provider = PROVIDERS[(number + form) % len(PROVIDERS)]
            fields = {"title": f"{skill}: {name}", "kind": "practice", "minutes": 2 + form % 4, "provider": provider}
            items.append({"item": f"M6-{number:02}-{form + 1}", "skills": [skill], **fields})
    for number, pair in enumerate(BOTH, 1):
        fields = {"title": f"{pair[0]} meets {pair[1].lower()}", "kind": "practice", "minutes": 6, "provider": "Teacher made"}
        items.append({"item": f"M6-X-{number}", "skills": list(pair), **fields})
    return {"items": items, "skills": [{"skill": skill, "prerequisites": needs} for skill, needs in CURRICULUM.items()]}


def make_responses(catalog: at.Catalog) -> pa.Table:
    """The log, with the class of each student; the classes have come differently far."""
    responses, policy = LEAST + MORE * (CLASSES - 1), at.LowestMastery()
    table = at.simulate(make_truth(), catalog, students=STUDENTS, responses=responses, seed=SEED, policy=policy).table
    student = table["student"].chunk(0).indices.to_numpy()
    place = student % CLASSES
    number = np.arange(len(table)) - np.searchsorted(student, student)
    table = table.append_column("class", pa.array([f"6{'ABCDEFGHIJKL'[code]}" for code in place]).dictionary_encode())
    return table.filter(pa.array(number < LEAST + MORE * place))


def main() -> None:
    """Write catalog.json and responses.parquet into the package."""
    with replacing(sample_path("catalog.json")) as path:
        path.write_text(json.dumps(make_catalog(), indent=1) + "\n")
    write_table(make_responses(at.Catalog.read(sample_path("catalog.json"))), sample_path("responses.parquet"))


if __name__ == "__main__":
    main()
