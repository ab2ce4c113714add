from .charts import (
    calibration_chart as calibration_chart,
    curve_chart as curve_chart,
    slice_chart as slice_chart,
    to_svg as to_svg,
    window_chart as window_chart,
)
from .console import (
    ConsoleFile as ConsoleFile,
    console_file as console_file,
    entropy_svg as entropy_svg,
    left_out_svg as left_out_svg,
    render_console as render_console,
    timeline_svg as timeline_svg,
    typeset as typeset,
)
from .markdown import render_junit as render_junit, render_markdown as render_markdown
from .report import render_html as render_html
from .result_charts import coverage_chart as coverage_chart, decision_chart as decision_chart
from .results import frame_result as frame_result, plot_result as plot_result, show_result as show_result
from .route_charts import (
    cost_quality_chart as cost_quality_chart,
    quality_chart as quality_chart,
    slice_quality_chart as slice_quality_chart,
)
from .routes import render_route_html as render_route_html
from .tokens import (
    AnswerView as AnswerView,
    TokenView as TokenView,
    answer_data as answer_data,
    render_tokens as render_tokens,
    show_answer as show_answer,
)
from .watch import render_watch_html as render_watch_html
