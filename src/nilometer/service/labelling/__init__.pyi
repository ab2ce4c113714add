from .exchange import EXPORTS as EXPORTS, export_plan as export_plan, read_labels_file as read_labels_file
from .log import LabelAct as LabelAct, record_act as record_act, undo_act as undo_act
from .plans import (
    PlanRow as PlanRow,
    frozen_items as frozen_items,
    make_plan as make_plan,
    plan_named as plan_named,
    plan_rows as plan_rows,
    save_plan as save_plan,
)
from .queue import Claims as Claims, Item as Item, next_items as next_items, progress_of as progress_of
from .results import Agreement as Agreement, PlanResult as PlanResult, plan_results as plan_results
