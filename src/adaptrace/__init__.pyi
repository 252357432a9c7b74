"""The public names, for type checkers; ``__init__.py`` has them for Python, and a test compares the two."""

from adaptrace import plots as plots, report as report
from adaptrace.data.catalog import Catalog as Catalog, Item as Item
from adaptrace.data.log import Log as Log
from adaptrace.data.sample import sample_catalog as sample_catalog, sample_log as sample_log
from adaptrace.dataset import logs_of as logs_of, score_dataset as score_dataset, stats_dataset as stats_dataset
from adaptrace.errors import (
    AdaptraceError as AdaptraceError,
    ConflictError as ConflictError,
    ConstraintError as ConstraintError,
    DataError as DataError,
    ModelError as ModelError,
    OutputError as OutputError,
    StoreError as StoreError,
    UnknownItemError as UnknownItemError,
)
from adaptrace.evaluate.audit_table import audit_table as audit_table
from adaptrace.evaluate.comparison import Comparison as Comparison, compare as compare
from adaptrace.evaluate.fairness import Fairness as Fairness, fairness as fairness
from adaptrace.evaluate.given import Predictions as Predictions
from adaptrace.evaluate.off_policy import Estimate as Estimate, off_policy as off_policy
from adaptrace.evaluate.skill_search import SkillSearch as SkillSearch, search_skills as search_skills
from adaptrace.evaluate.validation import Validation as Validation, cross_validate as cross_validate, replay as replay
from adaptrace.models import (
    AFM as AFM,
    BKT as BKT,
    DAS3H as DAS3H,
    FSRS as FSRS,
    PFA as PFA,
    BestLR as BestLR,
    Blend as Blend,
    Boosted as Boosted,
    Constant as Constant,
    Feature as Feature,
    HalfLife as HalfLife,
    Logistic as Logistic,
    Rasch as Rasch,
    Recency as Recency,
    TwoPL as TwoPL,
    load as load,
)
from adaptrace.models.criterion import Criterion as Criterion
from adaptrace.models.student import Student as Student
from adaptrace.privacy.forget import forget_student as forget_student
from adaptrace.privacy.pseudonyms import pseudonymize as pseudonymize
from adaptrace.privacy.retention import StudentPlaces as StudentPlaces, retain as retain
from adaptrace.privacy.rules import RetentionRule as RetentionRule
from adaptrace.privacy.rotation import rotate_key as rotate_key
from adaptrace.recommendation.constraints import Constraints as Constraints
from adaptrace.recommendation.explaining import Recommendation as Recommendation
from adaptrace.recommendation.policies import (
    Information as Information,
    InOrder as InOrder,
    Interleaved as Interleaved,
    LearningGain as LearningGain,
    LearningProgress as LearningProgress,
    LowestMastery as LowestMastery,
    Mix as Mix,
    NearestMastery as NearestMastery,
    Random as Random,
    ReviewDue as ReviewDue,
    TargetSuccess as TargetSuccess,
    Thompson as Thompson,
)
from adaptrace.recommendation.reasons import Reason as Reason
from adaptrace.recommendation.recommender import Recommender as Recommender, recommend as recommend
from adaptrace.simulation.policy_matrix import policy_matrix as policy_matrix
from adaptrace.simulation.teaching import SimulatedLog as SimulatedLog, simulate as simulate
from adaptrace.stats.stats import Stats as Stats
from adaptrace.tutor.tutor import Tutor as Tutor
from adaptrace.tutor.verify import Verification as Verification

__version__: str
