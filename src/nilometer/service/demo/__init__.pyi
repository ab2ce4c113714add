from .traffic import Traffic as Traffic, run_demo as run_demo
