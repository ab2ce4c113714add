from .charts import entropy_svg as entropy_svg, left_out_svg as left_out_svg, timeline_svg as timeline_svg
from .frame import ConsoleFile as ConsoleFile, console_file as console_file, render_console as render_console
from .typeset import typeset as typeset
