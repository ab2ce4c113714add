from .results import Agreement as Agreement, PlanResult as PlanResult, plan_results as plan_results
