from .acquire import (
    AcquireOptions as AcquireOptions,
    SliceAcquisition as SliceAcquisition,
    SliceCost as SliceCost,
    cover_slice as cover_slice,
    exponent_sensitivity as exponent_sensitivity,
    moved_share as moved_share,
    plan_acquisition as plan_acquisition,
    slice_examples as slice_examples,
)
from .files import (
    PLAN_FORMATS as PLAN_FORMATS,
    Text as Text,
    read_costs as read_costs,
    read_label_plan as read_label_plan,
    write_label_plan as write_label_plan,
)
from .label import (
    LabelOptions as LabelOptions,
    LabelPlan as LabelPlan,
    SlicePlan as SlicePlan,
    allocate_labels as allocate_labels,
    plan_labels as plan_labels,
)
from .measure import (
    Design as Design,
    PlannedLabel as PlannedLabel,
    design_of as design_of,
    labels_alone as labels_alone,
    measure_plan as measure_plan,
    promised_half_width as promised_half_width,
)
from .slices import choose_slices as choose_slices, mean_scores as mean_scores
from .standing import Standing as Standing, standing_of as standing_of
