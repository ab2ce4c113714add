from .families import FamilyCheck as FamilyCheck, ModelPair as ModelPair, find_families as find_families
from .labelled_quality import LabelledQualities as LabelledQualities, label_qualities as label_qualities
from .quality import BestTest as BestTest, ModelQualities as ModelQualities, QualityDifferences as QualityDifferences
from .smoothie import Smoothie as Smoothie, precision_weights as precision_weights
from .sums import (
    Agreement as Agreement,
    fit_errors as fit_errors,
    merge_agreements as merge_agreements,
    pair_matrix as pair_matrix,
    update_agreement as update_agreement,
)
