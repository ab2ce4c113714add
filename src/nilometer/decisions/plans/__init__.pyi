from .acquire import (
    AcquireOptions as AcquireOptions,
    SliceAcquisition as SliceAcquisition,
    SliceCost as SliceCost,
    exponent_sensitivity as exponent_sensitivity,
    plan_acquisition as plan_acquisition,
    slice_examples as slice_examples,
)
from .files import (
    Text as Text,
    read_costs as read_costs,
    read_label_plan as read_label_plan,
    write_label_plan as write_label_plan,
)
from .label import (
    LabelOptions as LabelOptions,
    LabelPlan as LabelPlan,
    SlicePlan as SlicePlan,
    plan_labels as plan_labels,
)
from .measure import PlannedLabel as PlannedLabel, labels_alone as labels_alone, measure_plan as measure_plan
from .slices import choose_slices as choose_slices, mean_scores as mean_scores
from .standing import Standing as Standing
