from .frame import ConsoleFile as ConsoleFile, console_file as console_file, render_console as render_console
